"""What the shapes of values mean for operators, methods and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from app.pql import ast
from app.pql.ast import Expr
from app.pql.calendar import parse_timestamp
from app.pql.forms import gives_map
from app.pql.schema import ANY, Kind, Shape
from app.pql.types import Type, described
from app.pql.values import coerce

_TYPES: Final[dict[Kind, Type]] = {
    "boolean": "boolean",
    "number": "number",
    "string": "string",
    "array": "array",
    "object": "object",
}
_WORDS: Final[dict[Kind, str]] = {
    **{kind: described(of) for kind, of in _TYPES.items()},
    "time": "a time",
    "object": "an object",
}
_SAMPLES: Final[dict[Kind, bool | int | str]] = {"boolean": True, "number": 0, "string": ""}
_SAME_ITEMS = frozenset({"filter", "distinct", "intersection", "topN", "bottomN"})
_LIST: Final[frozenset[Kind]] = frozenset({"array"})
_OBJECT: Final[frozenset[Kind]] = frozenset({"object"})
_DEEPEST = 32


def list_of(item: Shape) -> Shape:
    """Return the shape of a list."""
    return Shape(_LIST, element=item)


def map_of(value: Shape) -> Shape:
    """Return the shape of a map that may have any key."""
    return Shape(_OBJECT, element=value)


def object_of(fields: Mapping[str, Shape]) -> Shape:
    """Return the shape of an object with these fields; nothing is said of others."""
    return Shape(_OBJECT, extra=fields)


def item_of(shape: Shape) -> Shape:
    """Return the shape of the items of a list; of anything else nothing is known."""
    return shape.item if shape.kinds == _LIST else ANY


def leaf_of(shape: Shape) -> Shape:
    """Return what a path through lists leads to."""
    for _ in range(_DEEPEST):
        if shape.kinds != _LIST:
            return shape
        shape = shape.item
    return ANY


def type_of(shape: Shape) -> Type:
    """Return the type of values of this shape as far as it is one.

    A schema of JSON can say of a time only that it is a string.
    """
    if len(shape.kinds) != 1:
        return "any"
    (kind,) = shape.kinds
    return "string" if kind == "time" else _TYPES[kind]


def seen_by(node: ast.MethodCall, receiver: Shape) -> Shape:
    """Return the shape of the item that the argument of a method sees: `map` takes maps too."""
    if node.method == "map" and receiver.kinds == _OBJECT:
        return receiver.value
    return item_of(receiver)


def result_of(node: ast.MethodCall, receiver: Shape, arguments: Sequence[Shape]) -> Shape:
    """Return the shape of what a method gives where it is made of what it is called on."""
    if node.method in _SAME_ITEMS:
        return receiver
    if node.method == "head":
        return item_of(receiver)
    if node.method == "groupBy":
        return map_of(list_of(item_of(receiver)))
    if node.method == "map" and arguments:
        return map_of(arguments[0]) if gives_map(node) else list_of(arguments[0])
    if node.method == "values":
        return list_of(receiver.value) if receiver.kinds == _OBJECT else ANY
    key = node.arguments[0] if node.method == "get" and node.arguments else None
    if isinstance(key, ast.Literal) and isinstance(key.value, str):
        return leaf_of(receiver).at(key.value) or ANY
    return ANY


def takes(shape: Shape, value: bool | int | float | str) -> bool:
    """Tell whether a constant can equal a value of this shape, once it took its type."""
    return not shape.kinds or any(_is(value, kind) for kind in shape.kinds)


def _is(value: bool | int | float | str, kind: Kind) -> bool:
    if kind == "time":
        is_number = not isinstance(value, bool | str)
        return is_number or parse_timestamp(value) is not None
    if kind in {"array", "object"}:
        return kind == "array"
    return coerce(value, _SAMPLES[kind]) is not None


def is_allowed(shape: Shape, value: bool | int | float | str) -> bool:
    """Tell whether a constant is among the values that a schema lists; it may list none."""
    if shape.allowed is None:
        return True
    scalars = [one for one in shape.allowed if isinstance(one, bool | int | float | str)]
    return any(coerce(value, one) == one for one in scalars)


def is_path(node: Expr) -> bool:
    """Tell whether schemas alone say what a node is."""
    if isinstance(node, ast.MethodCall):
        return node.method in {"head", "get"}
    return isinstance(node, ast.Field | ast.ItemRef | ast.Variable | ast.ProfileRef)


def path_of(node: Expr) -> str:
    """Return a path as it is written, as far as it is one."""
    match node:
        case ast.Field(owner, name):
            before = path_of(owner)
            return f"{before}.{name}" if before else name
        case ast.Variable(name):
            return name
        case ast.EventsRef():
            return "xEvent"
        case ast.Filter(array):
            return f"{path_of(array)}[…]"
        case ast.MethodCall(receiver, method):
            return f"{path_of(receiver)}.{method}(…)"
    return ""


def kinds_in_words(kinds: frozenset[Kind]) -> str:
    """Return kinds with their articles: `a number or a string`."""
    return " or ".join(sorted(_WORDS[kind] for kind in kinds)) or "anything"
