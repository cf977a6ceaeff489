"""The vocabulary of the generators, and the places where an expression can stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from hypothesis import strategies as st

from app.pql import ast
from app.pql.ast import Expr

DrawFn = st.DrawFn
EVENT_TYPES = ("a", "b", "c")
SKUS = ("x", "y", "z")
CITIES = ("Oslo", "Bergen", "oslo")
SEGMENTS = ("s1", "s2")
COMPARISONS: tuple[Any, ...] = ("=", "!=", "<", "<=", ">", ">=")
SHORT_UNITS: tuple[Any, ...] = ("second", "minute", "hour", "day")
LONG_UNITS = ("week", "month", "year", "decade", "century", "millennium")
ALL_UNITS: tuple[Any, ...] = (*SHORT_UNITS, "millisecond", *LONG_UNITS)
TEXT_METHODS = (
    "startsWith",
    "doesNotStartWith",
    "endsWith",
    "doesNotEndWith",
    "contains",
    "doesNotContain",
    "equals",
    "notEqualTo",
)


@dataclass(frozen=True)
class Place:
    """Where an expression stands: what a bare field belongs to, and how far the profile is."""

    kind: str
    owner: str | None = None
    levels: int = 0

    def of(self, name: str) -> Expr:
        return ast.Name(name) if self.owner is None else ast.Field(ast.Name(self.owner), name)

    def profile(self, name: str) -> Expr:
        return ast.UpReference(self.levels, name) if self.levels else ast.Name(name)

    def inside(self, kind: str) -> Place:
        return Place(kind, levels=self.levels + 1)

    def named(self, kind: str, name: str) -> Place:
        """Return the place inside a lambda, whose item has a name."""
        return Place(kind, name, self.levels + 1)

    def variable(self, kind: str, name: str) -> Place:
        return Place(kind, name, self.levels)


ROOT = Place("profile")
EVENTS = ast.Name("xEvent")
NOTHING = st.none()
FLAGS: tuple[Any, ...] = ((), (ast.Literal(True),), (ast.Literal(False),))


# Typed: 1, 1.0 and True are equal, but no literal may stand for the other.
@lru_cache(maxsize=None, typed=True)
def any_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@lru_cache(maxsize=None, typed=True)
def literals(*values: Any) -> st.SearchStrategy[Expr]:
    return st.sampled_from(values).map(ast.Literal)


@cache
def indices(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def choose(draw: DrawFn, choices: Sequence[Expr]) -> Expr:
    """Draw one of some trees that were drawn themselves."""
    return choices[draw(indices(len(choices)))]


@cache
def several(inner: st.SearchStrategy[Expr], least: int, most: int) -> st.SearchStrategy[Any]:
    return st.lists(inner, min_size=least, max_size=most).map(tuple)


@cache
def either(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(*parts)
