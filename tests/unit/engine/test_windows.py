"""Windows as the engine moves them: the meaning of `occurs`, and never late."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.limits import DAY_MS
from app.engine.bounds import NEVER, CalendarBound, Sliding, crossing
from app.engine.oracle import Subject, evaluate
from app.engine.windows import Window, instant_anchor, times_of, window_between, window_of
from app.pql import ast
from app.pql.calendar import parse_timestamp
from tests.property.pql_strategies import windows

DIRECTIONS: tuple[ast.Direction, ...] = ("before", "after", "from")
COMPARISONS: tuple[ast.Comparison, ...] = ("=", "!=", "<", "<=", ">", ">=")


def ms(text: str) -> int:
    found = parse_timestamp(text)
    assert found is not None
    return found


EDGES = [
    ms(text)
    for text in (
        "2024-02-29T00:00:00Z",
        "2024-02-29T12:30:00Z",
        "2024-03-01T00:00:00Z",
        "2025-02-28T23:59:59.999Z",
        "2025-03-30T10:00:00Z",
        "2025-03-31T05:00:00Z",
        "2025-12-31T23:59:59.999Z",
        "2026-01-01T00:00:00Z",
        "2026-01-05T10:00:00Z",
        "2026-01-31T12:00:00Z",
    )
]
NUDGES = (0, 0, 1, -1, 999, -1_000, 3_600_000, DAY_MS, -DAY_MS, -7 * DAY_MS, 30 * DAY_MS)
instants = st.builds(
    lambda edge, nudge, more: edge + nudge + more,
    st.sampled_from(EDGES),
    st.sampled_from(NUDGES),
    st.one_of(st.just(0), st.integers(-40 * DAY_MS, 40 * DAY_MS)),
)


def is_constant(tail: ast.OccursTail) -> bool:
    """Tell whether no field and nothing computed is in a tail."""
    nodes = [node for time in times_of(tail) for node in ast.walk(time)]
    is_fixed = all(node.function == "date" for node in nodes if isinstance(node, ast.Call))
    return is_fixed and not any(isinstance(node, ast.Name | ast.Field) for node in nodes)


def accepts(tail: ast.OccursTail, ts_ms: int, now_ms: int) -> bool:
    """Ask the oracle."""
    return evaluate(ast.Occurs(ast.Literal(ts_ms), tail), Subject({}, (), (), now_ms)) is True


@given(tail=windows(), now_ms=instants, ts_ms=instants)
def test_contains_is_what_occurs_means(tail: ast.OccursTail, now_ms: int, ts_ms: int) -> None:
    assume(is_constant(tail))
    window = window_of(tail)

    assert window is not None
    assert window.contains(ts_ms, now_ms) is accepts(tail, ts_ms, now_ms)


units = st.sampled_from(("millisecond", "second", "day", "week", "month", "year"))


@given(
    comparison=st.sampled_from(COMPARISONS),
    amount=st.integers(0, 3),
    unit=units,
    direction=st.sampled_from(DIRECTIONS),
    at_ms=instants,
    ts_ms=instants,
)
def test_a_distance_from_a_timestamp_is_what_occurs_means(
    comparison: ast.Comparison,
    amount: int,
    unit: ast.Unit,
    direction: ast.Direction,
    at_ms: int,
    ts_ms: int,
) -> None:
    tail = ast.OccursDistance(comparison, amount, unit, direction, ast.Literal(at_ms))

    window = window_between(tail, [instant_anchor(at_ms)])

    assert window.contains(ts_ms, 0) is accepts(tail, ts_ms, 0)
    assert window.next_change(ts_ms, 0) == NEVER


def first_flip(window: Window, ts_ms: int, now_ms: int, later: list[int]) -> int | None:
    before = window.contains(ts_ms, now_ms)
    return next((at for at in later if window.contains(ts_ms, at) is not before), None)


@given(tail=windows(), now_ms=instants, after_ms=st.integers(-2_000, 2_000))
def test_a_change_within_milliseconds_is_never_late(
    tail: ast.OccursTail, now_ms: int, after_ms: int
) -> None:
    assume(is_constant(tail))
    window = window_of(tail)
    assert window is not None
    edges = [one.low.at(now_ms) for one in window.intervals]
    edges += [one.high.at(now_ms) for one in window.intervals]
    for edge in edges:
        ts_ms = edge + after_ms % 40 - 3
        flip_ms = first_flip(window, ts_ms, now_ms, list(range(now_ms + 1, now_ms + 60)))
        change_ms = window.next_change(ts_ms, now_ms)

        assert change_ms > now_ms
        assert flip_ms is None or change_ms <= flip_ms


def suspects(now_ms: int, ts_ms: int) -> list[int]:
    """Return midnights and the times of day of both instants for 45 days, a ms around each."""
    found: set[int] = set()
    first_day = now_ms // DAY_MS
    for day in range(first_day, first_day + 45):
        for offset in (0, ts_ms % DAY_MS, now_ms % DAY_MS):
            found.update(day * DAY_MS + offset + nudge for nudge in (-1, 0, 1))
    return sorted(one for one in found if one > now_ms)


@given(tail=windows(), now_ms=instants, ts_ms=instants)
def test_a_change_within_days_is_never_late_and_found_in_few_looks(
    tail: ast.OccursTail, now_ms: int, ts_ms: int
) -> None:
    assume(is_constant(tail))
    window = window_of(tail)
    assert window is not None
    flip_ms = first_flip(window, ts_ms, now_ms, suspects(now_ms, ts_ms))
    looks, at_ms = 0, now_ms
    before = window.contains(ts_ms, now_ms)
    while at_ms < NEVER and window.contains(ts_ms, at_ms) is before and looks < 70:
        earlier_ms, at_ms = at_ms, window.next_change(ts_ms, at_ms)
        assert at_ms > earlier_ms
        looks += 1

    if flip_ms is not None:
        assert at_ms <= flip_ms
        assert window.contains(ts_ms, at_ms) is not before


MONTH_BACK = CalendarBound((("shift", -1, "month"),))


def test_a_month_back_goes_back_at_midnight_only() -> None:
    before, after = ms("2025-03-30T10:00:00Z"), ms("2025-03-31T00:00:00Z")
    ts_ms = ms("2025-02-28T05:00:00Z")

    assert MONTH_BACK.at(before) > ts_ms >= MONTH_BACK.at(after)
    assert MONTH_BACK.returns(ts_ms, before) == after
    assert MONTH_BACK.floor(before) <= MONTH_BACK.at(after)


def test_a_month_back_passes_at_its_millisecond() -> None:
    ts_ms, now_ms = ms("2026-01-05T10:00:00Z"), ms("2026-01-20T00:00:00Z")

    assert MONTH_BACK.passes(ts_ms, now_ms) == ms("2026-02-05T10:00:00.001Z")


@pytest.mark.parametrize("offset_ms", [0, -5, 7])
def test_sliding_is_exact(offset_ms: int) -> None:
    bound = Sliding(offset_ms)
    flips = [
        later
        for earlier, later in pairwise(range(100))
        if (bound.at(later) > 50) is not (bound.at(earlier) > 50)
    ]

    assert [crossing(bound, 50, 0)] == flips


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("shift"), st.integers(-3, 3), st.sampled_from(("month", "year"))),
            st.tuples(st.just("shift"), st.integers(-30, 30), st.sampled_from(("day", "week"))),
            st.tuples(st.just("truncate"), st.just(0), st.sampled_from(("day", "week", "month"))),
        ),
        min_size=1,
        max_size=3,
    ),
    now_ms=instants,
    days=st.integers(0, 60),
    time_of_day=st.integers(0, DAY_MS - 1),
)
def test_the_floor_of_a_calendar_bound_holds_for_ever(
    steps: list[tuple[str, int, ast.Unit]], now_ms: int, days: int, time_of_day: int
) -> None:
    bound = CalendarBound(tuple(steps))
    later_ms = max(now_ms, (now_ms // DAY_MS + days) * DAY_MS + time_of_day)

    assert bound.at(later_ms) >= bound.floor(now_ms)
