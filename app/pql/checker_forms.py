"""Checks of what binds names: lambdas, `let`, the parameters of the whole expression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from app.pql import ast, checks
from app.pql.ast import Expr
from app.pql.checks import Typed
from app.pql.scope import Findings, Scope


class FormChecker(ABC):
    """Resolves forms that bind names, and literals of maps."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    @abstractmethod
    def visit(self, node: Expr, scope: Scope) -> Typed:
        """Resolve and check a node."""

    def item_argument(self, node: Expr, inner: Scope) -> Typed:
        """Visit what is evaluated per item: an expression on the item, or a lambda."""
        if not isinstance(node, ast.Lambda):
            return self.visit(node, inner)
        checks.check_names(node, self._findings)
        if len(node.parameters) == 1:
            return self.visit(node.body, inner.with_alias(node.parameters[0], ast.ItemRef(0)))
        for name in node.parameters:
            inner = inner.with_variable(name)
        body = self.visit(node.body, inner)
        return Typed(replace(node, body=body.expr), body.type)

    def function(self, node: ast.Lambda, scope: Scope) -> Typed:
        """Refuse a lambda where no function is called with anything."""
        message = "a lambda stands only at the beginning, or as the argument of map and its like"
        self._findings.problem("type", message, node, "write its body alone")
        return Typed(node, "any")

    def root(self, node: Expr) -> Typed:
        """Visit a whole expression, which may name its parameters: `(Profile) => …`."""
        scope = Scope()
        if isinstance(node, ast.Lambda):
            checks.check_names(node, self._findings)
            scope = scope.with_alias(node.parameters[0], ast.ProfileRef())
            for position, name in enumerate(node.parameters[1:], start=2):
                self._warn_not_passed(f"the parameter {name}", node)
                scope = scope.with_alias(name, ast.Parameter(position))
            node = node.body
        return self.visit(node, scope)

    def let(self, node: ast.Let, scope: Scope) -> Typed:
        """Visit `let`: its value does not see the name, its body does."""
        value = self.visit(node.value, scope)
        body = self.visit(node.body, scope.with_variable(node.name, value.type))
        return Typed(replace(node, value=value.expr, body=body.expr), body.type)

    def object_literal(self, node: ast.ObjectLiteral, scope: Scope) -> Typed:
        """Visit a literal map."""
        keys = [key for key, _ in node.entries]
        if len(set(keys)) < len(keys):
            message = "a key of this map comes twice"
            self._findings.problem("duplicate-name", message, node, "drop one of them")
        entries = tuple((key, self.visit(value, scope).expr) for key, value in node.entries)
        return Typed(replace(node, entries=entries), "object")

    def parameter(self, node: ast.Parameter, scope: Scope) -> Typed:
        """Visit `$n`."""
        if node.position == 1:
            return Typed(ast.ProfileRef(span=node.span), "any")
        self._warn_not_passed(f"the parameter ${node.position}", node)
        return Typed(node, "any")

    def context(self, node: ast.ContextReference, scope: Scope) -> Typed:
        """Visit `@{…}`."""
        self._warn_not_passed(f"@{{{node.text}}}", node)
        return Typed(node, "any")

    def _warn_not_passed(self, what: str, node: Expr) -> None:
        message = f"{what} is null: a segment is asked of one profile and nothing else"
        self._findings.warning("not-passed", message, node, "name the profile as $1 or not at all")
