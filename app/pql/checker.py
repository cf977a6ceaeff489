"""A parsed tree to a resolved one, with everything that is wrong at once.

Every reference becomes `ProfileRef`, `EventsRef`, `ItemRef` or `Variable` as their docstrings in
`ast` say; without a schema types are inferred, so an unknown path is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from app.pql import ast, checks
from app.pql.ast import Declaration, Expr, OccursTail, Step
from app.pql.chain_checks import TIMESTAMP, check_chain
from app.pql.checked import Checked, summarised
from app.pql.checker_forms import FormChecker
from app.pql.checks import Typed
from app.pql.forms import body_of
from app.pql.limits import MAX_DEPTH, MAX_VARIABLES, is_deeper_than
from app.pql.memberships import membership_of
from app.pql.schema_checks import NO_SCHEMAS, Schemas, check_paths
from app.pql.scope import Findings, Scope, field_of, resolve_name, resolve_up
from app.pql.types import Type, described

__all__ = ["Checked", "check"]


def check(
    expr: Expr, *, segments: Collection[str] | None = None, schemas: Schemas = NO_SCHEMAS
) -> Checked:
    """Resolve and check an expression; never raises.

    Args:
        expr: A parsed tree.
        segments: Known segment ids; None accepts any.
        schemas: What paths and constants are held to.
    """
    findings = Findings()
    resolved: Expr | None = None
    if is_deeper_than(expr, MAX_DEPTH):
        message = f"the expression is more than {MAX_DEPTH} levels deep"
        findings.problem("too-deep", message, expr, "flatten it")
    else:
        resolved = _Checker(findings).root(expr).expr
        check_paths(resolved, schemas, findings)
    return summarised(resolved, findings, segments)


class _Checker(FormChecker):
    def __init__(self, findings: Findings) -> None:
        super().__init__(findings)
        # The body of the `map` at hand, the one place of a `mapEntry`.
        self._entry: Expr | None = None

    def visit(self, node: Expr, scope: Scope) -> Typed:
        return _VISITORS[type(node)](self, node, scope)

    def resolve(self, node: Expr, scope: Scope) -> Expr:
        return self.visit(node, scope).expr

    def literal(self, node: ast.Literal, scope: Scope) -> Typed:
        if isinstance(node.value, bool):
            return Typed(node, "boolean")
        return Typed(node, "string" if isinstance(node.value, str) else "number")

    def list_literal(self, node: ast.ListLiteral, scope: Scope) -> Typed:
        items = tuple(self.resolve(item, scope) for item in node.items)
        return Typed(replace(node, items=items), "array")

    def name(self, node: ast.Name, scope: Scope) -> Typed:
        bound = scope.bound(node)
        if bound is not None:
            return Typed(*bound)
        found = resolve_name(node, scope, self._findings)
        return Typed(found, "array" if isinstance(found, ast.EventsRef) else "any")

    def this(self, node: ast.This, scope: Scope) -> Typed:
        if scope.items == 0:
            hint = "inside [ ], .filter() and their like it is the current item"
            self._findings.problem("unbound-reference", "there is no item here", node, hint)
        return Typed(ast.ItemRef(0, span=node.span), "any")

    def up_reference(self, node: ast.UpReference, scope: Scope) -> Typed:
        return Typed(resolve_up(node, scope, self._findings), "any")

    def resolved(self, node: Expr, scope: Scope) -> Typed:
        return Typed(node, "array" if isinstance(node, ast.EventsRef) else "any")

    def field(self, node: ast.Field, scope: Scope) -> Typed:
        owner = self.visit(node.object, scope)
        if owner.type in {"boolean", "number", "string", "date"}:
            message = f"{described(owner.type)} has no field {node.name}"
            self._findings.problem("type", message, node)
        if isinstance(owner.expr, ast.Comprehension) and len(owner.expr.declarations) > 1:
            hint = "select one variable"
            message = "a select with several variables gives tuples, which have no fields"
            self._findings.problem("type", message, node, hint)
        found = membership_of(field_of(owner.expr, node.name, node))
        return Typed(found, "array" if isinstance(found, ast.EventsRef) else "any")

    def call(self, node: ast.Call, scope: Scope) -> Typed:
        if node.function == "mapEntry" and node is not self._entry:
            message, hint = "mapEntry stands only in map", "write map((K, G) => mapEntry(K, …))"
            self._findings.problem("type", message, node, hint)
        arguments = [self.visit(argument, scope) for argument in node.arguments]
        found = replace(node, arguments=tuple(argument.expr for argument in arguments))
        spec = checks.find_spec(node, self._findings)
        if spec is None:
            return Typed(found, "any")
        if checks.check_arity(spec, node, self._findings):
            checks.check_arguments(spec, node.arguments, arguments, self._findings)
            if node.function == "date":
                checks.check_date(node, self._findings)
        return Typed(found, spec.result)

    def method_call(self, node: ast.MethodCall, scope: Scope) -> Typed:
        receiver = self.visit(node.receiver, scope)
        spec = checks.find_spec(node, self._findings)
        if spec is None:
            return Typed(node, "any")
        inner = scope.with_item() if spec.per_item else scope
        visit = self.item_argument if spec.per_item else self.visit
        if node.method == "map" and node.arguments:
            self._entry = body_of(node.arguments[0])
        arguments = [visit(argument, inner) for argument in node.arguments]
        if checks.check_arity(spec, node, self._findings):
            checks.check_receiver(spec, node.receiver, receiver, self._findings)
            checks.check_arguments(spec, node.arguments, arguments, self._findings)
            checks.check_method(node, receiver, arguments, self._findings)
        resolved = tuple(argument.expr for argument in arguments)
        found = membership_of(replace(node, receiver=receiver.expr, arguments=resolved))
        return Typed(found, checks.result_type(found, spec))

    def filter(self, node: ast.Filter, scope: Scope) -> Typed:
        array = self._array(node.array, scope)
        condition = self.resolve(node.condition, scope.with_item())
        return Typed(ast.Filter(array, condition, span=node.span), "array")

    def _array(self, node: Expr, scope: Scope) -> Expr:
        found = self.visit(node, scope)
        if found.type not in {"any", "array"}:
            message = f"a list is needed, this is {described(found.type)}"
            self._findings.problem("type", message, node)
        return found.expr

    def negative(self, node: ast.Negative, scope: Scope) -> Typed:
        operand = self.visit(node.operand, scope)
        if operand.type not in {"any", "number"}:
            message = f"`-` needs a number, this is {described(operand.type)}"
            self._findings.problem("type", message, node.operand)
        return Typed(replace(node, operand=operand.expr), "number")

    def negation(self, node: ast.Not, scope: Scope) -> Typed:
        return Typed(replace(node, operand=self.resolve(node.operand, scope)), "boolean")

    def junction(self, node: ast.And | ast.Or, scope: Scope) -> Typed:
        operands = tuple(self.resolve(operand, scope) for operand in node.operands)
        return Typed(type(node)(operands, span=node.span), "boolean")

    def binary(self, node: ast.Binary, scope: Scope) -> Typed:
        left, right = self.visit(node.left, scope), self.visit(node.right, scope)
        checks.check_binary(node, left, right, self._findings)
        result: Type = "number" if node.operator in "+-*/%" else "boolean"
        found = ast.Binary(node.operator, left.expr, right.expr, span=node.span)
        return Typed(found, result)

    def bare_time(self, node: ast.Moment | ast.Period, scope: Scope) -> Typed:
        text = node.word if isinstance(node, ast.Moment) else f"{node.which} {node.unit}"
        message = f"`{text}` stands only at the right of occurs"
        self._findings.problem("use-occurs", message, node, checks.USE_OCCURS)
        return Typed(node, "any")

    def occurs(self, node: ast.Occurs, scope: Scope) -> Typed:
        operand = self.visit(node.operand, scope)
        if operand.type in {"date", "array"} and not isinstance(operand.expr, ast.MethodCall):
            message, hint = "occurs needs a timestamp at its left", "name a timestamp field"
            self._findings.problem("type", message, node.operand, hint)
        else:
            checks.check_time(node.operand, operand, self._findings)
        tail = self._tail(node.tail, scope)
        return Typed(ast.Occurs(operand.expr, tail, span=node.span), "boolean")

    def _tail(self, tail: OccursTail, scope: Scope) -> OccursTail:
        if isinstance(tail, ast.OccursBetween):
            start, end = self._time(tail.start, scope), self._time(tail.end, scope)
            return replace(tail, start=start, end=end)
        return replace(tail, time=self._time(tail.time, scope))

    def _time(self, node: Expr, scope: Scope) -> Expr:
        if isinstance(node, ast.Moment | ast.Period):
            return node
        found = self.visit(node, scope)
        checks.check_time(node, found, self._findings)
        return found.expr

    def comprehension(self, node: ast.Comprehension, scope: Scope) -> Typed:
        declarations, _ = self._declarations(node.declarations, scope)
        found = replace(node, declarations=declarations)
        return Typed(found, "array" if node.kind == "select" else "boolean")

    def _declarations(
        self, declarations: tuple[Declaration, ...], scope: Scope
    ) -> tuple[tuple[Declaration, ...], Scope]:
        found: list[Declaration] = []
        if len(declarations) > MAX_VARIABLES:
            message = f"at most {MAX_VARIABLES} variables, these are {len(declarations)}"
            self._findings.problem("too-many-variables", message, declarations[-1], "use fewer")
        for node in declarations[:MAX_VARIABLES]:
            if any(other.variable == node.variable for other in found):
                message = f"the variable {node.variable} is declared twice"
                self._findings.problem("duplicate-name", message, node, "choose another name")
            source = self._array(node.source, scope)
            scope = scope.with_variable(node.variable)
            condition = None if node.condition is None else self.resolve(node.condition, scope)
            found.append(replace(node, source=source, condition=condition))
        return tuple(found), scope

    def aggregate(self, node: ast.Aggregate, scope: Scope) -> Typed:
        declarations, inner = self._declarations(node.declarations, scope)
        value: Expr
        if node.value is None:
            if len(declarations) > 1:
                message, hint = "the value is missing", f"write {node.kind} value over …"
                self._findings.problem("syntax", message, node, hint)
            value = ast.Variable(declarations[0].variable, span=node.span)
        else:
            typed = self.visit(node.value, inner)
            if typed.type not in {"any", "number"}:
                message = f"{node.kind} needs numbers, this is {described(typed.type)}"
                self._findings.problem("type", message, node.value)
            value = typed.expr
        return Typed(replace(node, value=value, declarations=declarations), "number")

    def chain(self, node: ast.Chain, scope: Scope) -> Typed:
        array = self.resolve(node.array, scope)
        check_chain(node, array, self._findings)
        steps = tuple(self._step(step, scope) for step in node.steps)
        key = replace(TIMESTAMP, span=node.key.span)
        return Typed(replace(node, array=array, key=key, steps=steps), "boolean")

    def _step(self, step: Step, scope: Scope) -> Step:
        inner = scope.with_item()
        return replace(
            step,
            what=self.resolve(step.what, inner),
            when=None if step.when is None else self._tail(step.when, scope),
            where=None if step.where is None else self.resolve(step.where, inner),
        )


_VISITORS: dict[type[Any], Callable[[_Checker, Any, Scope], Typed]] = {
    ast.Literal: _Checker.literal,
    ast.ListLiteral: _Checker.list_literal,
    ast.Name: _Checker.name,
    ast.This: _Checker.this,
    ast.UpReference: _Checker.up_reference,
    ast.Parameter: _Checker.parameter,
    ast.Field: _Checker.field,
    ast.Call: _Checker.call,
    ast.MethodCall: _Checker.method_call,
    ast.Filter: _Checker.filter,
    ast.Negative: _Checker.negative,
    ast.Not: _Checker.negation,
    ast.And: _Checker.junction,
    ast.Or: _Checker.junction,
    ast.Binary: _Checker.binary,
    ast.Moment: _Checker.bare_time,
    ast.Period: _Checker.bare_time,
    ast.Occurs: _Checker.occurs,
    ast.Comprehension: _Checker.comprehension,
    ast.Aggregate: _Checker.aggregate,
    ast.Chain: _Checker.chain,
    **dict.fromkeys(
        (ast.ProfileRef, ast.EventsRef, ast.MembershipRef, ast.ItemRef, ast.Variable),
        _Checker.resolved,
    ),
    ast.ObjectLiteral: _Checker.object_literal,
    ast.ContextReference: _Checker.context,
    ast.Let: _Checker.let,
    ast.Lambda: _Checker.function,
}
