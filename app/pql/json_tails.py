"""The tails of `occurs` and the steps of `chain` in pql/json."""

from __future__ import annotations

from typing import Any

from app.pql import ast
from app.pql.ast import Expr, OccursTail, Step, Unit
from app.pql.json_form import STEP, is_name
from app.pql.json_places import HOLE, At, shown
from app.pql.json_references import ReferenceReader
from app.pql.words import UNITS

_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_DIRECTIONS = frozenset({"before", "after", "from"})
_UNITS = "millisecond, second, minute, hour, day, week, month, year, decade, century, millennium"
_CLAUSES = frozenset({"what", "when", "where", "count"})


class TailReader(ReferenceReader):
    """Reads what follows `occurs`, and steps."""

    def word_of(self, node: Expr, at: At, what: str) -> str:
        """Return the text of a literal; notes it, and returns an empty one, if it is none."""
        if isinstance(node, ast.Literal) and isinstance(node.value, str):
            return node.value
        if node is not HOLE:
            self.found.refuse("json-value", f"{what} is needed here, as a text", at)
        return ""

    def unit_of(self, node: Expr, at: At) -> Unit | None:
        """Return the time unit that a literal names."""
        word = self.word_of(node, at, "a time unit")
        unit = UNITS.get(word.lower())
        if unit is None and word:
            self.found.refuse("json-value", f"{shown(word)} is no time unit", at, f"use {_UNITS}")
        return unit

    def _whole(self, node: Expr, at: At) -> int | None:
        if isinstance(node, ast.Literal) and type(node.value) is int:
            return node.value
        if node is not HOLE:
            self.found.refuse("json-value", "a whole number is needed here, at least 0", at)
        return None

    def tail(self, items: list[Any], places: list[At], at: At) -> OccursTail | None:
        """Read the word of a form and its operands; None, and noted, when it has no such form."""
        span = self.found.span(at)
        found = [self.expression(item, place) for item, place in zip(items, places, strict=True)]
        word = self.word_of(found[0], places[0], "a form of occurs") if found else ""
        form = word.lower()
        if form == "on" and len(found) == 2:
            return ast.OccursOn(found[1], span=span)
        if form == "between" and len(found) == 3:
            return ast.OccursBetween(found[1], found[2], span=span)
        if form in _DIRECTIONS and len(found) == 2:
            direction: Any = form
            return ast.OccursRelative(direction, found[1], span=span)
        if form in _COMPARISONS and len(found) == 5:
            return self._distance(form, found, places)
        if not found or found[0] is not HOLE:
            message = f"occurs has no form {shown(word)} with {len(found)} operands"
            hint = "`on` t; `between` t t; `before` t; or `<=` 3 `day` `before` t"
            self.found.refuse("json-value", message, at, hint)
        return None

    def _distance(self, form: Any, found: list[Expr], places: list[At]) -> OccursTail | None:
        amount = self._whole(found[1], places[1])
        unit = self.unit_of(found[2], places[2])
        direction: Any = self.word_of(found[3], places[3], "`before`, `after` or `from`").lower()
        if direction not in _DIRECTIONS:
            if direction:
                hint = "use before, after or from"
                message = f"{shown(direction)} is no direction"
                self.found.refuse("json-value", message, places[3], hint)
            return None
        if amount is None or unit is None:
            return None
        span = self.found.span(places[0])
        return ast.OccursDistance(form, amount, unit, direction, found[4], span=span)

    def step(self, given: Any, at: At) -> Step:
        """Read a step of a chain: a label, WHAT, and WHEN, WHERE, COUNT as they are needed."""
        span = self.found.span(at)
        params = self._applied(given, STEP, at)
        label = ""
        if params:
            label = self.word_of(
                self.expression(params[0], at.key("params", 0)), at.key("params", 0), "a label"
            )
            if label and not is_name(label):
                message = f"{shown(label)} cannot be a label"
                self.found.refuse("json-value", message, at.key("params", 0), "use letters")
        clauses: dict[str, Any] = {}
        for index, clause in enumerate(params[1:], 1):
            self._clause(clause, at.key("params", index), clauses)
        if params and "what" not in clauses:
            self.found.refuse("json-missing", "this step has no WHAT", at, "add its condition")
        return Step(
            label,
            clauses.get("what", HOLE),
            clauses.get("when"),
            clauses.get("where"),
            clauses.get("count"),
            span=span,
        )

    def _applied(self, given: Any, name: str, at: At) -> list[Any]:
        """Return the params of an fnApply of this name; notes it when it is none."""
        if isinstance(given, dict) and str(given.get("fnName")).lower() == name:
            params = self.found.list_of(given, "params", at)
            if params:
                return params
        self.found.refuse("json-node", f"an fnApply `{name}` with params is needed here", at)
        return []

    def _clause(self, given: Any, at: At, clauses: dict[str, Any]) -> None:
        name = str(given.get("fnName")).lower() if isinstance(given, dict) else ""
        if name not in _CLAUSES:
            hint = "use WHAT, WHEN, WHERE and COUNT"
            self.found.refuse("json-node", "this is no clause of a step", at, hint)
            return
        if name in clauses:
            hint = "join conditions with `and`"
            self.found.refuse("json-value", f"a step has one {name.upper()}", at, hint)
            return
        params = self._applied(given, name, at)
        if not params:
            return
        places = [at.key("params", index) for index in range(len(params))]
        if name == "when":
            clauses[name] = self.tail(params, places, at)
            return
        if len(params) > 1:
            self.found.refuse("arity", f"{name.upper()} takes one operand", at.key("params"))
        if name == "count":
            clauses[name] = self._whole(self.expression(params[0], places[0]), places[0])
            return
        inner = places[0].within(at.scope.with_item())
        clauses[name] = self.expression(params[0], inner)
