"""The clauses of the grammar that have keywords of their own: occurs, chain, comprehensions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from app.pql import ast
from app.pql.ast import Declaration, Expr, OccursTail, Step, Unit
from app.pql.precedence import ADD, BINARY, OR
from app.pql.suggest import did_you_mean
from app.pql.tokens import TokenCursor
from app.pql.words import RESERVED, UNITS

_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_DIRECTIONS = ("before", "after", "from")
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_END_OF_VALUE = (BINARY.keys() - _ARITHMETIC) | {",", ")", "]", "}", ":", "=>", "where", "notin"}
_LONGEST_VALUE = 200
_ALL_UNITS = (
    "use millisecond, second, minute, hour, day, week, month, year, decade, century or millennium"
)
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


class ClauseParser(ABC):
    """Reads clauses; the rest of the grammar is in its heirs."""

    def __init__(self, source: str) -> None:
        self.cursor = TokenCursor(source)

    @abstractmethod
    def expression(self, level: int = 0) -> Expr:
        """Read an expression whose operators bind at least as strongly as `level`."""

    def occurs_tail(self) -> OccursTail:
        """Read what follows `occurs`."""
        start = self.cursor.token.span.start
        if self.cursor.take_word("between"):
            first = self.expression(ADD)
            self.cursor.need_word("and", "between the two times")
            last = self.expression(ADD)
            return ast.OccursBetween(first, last, span=self.cursor.span_from(start))
        if self.cursor.symbol() in _COMPARISONS:
            return self._distance(start)
        if self.cursor.word() in _DIRECTIONS:
            direction: Any = self.cursor.take().text.lower()
            time = self.expression(ADD)
            return ast.OccursRelative(direction, time, span=self.cursor.span_from(start))
        self.cursor.take_word("on")
        time = self.expression(ADD)
        return ast.OccursOn(time, span=self.cursor.span_from(start))

    def _distance(self, start: int) -> ast.OccursDistance:
        comparison: Any = self.cursor.take().text
        amount = self._whole_number("of time units, such as `<= 3 days before now`")
        unit = self._unit()
        direction: Any = self.cursor.need_one_of(_DIRECTIONS)
        time = self.expression(ADD)
        span = self.cursor.span_from(start)
        return ast.OccursDistance(comparison, amount, unit, direction, time, span=span)

    def _whole_number(self, context: str) -> int:
        token = self.cursor.token
        if token.kind != "number" or not isinstance(token.value, int):
            raise self.cursor.unexpected(f"a whole number {context}")
        self.cursor.take()
        return token.value

    def _unit(self) -> Unit:
        unit = UNITS.get(self.cursor.word())
        if unit is None:
            raise self.cursor.refuse(
                f"unknown time unit `{self.cursor.token.text}`",
                self.cursor.token,
                did_you_mean(self.cursor.token.text, UNITS, _ALL_UNITS),
            )
        self.cursor.take()
        return unit

    def starts_comprehension(self) -> bool:
        """Tell `select X from …` from a field or method called `select`."""
        return self.cursor.word() in {"select", "exists", "forall"} and self._declares(1)

    def comprehension(self) -> Expr:
        """Read `select`, `exists` or `forall` with its declarations."""
        start = self.cursor.token.span.start
        kind: Any = self.cursor.take().text.lower()
        declarations = self._declarations()
        return ast.Comprehension(kind, declarations, span=self.cursor.span_from(start))

    def starts_aggregate(self) -> bool:
        """Tell `sum e over X from …` from a field or method called `sum`."""
        if self.cursor.word() not in {"sum", "average", "min", "max"}:
            return False
        if self._declares(1):
            return True
        return self.cursor.has_word("over") and self._finds_over()

    def _declares(self, ahead: int) -> bool:
        """Tell `X from` ahead; `sum occurs from now` is about a field called `sum`."""
        is_name = self.cursor.peek(ahead).kind == "name"
        is_free = self.cursor.word(ahead) not in RESERVED
        return is_name and is_free and self.cursor.word(ahead + 1) == "from"

    def _finds_over(self) -> bool:
        depth = 0
        for ahead in range(1, _LONGEST_VALUE):
            if self.cursor.peek(ahead).kind == "end":
                return False
            text = self.cursor.word(ahead) or self.cursor.symbol(ahead)
            if depth == 0 and self.cursor.symbol(ahead - 1) != ".":
                if text == "over" and ahead > 1:
                    return True
                if text in _END_OF_VALUE:
                    return False
            depth += (text in _OPENING) - (text in _CLOSING)
        return False

    def aggregate(self) -> Expr:
        """Read `sum e over X from …` or the short form `sum X from numbers`."""
        start = self.cursor.token.span.start
        kind: Any = self.cursor.take().text.lower()
        value = None
        if not self._declares(0):
            value = self.expression(ADD)
            self.cursor.need_word("over", "between the value and the declarations")
        declarations = self._declarations()
        return ast.Aggregate(kind, value, declarations, span=self.cursor.span_from(start))

    def _declarations(self) -> tuple[Declaration, ...]:
        found = [self._declaration()]
        while self.cursor.symbol() == "," and self._declares(1):
            self.cursor.take()
            found.append(self._declaration())
        return tuple(found)

    def _declaration(self) -> Declaration:
        name = self.cursor.need_name("for the variable")
        self.cursor.need_word("from", "after the variable")
        source = self.expression(ADD)
        condition = None
        if self.cursor.take_word("where") or self.cursor.take_symbol(":"):
            condition = self.expression(OR)
        span = self.cursor.span_from(name.span.start)
        return Declaration(name.text, source, condition, span=span)

    def starts_chain(self) -> bool:
        """Tell `chain(…)` from a field called `chain`."""
        return self.cursor.word() == "chain" and self.cursor.symbol(1) == "("

    def chain(self) -> Expr:
        """Read `chain(array, key, [steps])`."""
        start = self.cursor.take().span.start
        self.cursor.need_symbol("(", "after chain")
        array = self.expression()
        self.cursor.need_symbol(",", "after the array of a chain")
        key = self.expression()
        self.cursor.need_symbol(",", "after the key of a chain")
        self.cursor.need_symbol("[", "before the steps of a chain")
        steps = [self._step()]
        while self.cursor.take_symbol(","):
            steps.append(self._step())
        self.cursor.need_symbol("]", "after the steps of a chain")
        self.cursor.need_symbol(")", "after a chain")
        return ast.Chain(array, key, tuple(steps), span=self.cursor.span_from(start))

    def _step(self) -> Step:
        label = self.cursor.need_name("as the label of a step, such as `A: WHAT(…)`")
        self.cursor.need_symbol(":", "after the label of a step")
        self.cursor.need_word("what", "to begin a step")
        what = self._bracketed("WHAT")
        clauses: dict[str, Any] = {}
        while self.cursor.word() in {"when", "where", "count"}:
            token = self.cursor.take()
            clause = token.text.lower()
            if clause in clauses:
                hint = "join conditions with `and`"
                raise self.cursor.refuse(f"a step has one {clause.upper()}", token, hint)
            clauses[clause] = self._clause(clause)
        return Step(
            label.text,
            what,
            clauses.get("when"),
            clauses.get("where"),
            clauses.get("count"),
            span=self.cursor.span_from(label.span.start),
        )

    def _clause(self, clause: str) -> Expr | OccursTail | int:
        if clause == "where":
            return self._bracketed("WHERE")
        self.cursor.need_symbol("(", f"after {clause.upper()}")
        found: OccursTail | int
        if clause == "when":
            found = self.occurs_tail()
        else:
            found = self._whole_number("of events, at least 1")
        self.cursor.need_symbol(")", f"after {clause.upper()}")
        return found

    def _bracketed(self, clause: str) -> Expr:
        self.cursor.need_symbol("(", f"after {clause}")
        found = self.expression()
        self.cursor.need_symbol(")", f"after {clause}")
        return found
