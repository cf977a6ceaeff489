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
from math import fsum, isfinite
from typing import Any, Literal

from app.engine.bounds import NEVER, Bound, Sliding
from app.engine.frame import Frame
from app.engine.profile import ORDER_BITS
from app.engine.tables import Matches, MatchTable, Number
from app.engine.windows import ALWAYS, Interval
from app.pql import library

TermKind = Literal["count", "sum", "average", "min", "max"]


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
    if type(total) is int and -_INT64 <= total < _INT64:
        return total
    if type(total) is float and isfinite(total):
        return fsum(values)
    exact: Number | None = library.total(values)
    return exact


_INT64 = 1 << 63


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
        return self._due(matches.orders, start, end, now_ms)

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

    def next_change(self, matches: Matches, now_ms: int) -> int:
        """Return when, after `now_ms`, a definition may first have to be looked at."""
        start, end = visible(matches.orders, self.interval, now_ms)
        return self._due(matches.orders, start, end, now_ms)

    def _due(self, orders: Sequence[int], start: int, end: int, now_ms: int) -> int:
        interval = self.interval
        first_to_leave = start
        if self.only_counts:
            first_to_leave = self._decisive(start, end)
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


@dataclass(slots=True)
class Timeline:
    """Which events are kept for a filter, and who draws numbers from them.

    Attributes:
        key: Stable hash of filter and value; names the timeline in stored states.
        event_types: The filter accepts only these; None when it does not say.
        folds_type: `event_types` are case-folded.
        accepts: The rest of the filter, on the event in slot 0; None accepts all.
        numbers: Extracts the numbers of the event in slot 0, each of which is entered; None to
            only count.
        chains: The chains with a step on this timeline, and whether it is their last.
        keep_newest: Only so many newest events that are not in the future are ever needed.
        definitions: Ranks of the definitions that look at one of the terms.
        lows: Where the windows begin; the earliest of those that slide stands for all of them.
        low_ms: Offset from now of the one low, if it slides and is the only one.
        is_recent: All windows end now or never.
        only_counts: All terms do.
    """

    key: int
    event_types: tuple[str, ...] | None
    folds_type: bool
    accepts: Callable[[Frame], bool] | None
    numbers: Callable[[Frame], Sequence[Number]] | None
    terms: tuple[Term, ...] = ()
    chains: tuple[tuple[Chain, bool], ...] = ()
    keep_newest: int | None = None
    definitions: tuple[int, ...] = ()
    lows: tuple[Bound, ...] = ()
    is_recent: bool = False
    only_counts: bool = False
    low_ms: int | None = None

    def finish(self, keep_newest: int | None) -> None:
        """Complete what follows from terms and chains, once all are there."""
        self.keep_newest = keep_newest
        ranks: set[int] = set()
        for term in self.terms:
            ranks.update(*term.breakpoints.at_definitions, *term.breakpoints.above_definitions)
            ranks.update(term.watchers)
        self.definitions = tuple(sorted(ranks))
        lows = [term.interval.low for term in self.terms]
        for chain, _ in self.chains:
            lows += [step.interval.low for step in chain.steps if step.timeline_key == self.key]
        sliding = [low.offset_ms for low in lows if isinstance(low, Sliding)]
        others = {low for low in lows if not isinstance(low, Sliding)}
        self.lows = (*((Sliding(min(sliding)),) if sliding else ()), *others)
        self.low_ms = min(sliding) if sliding and not others else None
        for term in self.terms:
            term.finish()
        self.is_recent = all(term.recent_ms is not None for term in self.terms)
        self.only_counts = all(term.only_counts for term in self.terms)

    def covers(self, other: Timeline) -> bool:
        """Tell whether what this timeline keeps is enough for another with the same filter."""
        if self.keep_newest is not None and (
            other.keep_newest is None or other.keep_newest > self.keep_newest
        ):
            return False
        return all(any(_reaches(mine, theirs) for mine in self.lows) for theirs in other.lows)

    def add(self, matches: Matches, order: int, number: Number | None) -> int:
        """Insert an event; return its index."""
        orders = matches.orders
        matches.packed = None
        if not orders or order > orders[-1]:
            index = len(orders)
            orders.append(order)
            if number is not None:
                matches.values.append(number)
            return index
        index = bisect_right(orders, order)
        orders.insert(index, order)
        if number is not None:
            matches.values.insert(index, number)
        return index

    def enter(
        self,
        matches: Matches,
        order: int,
        number: Number | None,
        now_ms: int,
        found: set[int],
        has_due: bool,
    ) -> int | None:
        """Insert an event and take note of it in every term.

        Args:
            matches: Where to insert.
            order: Of the event.
            number: Its number, if the timeline has one.
            now_ms: The instant.
            found: Ranks of definitions that may answer differently now are added.
            has_due: The timeline has a due time in the state.

        Returns:
            When one of the terms may next change; None if the due time in the state, or its
            absence, may stay: a newer event only moves the next change to a later time, and being
            woken early costs less than computing it each time.
        """
        index = self.add(matches, order, number)
        is_last = index == len(matches.orders) - 1
        if is_last and self.is_recent and order >> ORDER_BITS <= now_ms:
            before = len(found)
            for term in self.terms:
                term.appended(matches, now_ms, found)
            if len(found) == before and (self.only_counts or has_due):
                return None
            return self.next_change(matches, now_ms)
        due_ms = NEVER
        for term in self.terms:
            due_ms = min(due_ms, term.entered(matches, index, now_ms, found))
        return due_ms

    def trim(self, matches: Matches, oldest_order: int, now_ms: int) -> None:
        """Drop events that no condition can ever see again.

        Args:
            oldest_order: Order of the oldest kept event of the profile.
        """
        orders = matches.orders
        low_ms = self.low_ms
        floor_ms = self.floor(now_ms) if low_ms is None else now_ms + low_ms
        edge = max(oldest_order, floor_ms << ORDER_BITS)
        drop = bisect_left(orders, edge) if orders and orders[0] < edge else 0
        if self.keep_newest is not None and len(orders) > self.keep_newest:
            past = bisect_left(orders, (now_ms + 1) << ORDER_BITS)
            drop = max(drop, past - self.keep_newest)
        if drop > 0:
            matches.packed = None
            del orders[:drop]
            if matches.values:
                del matches.values[:drop]

    def floor(self, now_ms: int) -> int:
        """Return an instant before which no condition looks from `now_ms` on."""
        return min([low.floor(now_ms) for low in self.lows])

    def next_change(self, matches: Matches, now_ms: int) -> int:
        """Return the first instant after `now_ms` at which one of the terms may change."""
        due_ms = NEVER
        for term in self.terms:
            term_ms = term.next_change(matches, now_ms)
            if term_ms < due_ms:
                due_ms = term_ms
        return due_ms


def _reaches(mine: Bound, theirs: Bound) -> bool:
    if isinstance(mine, Sliding) and isinstance(theirs, Sliding):
        return mine.offset_ms <= theirs.offset_ms
    return mine == theirs


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step: `count` events of a timeline, inside a window, after the step before."""

    timeline_key: int
    interval: Interval
    count: int


@dataclass(slots=True)
class Chain:
    """An ordered sequence over timelines.

    Attributes:
        key: Stable hash; names the chain's due time in stored states.
        definitions: Ranks of the definitions that use it.
    """

    key: int
    steps: tuple[ChainStep, ...]
    definitions: tuple[int, ...] = ()

    def holds(self, all_matches: MatchTable, now_ms: int) -> bool:
        """Tell whether the sequence happened, as seen at `now_ms`.

        Taking the earliest events for each step is right: a step only asks for a later time than
        the one before it.
        """
        return self._prove(all_matches, now_ms)[0]

    def next_change(self, all_matches: MatchTable, now_ms: int) -> int:
        """Return the first instant after `now_ms` at which the answer can change, or NEVER.

        While it holds, that is when the first event of its proof leaves; while it does not, only an
        event that comes into a window can help.
        """
        return self._prove(all_matches, now_ms)[1]

    def _prove(self, all_matches: MatchTable, now_ms: int) -> tuple[bool, int]:
        after = 0
        leaves_ms = enters_ms = NEVER
        holds = True
        for step in self.steps:
            matches = all_matches.get(step.timeline_key)
            if matches is None:
                holds = False
                continue
            orders = matches.orders
            start, end = visible(orders, step.interval, now_ms)
            enters_ms = min(enters_ms, entering(orders, step.interval, start, end, now_ms))
            if not holds:
                continue
            first = max(start, bisect_left(orders, after))
            last = first + step.count - 1
            if last >= end:
                holds = False
                continue
            leaves_ms = min(
                leaves_ms, step.interval.low.passes(orders[first] >> ORDER_BITS, now_ms)
            )
            after = ((orders[last] >> ORDER_BITS) + 1) << ORDER_BITS
        return holds, min(leaves_ms, enters_ms) if holds else enters_ms
