"""What a name can mean at one place of an expression, and the list of what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from app.pql import ast
from app.pql.ast import Expr, Node
from app.pql.errors import Problem

_GENERATED_NAME = re.compile(r"var[0-9]+")


@dataclass(frozen=True, slots=True)
class Scope:
    """The open item scopes and the bound variables.

    Attributes:
        items: How many item scopes are open; 0 at the root, where the profile is the item.
        variables: Bound names; they win over fields (PQL reference, name resolution).
    """

    items: int = 0
    variables: frozenset[str] = frozenset()

    def with_item(self) -> Scope:
        """Return the scope inside `[ ]`, `.filter()`, `WHAT()` and their like."""
        return replace(self, items=self.items + 1)

    def with_variable(self, name: str) -> Scope:
        """Return the scope in which a variable is bound."""
        return replace(self, variables=self.variables | {name})

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

    def unsupported(self, construct: str, node: Node) -> None:
        """Note a construct that is parsed but not evaluated yet."""
        message = f"{construct} is not evaluated yet"
        self.problem("not-supported-yet", message, node, "express the condition without it")


def resolve_name(node: ast.Name, scope: Scope, findings: Findings) -> Expr:
    """Resolve a bare name: variable, the events, else a field of the innermost item."""
    if node.name in scope.variables:
        return ast.Variable(node.name, span=node.span)
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
    if node.levels < scope.items:
        return ast.Field(ast.ItemRef(node.levels), node.name, span=node.span)
    return field_of(ast.ProfileRef(), node.name, node)


def field_of(owner: Expr, name: str, node: Node) -> Expr:
    """Return a field; `xEvent` of the profile is the events."""
    if isinstance(owner, ast.ProfileRef) and name == "xEvent":
        return ast.EventsRef(span=node.span)
    return ast.Field(owner, name, span=node.span)
