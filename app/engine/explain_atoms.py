"""Conditions that are made of no others, and what each needs to become true, or false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from app.domain.model import JsonObject
from app.engine.explain_counts import Counting, counting_of
from app.engine.explain_needs import (
    Assignment,
    Need,
    NeedKind,
    assigned,
    candidates,
    is_constant,
    nearest_count,
    path_of,
    relation_words,
    subject_of,
    uses_clock,
)
from app.engine.explain_tree import text_of
from app.engine.explain_watch import Watcher
from app.engine.explain_words import code, fewer_events, more_events, shown
from app.engine.oracle import ItemFrame
from app.pql import ast
from app.pql.ast import Expr
from app.pql.functions import EventItem, truth
from app.pql.values import Value

_UNSURE = 50
_BY_TIME = 20
_ROUNDS = 8
Way = tuple[Need, ...]


class WayFinder(Protocol):
    """Finds what a condition on one item needs."""

    def ways(self, node: Expr, wanted: bool, frame: ItemFrame) -> list[Way]:
        """Return the cheapest ways to make a node what is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """An event that is being made up, and the frame that a condition sees it in."""

    item: EventItem
    frame_of: Callable[[EventItem], ItemFrame]


class Atoms:
    """Finds the needs of single conditions of one profile."""

    def __init__(self, watcher: Watcher, source: str, retention_ms: int, finder: WayFinder) -> None:
        self._watcher = watcher
        self._source = source
        self._retention_ms = retention_ms
        self._finder = finder
        self._draft: _Draft | None = None

    def need(self, node: Expr, wanted: bool, frame: ItemFrame) -> Need | None:
        """Return what a condition needs; None where nothing can make it so."""
        if is_constant(node):
            return None
        if isinstance(node, ast.Call) and node.function == "inSegment":
            return self._membership(node, wanted)
        counting = counting_of(node)
        if counting is not None:
            found = self._events(node, counting, wanted, frame)
            if found is not None:
                return found
        if isinstance(node, ast.Chain):
            return self._sequence(node, wanted, frame)
        return self._attribute(node, wanted, frame) or self._other(node, wanted)

    def _plain(
        self, kind: NeedKind, node: Expr, wanted: bool, words: str, cost: int = _UNSURE
    ) -> Need:
        return Need(kind, words, text_of(node, self._source), node.span, wanted, cost)

    def _membership(self, node: ast.Call, wanted: bool) -> Need:
        argument = node.arguments[0]
        segment_id = str(argument.value) if isinstance(argument, ast.Literal) else ""
        words = f"the profile must {'come into' if wanted else 'leave'} segment {segment_id}"
        need = self._plain("segment", node, wanted, words, 2)
        return replace(need, segment_id=segment_id)

    def _sequence(self, node: ast.Chain, wanted: bool, frame: ItemFrame) -> Need:
        if not wanted:
            words = (
                "the sequence must come undone, which only time does: windows end, events expire"
            )
            return self._plain("sequence", node, wanted, words, _BY_TIME)
        missing = ", then ".join(self._missing_steps(node, frame))
        words = f"the sequence goes on, later than what has happened of it: {missing}"
        return self._plain("sequence", node, wanted, words, 10)

    def _missing_steps(self, node: ast.Chain, frame: ItemFrame) -> list[str]:
        missing: list[str] = []
        for number, step in enumerate(node.steps):
            done, needed = 0, step.count or 1
            while not missing and done < needed:
                begun = (*node.steps[:number], replace(step, count=done + 1))
                if not truth(self._watcher.value(replace(node, steps=begun), frame)):
                    break
                done += 1
            if done < needed:
                what = more_events(needed - done, code(text_of(step.what, self._source)))
                missing.append(f"{what} (step {step.label})")
        return missing

    def _events(
        self, node: Expr, counting: Counting, wanted: bool, frame: ItemFrame
    ) -> Need | None:
        count = sum(
            counting.condition is None
            or truth(self._watcher.value(counting.condition, counting.inside(frame, item)))
            for item in self._watcher.items
        )
        bound = self._watcher.value(counting.bound, frame)
        target = nearest_count(counting.operator, bound, count, wanted=wanted)
        if target is None:
            return None
        condition = counting.condition
        such = "" if condition is None else code(text_of(condition, self._source))
        if target < count:
            words = f"{fewer_events(target, count, such)}; only time takes events away"
            need = self._plain("fewer-events", node, wanted, words, _BY_TIME + count - target)
            return replace(need, count=count - target, current=count)
        more = target - count
        words = more_events(more, such)
        event = self._example(counting, frame)
        need = self._plain("events", node, wanted, words, more + (0 if event else 5))
        return replace(need, count=more, current=count, event=event)

    def _example(self, counting: Counting, frame: ItemFrame) -> JsonObject | None:
        """Make up an event that satisfies a condition; None where that is not simple."""
        outer = self._draft
        if outer is not None:
            return None
        item = EventItem({"timestamp": self._watcher.subject.now_ms})
        try:
            for _ in range(_ROUNDS):
                if counting.condition is None:
                    return dict(item)
                self._draft = _Draft(item, lambda one: counting.inside(frame, one))
                ways = self._finder.ways(counting.condition, True, counting.inside(frame, item))
                if () in ways:
                    return dict(item)
                way = next((one for one in ways if all(map(_is_of_event, one))), None)
                if way is None:
                    return None
                item = _with_all(item, way)
            return None
        finally:
            self._draft = outer

    def _attribute(self, node: Expr, wanted: bool, frame: ItemFrame) -> Need | None:
        subject = subject_of(node)
        if subject is None or _is_of_time(subject):
            return None
        current = self._watcher.value(subject, frame)
        operator, words = relation_words(node, wanted=wanted, subject=subject)
        operands = self._operands(node, subject)
        told = f"{code(text_of(subject, self._source))} must {words} {operands}".rstrip()
        if not wanted and operator not in ("isNull", "isNotNull") and current is not None:
            told += " (or be missing)"
        told += f"; it is {shown(current)}"
        path = self._path(subject, frame)
        need = self._plain("condition" if path is None else "attribute", node, wanted, told, 30)
        need = replace(need, current=current, operator=operator, operand=self._operand(node, frame))
        if path is None:
            return need
        names, of_event = path
        assignment = self._tried(node, wanted, frame, current, names, of_event=of_event)
        cost = 5 if assignment is None else 1
        return replace(need, cost=cost, path=".".join(names), assignment=assignment)

    def _operands(self, node: Expr, subject: Expr) -> str:
        if isinstance(node, ast.Binary):
            return text_of(node.left if node.right is subject else node.right, self._source)
        if isinstance(node, ast.Occurs):
            return text_of(node.tail, self._source)
        if isinstance(node, ast.MethodCall):
            return ", ".join(text_of(one, self._source) for one in node.arguments)
        return ""

    def _operand(self, node: Expr, frame: ItemFrame) -> Value:
        constants: list[Expr] = []
        if isinstance(node, ast.Binary):
            constants = [side for side in (node.left, node.right) if is_constant(side)]
        elif isinstance(node, ast.MethodCall):
            constants = list(node.arguments[:1])
        return self._watcher.value(constants[0], frame) if constants else None

    def _path(self, subject: Expr, frame: ItemFrame) -> tuple[tuple[str, ...], bool] | None:
        """Return the names of a path into the profile, or into the event that is made up."""
        found = path_of(subject)
        if found is None:
            return None
        names, root = found
        if isinstance(root, ast.ProfileRef):
            return names, False
        draft = self._draft
        if draft is not None and self._watcher.value(root, frame) is draft.item:
            return names, True
        return None

    def _tried(
        self,
        node: Expr,
        wanted: bool,
        frame: ItemFrame,
        current: Value,
        names: tuple[str, ...],
        *,
        of_event: bool,
    ) -> Assignment | None:
        """Return the first value with which the oracle finds the condition to be as wanted."""
        if any(isinstance(part, ast.EventsRef | ast.Chain) for part in ast.walk(node)):
            return None
        subject, draft = self._watcher.subject, self._draft
        for value in candidates(node, current, subject.now_ms):
            assignment = Assignment(names, value, of_event)
            document = assigned(
                draft.item if of_event and draft else subject.attributes, assignment
            )
            if document is None:
                return None
            if of_event and draft is not None:
                if not self._is_possible(document.get("timestamp")):
                    continue
                found = self._watcher.value(node, draft.frame_of(EventItem(document)))
            else:
                changed = replace(subject, attributes=document, events=())
                found = self._watcher.of(changed).value(node, frame)
            if truth(found) is wanted:
                return assignment
        return None

    def _is_possible(self, at_ms: object) -> bool:
        now_ms = self._watcher.subject.now_ms
        return type(at_ms) is int and now_ms - self._retention_ms < at_ms <= now_ms

    def _other(self, node: Expr, wanted: bool) -> Need:
        becomes = "true" if wanted else "false"
        text = code(text_of(node, self._source))
        if _is_of_time(node):
            return self._plain("time", node, wanted, f"{text} must be {becomes}: time decides", 20)
        return self._plain("condition", node, wanted, f"{text} must become {becomes}")


def _is_of_event(need: Need) -> bool:
    return need.assignment is not None and need.assignment.of_event


def _with_all(item: EventItem, way: Way) -> EventItem:
    document: JsonObject = item
    for need in way:
        assert need.assignment is not None
        document = assigned(document, need.assignment) or document
    return EventItem(document)


def _is_of_time(node: Expr) -> bool:
    parts = [*ast.walk(node)]
    data = (ast.ProfileRef, ast.EventsRef, ast.ItemRef, ast.Variable)
    return any(isinstance(part, ast.Call) and uses_clock(part) for part in parts) and not any(
        isinstance(part, data) for part in parts
    )
