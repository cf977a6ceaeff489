"""Which kept events counted: accepted by a condition, or filling the steps of a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from app.engine.explain_tree import Explained, text_of
from app.engine.explain_watch import ROOT, Budget, TooCostly, Watcher
from app.engine.oracle import Event, ItemFrame, Subject
from app.pql import ast
from app.pql.ast import Span
from app.pql.functions import EventItem, truth

_SINGLY = 20
"""Up to so many events of a step are found one by one; of more than that the last one."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The events that a condition accepted, oldest first."""

    text: str
    span: Span
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class FilledStep:
    """One step of a sequence.

    Attributes:
        needed: So many events finish it.
        events: Those that it has; of very many the last one only.
        is_done: It has all of them.
    """

    label: str
    text: str
    needed: int
    events: tuple[Event, ...]
    is_done: bool


@dataclass(frozen=True, slots=True)
class FilledChain:
    """A sequence.

    Attributes:
        steps: None where finding out took too long.
    """

    node: ast.Chain
    text: str
    span: Span
    steps: tuple[FilledStep, ...] | None

    @property
    def stands_at(self) -> FilledStep | None:
        """The first step that is not done."""
        return next((step for step in self.steps or () if not step.is_done), None)


def counted_events(root: Explained, events: dict[int, Event]) -> list[Counted]:
    """Return what the conditions of a tree accepted, in the order of the text.

    Args:
        root: The tree.
        events: By the identity of what expressions see of them.
    """
    found: dict[tuple[str, Span], Counted] = {}
    for node, above in _single_nodes(root, None):
        items = _accepted_items(node, above)
        if items is not None:
            distinct = {id(item): events[id(item)] for item in items if id(item) in events}
            ordered = sorted(distinct.values(), key=lambda event: event.order)
            found.setdefault((node.text, node.span), Counted(node.text, node.span, tuple(ordered)))
    return [*found.values()]


def _single_nodes(
    node: Explained, above: Explained | None
) -> Iterator[tuple[Explained, Explained | None]]:
    """Yield what was asked for once, and what was asked for each item directly below it."""
    yield node, above
    if node.has_value:
        for child in node.children:
            yield from _single_nodes(child, node)


def _accepted_items(node: Explained, above: Explained | None) -> Iterable[object] | None:
    if node.has_value:
        if isinstance(node.node, ast.EventsRef) and above is not None and _is_narrowed(above):
            return None
        if isinstance(node.value, list) and (
            isinstance(node.node, ast.EventsRef)
            or any(isinstance(item, EventItem) for item in node.value)
        ):
            return [item for item in node.value if isinstance(item, EventItem)]
        return None
    if above is None or node.node not in _conditions_of(above.node):
        return None
    found = [_innermost(frame) for frame in node.accepted]
    asked = [_innermost(frame) for frame in node.frames]
    return found if asked and all(isinstance(item, EventItem) for item in asked) else None


def _is_narrowed(node: Explained) -> bool:
    """Tell whether a node chooses among events by a condition that is looked at by itself."""
    return isinstance(node.node, ast.Filter) or bool(_conditions_of(node.node))


def _conditions_of(node: ast.Node) -> list[ast.Expr]:
    """Return the conditions on items of a node whose value does not show which it chose."""
    if isinstance(node, ast.MethodCall) and node.method == "exists":
        return list(node.arguments)
    if isinstance(node, ast.Comprehension | ast.Aggregate):
        return [one.condition for one in node.declarations if one.condition is not None]
    return []


def _innermost(frame: ItemFrame) -> object:
    if frame.variables:
        return [*frame.variables.values()][-1]
    return frame.items[0] if frame.items else None


def filled_chains(
    root: Explained, subject: Subject, source: str, budget: Budget
) -> list[FilledChain]:
    """Return what fills the sequences of a tree; those inside items are left out."""
    found = []
    for node, _ in _single_nodes(root, None):
        chain = node.node
        if isinstance(chain, ast.Chain) and node.has_value and node.frames == (ROOT,):
            try:
                steps = (
                    None
                    if _sees_events(chain)
                    else _Filling(chain, subject, source, budget).steps()
                )
            except TooCostly:
                steps = None
            found.append(FilledChain(chain, node.text, node.span, steps))
    return found


def _sees_events(chain: ast.Chain) -> bool:
    return any(isinstance(part, ast.EventsRef) for step in chain.steps for part in ast.walk(step))


class _Filling:
    """Finds what fills a sequence by asking the oracle for its beginnings.

    The event that fills a place is the last one of the shortest history for which the sequence up
    to this place has happened.
    """

    def __init__(self, chain: ast.Chain, subject: Subject, source: str, budget: Budget) -> None:
        self._chain = chain
        self._subject = subject
        self._source = source
        self._budget = budget
        self._events = sorted(subject.events, key=lambda event: (event.at_ms, event.order))
        self._past = 0

    def steps(self) -> tuple[FilledStep, ...]:
        found: list[FilledStep] = []
        is_done = True
        for number, step in enumerate(self._chain.steps):
            needed = step.count or 1
            events = self._filling(number, step, needed) if is_done else []
            is_done = is_done and self._has_happened(number, needed, len(self._events))
            found.append(
                FilledStep(step.label, text_of(step, self._source), needed, tuple(events), is_done)
            )
        return tuple(found)

    def _filling(self, number: int, step: ast.Step, needed: int) -> list[Event]:
        events = []
        for count in range(1, needed + 1) if needed <= _SINGLY else [needed]:
            if not self._has_happened(number, count, len(self._events)):
                break
            self._past = self._shortest(number, count)
            events.append(self._events[self._past - 1])
        return events

    def _shortest(self, number: int, count: int) -> int:
        low, high = self._past, len(self._events)
        while high - low > 1:
            middle = (low + high) // 2
            if self._has_happened(number, count, middle):
                high = middle
            else:
                low = middle
        return high

    def _has_happened(self, number: int, count: int, past: int) -> bool:
        steps = self._chain.steps
        begun = (*steps[:number], replace(steps[number], count=count))
        subject = replace(self._subject, events=self._events[:past])
        watcher = Watcher(subject, self._budget)
        return truth(watcher.value(replace(self._chain, steps=begun), ROOT))
