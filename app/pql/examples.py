"""An example of every function, operator and form, for the page `docs/pql-functions.md`.

Tests evaluate each with the oracle and with the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

INSTANT: Final = "2026-01-05T10:00:00Z"
"""When the examples are evaluated: a Monday."""


class Example(NamedTuple):
    """One expression, and its value as JSON for the profile of its topic at `INSTANT`."""

    expression: str
    result: str


@dataclass(frozen=True, slots=True)
class Topic:
    """Functions that are about one thing.

    Attributes:
        profile: A profile record as JSON; its `xEvent` are the kept events, oldest first.
        examples: By name, as in the index of the PQL reference. `.exists` is the method, `exists`
            the quantifier.
        segments: Ids of the segments that the profile is in.
    """

    title: str
    profile: str
    examples: dict[str, Example]
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the grammar that is named like a function but is none.

    Attributes:
        written: How it is written, with types in the places of values.
        result: Its type, in words.
        doc: What it does.
    """

    written: str
    result: str
    doc: str


FORMS: Final[dict[str, Form]] = {
    "now": Form("now", "time", "instant of the run; stands where `occurs` takes a time"),
    "today": Form("today", "time", "current UTC day as a whole; likewise `yesterday`, `tomorrow`"),
    "occurs": Form("any occurs time", "Boolean", "compares times; `occurs` has many forms"),
    "[]": Form("list[item => any]", "list", "items that satisfy the condition, as `filter`"),
    "^": Form("^.field", "any", "field of the enclosing item; the outermost is the profile"),
    "exists": Form(
        "exists X from list where any", "Boolean", "some item satisfies it, or some combination"
    ),
    "forall": Form(
        "forall X from list : any", "Boolean", "every item satisfies it; true of nothing"
    ),
    "select": Form("select X from list where any", "list", "items that satisfy the condition"),
    "let": Form("let x = any in any", "any", "names a value"),
    "chain": Form(
        "chain(xEvent, timestamp, [A: WHAT(any), …])", "Boolean", "events one after the other"
    ),
}
"""By name, as in the index of the PQL reference; `exists` is the quantifier."""

TOPICS: Final = (
    Topic(
        "Conditions",
        '{"age": 30, "score": "7", "city": "Oslo", "student": true, "phone": null}',
        {
            "and": Example('age > 17 and city = "Oslo"', "true"),
            "or": Example("age > 66 or student", "true"),
            "not": Example('not (phone = "1234")', "true"),
            "if": Example('if(age > 17, "adult", "child")', '"adult"'),
            "=": Example('age = "30"', "true"),
            "!=": Example('phone != "1234"', "false"),
            "<": Example("age < 30", "false"),
            "<=": Example("age <= 30", "true"),
            ">": Example("score > 5", "false"),
            ">=": Example("age >= 18", "true"),
            "in": Example('city in ["Oslo", "Bergen"]', "true"),
            "notIn": Example('city notIn ("Bergen", "Bodø")', "true"),
            "isNull": Example("phone.isNull()", "true"),
            "isNotNull": Example("city.isNotNull()", "true"),
            "inSegment": Example('inSegment("adults")', "true"),
        },
        segments=("adults",),
    ),
    Topic(
        "Numbers",
        '{"price": 2.5, "amount": 3, "balance": -7}',
        {
            "+": Example("amount + balance", "-4"),
            "-": Example("amount - discount", "null"),
            "*": Example("price * amount", "7.5"),
            "/": Example("amount / 2", "1.5"),
            "%": Example("balance % 3", "-1"),
        },
    ),
    Topic(
        "Strings",
        '{"name": "Ada Berg", "mail": "ada@example.com", "zip": "0150"}',
        {
            "like": Example('mail like "%@example.%"', "true"),
            "startsWith": Example('name.startsWith("ada", false)', "true"),
            "doesNotStartWith": Example('name.doesNotStartWith("Bo")', "true"),
            "endsWith": Example('name.endsWith("berg")', "false"),
            "doesNotEndWith": Example('name.doesNotEndWith("berg")', "true"),
            "contains": Example('name.contains("da B")', "true"),
            "doesNotContain": Example('phone.doesNotContain("1")', "false"),
            "equals": Example('name.equals("ADA BERG", "BO BERG", false)', "true"),
            "notEqualTo": Example('name.notEqualTo("Bo Berg", "Eva Berg")', "true"),
            "matches": Example('zip matches "^[0-9]{4}$"', "true"),
            "regexGroup": Example('name.regexGroup("(\\\\w+) (\\\\w+)", 2)', '"Berg"'),
        },
    ),
    Topic(
        "Lists",
        '{"cart": [{"sku": "tent", "price": 300}, {"sku": "mug", "price": 13}], '
        '"tags": ["a", "b", "a"], "limit": 100}',
        {
            "[]": Example("cart[price > 100].sku", '["tent"]'),
            "filter": Example("cart.filter(price < 100).count()", "1"),
            "select": Example("(select X from cart where X.price > 5).count()", "2"),
            ".exists": Example('cart.exists(sku = "mug")', "true"),
            "exists": Example("exists X from cart where X.price > 500", "false"),
            "forall": Example("forall X from cart : X.price > 5", "true"),
            "^": Example("cart[price > ^.limit].sku", '["tent"]'),
            "count": Example("cart.count()", "2"),
            "sum": Example("cart.sum(price)", "313"),
            "average": Example("cart.average(price)", "156.5"),
            "min": Example("cart.map(price).min()", "13"),
            "max": Example("cart.max(E => E.price)", "300"),
            "intersects": Example('tags.intersects(["b", "c"])', "true"),
            "intersection": Example('tags.intersection(["b", "c"])', '["b"]'),
            "subsetOf": Example('tags.subsetOf(["a", "b", "c"])', "true"),
            "supersetOf": Example('tags.supersetOf(["a", "c"])', "false"),
            "includes": Example('tags.includes("b")', "true"),
            "distinct": Example("tags.distinct()", '["a", "b"]'),
            "head": Example("tags.head()", '"a"'),
            "topN": Example("cart.topN(price, 1).sku", '["tent"]'),
            "bottomN": Example("cart.bottomN(price, 1).sku", '["mug"]'),
            "map": Example("cart.map(price * 2)", "[600, 26]"),
        },
    ),
    Topic(
        "Maps",
        '{"size": {"eu": 42, "us-m": 9}, "cart": [{"sku": "tent", "price": 300}, '
        '{"sku": "tent", "price": 250}]}',
        {
            "get": Example('size.get("us-m")', "9"),
            "keys": Example("size.keys()", '["eu", "us-m"]'),
            "values": Example("size.values()", "[42, 9]"),
            "groupBy": Example("cart.groupBy(sku).map(G => G.count())", "[2]"),
            "mapEntry": Example("cart.map(mapEntry(sku, price))", '{"tent": 250}'),
        },
    ),
    Topic(
        "Dates and times",
        '{"born": "1990-03-31", "until": "2026-01-05T23:30:00Z"}',
        {
            "now": Example("until occurs after now", "true"),
            "today": Example("until occurs today", "true"),
            "date": Example("born occurs before date(1990, 3, 31)", "false"),
            "occurs": Example("born occurs > 18 years before now", "true"),
            "currentMonth": Example("currentMonth()", "1"),
            "currentYear": Example("currentYear()", "2026"),
            "currentDayOfMonth": Example("currentDayOfMonth()", "5"),
            "getMonth": Example("born.getMonth()", "3"),
            "getYear": Example("born.getYear()", "1990"),
            "getDayOfMonth": Example("born.getDayOfMonth()", "31"),
        },
    ),
    Topic(
        "Names and sequences",
        '{"xEvent": [{"eventType": "view", "timestamp": "2026-01-02T08:00:00Z"}, '
        '{"eventType": "buy", "timestamp": "2026-01-02T08:05:00Z"}]}',
        {
            "let": Example("let n = xEvent.count() in n > 0 and n < 5", "true"),
            "chain": Example(
                'chain(xEvent, timestamp, [A: WHAT(eventType = "view"), B: '
                'WHAT(eventType = "buy")])',
                "true",
            ),
        },
    ),
)
