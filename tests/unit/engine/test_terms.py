"""Numbers drawn from timelines: which comparisons they concern, and when they change."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import EngineLimits
from app.engine.catalogue import compile_catalogue
from app.engine.profile import order_of
from app.engine.tables import Matches
from app.engine.terms import Breakpoints, exact_total
from app.engine.timeline import Timeline
from app.pql import library
from tests.property.engine_model import definition_set

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = (None, -1, 0, 0.5, 1, 1.5, 2, 3)


def timeline_of(*texts: str) -> Timeline:
    catalogue = compile_catalogue(definition_set(list(texts)), EngineLimits())
    (timeline,) = catalogue.timelines.values()
    return timeline


@pytest.mark.parametrize("symbol", COMPARE)
@pytest.mark.parametrize("constant", [0, 1, 1.5])
@pytest.mark.parametrize("kind", ["count()", "sum(n)", "max(n)"])
def test_whoever_answers_differently_is_told(kind: str, symbol: str, constant: float) -> None:
    timeline = timeline_of(f"xEvent.{kind} {symbol} {constant}")
    steps: Breakpoints = timeline.terms[0].breakpoints
    values = [one for one in NUMBERS if kind != "count()" or (type(one) is int and one >= 0)]
    for old in values:
        for new in values:
            found: set[int] = set()
            steps.crossed(old, new, found)
            answers = [one is not None and COMPARE[symbol](one, constant) for one in (old, new)]

            assert found == {0} or answers[0] is answers[1], (old, new)


def test_who_looks_at_a_bound_that_is_not_crossed_is_left_alone() -> None:
    timeline = timeline_of(*(f"xEvent.sum(n) >= {bound}" for bound in range(10)))
    ranks: set[int] = set()
    timeline.terms[0].breakpoints.crossed(3, 5, ranks)

    assert ranks == {4, 5}


@given(
    values=st.lists(
        st.one_of(
            st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False), st.integers(0, 9)
        ),
        max_size=6,
    )
)
def test_the_quick_sum_is_the_sum(values: list[int | float]) -> None:
    assert repr(exact_total(values)) == repr(library.total(values))


def matches_at(*instants: int) -> Matches:
    orders = array("q", [order_of(at_ms, number) for number, at_ms in enumerate(instants)])
    return Matches(orders, [])


@pytest.mark.parametrize(
    ("comparison", "due_ms"),
    [(">= 1", 131), (">= 2", 121), (">= 3", 111), (">= 4", None), ("= 2", 111), ("< 2", 121)],
)
def test_a_count_changes_when_the_decisive_event_leaves(
    comparison: str, due_ms: int | None
) -> None:
    window = "timestamp occurs <= 100 milliseconds before now"
    timeline = timeline_of(f"xEvent[{window}].count() {comparison}")
    change_ms = timeline.next_change(matches_at(10, 20, 30), 40)

    assert change_ms == due_ms or (due_ms is None and change_ms > 1 << 60)


def test_an_event_to_come_is_due_when_it_comes() -> None:
    window = "timestamp occurs <= 100 milliseconds before now"
    timeline = timeline_of(f"xEvent[{window}].count() >= 1")

    assert timeline.next_change(matches_at(500), 40) == 500


def test_a_shorter_window_and_a_lower_count_are_covered() -> None:
    text = "xEvent[timestamp occurs <= {} days before now].count() >= {}"
    wide, narrow = timeline_of(text.format(3, 2)), timeline_of(text.format(2, 1))
    summed = timeline_of("xEvent[timestamp occurs <= 3 days before now].count() = xEvent.count()")

    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert not timeline_of(text.format(3, 1)).covers(wide)
    assert not timeline_of(text.format(2, 2)).covers(wide)
    assert not wide.covers(summed)
    assert wide.covers(wide)
