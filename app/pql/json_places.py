"""Where in a pql/json a reader is, what it found wrong there, and the error that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import InvalidDefinition
from app.pql.ast import Expr, Span, This
from app.pql.errors import Problem
from app.pql.limits import MAX_DEPTH, MAX_JSON_NODES
from app.pql.scope import Scope

MAX_PROBLEMS = 100
"""So many are told at once."""

HOLE = This()
"""Stands in the tree where nothing could be read; the tree is never used."""


_ROOT = Scope()


@dataclass(frozen=True, slots=True)
class At:
    """One place.

    Attributes:
        pointer: RFC 6901, empty for the whole.
        scope: What names mean there.
        depth: How many nodes are around it.
    """

    pointer: str = ""
    scope: Scope = _ROOT
    depth: int = 0

    def key(self, *parts: str | int) -> At:
        """Return a place below, by the keys, none with `~` or `/`, and positions on the way."""
        way = "".join(f"/{part}" for part in parts)
        return At(self.pointer + way, self.scope, self.depth)

    def within(self, scope: Scope) -> At:
        """Return the place with another meaning of names."""
        return At(self.pointer, scope, self.depth)


_LONGEST_SHOWN = 60


def shown(value: Any) -> str:
    """Return something that was given, for a message: quoted, and not without end."""
    text = ascii(value) if isinstance(value, str) else f"`{type(value).__name__}`"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


class PqlJsonError(InvalidDefinition):
    """A pql/json that cannot be read.

    Attributes:
        problems: At least one; the start of each span is an index into `places`.
        places: JSON pointers.
    """

    code = "invalid-expression"
    problems: tuple[Problem, ...]  # type: ignore[assignment]  # richer than texts, prints as one
    places: tuple[str, ...]

    def __init__(self, problems: Iterable[Problem], places: tuple[str, ...]) -> None:
        found = tuple(problems)
        super().__init__("\n".join(f"at {pointer_of(one, places)}: {one}" for one in found))
        self.problems = found
        self.places = places


def pointer_of(problem: Problem, places: tuple[str, ...]) -> str:
    """Return the JSON pointer of a problem of a tree that was read from pql/json."""
    return places[problem.span.start] or "/"


class Enough(Exception):
    """There are so many problems, or nodes, that reading on is of no use."""


class JsonPlaces:
    """Numbers the places of nodes in their order and notes what is wrong."""

    def __init__(self) -> None:
        self.places: list[str] = [""]
        self.problems: list[Problem] = []
        self._nodes = 0

    def span(self, at: At) -> Span:
        """Return the span of the nodes that are made from a place: its number."""
        self.places.append(at.pointer)
        return Span(len(self.places) - 1, len(self.places) - 1)

    def refuse(self, code: str, message: str, at: At, hint: str = "") -> Expr:
        """Note a problem; returns what stands in its place.

        Raises:
            Enough: It is the last one that is told.
        """
        self.problems.append(Problem(code, message, self.span(at), hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise Enough
        return HOLE

    def enter(self, at: At) -> At:
        """Count a node; returns the place of what is in it.

        Raises:
            Enough: There are too many of them, or it is too deep.
        """
        hint = "flatten it, or move parts into segments joined by inSegment"
        if at.depth > MAX_DEPTH:
            self.refuse("too-deep", f"the nodes are more than {MAX_DEPTH} levels deep", at, hint)
            raise Enough
        self._nodes += 1
        if self._nodes > MAX_JSON_NODES:
            self.refuse("too-many-nodes", f"there are more than {MAX_JSON_NODES} nodes", at, hint)
            raise Enough
        return At(at.pointer, at.scope, at.depth + 1)

    def text_of(self, given: Mapping[str, Any], key: str, at: At) -> str:
        """Return a text of a node; notes it, and returns an empty one, where there is none."""
        found = given.get(key)
        if isinstance(found, str) and found:
            return found
        self._lacks(given, key, at, "a text")
        return ""

    def list_of(self, given: Mapping[str, Any], key: str, at: At) -> list[Any]:
        """Return a list of a node; notes it, and returns an empty one, where there is none."""
        found = given.get(key)
        if isinstance(found, list):
            return found
        self._lacks(given, key, at, "a list")
        return []

    def _lacks(self, given: Mapping[str, Any], key: str, at: At, wanted: str) -> None:
        kind = given.get("nodeType", "item")
        if key in given:
            self.refuse("json-type", f"`{key}` of this {kind} is not {wanted}", at.key(key))
        else:
            self.refuse("json-missing", f"this {kind} has no `{key}`", at, f"add {wanted}")
