"""`occurs` tails as half-open intervals of event time whose ends move with `now`.

Source: PQL reference §10.3, read literally, but for `< n u before now`, which includes `now`
itself as `<=` does (docs/decisions/0003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.limits import DAY_MS
from app.engine.bounds import (
    MAX_MS,
    MIN_MS,
    Bound,
    Earliest,
    Fixed,
    Latest,
    Sliding,
    plus,
    shifted,
    truncated,
)
from app.pql import ast
from app.pql.calendar import day_interval

_START = Fixed(MIN_MS)
_END = Fixed(MAX_MS)


@dataclass(frozen=True, slots=True)
class Interval:
    """Instants `ts` with `low <= ts < high`."""

    low: Bound
    high: Bound

    def contains(self, ts_ms: int, now_ms: int) -> bool:
        """Tell whether the instant lies inside at `now_ms`."""
        return self.low.at(now_ms) <= ts_ms < self.high.at(now_ms)

    def next_change(self, ts_ms: int, now_ms: int) -> int:
        """Return the first instant after `now_ms` at which `contains` can change, or NEVER.

        May be early, never late.
        """
        low, high = self.low, self.high
        if low.at(now_ms) > ts_ms:
            return low.returns(ts_ms, now_ms)
        if high.at(now_ms) > ts_ms:
            return min(low.passes(ts_ms, now_ms), high.returns(ts_ms, now_ms))
        return high.passes(ts_ms, now_ms)


ALWAYS = Interval(_START, _END)


@dataclass(frozen=True, slots=True)
class Window:
    """What an `occurs` tail accepts: any of the intervals, or none of them if `negated`."""

    intervals: tuple[Interval, ...]
    negated: bool = False

    def contains(self, ts_ms: int, now_ms: int) -> bool:
        """Tell whether the tail accepts the instant at `now_ms`."""
        inside = any(interval.contains(ts_ms, now_ms) for interval in self.intervals)
        return inside is not self.negated

    def next_change(self, ts_ms: int, now_ms: int) -> int:
        """Return the first instant after `now_ms` at which `contains` can change, or NEVER."""
        return min(interval.next_change(ts_ms, now_ms) for interval in self.intervals)


@dataclass(frozen=True, slots=True)
class Anchor:
    """`I(time)`: [start, end); an instant has end = start + 1 ms."""

    start: Bound
    end: Bound
    is_instant: bool
    is_now: bool = False


def times_of(tail: ast.OccursTail) -> tuple[ast.Expr, ...]:
    """Return the time expressions of a tail: two for `between`, else one."""
    if isinstance(tail, ast.OccursBetween):
        return tail.start, tail.end
    return (tail.time,)


def window_of(tail: ast.OccursTail) -> Window | None:
    """Return the window of a tail whose times are words, periods and dates; None for others."""
    anchors = [anchor_of(time) for time in times_of(tail)]
    known = [anchor for anchor in anchors if anchor is not None]
    return window_between(tail, known) if len(known) == len(anchors) else None


def window_between(tail: ast.OccursTail, anchors: Sequence[Anchor]) -> Window:
    """Return the window of a tail; its time expressions are given as anchors."""
    anchor = anchors[0]
    match tail:
        case ast.OccursOn():
            return Window((Interval(anchor.start, anchor.end),))
        case ast.OccursBetween():
            return Window((Interval(anchor.start, anchors[1].end),))
        case ast.OccursRelative(direction):
            return _relative(direction, anchor)
        case ast.OccursDistance(comparison, amount, unit, direction):
            return _distance(comparison, amount, unit, direction, anchor)


def instant_anchor(at_ms: int) -> Anchor:
    """Return the anchor of a timestamp."""
    return _instant(Fixed(at_ms))


def day_anchor(start_ms: int) -> Anchor:
    """Return the anchor of a UTC day."""
    return Anchor(Fixed(start_ms), Fixed(start_ms + DAY_MS), is_instant=False)


def _instant(at: Bound, *, is_now: bool = False) -> Anchor:
    return Anchor(at, plus(at, 1), is_instant=True, is_now=is_now)


def anchor_of(time: ast.Expr) -> Anchor | None:
    """Return the anchor of a word, period or constant date; None for any other expression."""
    now = Sliding(0)
    match time:
        case ast.Moment("now"):
            return _instant(now, is_now=True)
        case ast.Moment(word):
            days = {"yesterday": -1, "today": 0, "tomorrow": 1}[word]
            return _unit(shifted(truncated(now, "day"), days, "day"), "day")
        case ast.Period(which, unit):
            amount = {"last": -1, "this": 0, "next": 1}[which]
            return _unit(shifted(truncated(now, unit), amount, unit), unit)
        case ast.Call(
            "date", (ast.Literal(int(year)), ast.Literal(int(month)), ast.Literal(int(day)))
        ):
            interval = day_interval(year, month, day)
            return None if interval is None else day_anchor(interval[0])
    return None


def _unit(start: Bound, unit: ast.Unit) -> Anchor:
    return Anchor(start, shifted(start, 1, unit), is_instant=False)


def _relative(direction: ast.Direction, anchor: Anchor) -> Window:
    if direction == "before":
        return Window((Interval(_START, anchor.start),))
    if direction == "after":
        return Window((Interval(anchor.end, _END),))
    return Window((Interval(anchor.start, anchor.end),), negated=True)


def _distance(
    comparison: ast.Comparison,
    amount: int,
    unit: ast.Unit,
    direction: ast.Direction,
    anchor: Anchor,
) -> Window:
    if comparison in ("=", "!="):
        return Window(_exactly(amount, unit, direction, anchor), negated=comparison == "!=")
    if direction == "before":
        return Window((_before(comparison, shifted(anchor.start, -amount, unit), anchor),))
    if direction == "after":
        return Window((_after(comparison, shifted(anchor.start, amount, unit), anchor),))
    low, high = shifted(anchor.start, -amount, unit), shifted(anchor.start, amount, unit)
    if comparison in ("<", ">="):
        return Window((Interval(plus(low, 1), high),), negated=comparison == ">=")
    return Window((Interval(low, plus(high, 1)),), negated=comparison == ">")


def _before(comparison: ast.Comparison, edge: Bound, anchor: Anchor) -> Interval:
    until = anchor.end if anchor.is_now else anchor.start
    match comparison:
        case "<":
            return Interval(plus(edge, 1), until)
        case "<=":
            return Interval(edge, until)
        case ">":
            return Interval(_START, edge)
        case _:
            return Interval(_START, plus(edge, 1))


def _after(comparison: ast.Comparison, edge: Bound, anchor: Anchor) -> Interval:
    since = plus(anchor.start, 1)
    match comparison:
        case "<":
            return Interval(since, edge)
        case "<=":
            return Interval(since, plus(edge, 1))
        case ">":
            return Interval(plus(edge, 1), _END)
        case _:
            return Interval(edge, _END)


def _exactly(
    amount: int, unit: ast.Unit, direction: ast.Direction, anchor: Anchor
) -> tuple[Interval, ...]:
    amounts = {"before": (-amount,), "after": (amount,), "from": (-amount, amount)}[direction]
    return tuple(_shifted_anchor(anchor, signed, unit) for signed in amounts)


def _shifted_anchor(anchor: Anchor, amount: int, unit: ast.Unit) -> Interval:
    if anchor.is_instant:
        start = truncated(shifted(anchor.start, amount, unit), unit)
        return Interval(start, shifted(start, 1, unit))
    return Interval(shifted(anchor.start, amount, unit), shifted(anchor.end, amount, unit))


def intersect(first: Interval, second: Interval) -> Interval:
    """Return the interval of the instants that both contain."""
    return Interval(
        _latest(first.low, second.low),
        _earliest(first.high, second.high),
    )


def _latest(first: Bound, second: Bound) -> Bound:
    if first == second or second == _START:
        return first
    if first == _START:
        return second
    if isinstance(first, Sliding) and isinstance(second, Sliding):
        return first if first.offset_ms >= second.offset_ms else second
    return Latest(first, second)


def _earliest(first: Bound, second: Bound) -> Bound:
    if first == second or second == _END:
        return first
    if first == _END:
        return second
    if isinstance(first, Sliding) and isinstance(second, Sliding):
        return first if first.offset_ms <= second.offset_ms else second
    return Earliest(first, second)
