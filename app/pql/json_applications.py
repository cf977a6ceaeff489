"""`fnApply` of pql/json: operators, functions, methods and the clauses that the reference lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.pql import ast
from app.pql.ast import Expr
from app.pql.json_form import (
    AGGREGATES,
    CONTEXT,
    FILTER,
    INFIX,
    MOMENTS,
    OBJECT,
    PERIODS,
    PREFIX,
    UP,
    JsonNode,
    inside,
    is_name,
    usual_form,
)
from app.pql.json_places import HOLE, At, shown
from app.pql.json_references import is_declaration
from app.pql.json_tails import TailReader
from app.pql.words import RESERVED

_EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"
_FORMS = frozenset({"infix", "method", "function"})


class Params:
    """The operands of one application, with their places."""

    def __init__(self, name: str, items: list[Any], at: At) -> None:
        self.name = name
        self.items = items
        self.at = at
        self.places = [at.key("params", index) for index in range(len(items))]


class ApplicationReader(TailReader):
    """Reads `fnApply`."""

    def application(self, given: JsonNode, at: At) -> Expr:
        """Read an application by its name, and by its `form` where it has one."""
        if "function" in given and "fnName" not in given:
            message = "an application without a name may be a filter or a map"
            hint = 'say which: "fnName": "filter" or "map", with the fnCreate as second param'
            return self.found.refuse("ambiguous-application", message, at, hint)
        name = self.found.text_of(given, "fnName", at).removeprefix(PREFIX)
        items = self.found.list_of(given, "params", at) if "params" in given else []
        if not name:  # noted already
            return HOLE
        form = given.get("form", usual_form(name))
        if "form" in given and not (isinstance(form, str) and form in _FORMS):
            hint = "use infix, method or function, or leave it out"
            message = f"{shown(form)} is no form"
            return self.found.refuse("json-value", message, at.key("form"), hint)
        return _FORM_READERS[form](self, Params(name, items, at))

    def _all(self, params: Params) -> list[Expr]:
        return [
            self.expression(item, place)
            for item, place in zip(params.items, params.places, strict=True)
        ]

    def _exactly(self, params: Params, count: int, what: str) -> list[Expr] | None:
        """Read that many operands; notes it, and returns None, when there are others."""
        if len(params.items) == count:
            return self._all(params)
        self._wrong_count(params, what)
        return None

    def _wrong_count(self, params: Params, what: str) -> Expr:
        message = f"{shown(params.name)} takes {what}, {len(params.items)} are given"
        return self.found.refuse("arity", message, params.at)

    def infix(self, params: Params) -> Expr:
        """Read an operator between two operands, or a minus before one."""
        span = self.found.span(params.at)
        operator = INFIX.get(params.name.lower())
        if operator is None:
            message = f"{shown(params.name)} is no operator"
            return self.found.refuse("json-value", message, params.at.key("fnName"))
        if operator == "-" and len(params.items) == 1:
            return ast.Negative(self._all(params)[0], span=span)
        sides = self._exactly(params, 2, "two operands")
        return HOLE if sides is None else ast.Binary(operator, sides[0], sides[1], span=span)

    def method(self, params: Params) -> Expr:
        """Read a method: the value before the dot comes first."""
        if params.name.lower() in AGGREGATES and any(map(is_declaration, params.items)):
            return self._aggregate(params)
        span = self.found.span(params.at)
        if not params.items:
            return self._wrong_count(params, "the value it is asked of first")
        if not is_name(params.name):
            message = f"{shown(params.name)} is no name of a method"
            return self.found.refuse("json-value", message, params.at.key("fnName"))
        receiver = self.expression(params.items[0], params.places[0])
        scope = inside(params.name, params.at.scope)
        arguments = tuple(
            self.expression(item, place.within(scope))
            for item, place in zip(params.items[1:], params.places[1:], strict=True)
        )
        return ast.MethodCall(receiver, params.name, arguments, span=span)

    def function(self, params: Params) -> Expr:
        """Read a function; all events of the class of experience events are `xEvent`."""
        word = params.name.lower()
        if word in AGGREGATES and any(map(is_declaration, params.items)):
            return self._aggregate(params)
        span = self.found.span(params.at)
        if not is_name(params.name) or word in RESERVED or word == "chain":
            message = f"{shown(params.name)} is no name of a function"
            return self.found.refuse("json-value", message, params.at.key("fnName"))
        arguments = tuple(self._all(params))
        is_bound = "xEvent" in params.at.scope.variables
        if params.name == "modelInstances" and arguments == (ast.Literal(_EVENT_CLASS),):
            owner = ast.Parameter(1, span=span)
            return (
                ast.Field(owner, "xEvent", span=span) if is_bound else ast.Name("xEvent", span=span)
            )
        return ast.Call("if" if word == "if" else params.name, arguments, span=span)

    def _aggregate(self, params: Params) -> Expr:
        span = self.found.span(params.at)
        kind: Any = params.name.lower()
        pairs = list(zip(params.items, params.places, strict=True))
        has_value = not is_declaration(params.items[0])
        declarations, scope = self.declarations(pairs[has_value:], params.at.scope)
        value = None
        if has_value:
            value = self.expression(params.items[0], params.places[0].within(scope))
        return ast.Aggregate(kind, value, declarations, span=span)

    def clause(self, params: Params) -> Expr:
        """Read what has a shape of its own."""
        word = params.name.lower()
        if word in MOMENTS:
            return self._moment(word, params)
        if word in PERIODS:
            return self._period(word, params)
        return _CLAUSE_READERS[word](self, params)

    def _moment(self, word: Any, params: Params) -> Expr:
        if params.items:
            return self._wrong_count(params, "no operand")
        return ast.Moment(word, span=self.found.span(params.at))

    def _period(self, word: Any, params: Params) -> Expr:
        span = self.found.span(params.at)
        if word == "this" and not params.items:
            return ast.This(span=span)
        found = self._exactly(params, 1, "one time unit")
        if found is None:
            return HOLE
        unit = self.unit_of(found[0], params.places[0])
        return HOLE if unit is None else ast.Period(word, unit, span=span)

    def junction(self, params: Params) -> Expr:
        """Read `and` and `or`; one operand alone is itself."""
        span = self.found.span(params.at)
        operands = tuple(self._all(params))
        if not operands:
            return self._wrong_count(params, "at least one operand")
        if len(operands) == 1:
            return operands[0]
        junction = ast.And if params.name.lower() == "and" else ast.Or
        return junction(operands, span=span)

    def negation(self, params: Params) -> Expr:
        """Read `not`."""
        span = self.found.span(params.at)
        found = self._exactly(params, 1, "one operand")
        return HOLE if found is None else ast.Not(found[0], span=span)

    def occurs(self, params: Params) -> Expr:
        """Read `occurs`."""
        span = self.found.span(params.at)
        if len(params.items) < 3:
            return self._wrong_count(params, "a time, a word such as `on`, and what follows it")
        operand = self.expression(params.items[0], params.places[0])
        tail = self.tail(params.items[1:], params.places[1:], params.at)
        return HOLE if tail is None else ast.Occurs(operand, tail, span=span)

    def bracket_filter(self, params: Params) -> Expr:
        """Read a filter in brackets."""
        span = self.found.span(params.at)
        if len(params.items) != 2:
            return self._wrong_count(params, "a list and a condition")
        array = self.expression(params.items[0], params.places[0])
        inner = params.places[1].within(params.at.scope.with_item())
        return ast.Filter(array, self.expression(params.items[1], inner), span=span)

    def object_literal(self, params: Params) -> Expr:
        """Read an object."""
        span = self.found.span(params.at)
        found = self._all(params)
        if len(found) % 2:
            return self._wrong_count(params, "a key and a value in turns")
        entries = []
        for index in range(0, len(found), 2):
            key = self.word_of(found[index], params.places[index], "a key")
            entries.append((key, found[index + 1]))
        return ast.ObjectLiteral(tuple(entries), span=span)

    def up_alone(self, params: Params) -> Expr:
        """Refuse `^` where no field is looked up in it."""
        message, hint = "`^` alone is no value", "make it the `object` of a fieldLookup"
        return self.found.refuse("json-node", message, params.at, hint)

    def context_reference(self, params: Params) -> Expr:
        """Read a reference to the data of another host."""
        span = self.found.span(params.at)
        found = self._exactly(params, 1, "one text")
        if found is None:
            return HOLE
        text = self.word_of(found[0], params.places[0], "a reference")
        if "}" in text or "\n" in text:
            message = "a context reference holds no `}` and no line end"
            return self.found.refuse("json-value", message, params.places[0])
        return ast.ContextReference(text, span=span)

    def let(self, params: Params) -> Expr:
        """Read `let`: what is bound is a varDecl."""
        span = self.found.span(params.at)
        if len(params.items) != 2 or not is_declaration(params.items[0]):
            return self._wrong_count(params, "a varDecl and a body")
        bound, place = params.items[0], params.places[0]
        name = self.new_name(bound, place)
        if "where" in bound:
            self.found.refuse("json-value", "let takes no condition", place.key("where"))
        value = self.part(bound, "from", place)
        inner = params.places[1].within(params.at.scope.with_variable(name))
        return ast.Let(name, value, self.expression(params.items[1], inner), span=span)

    def chain(self, params: Params) -> Expr:
        """Read `chain`."""
        span = self.found.span(params.at)
        if len(params.items) < 3:
            return self._wrong_count(params, "a list, a key and steps")
        array = self.expression(params.items[0], params.places[0])
        inner = params.at.scope.with_item()
        key = self.expression(params.items[1], params.places[1].within(inner))
        steps = tuple(
            self.step(item, place)
            for item, place in zip(params.items[2:], params.places[2:], strict=True)
        )
        return ast.Chain(array, key, steps, span=span)


_FORM_READERS: dict[str, Callable[[ApplicationReader, Params], Expr]] = {
    "clause": ApplicationReader.clause,
    "infix": ApplicationReader.infix,
    "method": ApplicationReader.method,
    "function": ApplicationReader.function,
}
_CLAUSE_READERS: dict[str, Callable[[ApplicationReader, Params], Expr]] = {
    "and": ApplicationReader.junction,
    "or": ApplicationReader.junction,
    "not": ApplicationReader.negation,
    "!": ApplicationReader.negation,
    "occurs": ApplicationReader.occurs,
    "chain": ApplicationReader.chain,
    "let": ApplicationReader.let,
    FILTER: ApplicationReader.bracket_filter,
    OBJECT: ApplicationReader.object_literal,
    UP: ApplicationReader.up_alone,
    CONTEXT: ApplicationReader.context_reference,
}
