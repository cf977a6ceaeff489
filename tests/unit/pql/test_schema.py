"""Paths and constants held to a JSON Schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.pql.checker import check
from app.pql.errors import render
from app.pql.parser import parse
from app.pql.schema import SchemaError, read_schema
from app.pql.schema_checks import NO_SCHEMAS, Schemas

_ADDRESS = {
    "type": "object",
    "properties": {
        "city": {"type": ["string", "null"]},
        "since": {"type": "string", "format": "date-time"},
        "parent": {"$ref": "#/$defs/address"},
    },
}
PROFILE: dict[str, Any] = {
    "type": "object",
    "$defs": {"address": _ADDRESS},
    "allOf": [{"properties": {"person": {"properties": {"birthYear": {"type": "integer"}}}}}],
    "properties": {
        "person": {"properties": {"name": {"type": "string"}, "gender": {"enum": ["m", "female"]}}},
        "homeAddress": {"$ref": "#/$defs/address"},
        "addresses": {"type": "array", "items": {"$ref": "#/$defs/address"}},
        "loyal": {"type": "boolean"},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "anything": {"type": "object"},
        "either": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    },
}
EVENT: dict[str, Any] = {
    "properties": {
        "eventType": {"enum": ["buy", "view"]},
        "total": {"type": "number"},
        "items": {"type": "array", "items": {"properties": {"sku": {"type": "string"}}}},
    }
}
LISTED = "there are _id, eventType, items, timestamp, total"
OF_TYPE = "compare it with a value of that type"
SCHEMAS = Schemas(read_schema(PROFILE), read_schema(EVENT))


def found(text: str, schemas: Schemas = SCHEMAS) -> list[tuple[str, str, str]]:
    """Return code, underlined text and hint of each problem."""
    problems = check(parse(text), schemas=schemas).problems
    return [(one.code, text[one.span.start : one.span.end], one.hint) for one in problems]


@pytest.mark.parametrize(
    "text",
    [
        "person.birthYear > 1990",
        'person.birthYear = "1990"',
        'loyal = "true"',
        'homeAddress.parent.parent.city = "Oslo"',
        'addresses.city = "Oslo" and addresses[since occurs today].count() > 1',
        "homeAddress.since occurs <= 3 days before now",
        'homeAddress.since = "2026-01-31"',
        'homeAddress.since.startsWith("2026")',
        "scores.chess > 3 or anything.at.all = 1 or either > 2",
        'scores.values().max() > 2 or scores.get("go") = 1',
        'xEvent[eventType = "buy" and total > 3 and items.sku = "a"].count() > 1',
        "xEvent.timestamp occurs today and xEvent[timestamp > 5]",
        "select X from xEvent where X.items.exists(sku = X._id)",
        "sum X.total over X from xEvent > 5",
        'chain(xEvent, timestamp, [A: WHAT(eventType = "buy") WHERE(total > 1)])',
        'segmentMembership.ups.x.status = "realized" and identityMap.email.id = "a"',
        'addresses.head().city in ["Oslo", 5]',
        'xEvent.groupBy(eventType).get("buy").total.sum() > 5',
        "xEvent.groupBy(eventType).map(G => G.count() + G.total.sum()).max() > 5",
        'xEvent.groupBy(eventType).map((K, G) => mapEntry(K, G.head())).get("buy").total > 5',
        'xEvent.map({"sum": total + 1, "of": this}).of.total > 5',
        "scores.map(S => S * 2).max() > 3",
    ],
)
def test_what_fits_is_accepted(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "code", "place", "hint"),
    [
        ('persn.name = "x"', "unknown-field", "persn", "did you mean person?"),
        ('person.nme = "x"', "unknown-field", "person.nme", "did you mean name?"),
        ("loyal.since = 1", "unknown-field", "loyal.since", "it has no fields"),
        ("addresses.zip = 1", "unknown-field", "addresses.zip", "there are city, parent, since"),
        ("addresses[cty = 1]", "unknown-field", "cty", "did you mean city?"),
        ("xEvent[totl > 1]", "unknown-field", "totl", "did you mean total?"),
        ("exists X from xEvent where x.total > 1", "unknown-field", "x", "did you mean X?"),
        ("exists X from xEvent where X.ttal > 1", "unknown-field", "X.ttal", "did you mean total?"),
        ("xEvents.total > 1", "unknown-field", "xEvents", "did you mean xEvent?"),
        ("xEvent[^.persn = 1]", "unknown-field", "^.persn", "did you mean person?"),
        ("xEvent[eventTyp = 1]", "unknown-field", "eventTyp", "did you mean eventType?"),
        ("chain(xEvent, timestamp, [A: WHAT(sku)])", "unknown-field", "sku", LISTED),
        ("addresses.head().cty = 1", "unknown-field", "addresses.head().cty", "did you mean city?"),
        ("loyal and (X => loyal)", "type", "X => loyal", "write its body alone"),
        ("let G = xEvent.groupBy(eventType) in G > 3", "type", "G", ""),
        ('person.birthYear = "x"', "never-matches", '"x"', OF_TYPE),
        ("3 != loyal", "never-matches", "3", OF_TYPE),
        ("loyal in [true, 3]", "never-matches", "3", OF_TYPE),
        ('homeAddress.since = "soon"', "never-matches", '"soon"', OF_TYPE),
        ("person = 1", "never-matches", "1", OF_TYPE),
        ('scores.get("go") = "x"', "never-matches", '"x"', OF_TYPE),
        ("loyal.equals(5)", "never-matches", "5", OF_TYPE),
        ("person.name > 3", "type", "person.name", ""),
        ("addresses.since > 3", "type", "addresses.since", "for times use occurs"),
        ("loyal + 1 > 2", "type", "loyal", ""),
        ('person.birthYear like "19%"', "type", "person.birthYear", ""),
        ('loyal.startsWith("t")', "type", "loyal", ""),
        ("loyal occurs today", "type", "loyal", "name a timestamp field"),
        ("sum X.items over X from xEvent > 1", "type", "X.items", ""),
        ("homeAddress.exists(city = 1)", "type", "homeAddress", ""),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_place_and_remedy(
    text: str, code: str, place: str, hint: str
) -> None:
    assert found(text) == [(code, place, hint)]


TOTAL = "did you mean total?"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("xEvent.groupBy(evntType).count() > 1", "evntType", "did you mean eventType?"),
        ('xEvent.groupBy(_id).get("a").ttal = 1', 'xEvent.groupBy(_id).get("a").ttal', TOTAL),
        ("xEvent.groupBy(_id).map(G => G.ttal.sum()).max() > 1", "G.ttal", TOTAL),
        ("xEvent.groupBy(_id).map((K, G) => mapEntry(K, G.ttal)).count() > 1", "G.ttal", TOTAL),
        (
            "let M = xEvent.groupBy(_id).map((K, G) => mapEntry(K, G.head())) in M.a.ttal > 1",
            "M.a.ttal",
            TOTAL,
        ),
        ("let L = xEvent.map(E => E.items) in L.sky = 1", "L.sky", "did you mean sku?"),
        ("(select X from xEvent).ttal > 1", "(select X from xEvent).ttal", TOTAL),
        ('xEvent.map({"of": this}).of.ttal > 1', 'xEvent.map({"of": this}).of.ttal', TOTAL),
        ('scores.map(S => S.a) = "x"', "S.a", "it has no fields"),
    ],
)
def test_fields_of_what_map_and_group_by_give_are_looked_for(
    text: str, place: str, hint: str
) -> None:
    assert found(text) == [("unknown-field", place, hint)]


def test_all_problems_of_checker_and_schema_come_at_once() -> None:
    codes = [code for code, _, _ in found('nme = 1 and foo() and "a" > 3 and loyal = 7')]
    assert codes == ["unknown-field", "unknown-function", "never-matches", "never-matches"]


def test_a_value_that_is_not_listed_is_warned_of() -> None:
    (one,) = check(parse('person.gender in ["m", "femle"]'), schemas=SCHEMAS).warnings
    assert (one.code, one.hint) == ("not-listed", "did you mean female?")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("xevent.a.isNull()", "did you mean xEvent?"),
        ('xEvent[eventTyp = "x"]', "did you mean eventType?"),
        ("exists E from xEvent where e.a = 1", "did you mean E?"),
        ("persn.name = 1 and xEvent[a.timestmp = 1]", None),
    ],
)
def test_without_a_schema_near_misses_of_known_names_are_warned_of(
    text: str, hint: str | None
) -> None:
    checked = check(parse(text), schemas=NO_SCHEMAS)
    assert checked.problems == ()
    assert [one.hint for one in checked.warnings] == ([] if hint is None else [hint])


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ([], "a JSON object"),
        ({"properties": []}, "#/properties: schemas by name"),
        ({"properties": {"a": 5}}, "#/properties/a: a schema is"),
        ({"properties": {"a": {"type": "strng"}}}, "#/properties/a/type: one of array, boolean"),
        ({"properties": {"a": {"$ref": "https://x/y"}}}, "#/properties/a/$ref: 'https://x/y'"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "leads to no schema"),
        ({"allOf": {}}, "#/allOf: a list"),
        ({"enum": 5}, "#/enum: a list"),
        ({"type": "array"}, "profiles and events are objects"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: Any, part: str) -> None:
    with pytest.raises(SchemaError) as caught:
        read_schema(schema)
    assert part in str(caught.value)


def test_hostile_schemas_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"items": deep}
    with pytest.raises(SchemaError, match="deeper"):
        read_schema(deep)
    cycle = read_schema({"$ref": "#", "allOf": [{"$ref": "#"}], "properties": {"a": {"$ref": "#"}}})
    (problem,) = found("a.a.a.b = 1", Schemas(cycle))
    assert problem[:2] == ("unknown-field", "a.a.a.b")


def test_the_page_shows_what_is_really_said() -> None:
    page = (Path(__file__).parents[3] / "docs" / "pql.md").read_text()
    shown = re.findall(r"```\n(line 1, .*?)\n```", page, re.DOTALL)
    address = {"properties": {"floor": {"type": "number"}}}
    person = {"properties": {"name": {"type": "string"}}}
    schema = read_schema({"properties": {"person": person, "homeAddress": address}})
    assert len(shown) == 2
    for block, schemas in zip(shown, (Schemas(schema), NO_SCHEMAS), strict=True):
        text = block.split("\n")[1].strip()
        problems = check(parse(text), schemas=schemas).problems
        assert "\n".join(render(problem, text) for problem in problems) == block
