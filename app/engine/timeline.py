"""The kept events that match one filter, shared by every condition with that filter."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from app.engine.bounds import NEVER, Bound, Sliding
from app.engine.chain import Chain
from app.engine.frame import Frame
from app.engine.profile import ORDER_BITS
from app.engine.tables import Matches, Number
from app.engine.terms import Term, merged_term


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
        is_restful: Its answers only change when a number has grown by enough: see `Matches.quiet`.
        merged: The terms of a restful timeline as one, for when all windows hold all events.
        shortest_ms: Offset from now at which the shortest of those windows begins.
        all_chains: Those of `chains`.
        last_chains: Those whose last step is on this timeline.
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
    is_restful: bool = False
    merged: tuple[Term, ...] = ()
    shortest_ms: int = 0
    all_chains: tuple[Chain, ...] = ()
    last_chains: tuple[Chain, ...] = ()

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
        self.is_restful = self.is_recent and all(
            term.kind in ("count", "sum") and not term.watchers for term in self.terms
        )
        if self.is_restful and self.terms:
            self.merged = (merged_term(self.terms),)
            self.shortest_ms = max(term.recent_ms or 0 for term in self.terms)
        self.all_chains = tuple(chain for chain, _ in self.chains)
        self.last_chains = tuple(chain for chain, is_last in self.chains if is_last)

    def covers(self, other: Timeline) -> bool:
        """Tell whether what this timeline keeps is enough for another with the same filter."""
        if self.keep_newest is not None and (
            other.keep_newest is None or other.keep_newest > self.keep_newest
        ):
            return False
        return all(any(_reaches(mine, theirs) for mine in self.lows) for theirs in other.lows)

    def entries(self, frame: Frame) -> Sequence[Number | None]:
        """Return what the event in slot 0 enters with: its numbers, one None, or nothing."""
        if self.accepts is not None and not self.accepts(frame):
            return ()
        return _COUNTED if self.numbers is None else self.numbers(frame)

    def add(self, matches: Matches, order: int, number: Number | None) -> int:
        """Insert an event; return its index."""
        orders = matches.orders
        if not orders or order > orders[-1]:
            matches.packed = None
            orders.append(order)
            if number is not None:
                matches.values.append(number)
            return len(orders) - 1
        index = bisect_right(orders, order)
        matches.insert(index, order, number)
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
            terms = self.terms
            if self.merged and matches.orders[0] >= (now_ms + self.shortest_ms) << ORDER_BITS:
                terms = self.merged
            for term in terms:
                term.appended(matches, now_ms, found)
            self._rest(matches, terms, now_ms)
            if len(found) == before and self._stays_due(has_due, number):
                return None
            return self.next_change(matches, now_ms)
        matches.quiet = min(matches.quiet, 0)
        due_ms = NEVER
        for term in self.terms:
            due_ms = min(due_ms, term.entered(matches, index, now_ms, found))
        return due_ms

    def _stays_due(self, has_due: bool, number: Number | None) -> bool:
        """Tell whether an event that crosses nothing leaves the due time, or its absence, right.

        A sum has none while it has passed no breakpoint and no number in it is negative.
        """
        return has_due or self.only_counts or (self.is_restful and (number is None or number >= 0))

    def _rest(self, matches: Matches, terms: tuple[Term, ...], now_ms: int) -> None:
        """Find out how long nobody has to look again.

        Until it is due, a window loses nothing that would take a number below a breakpoint, so the
        way to the next breakpoint above only gets longer.
        """
        if matches.quiet < 0 or not self.is_restful:
            # Most profiles do not come twice before they are forgotten again.
            matches.quiet = 0
            return
        room = min([term.room(matches, now_ms) for term in terms], default=inf)
        if self.numbers is None:
            matches.quiet = int(min(room - 1, _MOST_QUIET))
        else:
            matches.quiet, matches.headroom = _MOST_QUIET, room

    def lose(self, matches: Matches, last: int, now_ms: int, found: set[int]) -> None:
        """Drop the events up to order `last`, which the profile no longer keeps.

        The due time may stay: what goes can only move the next change to a later time.
        """
        drop = bisect_right(matches.orders, last)
        before = len(found)
        for term in self.terms:
            term.lost(matches, drop, now_ms, found)
        if len(found) != before or any(number < 0 for number in matches.values[:drop]):
            matches.quiet = 0
        matches.drop(drop)

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
            matches.drop(drop)

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


_COUNTED = (None,)
_MOST_QUIET = 64
"""Events after which somebody looks anyway, and trims."""


def _reaches(mine: Bound, theirs: Bound) -> bool:
    if isinstance(mine, Sliding) and isinstance(theirs, Sliding):
        return mine.offset_ms <= theirs.offset_ms
    return mine == theirs
