"""The oracle, watched at work: every value is the oracle's, and it is noted who asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import UserError
from app.engine.oracle import Event, Interpreter, ItemFrame, Subject
from app.pql.ast import Expr
from app.pql.functions import EventItem
from app.pql.values import Value

ROOT = ItemFrame((), {})

Calls = list[tuple[Expr, ItemFrame, Value]]


class TooCostly(UserError):
    """What is asked needs more evaluations than one request may take."""

    code = "cannot-explain"


@dataclass(slots=True)
class Budget:
    """Evaluations that may still be made; shared by all that work on one question."""

    left: int

    def spend(self, amount: int = 1) -> None:
        """Take note of evaluations; raises `TooCostly` when there were too many."""
        self.left -= amount
        if self.left < 0:
            raise TooCostly(
                "explaining this takes too many evaluations: the expression compares the events of"
                " the profile with each other, and it has many; narrow the conditions on them"
            )


class Watcher(Interpreter):
    """The oracle on one profile at one instant, with a bound on its work."""

    def __init__(self, subject: Subject, budget: Budget) -> None:
        super().__init__(subject)
        self._budget = budget
        self._listener: Calls | None = None

    def value(self, node: Expr, frame: ItemFrame) -> Value:
        """Return the oracle's value of a node."""
        self._budget.spend()
        listener = self._listener
        if listener is None:
            return super().value(node, frame)
        self._listener = None
        try:
            found = super().value(node, frame)
        finally:
            self._listener = listener
        listener.append((node, frame, found))
        return found

    def watch(self, node: Expr, frame: ItemFrame) -> tuple[Value, Calls]:
        """Return the value of a node, and what it asked its parts for, in which frames."""
        self._budget.spend()
        calls: Calls = []
        outer, self._listener = self._listener, calls
        try:
            found = super().value(node, frame)
        finally:
            self._listener = outer
        return found, calls

    @property
    def subject(self) -> Subject:
        """The profile."""
        return self._subject

    @property
    def items(self) -> list[EventItem]:
        """The events as expressions see them."""
        return self._events

    def of(self, subject: Subject) -> Watcher:
        """Return the oracle on another profile, within the same budget."""
        return Watcher(subject, self._budget)

    def events_by_item(self) -> dict[int, Event]:
        """Return the events by the identity of what expressions see of them."""
        in_order = sorted(self._subject.events, key=lambda event: event.order)
        return {id(item): one for item, one in zip(self._events, in_order, strict=True)}
