"""Checks of the paths of a resolved tree against schemas (docs/decisions/0104).

Without a schema nothing is known of most paths; what is known is warned of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.pql import ast
from app.pql.ast import Expr, Node
from app.pql.functions import FUNCTIONS
from app.pql.schema import ANY, Shape
from app.pql.scope import Findings
from app.pql.shapes import (
    is_allowed,
    is_path,
    item_of,
    kinds_in_words,
    leaf_of,
    list_of,
    object_of,
    path_of,
    result_of,
    seen_by,
    takes,
    type_of,
)
from app.pql.suggest import close_name, did_you_mean
from app.pql.types import Type, described, fits
from app.pql.words import PER_ITEM_METHODS

_OPERANDS: Final[dict[str, Type]] = {
    **dict.fromkeys(("<", "<=", ">", ">=", "+", "-", "*", "/", "%"), "number"),
    **dict.fromkeys(("like", "matches"), "string"),
}
_MAY_BE_TIMES = frozenset({"time", "number", "string"})
_ROOTS = (ast.ProfileRef, ast.ItemRef)
_LISTED = 8
_KEY_AND_VALUE = 2
_SURE = 0.85

_EVENT: Final[Mapping[str, Shape]] = {
    # Epoch milliseconds, whatever the update had.
    "timestamp": Shape(frozenset({"time", "number"})),
    "eventType": Shape(frozenset({"string"})),
    "_id": Shape(frozenset({"string"})),
}
_PROFILE: Final[Mapping[str, Shape]] = {"segmentMembership": ANY, "identityMap": ANY}
_XEVENT = frozenset({"xevent", "xevents"})


@dataclass(frozen=True, slots=True)
class Schemas:
    """What is known of the records of a tenant; None for what nothing is known of."""

    profile: Shape | None = None
    event: Shape | None = None


NO_SCHEMAS: Final = Schemas()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Shapes of the open items, innermost first, and of the variables."""

    items: tuple[Shape, ...] = ()
    variables: Mapping[str, Shape] = field(default_factory=dict)

    def with_item(self, shape: Shape) -> _Scope:
        return replace(self, items=(shape, *self.items))

    def with_variable(self, name: str, shape: Shape) -> _Scope:
        return replace(self, variables={**self.variables, name: shape})


def check_paths(tree: Expr, schemas: Schemas, findings: Findings) -> None:
    """Note fields that are not there, and operands whose types can never fit."""
    _PathChecker(schemas, findings).visit(tree, _Scope())


class _PathChecker:
    def __init__(self, schemas: Schemas, findings: Findings) -> None:
        self._findings = findings
        self._profile = _with(schemas.profile, _PROFILE)
        self._event = _with(schemas.event, _EVENT)

    def visit(self, node: Node, scope: _Scope) -> Shape:
        """Check a node and return its shape."""
        check = _CHECKS.get(type(node))
        if check is not None:
            return check(self, node, scope)
        for child in ast.children(node):
            self.visit(child, scope)
        return ANY

    def profile(self, node: ast.ProfileRef, scope: _Scope) -> Shape:
        return self._profile

    def events(self, node: ast.EventsRef, scope: _Scope) -> Shape:
        return list_of(self._event)

    def item(self, node: ast.ItemRef, scope: _Scope) -> Shape:
        return scope.items[node.depth] if node.depth < len(scope.items) else ANY

    def variable(self, node: ast.Variable, scope: _Scope) -> Shape:
        return scope.variables.get(node.name, ANY)

    def field(self, node: ast.Field, scope: _Scope) -> Shape:
        owner = self.visit(node.object, scope)
        items = leaf_of(owner)
        found = items.at(node.name)
        if found is None:
            self._unknown(node, items, scope)
            return ANY
        if node.name not in items.names:
            self._warn(node, items, scope)
        return list_of(found) if items is not owner else found

    def _unknown(self, node: ast.Field, owner: Shape, scope: _Scope) -> None:
        if owner.kinds and "object" not in owner.kinds:
            message = f"{path_of(node.object)} is {kinds_in_words(owner.kinds)} in the schema"
            self._findings.problem("unknown-field", message, node, "it has no fields")
            return
        names = sorted(owner.names)
        roots = ["xEvent", *scope.variables] if isinstance(node.object, _ROOTS) else []
        hint = did_you_mean(node.name, [*names, *roots], f"there are {_some(names)}")
        message = f"the schema has no field {path_of(node)}"
        self._findings.problem("unknown-field", message, node, hint)

    def _warn(self, node: ast.Field, owner: Shape, scope: _Scope) -> None:
        """Warn of what can be known without a schema: names that are all but others."""
        known = scope.variables if isinstance(node.object, _ROOTS) else ()
        meant = next((one for one in known if one.lower() == node.name.lower()), None)
        if meant is None and owner.extra is _EVENT:
            close = close_name(node.name, ("timestamp", "eventType"), cutoff=_SURE)
            meant = close if close != node.name else None
        elif meant is None and owner.extra is _PROFILE and node.name.lower() in _XEVENT:
            meant = "xEvent"
        if meant is not None:
            message = f"{node.name} is a field here, and perhaps there is none of this name"
            self._findings.warning("unknown-field", message, node, f"did you mean {meant}?")

    def filter(self, node: ast.Filter, scope: _Scope) -> Shape:
        array = self.visit(node.array, scope)
        self.visit(node.condition, scope.with_item(item_of(array)))
        return array

    def method(self, node: ast.MethodCall, scope: _Scope) -> Shape:
        receiver = self.visit(node.receiver, scope)
        is_per_item = node.method in PER_ITEM_METHODS
        inner = scope.with_item(seen_by(node, receiver)) if is_per_item else scope
        arguments = [self.visit(argument, inner) for argument in node.arguments]
        spec = FUNCTIONS.get(node.method)
        if spec is None or spec.kind != "method":
            return ANY
        self._need(f"{node.method} works on", spec.receiver, node.receiver, receiver)
        if node.method in {"equals", "notEqualTo"}:
            self._check_constants(node.arguments, node.receiver, receiver)
        return result_of(node, receiver, arguments)

    def function(self, node: ast.Lambda, scope: _Scope) -> Shape:
        """Visit `(key, value) => …`, the item of whose scope is the value.

        A lambda elsewhere is refused, and still comes here.
        """
        value = scope.items[0] if scope.items else ANY
        for name in node.parameters[1:]:
            scope = scope.with_variable(name, value)
        return self.visit(node.body, scope)

    def call(self, node: ast.Call, scope: _Scope) -> Shape:
        arguments = [self.visit(argument, scope) for argument in node.arguments]
        is_entry = node.function == "mapEntry" and len(arguments) == _KEY_AND_VALUE
        return arguments[-1] if is_entry else ANY

    def object_literal(self, node: ast.ObjectLiteral, scope: _Scope) -> Shape:
        return object_of({key: self.visit(value, scope) for key, value in node.entries})

    def _need(self, what: str, wanted: Type, node: Expr, shape: Shape) -> None:
        """Refuse a path whose values are of another type; of a list any item may satisfy."""
        if wanted in {"string", "number"}:
            shape = leaf_of(shape)
        if is_path(node) and not fits(type_of(shape), wanted):
            if self._findings.has_problem("type", node):
                return  # The checker knew it without a schema.
            found = f"{path_of(node)} is {kinds_in_words(shape.kinds)} in the schema"
            hint = "for times use occurs" if "time" in shape.kinds else ""
            message = f"{what} {described(wanted)}, {found}"
            self._findings.problem("type", message, node, hint)

    def binary(self, node: ast.Binary, scope: _Scope) -> Shape:
        left, right = self.visit(node.left, scope), self.visit(node.right, scope)
        wanted = _OPERANDS.get(node.operator)
        if wanted is not None:
            for side, shape in ((node.left, left), (node.right, right)):
                self._need(f"`{node.operator}` needs", wanted, side, shape)
        elif node.operator in {"=", "!="}:
            self._check_constants([node.right], node.left, left)
            self._check_constants([node.left], node.right, right)
        elif isinstance(node.right, ast.ListLiteral):
            self._check_constants(node.right.items, node.left, left)
        return ANY

    def _check_constants(self, nodes: Iterable[Expr], path: Expr, beside: Shape) -> None:
        shape = leaf_of(beside)
        for node in nodes:
            value = node.value if isinstance(node, ast.Literal) else None
            if value is None:
                continue
            if not takes(shape, value):
                found = f"{path_of(path)} is {kinds_in_words(shape.kinds)} in the schema"
                message = f"{found}, which this never equals"
                hint = "compare it with a value of that type"
                self._findings.problem("never-matches", message, node, hint)
            elif not is_allowed(shape, value):
                listed = [str(one) for one in shape.allowed or ()]
                hint = did_you_mean(str(value), listed, f"it lists {_some(listed)}")
                message = "the schema does not list this value"
                self._findings.warning("not-listed", message, node, hint)

    def occurs(self, node: ast.Occurs, scope: _Scope) -> Shape:
        shape = leaf_of(self.visit(node.operand, scope))
        self.visit(node.tail, scope)
        if is_path(node.operand) and shape.kinds and not shape.kinds & _MAY_BE_TIMES:
            found = f"{path_of(node.operand)} is {kinds_in_words(shape.kinds)} in the schema"
            message = f"occurs needs times, {found}"
            self._findings.problem("type", message, node.operand, "name a timestamp field")
        return ANY

    def let(self, node: ast.Let, scope: _Scope) -> Shape:
        value = self.visit(node.value, scope)
        return self.visit(node.body, scope.with_variable(node.name, value))

    def comprehension(self, node: ast.Comprehension, scope: _Scope) -> Shape:
        scope = self._declared(node.declarations, scope)
        first = scope.variables[node.declarations[0].variable]
        is_single = node.kind == "select" and len(node.declarations) == 1
        return list_of(first) if is_single else ANY

    def aggregate(self, node: ast.Aggregate, scope: _Scope) -> Shape:
        inner = self._declared(node.declarations, scope)
        if node.value is not None:
            value = self.visit(node.value, inner)
            self._need(f"{node.kind} needs", "number", node.value, value)
        return ANY

    def _declared(self, declarations: tuple[ast.Declaration, ...], scope: _Scope) -> _Scope:
        for one in declarations:
            scope = scope.with_variable(one.variable, item_of(self.visit(one.source, scope)))
            if one.condition is not None:
                self.visit(one.condition, scope)
        return scope

    def chain(self, node: ast.Chain, scope: _Scope) -> Shape:
        inner = scope.with_item(item_of(self.visit(node.array, scope)))
        for step in node.steps:
            self.visit(step.what, inner)
            if step.when is not None:
                self.visit(step.when, scope)
            if step.where is not None:
                self.visit(step.where, inner)
        return ANY


def _with(shape: Shape | None, extra: Mapping[str, Shape]) -> Shape:
    return replace(shape or ANY, extra=extra)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


_CHECKS: Final[dict[type[Any], Callable[[_PathChecker, Any, _Scope], Shape]]] = {
    ast.ProfileRef: _PathChecker.profile,
    ast.EventsRef: _PathChecker.events,
    ast.ItemRef: _PathChecker.item,
    ast.Variable: _PathChecker.variable,
    ast.Field: _PathChecker.field,
    ast.Filter: _PathChecker.filter,
    ast.MethodCall: _PathChecker.method,
    ast.Lambda: _PathChecker.function,
    ast.Call: _PathChecker.call,
    ast.ObjectLiteral: _PathChecker.object_literal,
    ast.Binary: _PathChecker.binary,
    ast.Occurs: _PathChecker.occurs,
    ast.Let: _PathChecker.let,
    ast.Comprehension: _PathChecker.comprehension,
    ast.Aggregate: _PathChecker.aggregate,
    ast.Chain: _PathChecker.chain,
}
