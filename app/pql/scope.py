"""What a name can mean at one place of an expression, and the list of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from app.pql import ast
from app.pql.ast import Expr, Node
from app.pql.errors import Problem
from app.pql.types import Type

_GENERATED_NAME = re.compile(r"var[0-9]+")


class Bound(NamedTuple):
    """What a bound name stands for.

    Attributes:
        expr: A `Variable`, the profile, a parameter, or the item that is `level` scopes from the
            outermost: `ItemRef(0)` there.
        level: Item scopes that were open where it was bound.
    """

    expr: Expr
    type: Type
    level: int


@dataclass(frozen=True, slots=True)
class Scope:
    """The open item scopes and the bound variables.

    Attributes:
        items: How many item scopes are open; 0 at the root, where the profile is the item.
        variables: By name; they win over fields (PQL reference, name resolution).
    """

    items: int = 0
    variables: Mapping[str, Bound] = field(default_factory=dict)

    def with_item(self) -> Scope:
        """Return the scope inside `[ ]`, `.filter()`, `WHAT()` and their like."""
        return replace(self, items=self.items + 1)

    def with_variable(self, name: str, of: Type = "any") -> Scope:
        """Return the scope in which a variable is bound."""
        return self.with_alias(name, ast.Variable(name), of)

    def with_alias(self, name: str, expr: Expr, of: Type = "any") -> Scope:
        """Return the scope in which a name stands for the current item, the profile, …."""
        return replace(self, variables={**self.variables, name: Bound(expr, of, self.items)})

    def bound(self, node: ast.Name) -> tuple[Expr, Type] | None:
        """Return what a name is bound to, as seen from here; None for a field."""
        found = self.variables.get(node.name)
        if found is None:
            return None
        expr = found.expr
        if isinstance(expr, ast.ItemRef):
            expr = ast.ItemRef(self.items - found.level)
        return replace(expr, span=node.span), found.type

    def innermost(self) -> Expr:
        """Return what a bare field belongs to."""
        return ast.ItemRef(0) if self.items else ast.ProfileRef()


@dataclass(slots=True)
class Findings:
    """Problems and warnings of one expression, in order of discovery."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, code: str, message: str, node: Node, hint: str = "") -> None:
        """Note what makes the expression unusable."""
        self.problems.append(Problem(code, message, node.span, hint))

    def warning(self, code: str, message: str, node: Node, hint: str = "") -> None:
        """Note what is allowed but perhaps not meant."""
        self.warnings.append(Problem(code, message, node.span, hint))

    def has_problem(self, code: str, node: Node) -> bool:
        """Tell whether a problem of this code is noted already at this place."""
        return any(one.code == code and one.span == node.span for one in self.problems)


def resolve_name(node: ast.Name, scope: Scope, findings: Findings) -> Expr:
    """Resolve a free name: the events, else a field of the innermost item."""
    if node.name == "xEvent":
        return ast.EventsRef(span=node.span)
    if _GENERATED_NAME.fullmatch(node.name):
        # The rule builder of the published product names its variables var1, var2, …; without a
        # schema such a name would quietly be an unknown field.
        hint = f"declare it: exists {node.name} from xEvent where …; or drop it from the path"
        findings.problem("unbound-variable", f"{node.name} is not declared", node, hint)
    return ast.Field(scope.innermost(), node.name, span=node.span)


def resolve_up(node: ast.UpReference, scope: Scope, findings: Findings) -> Expr:
    """Resolve `^.name`: each caret leaves one item scope; outside the last is the profile."""
    if node.levels > scope.items:
        message = f"{'^' * node.levels} leads out of the expression"
        hint = f"here at most {scope.items} carets have a meaning; each leaves one [ ]"
        findings.problem("unbound-reference", message, node, hint)
        return ast.Field(ast.ProfileRef(), node.name, span=node.span)
    owner = ast.ItemRef(node.levels, span=node.span)
    if node.levels < scope.items:
        # As `this` is the current item, `^.this` is the enclosing one.
        return owner if node.name == "this" else ast.Field(owner, node.name, span=node.span)
    profile = ast.ProfileRef(span=node.span)
    return profile if node.name == "this" else field_of(profile, node.name, node)


def field_of(owner: Expr, name: str, node: Node) -> Expr:
    """Return a field; `xEvent` of the profile is the events."""
    if isinstance(owner, ast.ProfileRef) and name == "xEvent":
        return ast.EventsRef(span=node.span)
    return ast.Field(owner, name, span=node.span)
