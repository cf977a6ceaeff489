"""How the oracle evaluates `occurs`, and what it remembers while it walks a tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from app.domain.limits import DAY_MS
from app.pql import ast, occurs
from app.pql.ast import Expr, OccursTail
from app.pql.calendar import Day, parse_timestamp
from app.pql.occurs import Interval
from app.pql.values import Value, leaves


@dataclass(frozen=True, slots=True)
class Frame:
    """The current items, innermost first, and the bound variables."""

    items: tuple[Value, ...]
    variables: dict[str, Value]

    def with_item(self, item: Value) -> Frame:
        """Return the frame inside one more item."""
        return Frame((item, *self.items), self.variables)

    def with_variable(self, name: str, value: Value) -> Frame:
        """Return the frame with one more variable."""
        return Frame(self.items, {**self.variables, name: value})


class TimeRules(ABC):
    """The rules of `occurs`."""

    @property
    @abstractmethod
    def now_ms(self) -> int:
        """The instant of the evaluation."""

    @abstractmethod
    def value(self, node: Expr, frame: Frame) -> Value:
        """Return the value of an expression."""

    def occurs(self, node: ast.Occurs, frame: Frame) -> bool:
        """Apply `occurs`; of a list at its left any item will do."""
        operand = self.value(node.operand, frame)
        candidates = leaves(operand) if isinstance(operand, list) else [operand]
        instants = [parse_timestamp(candidate) for candidate in candidates]
        return any(ms is not None and self.holds(ms, node.tail, frame) for ms in instants)

    def holds(self, ms: int, tail: OccursTail, frame: Frame) -> bool:
        """Apply a tail; a list of times is satisfied by any of them, no time by none."""
        if isinstance(tail, ast.OccursBetween):
            firsts, lasts = self._times(tail.start, frame), self._times(tail.end, frame)
            return any(occurs.is_between(ms, first, last) for first in firsts for last in lasts)
        return any(_satisfies(ms, tail, time) for time in self._times(tail.time, frame))

    def _times(self, node: Expr, frame: Frame) -> list[Interval]:
        if isinstance(node, ast.Moment):
            return [occurs.moment(node, self.now_ms)]
        if isinstance(node, ast.Period):
            return [occurs.period(node, self.now_ms)]
        found = self.value(node, frame)
        candidates = leaves(found) if isinstance(found, list) else [found]
        times = [_time(candidate) for candidate in candidates]
        return [time for time in times if time is not None]


def _time(value: Value) -> Interval | None:
    if isinstance(value, Day):
        return Interval(value, value + DAY_MS)
    instant = parse_timestamp(value)
    return None if instant is None else occurs.instant(instant)


def _satisfies(
    ms: int, tail: ast.OccursOn | ast.OccursRelative | ast.OccursDistance, time: Interval
) -> bool:
    if isinstance(tail, ast.OccursOn):
        return occurs.is_on(ms, time)
    if isinstance(tail, ast.OccursRelative):
        return occurs.is_relative(ms, tail.direction, time)
    is_now = isinstance(tail.time, ast.Moment) and tail.time.word == "now"
    return occurs.is_at_distance(
        ms, tail.comparison, tail.amount, tail.unit, tail.direction, time, until_now=is_now
    )
