"""What would have to be true for a profile to qualify, or no longer to: a few small sets of needs.

Negations are pushed in; of an `or` the cheapest alternatives are kept, of an `and` all that is
missing. Whatever can be tried out is: the needs are applied, and the oracle is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from app.engine.explain_atoms import Atoms
from app.engine.explain_needs import Need, assigned
from app.engine.explain_watch import ROOT, Budget, TooCostly, Watcher
from app.engine.oracle import Event, ItemFrame, Subject
from app.engine.profile import ORDER_BITS
from app.pql import ast
from app.pql.ast import Expr
from app.pql.functions import truth

_MOST = 4
Way = tuple[Need, ...]
"""Needs that are all to be met together."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to flip the answer.

    Attributes:
        checked: The oracle's answer is flipped when the examples are applied; None where they
            cannot be, since some need has no example. False: the needs are in each other's way.
    """

    needs: Way
    checked: bool | None


@dataclass(frozen=True, slots=True)
class Flip:
    """How an answer could become the other one.

    Attributes:
        qualifies: The answer that would be reached.
        alternatives: The cheapest first; none where nothing flips it, or nothing simple is known.
        is_complete: False where looking for them took too long.
    """

    qualifies: bool
    alternatives: tuple[Alternative, ...]
    is_complete: bool = True


def find_flip(expr: Expr, subject: Subject, source: str, retention_ms: int, budget: Budget) -> Flip:
    """Find what would flip the answer for a profile."""
    try:
        watcher = Watcher(subject, budget)
        wanted = not truth(watcher.value(expr, ROOT))
    except TooCostly:
        return Flip(False, (), is_complete=False)
    try:
        finder = _Finder(watcher, source, retention_ms)
        ways = finder.ways(expr, wanted, ROOT)
        tried = [finder.tried(expr, wanted, way) for way in ways]
    except TooCostly:
        return Flip(wanted, (), is_complete=False)
    distinct = {_key(one.needs): one for one in reversed(tried)}
    tried = sorted(distinct.values(), key=lambda one: cost_of(one.needs))
    good = [one for one in tried if one.checked is not False]
    return Flip(wanted, tuple(good or tried[:1])[:_MOST])


class _Finder:
    def __init__(self, watcher: Watcher, source: str, retention_ms: int) -> None:
        self._watcher = watcher
        self._atoms = Atoms(watcher, source, retention_ms, self)

    def ways(self, node: Expr, wanted: bool, frame: ItemFrame) -> list[Way]:
        """Return the cheapest ways to make a node what is wanted; one without needs if it is."""
        if truth(self._watcher.value(node, frame)) is wanted:
            return [()]
        if isinstance(node, ast.Not):
            return self.ways(node.operand, not wanted, frame)
        if isinstance(node, ast.And | ast.Or):
            if isinstance(node, ast.And) is wanted:
                return _together(self.ways(one, wanted, frame) for one in node.operands)
            return _cheapest(way for one in node.operands for way in self.ways(one, wanted, frame))
        if isinstance(node, ast.Call) and node.function == "if":
            return self._branches(node, wanted, frame)
        if isinstance(node, ast.Let):
            value = self._watcher.value(node.value, frame)
            return self.ways(node.body, wanted, frame.with_variable(node.name, value))
        need = self._atoms.need(node, wanted, frame)
        return [] if need is None else [(need,)]

    def _branches(self, node: ast.Call, wanted: bool, frame: ItemFrame) -> list[Way]:
        test, positive, otherwise = node.arguments
        is_first = truth(self._watcher.value(test, frame))
        taken, other = (positive, otherwise) if is_first else (otherwise, positive)
        stay = self.ways(taken, wanted, frame)
        change = _together([self.ways(test, not is_first, frame), self.ways(other, wanted, frame)])
        return _cheapest([*stay, *change])

    def tried(self, expr: Expr, wanted: bool, way: Way) -> Alternative:
        """Apply the examples of all needs and ask the oracle; leave out what is not needed."""
        checked = self._is_flipped(expr, wanted, way)
        if checked:
            for need in way:
                fewer = tuple(one for one in way if one is not need)
                if self._is_flipped(expr, wanted, fewer):
                    way = fewer
        return Alternative(way, checked)

    def _is_flipped(self, expr: Expr, wanted: bool, way: Way) -> bool | None:
        subject = applied(self._watcher.subject, way)
        if subject is None:
            return None
        return truth(self._watcher.of(subject).value(expr, ROOT)) is wanted


def _together(parts: Iterable[Sequence[Way]]) -> list[Way]:
    found: list[Way] = [()]
    for ways in parts:
        joined = [_joined(first, second) for first, second in product(found, ways)]
        found = _cheapest(joined)
    return found


def _joined(first: Way, second: Way) -> Way:
    return (*first, *(need for need in second if need not in first))


def _cheapest(ways: Iterable[Way]) -> list[Way]:
    distinct: dict[object, Way] = {}
    for way in ways:
        distinct.setdefault(_key(way), way)
    return sorted(distinct.values(), key=cost_of)[:_MOST]


def _key(way: Way) -> frozenset[tuple[int, int, bool]]:
    return frozenset((need.span.start, need.span.end, need.wanted) for need in way)


def cost_of(way: Way) -> int:
    """Return how much a way takes, for comparing."""
    return sum(need.cost for need in way)


def applied(subject: Subject, way: Way) -> Subject | None:
    """Return the profile with the examples of all needs applied; None where one has none."""
    attributes, events = subject.attributes, list(subject.events)
    members: Any = subject.member_of
    for need in way:
        if need.assignment is not None:
            changed = assigned(attributes, need.assignment)
            if changed is None:
                return None
            attributes = changed
        elif need.event is not None:
            events += _copies(events, need.event, need.count)
        elif need.segment_id:
            members = _Changed(members, need.segment_id, need.wanted)
        else:
            return None
    return replace(subject, attributes=attributes, events=events, member_of=members)


@dataclass(frozen=True, slots=True)
class _Changed:
    """The segments of a profile with one taken in or out."""

    members: Any
    segment_id: str
    is_in: bool

    def __contains__(self, segment_id: object) -> bool:
        return self.is_in if segment_id == self.segment_id else segment_id in self.members


def _copies(events: Sequence[Event], body: dict[str, Any], count: int) -> list[Event]:
    at_ms: int = body["timestamp"]
    taken = {event.order for event in events}
    orders = (order for order in range(at_ms << ORDER_BITS, (at_ms + 1) << ORDER_BITS))
    free = (order for order in orders if order not in taken)
    return [Event(at_ms, next(free), dict(body)) for _ in range(count)]
