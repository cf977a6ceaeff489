"""The meaning of `occurs` as intervals of UTC time (PQL reference, semantics of occurs).

A time is a half-open interval [start, end) of epoch ms, or an instant, where start equals end.
`amount` of a unit before or after a time is always counted from its start.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.pql.ast import Comparison, Direction, Moment, Period, Unit
from app.pql.calendar import shift, truncate, unit_start_after


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in epoch ms: [start, end), or the instant `start` when both are equal."""

    start: int
    end: int

    @property
    def is_instant(self) -> bool:
        """Whether it is one instant: `now` or a timestamp field."""
        return self.start == self.end

    def holds(self, ms: int) -> bool:
        """Tell whether the instant lies in it."""
        return ms == self.start if self.is_instant else self.start <= ms < self.end


def instant(ms: int) -> Interval:
    """Return the time of a timestamp."""
    return Interval(ms, ms)


def unit_around(ms: int, unit: Unit) -> Interval:
    """Return the calendar unit that holds the instant."""
    return Interval(truncate(ms, unit), unit_start_after(ms, unit))


_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_UNITS = {"this": 0, "last": -1, "next": 1}


def moment(node: Moment, now_ms: int) -> Interval:
    """Return the time of `now`, `today`, `yesterday`, `tomorrow`."""
    if node.word == "now":
        return instant(now_ms)
    return unit_around(shift(now_ms, _DAYS[node.word], "day"), "day")


def period(node: Period, now_ms: int) -> Interval:
    """Return the time of `this month`, `last year`, …: the whole calendar unit."""
    inside = shift(truncate(now_ms, node.unit), _UNITS[node.which], node.unit)
    return unit_around(inside, node.unit)


def is_on(ms: int, time: Interval) -> bool:
    """`occurs [on] time`."""
    return time.holds(ms)


def is_between(ms: int, first: Interval, last: Interval) -> bool:
    """`occurs between first and last`: both included, the last unit wholly."""
    return first.start <= ms and (ms <= last.end if last.is_instant else ms < last.end)


def is_relative(ms: int, direction: Direction, time: Interval) -> bool:
    """`occurs before time`, `occurs after time`; `from time` is anything but it."""
    if direction == "before":
        return ms < time.start
    after = ms > time.start if time.is_instant else ms >= time.end
    if direction == "after":
        return after
    return after or ms < time.start


def is_at_distance(
    ms: int,
    comparison: Comparison,
    amount: int,
    unit: Unit,
    direction: Direction,
    time: Interval,
    *,
    until_now: bool = False,
) -> bool:
    """`occurs <= 3 days before time` and its like.

    Args:
        ms: The timestamp in question.
        comparison: How the distance compares with `amount` units.
        amount: Not negative.
        unit: Calendar units clamp to the end of a shorter month.
        direction: `before` and `after` look at one side, `from` at both.
        time: Where the distance is counted from: its start.
        until_now: The time is `now`; then `<` and `<=` before it include it, since an event that
            arrives this very instant did happen (our decision, docs/decisions/0003).
    """
    if comparison in {"=", "!="}:
        return _is_exactly(ms, amount, unit, direction, time) is (comparison == "=")
    if direction == "from":
        return _is_around(ms, comparison, amount, unit, time)
    if direction == "before":
        return _is_before(ms, comparison, shift(time.start, -amount, unit), time.start, until_now)
    return _is_after(ms, comparison, shift(time.start, amount, unit), time.start)


def _is_before(ms: int, comparison: Comparison, edge: int, anchor: int, until_now: bool) -> bool:
    is_before = ms <= anchor if until_now else ms < anchor
    if comparison == "<":
        return edge < ms and is_before
    if comparison == "<=":
        return edge <= ms and is_before
    return ms < edge if comparison == ">" else ms <= edge


def _is_after(ms: int, comparison: Comparison, edge: int, anchor: int) -> bool:
    if comparison == "<":
        return anchor < ms < edge
    if comparison == "<=":
        return anchor < ms <= edge
    return ms > edge if comparison == ">" else ms >= edge


def _is_exactly(ms: int, amount: int, unit: Unit, direction: Direction, time: Interval) -> bool:
    if direction == "from":
        sides: tuple[Direction, ...] = ("before", "after")
        return any(_is_exactly(ms, amount, unit, side, time) for side in sides)
    signed = -amount if direction == "before" else amount
    if time.is_instant:
        return truncate(ms, unit) == truncate(shift(time.start, signed, unit), unit)
    return shift(time.start, signed, unit) <= ms < shift(time.end, signed, unit)


def _is_around(ms: int, comparison: Comparison, amount: int, unit: Unit, time: Interval) -> bool:
    earlier, later = shift(time.start, -amount, unit), shift(time.start, amount, unit)
    answers = {
        "<": earlier < ms < later,
        "<=": earlier <= ms <= later,
        ">": ms < earlier or ms > later,
        ">=": ms <= earlier or ms >= later,
    }
    return answers[comparison]
