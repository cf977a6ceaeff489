"""A parsed tree to pql/json: one spelling for each tree.

`read(write(tree))` is the tree again, but for references that are written in two ways in a text:
`$1.a` outside all item scopes is `a`, and `$1.xEvent` is `xEvent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from app.pql import ast
from app.pql.ast import Expr, OccursTail
from app.pql.json_form import (
    AGGREGATES,
    CONTEXT,
    FILTER,
    OBJECT,
    QUANTIFIERS,
    STEP,
    UP,
    VERSION,
    VERSION_KEY,
    Form,
    JsonNode,
    inside,
    usual_form,
    with_variables,
)
from app.pql.scope import Scope

_QUANTIFIER_OF = {kind: quantifier for quantifier, kind in QUANTIFIERS.items()}
_SCALAR_TYPES = {bool: "Boolean", int: "Integer", float: "Number", str: "String"}


def write(expression: Expr) -> JsonNode:
    """Return a parsed tree as the outermost node of pql/json."""
    writer = _Writer()
    node = writer.node(expression, Scope())
    return node | {VERSION_KEY: VERSION} if writer.extended else node


class _Writer:
    """Writes nodes; `extended` tells whether one of ours was among them."""

    def __init__(self) -> None:
        self.extended = False

    def node(self, node: Expr, scope: Scope) -> JsonNode:
        return _WRITERS[type(node)](self, node, scope)

    def _nodes(self, nodes: Iterable[Expr], scope: Scope) -> list[JsonNode]:
        return [self.node(node, scope) for node in nodes]

    def _ours(self, name: str, *params: JsonNode) -> JsonNode:
        self.extended = True
        return _apply(name, params)

    def literal(self, node: ast.Literal, scope: Scope) -> JsonNode:
        return _literal(node.value)

    def list_literal(self, node: ast.ListLiteral, scope: Scope) -> JsonNode:
        items = [self._item(item, scope) for item in node.items]
        return {"nodeType": "literal", "literalType": "List", "value": items}

    def _item(self, node: Expr, scope: Scope) -> Any:
        if isinstance(node, ast.Literal):
            return node.value
        number = _below_zero(node)
        if number is not None:
            return number
        self.extended = True
        return self.node(node, scope)

    def object_literal(self, node: ast.ObjectLiteral, scope: Scope) -> JsonNode:
        params = [
            part for key, value in node.entries for part in (_literal(key), self.node(value, scope))
        ]
        return self._ours(OBJECT, *params)

    def name(self, node: ast.Name, scope: Scope) -> JsonNode:
        if node.name in scope.variables:
            return {"nodeType": "varRef", "varName": node.name}
        if node.name == "xEvent" or scope.items == 0:
            return _lookup(node.name, _parameter(1))
        return _lookup(node.name, None)

    def this(self, node: ast.This, scope: Scope) -> JsonNode:
        return self._ours("this")

    def up_reference(self, node: ast.UpReference, scope: Scope) -> JsonNode:
        return _lookup(node.name, self._ours(UP, _literal(node.levels)))

    def parameter(self, node: ast.Parameter, scope: Scope) -> JsonNode:
        return _parameter(node.position)

    def context_reference(self, node: ast.ContextReference, scope: Scope) -> JsonNode:
        return self._ours(CONTEXT, _literal(node.text))

    def field(self, node: ast.Field, scope: Scope) -> JsonNode:
        return _lookup(node.name, self.node(node.object, scope))

    def call(self, node: ast.Call, scope: Scope) -> JsonNode:
        self.extended = self.extended or node.function == "if"
        return self._named("function", node.function, self._nodes(node.arguments, scope))

    def method_call(self, node: ast.MethodCall, scope: Scope) -> JsonNode:
        receiver = self.node(node.receiver, scope)
        arguments = self._nodes(node.arguments, inside(node.method, scope))
        return self._named("method", node.method, [receiver, *arguments])

    def _named(self, form: Form, name: str, params: Iterable[JsonNode]) -> JsonNode:
        if usual_form(name) == form:
            return _apply(name, params)
        return self._ours(name, *params) | {"form": form}

    def filter(self, node: ast.Filter, scope: Scope) -> JsonNode:
        array = self.node(node.array, scope)
        return self._ours(FILTER, array, self.node(node.condition, scope.with_item()))

    def negative(self, node: ast.Negative, scope: Scope) -> JsonNode:
        number = _below_zero(node)
        if number is not None:
            return _literal(number)
        return _apply("-", [self.node(node.operand, scope)])

    def negation(self, node: ast.Not, scope: Scope) -> JsonNode:
        inner = node.operand
        if isinstance(inner, ast.Comprehension) and inner.kind == "exists":
            return self.comprehension(inner, scope) | {"quantifier": "none"}
        return _apply("not", [self.node(inner, scope)])

    def conjunction(self, node: ast.And, scope: Scope) -> JsonNode:
        return _apply("and", self._nodes(node.operands, scope))

    def disjunction(self, node: ast.Or, scope: Scope) -> JsonNode:
        return _apply("or", self._nodes(node.operands, scope))

    def binary(self, node: ast.Binary, scope: Scope) -> JsonNode:
        sides = [self.node(node.left, scope), self.node(node.right, scope)]
        return self._named("infix", node.operator, sides)

    def moment(self, node: ast.Moment, scope: Scope) -> JsonNode:
        return self._ours(node.word)

    def period(self, node: ast.Period, scope: Scope) -> JsonNode:
        return self._ours(node.which, _literal(node.unit))

    def occurs(self, node: ast.Occurs, scope: Scope) -> JsonNode:
        operand = self.node(node.operand, scope)
        return self._ours("occurs", operand, *self._tail(node.tail, scope))

    def _tail(self, tail: OccursTail, scope: Scope) -> list[JsonNode]:
        if isinstance(tail, ast.OccursBetween):
            return [_literal("between"), *self._nodes((tail.start, tail.end), scope)]
        time = self.node(tail.time, scope)
        if isinstance(tail, ast.OccursOn):
            return [_literal("on"), time]
        if isinstance(tail, ast.OccursRelative):
            return [_literal(tail.direction), time]
        words = (tail.comparison, tail.amount, tail.unit, tail.direction)
        return [*(_literal(word) for word in words), time]

    def _declared(
        self, declarations: tuple[ast.Declaration, ...], scope: Scope
    ) -> tuple[list[JsonNode], Scope]:
        found = []
        for declaration in declarations:
            source = self.node(declaration.source, scope)
            scope = scope.with_variable(declaration.variable)
            node: JsonNode = _declaration(declaration.variable, source)
            if declaration.condition is not None:
                node["where"] = self.node(declaration.condition, scope)
            found.append(node)
        return found, scope

    def comprehension(self, node: ast.Comprehension, scope: Scope) -> JsonNode:
        variables, _ = self._declared(node.declarations, scope)
        if node.kind == "select":
            return {"nodeType": "select", "variables": variables}
        quantifier = _QUANTIFIER_OF[node.kind]
        return {"nodeType": "quantification", "quantifier": quantifier, "variables": variables}

    def aggregate(self, node: ast.Aggregate, scope: Scope) -> JsonNode:
        assert node.kind in AGGREGATES
        variables, inner = self._declared(node.declarations, scope)
        value = [] if node.value is None else [self.node(node.value, inner)]
        return self._ours(node.kind, *value, *variables)

    def let(self, node: ast.Let, scope: Scope) -> JsonNode:
        bound = _declaration(node.name, self.node(node.value, scope))
        return self._ours("let", bound, self.node(node.body, scope.with_variable(node.name)))

    def function(self, node: ast.Lambda, scope: Scope) -> JsonNode:
        self.extended = self.extended or len(node.parameters) > 1
        inner = with_variables(node.parameters, scope)
        params = [{"varName": name} for name in node.parameters]
        return {"nodeType": "fnCreate", "params": params, "body": self.node(node.body, inner)}

    def chain(self, node: ast.Chain, scope: Scope) -> JsonNode:
        array = self.node(node.array, scope)
        key = self.node(node.key, scope.with_item())
        steps = [self._step(step, scope) for step in node.steps]
        return self._ours("chain", array, key, *steps)

    def _step(self, step: ast.Step, scope: Scope) -> JsonNode:
        inner = scope.with_item()
        clauses = [_apply("WHAT", [self.node(step.what, inner)])]
        if step.when is not None:
            clauses.append(_apply("WHEN", self._tail(step.when, scope)))
        if step.where is not None:
            clauses.append(_apply("WHERE", [self.node(step.where, inner)]))
        if step.count is not None:
            clauses.append(_apply("COUNT", [_literal(step.count)]))
        return _apply(STEP, [_literal(step.label), *clauses])


def _apply(name: str, params: Iterable[JsonNode]) -> JsonNode:
    return {"nodeType": "fnApply", "fnName": name, "params": list(params)}


def _literal(value: str | int | float | bool) -> JsonNode:
    return {"nodeType": "literal", "literalType": _SCALAR_TYPES[type(value)], "value": value}


def _lookup(name: str, owner: JsonNode | None) -> JsonNode:
    node: JsonNode = {"nodeType": "fieldLookup", "fieldName": name}
    return node if owner is None else node | {"object": owner}


def _parameter(position: int) -> JsonNode:
    return {"nodeType": "parameterReference", "position": position}


def _declaration(name: str, source: JsonNode) -> JsonNode:
    return {"nodeType": "varDecl", "varName": name, "from": source}


def _below_zero(node: Expr) -> int | float | None:
    """Return the number of a minus before a number, which JSON writes as one."""
    if not isinstance(node, ast.Negative) or not isinstance(node.operand, ast.Literal):
        return None
    value = node.operand.value
    if isinstance(value, bool | str) or (isinstance(value, int) and value == 0):
        return None  # there is no -0 among the integers of JSON
    return -value


_WRITERS: dict[type[Any], Callable[[_Writer, Any, Scope], JsonNode]] = {
    ast.Literal: _Writer.literal,
    ast.ListLiteral: _Writer.list_literal,
    ast.ObjectLiteral: _Writer.object_literal,
    ast.Name: _Writer.name,
    ast.This: _Writer.this,
    ast.UpReference: _Writer.up_reference,
    ast.Parameter: _Writer.parameter,
    ast.ContextReference: _Writer.context_reference,
    ast.Field: _Writer.field,
    ast.Call: _Writer.call,
    ast.MethodCall: _Writer.method_call,
    ast.Filter: _Writer.filter,
    ast.Negative: _Writer.negative,
    ast.Not: _Writer.negation,
    ast.And: _Writer.conjunction,
    ast.Or: _Writer.disjunction,
    ast.Binary: _Writer.binary,
    ast.Moment: _Writer.moment,
    ast.Period: _Writer.period,
    ast.Occurs: _Writer.occurs,
    ast.Comprehension: _Writer.comprehension,
    ast.Aggregate: _Writer.aggregate,
    ast.Let: _Writer.let,
    ast.Lambda: _Writer.function,
    ast.Chain: _Writer.chain,
}
