"""Generators of PQL and of data for property tests, over one small vocabulary.

`conditions()` draws parsed trees of valid Boolean expressions (`to_text` gives their text),
`trees()` any parsed tree, valid or not; `attributes()`, `event_bodies()` and `json_values()` draw
data that now and then has the wrong shape.

Every strategy is made once and kept: hypothesis validates and labels each new one, which took most
of the time that drawing from them took.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st

from app.pql import ast
from app.pql.ast import Expr, OccursTail
from tests.property import pql_forms as forms
from tests.property.pql_places import (
    ALL_UNITS,
    CITIES,
    COMPARISONS,
    EVENT_TYPES,
    EVENTS,
    FLAGS,
    NOTHING,
    ROOT,
    SEGMENTS,
    SHORT_UNITS,
    SKUS,
    TEXT_METHODS,
    DrawFn,
    Place,
    any_of,
    choose,
    either,
    indices,
    literals,
    several,
)


def _maybe(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return either(NOTHING, inner)


@cache
def number_fields(place: Place) -> st.SearchStrategy[Expr]:
    names = {"profile": ("age", "score"), "event": ("price",), "item": ("quantity",)}
    own = st.sampled_from(names[place.kind]).map(place.of)
    return own if place.kind == "profile" else st.one_of(own, st.just(place.profile("age")))


@cache
def text_fields(place: Place) -> st.SearchStrategy[Expr]:
    if place.kind == "profile":
        name = ast.Field(place.of("person"), "name")
        return st.one_of(st.just(place.of("city")), st.just(name))
    if place.kind == "event":
        return st.sampled_from(("sku", "eventType")).map(place.of)
    return st.just(place.of("sku"))


@cache
@st.composite
def numbers(draw: DrawFn, place: Place, depth: int = 1) -> Expr:
    """A number: a field, a literal or some arithmetic."""
    if depth == 0 or draw(st.booleans()):
        found: Expr = draw(either(number_fields(place), literals(0, 1, 2, 5, 18, 2.5)))
        return found
    operator: Any = draw(any_of(*"+-*/%"))
    left, right = draw(numbers(place, depth - 1)), draw(numbers(place, depth - 1))
    choices: tuple[Expr, ...] = (ast.Binary(operator, left, right), ast.Negative(left))
    return choose(draw, choices)


@cache
@st.composite
def texts(draw: DrawFn, place: Place) -> Expr:
    """A test of a string field."""
    field = draw(text_fields(place))
    value = draw(literals(*SKUS, *EVENT_TYPES, *CITIES, "os", ""))
    kind = draw(any_of("=", "!=", "method", "like", "matches", "in", "notIn"))
    if kind == "method":
        flags = draw(any_of(*FLAGS))
        return ast.MethodCall(field, draw(any_of(*TEXT_METHODS)), (value, *flags))
    if kind in {"like", "matches"}:
        patterns = ("%s%", "O_lo", "%") if kind == "like" else ("(?i)^o", "[xy]$", "s|b")
        return ast.Binary(kind, field, draw(literals(*patterns)))
    if kind in {"in", "notIn"}:
        items = draw(several(literals(*SKUS, *CITIES), 1, 3))
        return ast.Binary(kind, field, ast.ListLiteral(items))
    return ast.Binary(kind, field, value)


@cache
@st.composite
def lists(draw: DrawFn, place: Place) -> Expr:
    """A test of the list `tags` of the profile."""
    tags = place.profile("tags")
    wanted = ast.ListLiteral(draw(several(literals(*SKUS), 0, 2)))
    method = draw(any_of("intersects", "subsetOf", "supersetOf", "count", "in", "=", "map", "sum"))
    if method == "map":
        return draw(maps(place))
    if method == "sum":
        short = ast.Aggregate(
            draw(any_of("sum", "average", "min", "max")), None, (ast.Declaration("N", tags, None),)
        )
        return ast.Binary(">", short, ast.Literal(1))
    if method == "intersects" and draw(st.booleans()):
        return ast.MethodCall(tags, "includes", (draw(literals(*SKUS, 1)),))
    if method == "in":
        return ast.Binary("in", draw(literals(*SKUS)), tags)
    if method == "=":
        return ast.Binary("=", ast.MethodCall(tags, "intersection", (wanted,)), wanted)
    if method == "count":
        distinct = ast.MethodCall(tags, draw(any_of("distinct", "count")), ())
        counted = distinct if distinct.method == "count" else ast.MethodCall(distinct, "count", ())
        return ast.Binary(">=", counted, draw(literals(0, 1, 2)))
    return ast.MethodCall(tags, method, (wanted,))


@cache
@st.composite
def maps(draw: DrawFn, place: Place) -> Expr:
    """A test of the map `props` of the profile."""
    props = ast.Field(ast.Parameter(1), "props")
    key = draw(literals("x", "y"))
    kind = draw(any_of("get", "keys", "keys", "values", "entries"))
    if kind == "get":
        return ast.Binary(">=", ast.MethodCall(props, "get", (key,)), draw(literals(1, 2)))
    if kind == "keys":
        return ast.MethodCall(ast.MethodCall(props, "keys", ()), "includes", (key,))
    if kind == "values":
        total = ast.MethodCall(ast.MethodCall(props, "values", ()), draw(any_of("sum", "max")), ())
        return ast.Binary(">=", total, draw(literals(1, 3)))
    swapped = ast.Lambda(("K", "V"), ast.Call("mapEntry", (ast.Name("V"), ast.Name("K"))))
    found = ast.MethodCall(ast.MethodCall(props, "map", (swapped,)), "get", (ast.Literal("1"),))
    return ast.Binary("=", found, key)


@cache
@st.composite
def times(draw: DrawFn, place: Place = ROOT) -> Expr:
    """A time at the right of `occurs`."""
    kind = draw(any_of("now", "now", "now", "word", "period", "date", "field"))
    if kind == "now":
        return ast.Moment("now")
    if kind == "word":
        return ast.Moment(draw(any_of("today", "yesterday", "tomorrow")))
    if kind == "period":
        which: Any = draw(any_of("this", "last", "next"))
        return ast.Period(which, draw(any_of(*ALL_UNITS)))
    if kind == "field":
        return place.profile("birthday")
    year: Expr = choose(draw, (ast.Literal(2026), ast.Call("currentYear", ())))
    day: Expr = ast.Literal(draw(st.integers(1, 28)))
    day = choose(draw, (day, day, day, ast.Call("currentDayOfMonth", ()), place.profile("age")))
    return ast.Call("date", (year, ast.Literal(1), day))


@cache
@st.composite
def windows(draw: DrawFn, place: Place = ROOT) -> OccursTail:
    """A tail of `occurs`; distances from seconds to days, most often before now."""
    kind = draw(any_of("recent", "recent", "distance", "relative", "on", "between"))
    time = draw(times(place))
    direction: Any = draw(any_of("before", "after", "from"))
    if kind == "recent":
        amount, unit = draw(st.integers(0, 60)), draw(any_of(*SHORT_UNITS))
        comparison: Any = draw(any_of("<", "<=", "<=", ">", ">="))
        return ast.OccursDistance(comparison, amount, unit, "before", ast.Moment("now"))
    if kind == "distance":
        amount, unit = draw(st.integers(0, 5)), draw(any_of(*ALL_UNITS))
        comparison = draw(any_of(*COMPARISONS))
        return ast.OccursDistance(comparison, amount, unit, direction, time)
    if kind == "relative":
        return ast.OccursRelative(direction, time)
    return ast.OccursOn(time) if kind == "on" else ast.OccursBetween(time, draw(times(place)))


@cache
@st.composite
def leaves(draw: DrawFn, place: Place) -> Expr:
    """A condition without `and`, `or`, `not` that reads one item only."""
    kinds = ["number", "number", "text", "text", "text", "null", "list", "list", "let", "made"]
    kinds += _SPECIAL.get(place.kind, [])
    kind = draw(any_of(*kinds))
    if kind == "number":
        operator: Any = draw(any_of(*COMPARISONS))
        return ast.Binary(operator, draw(numbers(place)), draw(numbers(place)))
    if kind == "text":
        return draw(texts(place))
    if kind == "null":
        field = draw(either(number_fields(place), text_fields(place)))
        return ast.MethodCall(field, draw(any_of("isNull", "isNotNull")), ())
    if kind == "list":
        return draw(lists(place))
    if kind == "let":
        return draw(forms.let_forms(place))
    if kind == "made":
        return draw(forms.made_forms(place))
    if kind == "item":
        return draw(forms.item_forms(place, place.of("items"), "item"))
    return draw(_special_leaf(kind, place))


_SPECIAL = {
    "event": ["type", "type", "type", "window", "window", "items", "item"],
    "profile": ["birthday", "birthday", "clock"],
}


@cache
@st.composite
def _special_leaf(draw: DrawFn, kind: str, place: Place) -> Expr:
    if kind == "type":
        return ast.Binary("=", place.of("eventType"), draw(literals(*EVENT_TYPES)))
    if kind == "window":
        return ast.Occurs(place.of("timestamp"), draw(windows(place)))
    if kind == "birthday":
        return ast.Occurs(place.of("birthday"), draw(windows(place)))
    if kind == "clock":
        part = draw(any_of("Month", "Year", "DayOfMonth"))
        found = ast.MethodCall(place.of("birthday"), f"get{part}", ())
        return ast.Binary("=", found, ast.Call(f"current{part}", ()))
    condition = draw(texts(place.inside("item")))
    items = place.of("items")
    quantity = ast.MethodCall(items, "sum", (ast.Name("quantity"),))
    choices: tuple[Expr, ...] = (
        ast.Filter(items, condition),
        ast.MethodCall(items, "exists", (condition,)),
        ast.Binary("=", ast.Field(items, "sku"), ast.Literal("x")),
        ast.Binary(">", quantity, ast.Literal(1)),
    )
    return choose(draw, choices)


@cache
@st.composite
def junctions(draw: DrawFn, place: Place, depth: int = 1) -> Expr:
    """Conditions on one item, joined and negated."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return draw(leaves(place))
    operands = draw(several(junctions(place, depth - 1), 2, 3))
    kind = draw(any_of("and", "and", "or", "not", "if"))
    if kind == "not":
        return ast.Not(operands[0])
    if kind == "if":
        return ast.Call("if", (operands[0], operands[1], operands[-1]))
    return ast.And(operands) if kind == "and" else ast.Or(operands)


@cache
@st.composite
def steps(draw: DrawFn) -> tuple[ast.Step, ...]:
    """The steps of a chain."""
    inside = ROOT.inside("event")
    found = []
    for label in draw(any_of("A", "AB", "AB", "ABC")):
        what = draw(leaves(inside))
        when = draw(_maybe(windows()))
        where = draw(either(NOTHING, NOTHING, leaves(inside)))
        count = draw(any_of(None, None, 1, 2, 3))
        found.append(ast.Step(label, what, when, where, count))
    return tuple(found)


@cache
@st.composite
def event_conditions(draw: DrawFn) -> Expr:
    """A condition on the events of the profile, at the root."""
    kind = draw(any_of(*sorted(_EVENT_CONDITIONS)))
    return draw(_EVENT_CONDITIONS[kind]())


@cache
@st.composite
def _counted(draw: DrawFn) -> Expr:
    events = ast.Filter(EVENTS, draw(junctions(ROOT.inside("event"))))
    method = draw(any_of("count", "count", "sum", "average", "min", "max", "truth"))
    if method == "truth":
        return events
    arguments = () if method == "count" else (draw(numbers(ROOT.inside("event"))),)
    operator: Any = draw(any_of(*COMPARISONS))
    bound = draw(literals(0, 1, 2, 3, 10))
    return ast.Binary(operator, ast.MethodCall(events, method, arguments), bound)


@cache
@st.composite
def _chained(draw: DrawFn) -> Expr:
    return ast.Chain(EVENTS, ast.Name("timestamp"), draw(steps()))


@cache
@st.composite
def _quantified(draw: DrawFn) -> Expr:
    kind: Any = draw(any_of("select", "exists", "forall"))
    condition = draw(_maybe(junctions(ROOT.variable("event", "X"))))
    declarations = [ast.Declaration("X", EVENTS, condition)]
    if draw(st.integers(0, 2)) == 0:
        declarations.append(draw(_second_variable()))
    found = ast.Comprehension(kind, tuple(declarations))
    if kind == "select" and draw(st.booleans()):
        counted = ast.MethodCall(found, "count", ())
        return ast.Binary(">=", counted, draw(literals(1, 2)))
    return found


@cache
@st.composite
def _second_variable(draw: DrawFn) -> ast.Declaration:
    if draw(st.booleans()):
        condition = draw(junctions(ROOT.variable("item", "Y")))
        return ast.Declaration("Y", ast.Field(ast.Name("X"), "items"), condition)
    first, second = ast.Name("X"), ast.Name("Y")
    tail = ast.OccursDistance("<=", draw(st.integers(0, 9)), "day", "after", _timestamp(first))
    condition = ast.And(
        (
            draw(leaves(ROOT.variable("event", "Y"))),
            ast.Binary("!=", first, second),
            ast.Occurs(_timestamp(second), tail),
        )
    )
    return ast.Declaration("Y", EVENTS, condition)


def _timestamp(event: Expr) -> Expr:
    return ast.Field(event, "timestamp")


@cache
@st.composite
def _aggregated(draw: DrawFn) -> Expr:
    kind: Any = draw(any_of("sum", "average", "min", "max"))
    condition = draw(_maybe(junctions(ROOT.variable("event", "X"))))
    value = draw(numbers(ROOT.variable("event", "X")))
    total = ast.Aggregate(kind, value, (ast.Declaration("X", EVENTS, condition),))
    operator: Any = draw(any_of(*COMPARISONS))
    return ast.Binary(operator, total, draw(literals(0, 1, 3, 10)))


@cache
@st.composite
def _projected(draw: DrawFn) -> Expr:
    kind = draw(any_of("prices", "latest", "distinct", "exists"))
    if kind == "prices":
        return ast.Binary(">", ast.Field(EVENTS, "price"), ast.Literal(2))
    if kind == "latest":
        latest = ast.MethodCall(EVENTS, "max", (ast.Name("timestamp"),))
        return ast.Occurs(latest, draw(windows()))
    if kind == "distinct":
        skus = ast.MethodCall(ast.Field(EVENTS, "sku"), "distinct", ())
        return ast.Binary(">=", ast.MethodCall(skus, "count", ()), ast.Literal(2))
    return ast.MethodCall(EVENTS, "exists", (draw(junctions(ROOT.inside("event"))),))


@cache
@st.composite
def _over_events(draw: DrawFn) -> Expr:
    events: Expr = EVENTS
    if draw(st.booleans()):
        events = ast.Filter(EVENTS, draw(leaves(ROOT.inside("event"))))
    return draw(forms.item_forms(ROOT, events, "event"))


_EVENT_CONDITIONS: dict[str, Callable[[], st.SearchStrategy[Expr]]] = {
    "count": _counted,
    "chain": _chained,
    "quantifier": _quantified,
    "aggregate": _aggregated,
    "projection": _projected,
    "form": _over_events,
}


@cache
@st.composite
def conditions(draw: DrawFn, depth: int = 2, *, segments: bool = True) -> Expr:
    """A parsed tree of a valid Boolean expression that uses all supported constructs."""
    kinds = ["attributes", "events", "events"] + (["segment"] if segments else [])
    if depth == 2 and draw(st.integers(0, 9)) == 0:
        return draw(forms.named_profiles(conditions(1, segments=segments)))
    if depth > 0 and draw(st.booleans()):
        inner = conditions(depth - 1, segments=segments)
        operands = draw(several(inner, 2, 3))
        kind = draw(any_of("and", "or", "not"))
        if kind == "not":
            return ast.Not(operands[0])
        return ast.And(operands) if kind == "and" else ast.Or(operands)
    kind = draw(any_of(*kinds))
    if kind == "segment":
        asked = ast.Call("inSegment", (draw(literals(*SEGMENTS)),))
        return choose(draw, (asked, draw(forms.membership_forms())))
    return draw(junctions(ROOT) if kind == "attributes" else event_conditions())


# --- any tree ----------------------------------------------------------------------------------

_NAMES = st.sampled_from(("a", "x", "sum", "over", "from", "last", "select", "let", "if", "xEvent"))
_FIELDS = st.one_of(_NAMES, st.sampled_from(("in", "now", "this", "where", "count")))
_SURROGATES: tuple[Literal["Cs"]] = ("Cs",)
_ANY_TEXT = st.text(st.characters(exclude_categories=_SURROGATES), max_size=6)
_ATOMS: st.SearchStrategy[Expr] = st.one_of(
    st.booleans().map(ast.Literal),
    st.integers(0, 2**63 - 1).map(ast.Literal),
    st.floats(0, 1e300, allow_nan=False).map(lambda found: ast.Literal(abs(found))),
    _ANY_TEXT.map(ast.Literal),
    _NAMES.map(ast.Name),
    st.just(ast.This()),
    st.builds(ast.UpReference, st.integers(1, 3), _NAMES),
    st.integers(0, 9).map(ast.Parameter),
    st.sampled_from(("x", "y;version=1")).map(ast.ContextReference),
    st.builds(ast.Moment, st.sampled_from(("now", "today", "yesterday", "tomorrow"))),
    st.builds(ast.Period, st.sampled_from(("this", "last", "next")), st.sampled_from(ALL_UNITS)),
)


def _compound(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    many = st.lists(inner, max_size=3).map(tuple)
    two = st.lists(inner, min_size=2, max_size=3).map(tuple)
    maybe = st.one_of(st.none(), inner)
    declarations = st.lists(
        st.builds(ast.Declaration, _NAMES, inner, maybe), min_size=1, max_size=2
    ).map(tuple)
    direction = st.sampled_from(("before", "after", "from"))
    units = st.sampled_from(ALL_UNITS)
    tails = st.one_of(
        inner.map(ast.OccursOn),
        st.builds(ast.OccursBetween, inner, inner),
        st.builds(ast.OccursRelative, direction, inner),
        st.builds(
            ast.OccursDistance,
            st.sampled_from(COMPARISONS),
            st.integers(0, 9),
            units,
            direction,
            inner,
        ),
    )
    step = st.builds(
        ast.Step, _NAMES, inner, st.one_of(st.none(), tails), maybe, st.sampled_from((None, 0, 2))
    )
    infix = st.sampled_from((*"*/%+-", *COMPARISONS, "like", "matches"))
    names = st.lists(_NAMES, min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(
        many.map(ast.ListLiteral),
        st.lists(st.tuples(_ANY_TEXT, inner), max_size=2).map(tuple).map(ast.ObjectLiteral),
        st.builds(ast.Field, inner, _FIELDS),
        st.builds(ast.Call, st.sampled_from(("f", "date", "if", "sum2")), many),
        st.builds(ast.MethodCall, inner, _FIELDS, many),
        st.builds(ast.Filter, inner, inner),
        st.builds(ast.Negative, inner),
        st.builds(ast.Not, inner),
        two.map(ast.And),
        two.map(ast.Or),
        st.builds(ast.Binary, infix, inner, inner),
        st.builds(ast.Binary, st.sampled_from(("in", "notIn")), inner, many.map(ast.ListLiteral)),
        st.builds(ast.Occurs, inner, tails),
        st.builds(ast.Comprehension, st.sampled_from(("select", "exists", "forall")), declarations),
        st.builds(
            ast.Aggregate, st.sampled_from(("sum", "average", "min", "max")), inner, declarations
        ),
        st.builds(ast.Let, _NAMES, inner, inner),
        st.builds(ast.Lambda, names, inner),
        st.builds(ast.Chain, inner, inner, st.lists(step, min_size=1, max_size=2).map(tuple)),
    )


@cache
def trees() -> st.SearchStrategy[Expr]:
    """Any tree that the grammar can write, sense or nonsense."""
    return st.recursive(_ATOMS, _compound, max_leaves=12)


# --- data --------------------------------------------------------------------------------------


@cache
def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, with the field names of the vocabulary."""
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False),
        st.sampled_from((*SKUS, *CITIES, "2026-01-05", "2026-01-05T10:00:00Z", "6", "true")),
        st.text(max_size=3),
    )
    names = st.sampled_from(("age", "city", "sku", "items", "quantity", "name", "price", "value"))
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)
        ),
        max_leaves=6,
    )


def _mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw the usual values, now and then anything."""
    anything = json_values()
    return indices(10).flatmap(lambda dice: anything if dice == 0 else usual)


_BIRTHDAYS = ("2000-01-31", "2026-01-05", "2026-01-04T23:59:59.999Z", "2026-01-06T01:00:00+02:00")


@cache
def attributes() -> st.SearchStrategy[dict[str, Any]]:
    """A profile record of the vocabulary; any field may be missing or strange."""
    name = st.fixed_dictionaries({}, optional={"name": st.sampled_from(CITIES)})
    return st.fixed_dictionaries(
        {},
        optional={
            "age": _mostly(st.integers(0, 40)),
            "score": _mostly(st.sampled_from((0, 1, 2.5, 5))),
            "city": _mostly(st.sampled_from(CITIES)),
            "tags": _mostly(st.lists(st.sampled_from(SKUS), max_size=3)),
            "person": _mostly(name),
            "props": _mostly(st.dictionaries(st.sampled_from(SKUS), st.integers(0, 3), max_size=3)),
            "birthday": _mostly(st.sampled_from(_BIRTHDAYS)),
        },
    )


@cache
def event_bodies() -> st.SearchStrategy[dict[str, Any]]:
    """An event of the vocabulary, without timestamp; any field may be missing or strange."""
    item = st.fixed_dictionaries(
        {}, optional={"sku": st.sampled_from(SKUS), "quantity": st.integers(0, 3)}
    )
    return st.fixed_dictionaries(
        {"eventType": _mostly(st.sampled_from(EVENT_TYPES))},
        optional={
            "price": _mostly(st.sampled_from((0, 1, 2.5, 3, 10, 0.1))),
            "sku": _mostly(st.sampled_from(SKUS)),
            "items": _mostly(st.lists(item, max_size=2)),
        },
    )
