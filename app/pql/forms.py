"""Shapes of trees that more than one module has to recognise."""

from __future__ import annotations

from app.pql import ast
from app.pql.ast import Expr


def body_of(argument: Expr) -> Expr:
    """Return what the argument of `map` gives for an item."""
    return argument.body if isinstance(argument, ast.Lambda) else argument


def gives_map(node: ast.MethodCall) -> bool:
    """Tell whether a `map` makes a map: its body is a `mapEntry`."""
    body = body_of(node.arguments[0])
    return isinstance(body, ast.Call) and body.function == "mapEntry"
