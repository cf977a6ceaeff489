"""Properties of the language: printing is the inverse of parsing, checked trees never fail."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.engine.oracle import Event, Subject, evaluate, matches
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.diagnosis import diagnose
from app.pql.errors import PqlError, Problem, render
from app.pql.parser import parse
from app.pql.printer import to_text
from app.pql.schema import read_schema
from app.pql.schema_checks import NO_SCHEMAS, Schemas
from tests.property.examples import WHOLE_GRAMMAR
from tests.property.pql_places import SEGMENTS
from tests.property.pql_strategies import (
    attributes,
    conditions,
    event_bodies,
    json_values,
    trees,
)

_RECORD = read_schema(
    {
        "properties": {
            "a": {"$ref": "#"},
            "x": {"type": "array", "items": {"$ref": "#"}},
            "b": {"enum": ["x", 1]},
            "city": {"type": "string", "format": "date"},
            "n": {"type": "object", "additionalProperties": {"type": ["number", "array"]}},
        }
    }
)
SCHEMAS = Schemas(_RECORD, _RECORD)
WORDS = [
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "=",
    "<",
    "-",
    "+",
    ":",
    "^",
    "'",
    '"x"',
    "and",
    "or",
    "not",
    "between",
    "occurs",
    "today",
    "xEvent",
    "from",
    "a",
    "1",
]
NOW_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
_settings = settings(max_examples=WHOLE_GRAMMAR, suppress_health_check=_SLOW)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    bodies = draw(st.lists(event_bodies(), max_size=5))
    ages = st.integers(-5_000, 40 * 86_400_000)
    return [Event(NOW_MS - draw(ages), order, body) for order, body in enumerate(bodies)]


@_settings
@given(trees())
def test_printing_and_parsing_gives_the_same_tree(tree: Expr) -> None:
    text = to_text(tree)

    again = parse(text)

    assert repr(again) == repr(tree), text
    assert to_text(again) == text


@_settings
@given(trees())
def test_check_finds_problems_or_a_tree_but_never_raises(tree: Expr) -> None:
    for schemas in (NO_SCHEMAS, SCHEMAS):
        checked = check(tree, segments=SEGMENTS, schemas=schemas)

        assert (checked.expr is None) == bool(checked.problems)


@_settings
@given(st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join))
def test_any_text_parses_or_is_refused_with_a_place(text: str) -> None:
    places = [problem.span.start for problem in _problems_of(text)]

    assert all(0 <= place <= len(text) for place in places)


def _rendered(found: tuple[Problem, ...], first: Problem, text: str) -> tuple[Problem, ...]:
    assert first in found
    assert all(render(problem, text) for problem in found)
    return found


def _problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse(text)
    except PqlError as error:
        found = diagnose(text, error)
        return _rendered(found, error.problems[0], text)
    return ()


@_settings
@given(conditions())
def test_generated_conditions_are_valid(tree: Expr) -> None:
    checked = check(parse(to_text(tree)), segments=SEGMENTS)

    assert checked.problems == ()
    assert checked.expr is not None


@_settings
@given(conditions())
def test_a_resolved_tree_prints_to_a_text_that_resolves_to_it(tree: Expr) -> None:
    resolved = check(tree).expr
    assert resolved is not None

    again = check(parse(to_text(resolved))).expr

    assert repr(again) == repr(resolved)


@_settings
@given(conditions(), attributes(), histories(), st.sets(st.sampled_from(SEGMENTS)))
def test_a_checked_condition_has_an_answer_on_any_profile(
    tree: Expr, record: dict[str, Any], events: list[Event], member_of: set[str]
) -> None:
    resolved = check(tree).expr
    assert resolved is not None

    answer = matches(resolved, Subject(record, events, member_of, NOW_MS))

    assert isinstance(answer, bool)


@_settings
@given(trees(), st.dictionaries(st.sampled_from("ax"), json_values()), json_values())
def test_whatever_passes_the_checker_is_evaluated(
    tree: Expr, record: dict[str, Any], extra: Any
) -> None:
    resolved = check(tree).expr
    if resolved is not None:
        events = [Event(NOW_MS, 0, {"a": extra})]

        evaluate(resolved, Subject(record, events, (), NOW_MS))
