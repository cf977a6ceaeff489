"""Instants that move with `now`, and when they pass a given instant.

A timed exit or entry happens when the bound of a window passes the instant of an event, so each
bound can say when that will be: `passes` going forward and `returns` going back. Bounds go back
only by calendar steps that clamp to a month end: one month before 30 March 10:00 is 28 February
10:00, one month before 31 March 05:00 is 28 February 05:00. They do so at midnight only, and by
less than a day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.domain.limits import DAY_MS
from app.pql.ast import Unit
from app.pql.calendar import FIXED_UNITS_MS, shift, truncate

MIN_MS = -(1 << 62)
MAX_MS = 1 << 62
NEVER = 1 << 62
"""Returned where a computed instant never comes."""

# Steps of a search: over days more than any calendar, over milliseconds more than a day.
_SEARCH_LIMIT = 1 << 28


class Bound(Protocol):
    """An instant in ms as a function of `now_ms`."""

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        ...

    def floor(self, now_ms: int) -> int:
        """Return an instant that `at` never falls below from `now_ms` on."""
        ...

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Return when `at` first exceeds `ts_ms` after `now_ms`, or NEVER; it does not now.

        May be early, never late, and always lies after `now_ms`.
        """
        ...

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return when `at` first stops to exceed `ts_ms` after `now_ms`, or NEVER; it does now.

        May be early, never late, and always lies after `now_ms`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same instant."""

    instant_ms: int

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        return self.instant_ms

    def floor(self, now_ms: int) -> int:
        """Return the instant."""
        return self.instant_ms

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Return NEVER: it does not move."""
        return NEVER

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return NEVER: it does not move."""
        return NEVER


@dataclass(frozen=True, slots=True)
class Sliding:
    """`now` plus a constant."""

    offset_ms: int

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        return now_ms + self.offset_ms

    def floor(self, now_ms: int) -> int:
        """Return the instant: it only moves forward."""
        return now_ms + self.offset_ms

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Return the instant, exactly."""
        return max(ts_ms - self.offset_ms + 1, now_ms + 1)

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return NEVER: it only moves forward."""
        return NEVER


@dataclass(frozen=True, slots=True)
class CalendarBound:
    """`now` carried through calendar steps: moved and cut to units, in order.

    Attributes:
        steps: Each is ("shift", amount, unit) or ("truncate", 0, unit).
        offset_ms: Added at the end.
    """

    steps: tuple[tuple[str, int, Unit], ...]
    offset_ms: int = 0

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        instant = now_ms
        for kind, amount, unit in self.steps:
            instant = (
                truncate(instant, unit) if kind == "truncate" else shift(instant, amount, unit)
            )
        return instant + self.offset_ms

    def floor(self, now_ms: int) -> int:
        """Return a day less: clamping takes back no more."""
        return self.at(now_ms) - DAY_MS

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Search the day first: the values at the ends of days never go back, nor within a day."""
        day = now_ms // DAY_MS
        if self._at_day_end(day) <= ts_ms:
            day = _first(lambda later: self._at_day_end(later) > ts_ms, day)
        if day == NEVER:
            return NEVER
        start_ms = max(now_ms, day * DAY_MS - 1)
        return _first(lambda at_ms: self.at(at_ms) > ts_ms, start_ms)

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return the next midnight if that takes it back; no later one can if it does not."""
        midnight_ms = (now_ms // DAY_MS + 1) * DAY_MS
        return midnight_ms if self.at(midnight_ms) <= ts_ms else NEVER

    def _at_day_end(self, day: int) -> int:
        return self.at((day + 1) * DAY_MS - 1)


@dataclass(frozen=True, slots=True)
class Latest:
    """The later of two bounds."""

    first: Bound
    second: Bound

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        return max(self.first.at(now_ms), self.second.at(now_ms))

    def floor(self, now_ms: int) -> int:
        """Return the later floor."""
        return max(self.first.floor(now_ms), self.second.floor(now_ms))

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Return when either passes."""
        return _next_crossing((self.first, self.second), ts_ms, now_ms)

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return when the first of those that exceed it returns."""
        return _next_crossing((self.first, self.second), ts_ms, now_ms)


@dataclass(frozen=True, slots=True)
class Earliest:
    """The earlier of two bounds."""

    first: Bound
    second: Bound

    def at(self, now_ms: int) -> int:
        """Return the instant."""
        return min(self.first.at(now_ms), self.second.at(now_ms))

    def floor(self, now_ms: int) -> int:
        """Return the earlier floor."""
        return min(self.first.floor(now_ms), self.second.floor(now_ms))

    def passes(self, ts_ms: int, now_ms: int) -> int:
        """Return when the first of those that do not exceed it passes."""
        return _next_crossing((self.first, self.second), ts_ms, now_ms)

    def returns(self, ts_ms: int, now_ms: int) -> int:
        """Return when either returns."""
        return _next_crossing((self.first, self.second), ts_ms, now_ms)


def _next_crossing(bounds: tuple[Bound, ...], ts_ms: int, now_ms: int) -> int:
    return min(crossing(bound, ts_ms, now_ms) for bound in bounds)


def crossing(bound: Bound, ts_ms: int, now_ms: int) -> int:
    """Return the first instant after `now_ms` at which `bound > ts_ms` can change, or NEVER."""
    if bound.at(now_ms) > ts_ms:
        return bound.returns(ts_ms, now_ms)
    return bound.passes(ts_ms, now_ms)


def _first(holds: Callable[[int], bool], after: int) -> int:
    """Return the smallest integer above `after` for which a monotone predicate holds, or NEVER."""
    step = 1
    while not holds(after + step):
        step *= 2
        if step > _SEARCH_LIMIT:
            return NEVER
    low, high = after + step // 2, after + step
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def shifted(bound: Bound, amount: int, unit: Unit) -> Bound:
    """Return the bound moved by `amount` calendar units."""
    if unit in FIXED_UNITS_MS:
        return plus(bound, amount * FIXED_UNITS_MS[unit])
    if isinstance(bound, Fixed):
        return Fixed(shift(bound.instant_ms, amount, unit))
    steps, offset_ms = _steps_of(bound)
    if offset_ms:
        steps = (*steps, ("shift", offset_ms, "millisecond"))
    return CalendarBound((*steps, ("shift", amount, unit)))


def truncated(bound: Bound, unit: Unit) -> Bound:
    """Return the bound cut to the start of its calendar unit."""
    if isinstance(bound, Fixed):
        return Fixed(truncate(bound.instant_ms, unit))
    steps, offset_ms = _steps_of(bound)
    if offset_ms:
        steps = (*steps, ("shift", offset_ms, "millisecond"))
    return CalendarBound((*steps, ("truncate", 0, unit)))


def plus(bound: Bound, offset_ms: int) -> Bound:
    """Return the bound moved by milliseconds."""
    if isinstance(bound, Fixed):
        return Fixed(bound.instant_ms + offset_ms)
    if isinstance(bound, Sliding):
        return Sliding(bound.offset_ms + offset_ms)
    assert isinstance(bound, CalendarBound)
    return CalendarBound(bound.steps, bound.offset_ms + offset_ms)


def _steps_of(bound: Bound) -> tuple[tuple[tuple[str, int, Unit], ...], int]:
    if isinstance(bound, Sliding):
        return (), bound.offset_ms
    assert isinstance(bound, CalendarBound)
    return bound.steps, bound.offset_ms
