"""Generators of what binds names, makes maps, or orders and groups lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from app.pql import ast
from app.pql.ast import Expr
from tests.property import pql_strategies as base
from tests.property.pql_places import (
    CITIES,
    COMPARISONS,
    EVENTS,
    SEGMENTS,
    DrawFn,
    Place,
    any_of,
    choose,
    literals,
)


@cache
@st.composite
def let_forms(draw: DrawFn, place: Place) -> Expr:
    """A condition with `let`: over a number, a list or a condition, now and then nested."""
    kind = draw(any_of("twice", "inside", "nested", "list", "function"))
    # A field of that name is hidden in the body; a test of a text must see it.
    name = draw(any_of("L", "M") if kind == "function" else any_of("L", "M", "sku"))
    bound = ast.Name(name)
    operator: Any = draw(any_of(*COMPARISONS))
    value = draw(base.numbers(place))
    body: Expr = ast.Binary(operator, bound, draw(literals(0, 1, 2, 10)))
    if kind == "twice":
        body = ast.And((body, ast.Binary("<", bound, draw(literals(5, 20)))))
    elif kind == "inside" and place.kind == "event":
        body = ast.Filter(place.of("items"), ast.Binary(operator, ast.Name("quantity"), bound))
    elif kind == "nested":
        more = ast.Binary("+", bound, ast.Literal(1))
        body = ast.Let(draw(any_of("L", "M")), more, ast.Or((body, ast.Binary(">", more, value))))
    elif kind == "list":
        value, body = draw(_collections(place)), ast.Binary(operator, _count(bound), value)
    elif kind == "function":
        body = ast.Call("if", (body, ast.Binary("=", bound, bound), draw(base.texts(place))))
    return ast.Let(name, value, body)


def _count(array: Expr) -> Expr:
    return ast.MethodCall(array, "count", ())


@cache
@st.composite
def _collections(draw: DrawFn, place: Place) -> Expr:
    """A list: tags of the profile, items or events, filtered or not."""
    if place.kind == "event":
        items = place.of("items")
        condition = draw(base.texts(place.inside("item")))
        return choose(draw, (items, ast.Filter(items, condition)))
    if place.kind == "profile":
        condition = draw(base.junctions(place.inside("event")))
        return choose(draw, (place.of("tags"), ast.Filter(EVENTS, condition), EVENTS))
    return place.profile("tags")


@cache
@st.composite
def made_forms(draw: DrawFn, place: Place) -> Expr:
    """A condition over a literal map, a group of a match, or what is not passed."""
    kind = draw(any_of("object", "entry", "group", "passed", "passed"))
    number = draw(base.numbers(place))
    if kind == "group":
        pattern, group = draw(any_of(("^(.)(.*)$", 2), ("[xyo]", 0), ("(z)?o", 1)))
        arguments = (ast.Literal(pattern), ast.Literal(group))
        text = ast.MethodCall(draw(base.text_fields(place)), "regexGroup", arguments)
        return ast.Binary("=", text, draw(literals("slo", "x", "o", "")))
    if kind == "passed":
        absent = draw(any_of(ast.Parameter(2), ast.ContextReference("x;version=1")))
        return ast.MethodCall(ast.Field(absent, "a"), draw(any_of("isNull", "isNotNull")), ())
    made = ast.ObjectLiteral((("a", number), ("b c", draw(base.texts(place)))))
    if kind == "object":
        return ast.Binary(">=", ast.Field(made, "a"), draw(literals(1, 2)))
    entry = ast.MethodCall(made, "get", (draw(literals("a", "b c", "d")),))
    return choose(draw, (ast.MethodCall(entry, "isNull", ()), entry))


@cache
@st.composite
def item_forms(draw: DrawFn, place: Place, array: Expr, kind: str) -> Expr:
    """A condition over a list of events or items: lambdas, `map`, `groupBy`, `topN`, `bottomN`."""
    form = draw(any_of(*sorted(_FORMS)))
    return draw(_FORMS[form](place, array, kind))


@cache
@st.composite
def _called(draw: DrawFn, place: Place, array: Expr, kind: str) -> Expr:
    inner = place.named(kind, "I")
    condition = draw(base.junctions(inner))
    if draw(st.booleans()):
        method = draw(any_of("filter", "exists"))
        return ast.MethodCall(array, method, (ast.Lambda(("I",), condition),))
    value = ast.Lambda(("I",), draw(base.numbers(inner)))
    total = ast.MethodCall(array, draw(any_of("sum", "average", "min", "max")), (value,))
    return ast.Binary(">", total, draw(literals(0, 2)))


@cache
@st.composite
def _mapped(draw: DrawFn, place: Place, array: Expr, kind: str) -> Expr:
    named = place.named(kind, "I")
    values = choose(
        draw,
        (
            draw(base.numbers(place.inside(kind))),
            ast.Lambda(("I",), draw(base.numbers(named))),
            ast.This(),
        ),
    )
    found = ast.MethodCall(array, "map", (values,))
    method = draw(any_of("sum", "count", "max", "distinct"))
    if method == "distinct":
        return ast.Binary(">=", _count(ast.MethodCall(found, method, ())), draw(literals(1, 2)))
    return ast.Binary(">=", ast.MethodCall(found, method, ()), draw(literals(0, 1, 5)))


@cache
@st.composite
def _grouped(draw: DrawFn, place: Place, array: Expr, kind: str) -> Expr:
    key = draw(base.number_fields(place.inside(kind)) | base.text_fields(place.inside(kind)))
    groups = ast.MethodCall(array, "groupBy", (key,))
    outcome = draw(any_of("count", "get", "entries", "keys", "items"))
    wanted = draw(literals("x", "a", "1", "2.5"))
    if outcome == "count":
        return ast.Binary(">=", _count(groups), draw(literals(1, 2)))
    if outcome == "get":
        return ast.Binary(">=", _count(ast.MethodCall(groups, "get", (wanted,))), ast.Literal(2))
    if outcome == "items":
        value = draw(base.numbers(place.inside(kind).inside(kind)))
        sums = ast.MethodCall(groups, "map", (ast.MethodCall(ast.This(), "max", (value,)),))
        return ast.Binary(">", sums, draw(literals(0, 2)))
    key_name, group = ast.Name("K"), ast.Name("G")
    if outcome == "keys":
        same = ast.Lambda(("K", "G"), ast.Binary("=", key_name, wanted))
        return ast.MethodCall(ast.MethodCall(groups, "map", (same,)), "includes", (_TRUE,))
    entry = ast.Call("mapEntry", (key_name, ast.ObjectLiteral((("n", _count(group)),))))
    made = ast.MethodCall(groups, "map", (ast.Lambda(("K", "G"), entry),))
    counts = ast.MethodCall(made, "values", ())
    return ast.Binary(">=", ast.MethodCall(ast.Field(counts, "n"), "max", ()), ast.Literal(2))


_TRUE = ast.Literal(True)


@cache
@st.composite
def _ordered(draw: DrawFn, place: Place, array: Expr, kind: str) -> Expr:
    inner = place.inside(kind)
    value = draw(base.numbers(inner))
    if kind == "event":
        value = choose(draw, (value, ast.Name("timestamp"), draw(base.text_fields(inner))))
    arguments = (value, draw(literals(0, 1, 2)))
    best = ast.MethodCall(array, draw(any_of("topN", "bottomN")), arguments)
    condition = draw(base.leaves(inner))
    head = ast.MethodCall(best, "head", ())
    return choose(
        draw,
        (
            ast.Filter(best, condition),
            ast.MethodCall(best, "exists", (condition,)),
            ast.Binary("=", ast.Field(head, "sku"), draw(literals("x", "y"))),
            ast.Occurs(ast.Field(head, "timestamp"), draw(base.windows(place))),
        ),
    )


_FORMS: dict[str, Callable[[Place, Expr, str], st.SearchStrategy[Expr]]] = {
    "called": _called,
    "mapped": _mapped,
    "grouped": _grouped,
    "ordered": _ordered,
}


@cache
@st.composite
def membership_forms(draw: DrawFn) -> Expr:
    """A condition on a stored membership."""
    segments = ast.MethodCall(ast.Name("segmentMembership"), "get", (ast.Literal("ups"),))
    stored = ast.MethodCall(segments, "get", (draw(literals(*SEGMENTS)),))
    kind = draw(any_of("status", "time", "null"))
    if kind == "status":
        status = ast.Field(stored, "status")
        return ast.Binary("=", status, draw(literals("realized", "exited", "existing")))
    if kind == "time":
        return ast.Occurs(ast.Field(stored, "lastQualificationTime"), draw(base.windows()))
    return ast.MethodCall(stored, draw(any_of("isNull", "isNotNull")), ())


@cache
@st.composite
def named_profiles(draw: DrawFn, condition: st.SearchStrategy[Expr]) -> Expr:
    """A whole expression that names its parameters."""
    city = ast.Binary("=", ast.Field(ast.Name("P"), "city"), draw(literals(*CITIES)))
    events = ast.Field(ast.Name("P"), "xEvent")
    often = ast.Binary(">=", _count(events), draw(literals(1, 2)))
    test = choose(draw, (city, often))
    names = draw(any_of(("P",), ("P", "Q")))
    return ast.Lambda(names, ast.Or((test, draw(condition))))
