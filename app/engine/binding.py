"""Variables replaced by what they stand for, with an eye on scopes and on equal names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from app.engine.rewrite import rebuild
from app.pql import ast
from app.pql.limits import MAX_DEPTH, is_deeper_than

# A `let` is replaced as long as the expression does not grow beyond this.
_MOST_NODES = 500

N = TypeVar("N")


def bind_item(node: N, variable: str) -> N:
    """Return the tree with a comprehension variable turned into the item of a new outer scope.

    `select E from xEvent where E.x = 1` and `xEvent[x = 1]` become the same condition.
    """
    return _substitute(node, variable, ast.ItemRef)


def without_lets(node: Any) -> Any:
    """Return a resolved tree with `let` variables replaced by their values, from the inside.

    What remains are those that would make the tree large, and the few whose value has a variable
    that is bound anew in the body.
    """
    return rebuild(node, lambda part, _: _unbound(part) if isinstance(part, ast.Let) else None)


def _unbound(node: ast.Let) -> Any:
    value, body = without_lets(node.value), without_lets(node.body)
    kept = ast.Let(node.name, value, body, span=node.span)
    uses = sum(part == ast.Variable(node.name) for part in ast.walk(body))
    grown = _size(body) + uses * _size(value)
    if grown > _MOST_NODES or _variables(value) & set(_binders(body)):
        return kept
    found = _substitute(body, node.name, lambda depth: _deeper(value, depth))
    return kept if is_deeper_than(found, MAX_DEPTH) else found


def _size(node: Any) -> int:
    return sum(1 for _ in ast.walk(node))


def _variables(node: Any) -> set[str]:
    return {part.name for part in ast.walk(node) if isinstance(part, ast.Variable)}


def _binders(node: Any) -> Iterable[str]:
    for part in ast.walk(node):
        match part:
            case ast.Declaration(name) | ast.Let(name):
                yield name
            case ast.Lambda(names):
                yield from names


def _deeper(node: Any, by: int) -> Any:
    """Return the tree for a place that is so many item scopes further in."""

    def change(part: Any, depth: int) -> Any:
        if isinstance(part, ast.ItemRef) and part.depth >= depth:
            return ast.ItemRef(part.depth + by)
        return None

    return rebuild(node, change) if by else node


def _substitute(node: N, name: str, make: Callable[[int], Any], depth: int = 0) -> N:
    """Replace the free uses of a variable by `make(item scopes in between)`."""

    def change(part: Any, at: int) -> Any:
        match part:
            case ast.Variable(found) if found == name:
                return make(at)
            case ast.Let(found, value, _) if found == name:
                return replace(part, value=_substitute(value, name, make, at))
            case ast.Lambda(names) if name in names:
                return part
            case ast.Comprehension() | ast.Aggregate() if _declares(part, name):
                return _shadowed(part, name, make, at)
        return None

    return rebuild(node, change, depth)


def _declares(node: ast.Comprehension | ast.Aggregate, name: str) -> bool:
    return any(one.variable == name for one in node.declarations)


def _shadowed(
    node: ast.Comprehension | ast.Aggregate, name: str, make: Callable[[int], Any], depth: int
) -> Any:
    """Replace up to the declaration that binds the name anew; its source still sees the old."""
    declarations: list[ast.Declaration] = []
    is_free = True
    for one in node.declarations:
        found = one
        if is_free and one.variable == name:
            found = replace(one, source=_substitute(one.source, name, make, depth))
            is_free = False
        elif is_free:
            found = _substitute(one, name, make, depth)
        declarations.append(found)
    return replace(node, declarations=tuple(declarations))
