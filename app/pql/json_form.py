"""What the reader and the writer of pql/json share (docs/pql.md, PQL as JSON).

The nodes that the PQL reference attests are used as it shows them. What it has none for is an
`fnApply` of ours, and then the outermost node has the tag `VERSION_KEY`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from app.pql import ast
from app.pql.functions import FUNCTIONS
from app.pql.scope import Scope
from app.pql.words import PER_ITEM_METHODS, RESERVED

JsonNode: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["clause", "infix", "method", "function"]

VERSION_KEY: Final = "extensions"
VERSION: Final = "1"
PREFIX: Final = "xdm:"
PROFILE: Final = "profile"
"""Value of the literal that stands for the first parameter in older trees."""

FILTER: Final = "[]"
OBJECT: Final = "{}"
UP: Final = "^"
CONTEXT: Final = "@"
STEP: Final = "step"

INFIX: Final[Mapping[str, Any]] = {name.lower(): name for name in get_args(ast.BinaryOperator)}
"""Infix operators by their name in lower case."""

MOMENTS: Final = frozenset({"now", "today", "yesterday", "tomorrow"})
PERIODS: Final = frozenset({"this", "last", "next"})
AGGREGATES: Final = frozenset({"sum", "average", "min", "max"})
QUANTIFIERS: Final = {"some": "exists", "all": "forall"}

_CLAUSES = (
    frozenset({"and", "or", "not", "!", "occurs", "chain", "let", FILTER, OBJECT, UP, CONTEXT})
    | MOMENTS
    | PERIODS
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def usual_form(name: str) -> Form:
    """Return how an application of this name is read when it has no `form`."""
    word = name.lower()
    if word in _CLAUSES:
        return "clause"
    if word in INFIX and word != "matches":
        return "infix"
    spec = FUNCTIONS.get(name)
    return "method" if spec is not None and spec.kind == "method" else "function"


def is_name(text: str) -> bool:
    """Tell whether a text can be a field after a dot, a label or a bound name."""
    return _NAME.fullmatch(text) is not None


def is_bare(name: str, scope: Scope) -> bool:
    """Tell whether a field can stand without an owner: nothing else is called so here."""
    return is_name(name) and name.lower() not in RESERVED and name not in scope.variables


def with_variables(names: Iterable[str], scope: Scope) -> Scope:
    """Return the scope in which all these variables are bound."""
    for name in names:
        scope = scope.with_variable(name)
    return scope


def inside(method: str, scope: Scope) -> Scope:
    """Return the scope of the arguments of a method."""
    return scope.with_item() if method in PER_ITEM_METHODS else scope
