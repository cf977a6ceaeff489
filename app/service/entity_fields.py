"""The fields of an entity that a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import UserError
from app.domain.model import JsonObject

MAX_PARTS = 100
"""Of a path: nothing nests deeper."""

_Tree = dict[str, "_Tree | None"]


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields to show: dotted paths, of which a list on the way stands for each of its items.

    Attributes:
        names: As they were given; None for all.
    """

    names: tuple[str, ...] | None = None

    def of(self, entity: JsonObject) -> JsonObject:
        """Return the asked fields of an entity; those that it lacks are left out."""
        if self.names is None:
            return entity
        return _picked(entity, _tree(self.names))


ALL_FIELDS = Fields()


def parse_fields(names: Sequence[str]) -> Fields:
    """Check dotted paths.

    Raises:
        UserError: There is none, or one has an empty part or too many of them.
    """
    for name in names or [""]:
        parts = name.split(".")
        if not all(parts) or len(parts) > MAX_PARTS:
            text = f"fields has {name[:64]!r}; write dotted paths such as person.name.firstName"
            raise UserError(text, code="invalid-parameter")
    return Fields(tuple(names))


def _tree(names: Sequence[str]) -> _Tree:
    """Return the paths as a tree; None stands for all that is below."""
    tree: _Tree = {}
    for name in names:
        _add(tree, name.split("."))
    return tree


def _add(tree: _Tree, path: Sequence[str]) -> None:
    first, *rest = path
    if not rest:
        tree[first] = None
        return
    below = tree.setdefault(first, {})
    if below is not None:  # else all of it is asked for already
        _add(below, rest)


def _picked(entity: JsonObject, tree: _Tree) -> JsonObject:
    found: JsonObject = {}
    for name, below in tree.items():
        if name not in entity:
            continue
        value = entity[name] if below is None else _below(entity[name], below)
        if value is not _NOTHING:
            found[name] = value
    return found


def _below(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        items = [_below(item, tree) for item in value]
        return [item for item in items if item is not _NOTHING] or _NOTHING
    return (isinstance(value, dict) and _picked(value, tree)) or _NOTHING


_NOTHING = object()
