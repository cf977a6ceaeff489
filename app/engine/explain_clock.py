"""The oracle at instants that follow each other, and until when its answer stays as it is.

Every value is the oracle's. What is added is the first instant at which one of the values that the
answer was made of can change, and that what was found of an event is kept for as long.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from app.engine.bounds import NEVER
from app.engine.explain_watch import ROOT, Budget
from app.engine.oracle import Interpreter, ItemFrame, Subject
from app.engine.windows import anchor_of, day_anchor, instant_anchor, times_of, window_between
from app.pql import ast
from app.pql.ast import Expr, OccursTail
from app.pql.calendar import unit_start_after
from app.pql.functions import FUNCTIONS, EventItem, truth
from app.pql.values import Value


class Members(Container[str]):
    """The segments that a profile is in, at an instant that can be moved.

    Args:
        fixed: Ids that stay.
        until_ms: By id of an external audience, until when the profile is in it.
    """

    def __init__(self, fixed: frozenset[str], until_ms: Mapping[str, int], now_ms: int) -> None:
        self._fixed = fixed
        self._until_ms = until_ms
        self._now_ms = now_ms

    def __contains__(self, segment_id: object) -> bool:
        if isinstance(segment_id, str) and segment_id in self._until_ms:
            return self._until_ms[segment_id] > self._now_ms
        return segment_id in self._fixed

    def at(self, now_ms: int) -> Members:
        """Return them at another instant."""
        return Members(self._fixed, self._until_ms, now_ms)

    def next_end(self) -> int:
        """Return when the next of them ends by itself."""
        return min([at for at in self._until_ms.values() if at > self._now_ms], default=NEVER)


@dataclass(slots=True)
class _Filtered:
    """What a condition on the events gave so far.

    Attributes:
        accepted: Numbers of the events that satisfy it, ascending.
        due: When the answer for an event may change, and its number; a heap.
    """

    accepted: list[int] = field(default_factory=list)
    due: list[tuple[int, int]] = field(default_factory=list)


class Clock(Interpreter):
    """The oracle on one profile.

    Args:
        subject: At the first instant.
        members: Its `member_of`.
        retention_ms: From so long after an event on it is not seen.
        budget: Of all evaluations.

    Attributes:
        until_ms: No value that was asked for since the last `move_to` changes before.
    """

    def __init__(
        self, subject: Subject, members: Members, retention_ms: int, budget: Budget
    ) -> None:
        self.until_ms = NEVER
        self._kept: list[EventItem] = []
        super().__init__(subject)
        self._all, self._members = self._kept, members
        times = [item["timestamp"] for item in self._all]
        self._oldest = _first_ms if times == sorted(times) else _least_ms
        self._retention_ms = retention_ms
        self._budget = budget
        self._answers: dict[tuple[int, int], tuple[Value, int]] = {}
        self._filters: dict[int, _Filtered] = {}
        self._depth = 0

    def move_to(self, now_ms: int) -> None:
        """Go on to a later instant; events that are past the retention are not seen any more."""
        edge_ms = now_ms - self._retention_ms
        if self._kept and self._oldest(self._kept) <= edge_ms:
            self._kept = [item for item in self._kept if item["timestamp"] > edge_ms]
        members = self._members.at(now_ms)
        self._subject = replace(self._subject, events=(), member_of=members, now_ms=now_ms)
        self._members = members
        self.until_ms = NEVER

    def qualifies(self, expr: Expr) -> bool:
        """Tell whether the profile qualifies now."""
        return truth(self.value(expr, ROOT))

    @property
    def _events(self) -> list[EventItem]:
        if self._kept:
            self._lower(self._oldest(self._kept) + self._retention_ms)
        return self._kept

    @_events.setter
    def _events(self, events: list[EventItem]) -> None:
        self._kept = events

    def value(self, node: Expr, frame: ItemFrame) -> Value:
        """Return the oracle's value of a node, and lower `until_ms` to when it may change."""
        depth = len(frame.items) + len(frame.variables)
        outer, self._depth = self._depth, depth
        try:
            if depth == 0 and isinstance(node, ast.Filter) and _is_of_single_events(node):
                return self._filtered_events(node, frame)
            if depth == 1 and outer == 0:
                return self._of_one(node, frame)
            return self._fresh(node, frame)
        finally:
            self._depth = outer

    def _of_one(self, node: Expr, frame: ItemFrame) -> Value:
        """Return the value of an expression on one event, from what is known of it."""
        item = frame.items[0] if frame.items else next(iter(frame.variables.values()))
        if not isinstance(item, EventItem):
            return self._fresh(node, frame)
        key = (id(node), id(item))
        known = self._answers.get(key)
        if known is not None and self._subject.now_ms < known[1]:
            self._budget.spend()
            self._lower(known[1])
            return known[0]
        before, self.until_ms = self.until_ms, NEVER
        found = self._fresh(node, frame)
        self._answers[key] = (found, self.until_ms)
        self._lower(before)
        return found

    def _fresh(self, node: Expr, frame: ItemFrame) -> Value:
        self._budget.spend()
        found = super().value(node, frame)
        if isinstance(node, ast.Call | ast.MethodCall):
            self._note_call(node.function if isinstance(node, ast.Call) else node.method)
        elif isinstance(node, ast.Moment | ast.Period):
            self._lower(self._subject.now_ms + 1)
        return found

    def _note_call(self, function: str) -> None:
        if function == "inSegment":
            self._lower(self._members.next_end())
        elif (spec := FUNCTIONS.get(function)) is not None and spec.needs_now:
            self._lower(unit_start_after(self._subject.now_ms, "day"))

    def _filtered_events(self, node: ast.Filter, frame: ItemFrame) -> list[EventItem]:
        """Return the events that satisfy a condition; only those are asked that may have changed.

        Of the events that leave the retention only those matter that satisfied it.
        """
        before, now_ms = self.until_ms, self._subject.now_ms
        found = self._filters.get(id(node))
        if found is None:
            found = self._filters[id(node)] = _Filtered()
            found.due = [(now_ms, number) for number in range(len(self._all))]
        edge_ms = now_ms - self._retention_ms
        while found.due and found.due[0][0] <= now_ms:
            number = heappop(found.due)[1]
            item = self._all[number]
            if item["timestamp"] > edge_ms:
                self.until_ms = NEVER
                self._settle(
                    found, number, truth(self._fresh(node.condition, frame.with_item(item)))
                )
                if self.until_ms < NEVER:
                    heappush(found.due, (self.until_ms, number))
        self.until_ms = before
        items = [self._all[number] for number in found.accepted]
        if items and self._oldest(items) <= edge_ms:
            items = [item for item in items if item["timestamp"] > edge_ms]
        self._budget.spend(1 + len(items) // 16)
        self._lower(found.due[0][0] if found.due else NEVER)
        if items:
            self._lower(self._oldest(items) + self._retention_ms)
        return items

    def _settle(self, found: _Filtered, number: int, accepts: bool) -> None:
        at = bisect_left(found.accepted, number)
        is_in = at < len(found.accepted) and found.accepted[at] == number
        if accepts and not is_in:
            insort(found.accepted, number)
        elif is_in and not accepts:
            del found.accepted[at]

    def holds(self, ms: int, tail: OccursTail, frame: ItemFrame) -> bool:
        """Apply a tail of `occurs`, and lower `until_ms` to when its answer may change."""
        anchors = [self._anchors(time, frame) for time in times_of(tail)]
        now_ms = self._subject.now_ms
        for first in anchors[0]:
            for last in anchors[-1]:
                bounds = (first, last) if len(anchors) == 2 else (first,)
                self._lower(window_between(tail, bounds).next_change(ms, now_ms))
        return super().holds(ms, tail, frame)

    def _anchors(self, time: Expr, frame: ItemFrame) -> list[Any]:
        known = anchor_of(time)
        if known is not None:
            return [known]
        return [
            instant_anchor(one.start) if one.is_instant else day_anchor(one.start)
            for one in self._times(time, frame)
        ]

    def _lower(self, at_ms: int) -> None:
        if at_ms < self.until_ms:
            self.until_ms = at_ms


def _first_ms(events: list[Any]) -> int:
    at_ms: int = events[0]["timestamp"]
    return at_ms


def _least_ms(events: list[Any]) -> int:
    times: list[int] = [item["timestamp"] for item in events]
    return min(times)


def _is_of_single_events(node: ast.Filter) -> bool:
    """Tell whether it filters the events by a condition that looks at one of them alone."""
    return isinstance(node.array, ast.EventsRef) and not any(
        isinstance(part, ast.EventsRef | ast.Chain) for part in ast.walk(node.condition)
    )
