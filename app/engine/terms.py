"""Numbers and answers kept up to date from the events of a profile.

A *timeline* is the list of kept events that match one filter, with one extracted number each. It is
shared by every condition with that filter, whatever its window, threshold or sign. A *term* is a
number drawn from a timeline inside a window (how many, what sum); a *chain* is an ordered sequence
over several timelines. Both say when their answer can next change without an event:

* `count >= k` in a window holds until the k-th newest event leaves the window, exactly;
* a chain holds at least until one of the events that prove it leaves its window;
* any other number may change when its oldest event leaves or a future one enters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import fsum, inf, isfinite
from typing import Any, Literal

from app.engine.bounds import NEVER, Sliding
from app.engine.profile import ORDER_BITS
from app.engine.tables import Matches, Number
from app.engine.windows import ALWAYS, Interval
from app.pql import library
from app.pql.values import INT64

TermKind = Literal["count", "sum", "average", "min", "max"]

_LONG_AGO_MS = -(1 << 60)

# Far above what adding up a few dozen doubles can be wrong by.
_ROUNDING = 1e-9


def visible(orders: Sequence[int], interval: Interval, now_ms: int) -> tuple[int, int]:
    """Return the slice of `orders` that lies in the interval at `now_ms`."""
    start = bisect_left(orders, interval.low.at(now_ms) << ORDER_BITS)
    edge = interval.high.at(now_ms) << ORDER_BITS
    end = len(orders)
    if end and orders[-1] >= edge:
        end = bisect_left(orders, edge)
    return start, max(start, end)


def exact_total(values: list[Number]) -> Number | None:
    """Return the sum of numbers as the language defines it.

    Integers, the common case, need neither a look at each item nor exact summation.
    """
    total = sum(values)
    if type(total) is int and -INT64 <= total < INT64:
        return total
    if type(total) is float and isfinite(total):
        return fsum(values)
    exact: Number | None = library.total(values)
    return exact


@dataclass(slots=True)
class Breakpoints:
    """Constants a term is compared with, and which definitions look at each.

    A comparison can only change its answer when the term crosses its constant, so old and new
    value give the definitions to look at by two searches. `at` holds constants that are crossed by
    reaching them (`>=`, `<`), `above` those crossed by exceeding them (`>`, `<=`).
    """

    at: list[Number] = field(default_factory=list)
    at_definitions: list[tuple[int, ...]] = field(default_factory=list)
    above: list[Number] = field(default_factory=list)
    above_definitions: list[tuple[int, ...]] = field(default_factory=list)

    def crossed(self, old: Number | None, new: Number | None, into: set[int]) -> None:
        """Add the definitions whose comparison can differ between the two values."""
        if old == new and (old is None) is (new is None):
            return
        if old is None or new is None:
            for definitions in (*self.at_definitions, *self.above_definitions):
                into.update(definitions)
            return
        low, high = (old, new) if old < new else (new, old)
        at, above = self.at, self.above
        for index in range(bisect_right(at, low), bisect_right(at, high)):
            into.update(self.at_definitions[index])
        for index in range(bisect_left(above, low), bisect_left(above, high)):
            into.update(self.above_definitions[index])


@dataclass(slots=True)
class Term:
    """A number drawn from a timeline.

    Attributes:
        interval: The window, already cut to the retention.
        breakpoints: Comparisons with constants.
        watchers: Definitions that use the number in any other way.
        recent_ms: Offset of the window's beginning from now, if it is one that ends now or never;
            such a window contains the newest event unless that lies in the future.
        reached: Definitions by the count that makes a difference to them.
    """

    kind: TermKind
    interval: Interval
    breakpoints: Breakpoints = field(default_factory=Breakpoints)
    watchers: tuple[int, ...] = ()
    recent_ms: int | None = None
    reached: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def finish(self) -> None:
        """Complete what follows from window, breakpoints and watchers, once they are there."""
        interval, steps = self.interval, self.breakpoints
        if isinstance(interval.low, Sliding) and interval.high in (ALWAYS.high, Sliding(1)):
            self.recent_ms = interval.low.offset_ms
        pairs = zip(steps.at, steps.at_definitions, strict=True)
        self.reached = {int(bound): ranks for bound, ranks in pairs}

    @property
    def only_counts(self) -> bool:
        """True if nothing but whole-number thresholds of a count are asked for."""
        return self.kind == "count" and not self.watchers

    def value(self, matches: Matches | None, now_ms: int) -> Number | None:
        """Return the number at `now_ms`; None where the language says null."""
        if matches is None:
            return 0 if self.kind in ("count", "sum") else None
        start, end = visible(matches.orders, self.interval, now_ms)
        if self.kind == "count":
            return end - start
        number: Number | None = _AGGREGATES[self.kind](matches.values[start:end])
        return number

    def entered(self, matches: Matches, index: int, now_ms: int, found: set[int]) -> int:
        """Take note of an event that was just inserted.

        Args:
            matches: With the event at `index`.
            index: Where the event was inserted.
            now_ms: The instant.
            found: Ranks of definitions that may answer differently now are added.

        Returns:
            The same as `next_change`.
        """
        start, end = visible(matches.orders, self.interval, now_ms)
        if start <= index < end:
            if self.kind == "count":
                self.breakpoints.crossed(end - start - 1, end - start, found)
            else:
                apply, values = _AGGREGATES[self.kind], matches.values
                old = apply(values[start:index] + values[index + 1 : end])
                self.breakpoints.crossed(old, apply(values[start:end]), found)
            if self.watchers:
                found.update(self.watchers)
        return self._due(matches, start, end, now_ms)

    def lost(self, matches: Matches, drop: int, now_ms: int, found: set[int]) -> None:
        """Take note that the `drop` oldest events are about to go, whatever the window."""
        start, end = visible(matches.orders, self.interval, now_ms)
        rest = max(start, min(drop, end))
        if rest == start:
            return
        if self.kind == "count":
            self.breakpoints.crossed(end - start, end - rest, found)
        else:
            apply, values = _AGGREGATES[self.kind], matches.values
            self.breakpoints.crossed(apply(values[start:end]), apply(values[rest:end]), found)
        if self.watchers:
            found.update(self.watchers)

    def appended(self, matches: Matches, now_ms: int, found: set[int]) -> None:
        """Take note of an event that came last and not from the future; `recent_ms` is set."""
        assert self.recent_ms is not None
        orders = matches.orders
        edge = (now_ms + self.recent_ms) << ORDER_BITS
        start = bisect_left(orders, edge) if orders[0] < edge else 0
        if self.kind == "count":
            ranks = self.reached.get(len(orders) - start)
            if ranks is not None:
                found.update(ranks)
        elif start < len(orders):
            apply = _AGGREGATES[self.kind]
            values = matches.values[start:] if start else matches.values
            new, last = apply(values), values[-1]
            old = new - last if type(new) is int and self.kind == "sum" else apply(values[:-1])
            self.breakpoints.crossed(old, new, found)
        if self.watchers:
            found.update(self.watchers)

    def room(self, matches: Matches, now_ms: int) -> float:
        """Return by how much the number has to grow to reach a breakpoint; `recent_ms` is set.

        Only for counts and sums. Too little is as good as exact: floats are rounded down.
        """
        assert self.recent_ms is not None
        orders, steps = matches.orders, self.breakpoints
        edge = (now_ms + self.recent_ms) << ORDER_BITS
        start = bisect_left(orders, edge) if orders[0] < edge else 0
        if self.kind == "count":
            number: Number | None = len(orders) - start
        else:
            number = exact_total(matches.values[start:] if start else matches.values)
        if number is None:
            return 0
        bounds = [*steps.at[(at := bisect_right(steps.at, number)) : at + 1]]
        bounds += steps.above[(at := bisect_left(steps.above, number)) : at + 1]
        if not bounds:
            return inf
        room = min(bounds) - number
        return room if type(room) is int else room - _ROUNDING * (abs(number) + abs(min(bounds)))

    def next_change(self, matches: Matches, now_ms: int) -> int:
        """Return when, after `now_ms`, a definition may first have to be looked at."""
        start, end = visible(matches.orders, self.interval, now_ms)
        return self._due(matches, start, end, now_ms)

    def _due(self, matches: Matches, start: int, end: int, now_ms: int) -> int:
        interval, orders = self.interval, matches.orders
        first_to_leave = start
        if self.only_counts:
            first_to_leave = self._decisive(start, end)
        elif self.kind == "sum" and not self.watchers:
            first_to_leave = self._decisive_of_sum(matches.values, start, end)
        due_ms = NEVER
        if start <= first_to_leave < end:
            due_ms = interval.low.passes(orders[first_to_leave] >> ORDER_BITS, now_ms)
        if end == len(orders) and type(interval.low) is Sliding:
            # No event is waiting to come in, and the window only moves forward.
            return due_ms
        return min(due_ms, entering(orders, interval, start, end, now_ms))

    def _decisive(self, start: int, end: int) -> int:
        """Return the index of the event whose leaving first crosses a breakpoint."""
        thresholds = self.breakpoints.at
        passed = bisect_right(thresholds, end - start)
        if not passed or thresholds[passed - 1] <= 0:
            return end
        return end - int(thresholds[passed - 1])

    def _decisive_of_sum(self, values: list[Number], start: int, end: int) -> int:
        """Return the index of the event whose leaving may first take the sum below a breakpoint.

        Too early a one does no harm: where a number is negative, and for what doubles lose.
        """
        seen = values[start:end]
        total = exact_total(seen)
        if total is None or (seen and min(seen) < 0):
            return start
        at, above = self.breakpoints.at, self.breakpoints.above
        passed = [*at[: bisect_right(at, total)][-1:], *above[: bisect_left(above, total)][-1:]]
        if not passed or max(passed) < 0:
            return end
        # What may go before the sum is below, or at, the breakpoint.
        spare = total - max(passed) - _ROUNDING * (total + max(passed))
        for index, number in enumerate(seen, start):
            spare -= number
            if spare <= 0:
                return index
        return end


def merged_term(terms: Sequence[Term]) -> Term:
    """Return the terms of one kind as one, which is right while all windows hold all events."""
    at: dict[Number, set[int]] = {}
    above: dict[Number, set[int]] = {}
    for term in terms:
        steps = term.breakpoints
        for bound, ranks in zip(steps.at, steps.at_definitions, strict=True):
            at.setdefault(bound, set()).update(ranks)
        for bound, ranks in zip(steps.above, steps.above_definitions, strict=True):
            above.setdefault(bound, set()).update(ranks)
    merged = Term(terms[0].kind, ALWAYS, breakpoints_of(at, above))
    merged.finish()
    merged.recent_ms = _LONG_AGO_MS
    return merged


def breakpoints_of(at: dict[Number, set[int]], above: dict[Number, set[int]]) -> Breakpoints:
    """Return breakpoints, sorted, with the definitions that look at each."""
    return Breakpoints(
        sorted(at),
        [tuple(at[bound]) for bound in sorted(at)],
        sorted(above),
        [tuple(above[bound]) for bound in sorted(above)],
    )


def entering(orders: Sequence[int], interval: Interval, start: int, end: int, now_ms: int) -> int:
    """Return the first instant at which an event outside the slice can come in, or NEVER."""
    due_ms = NEVER
    if end < len(orders):
        due_ms = interval.high.passes(orders[end] >> ORDER_BITS, now_ms)
    if not isinstance(interval.low, Sliding) and start:
        due_ms = min(due_ms, interval.low.returns(orders[start - 1] >> ORDER_BITS, now_ms))
    if not isinstance(interval.high, Sliding) and end:
        due_ms = min(due_ms, interval.high.returns(orders[end - 1] >> ORDER_BITS, now_ms))
    return due_ms


_AGGREGATES: dict[str, Callable[[Any], Any]] = {
    "sum": exact_total,
    "average": library.average,
    "min": library.smallest,
    "max": library.largest,
}
