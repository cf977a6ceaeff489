"""Ordered sequences over timelines."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from app.engine.bounds import NEVER
from app.engine.profile import ORDER_BITS
from app.engine.tables import MatchTable
from app.engine.terms import entering, visible
from app.engine.windows import Interval


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

    def prove(self, all_matches: MatchTable, now_ms: int) -> tuple[bool, int]:
        """Tell whether the sequence happened, as seen at `now_ms`, and until when that is so.

        Taking the earliest events for each step is right: a step only asks for a later time than
        the one before it.

        Returns:
            The answer, and the first instant after `now_ms` at which it can change, or NEVER:
            while it holds, when the first event of its proof leaves; while it does not, when an
            event comes into a window.
        """
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
