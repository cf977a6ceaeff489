"""The two forms of an expression: PQL text, and the same as a JSON tree.

What a value is, is seen by itself: published samples call a text `pql/json`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from app.domain.model import Tenant
from app.pql.ast import Expr
from app.pql.json_places import PqlJsonError
from app.pql.json_reader import read
from app.pql.json_writer import write
from app.pql.limits import ExpressionLimits, check_length, check_size
from app.pql.memberships import possible_segments
from app.service.expressions import (
    WITHOUT_LIMITS,
    AcceptedExpression,
    ExpressionRules,
    accept,
    parsed,
    refused,
)

TEXT_FORMAT: Final = "pql/text"
JSON_FORMAT: Final = "pql/json"
FORMATS: Final = (TEXT_FORMAT, JSON_FORMAT)

Existing: TypeAlias = Callable[[Tenant, Collection[str]], Awaitable[Collection[str]]]
"""Returns those of some ids that segments have."""


@dataclass(frozen=True, slots=True)
class ReadExpression:
    """An expression in whichever form it was sent.

    Attributes:
        text: PQL text that parses to `tree`.
        places: JSON pointers that the spans of `tree` are indices of; None where it was a text.
    """

    text: str
    tree: Expr
    places: tuple[str, ...] | None = None


def read_expression(
    value: str, stated_format: str = TEXT_FORMAT, limits: ExpressionLimits = WITHOUT_LIMITS
) -> ReadExpression:
    """Read an expression.

    Raises:
        RefusedDefinition: With the problems of its syntax, or because it is too large.
    """
    if not _is_tree(value, stated_format):
        return ReadExpression(value, parsed(value, limits))
    try:
        found = read(value)
    except PqlJsonError as error:
        raise refused("", error.problems, error.places) from None
    too_large = [*check_length(found.text, limits), *check_size(found.tree, limits)]
    if too_large:
        raise refused(found.text, too_large, found.places)
    return ReadExpression(found.text, found.tree, found.places)


async def accepted_expression(
    tenant: Tenant, value: str, stated_format: str, rules: ExpressionRules, existing: Existing
) -> AcceptedExpression:
    """Read and check an expression, which may name the segments that exist.

    Raises:
        RefusedDefinition: With all problems.
    """
    found = read_expression(value, stated_format, rules.limits)
    known = await existing(tenant, possible_segments(found.tree))
    return accept(tenant, found.text, found.tree, known, rules, found.places)


def converted(value: str, stated_format: str) -> tuple[str, str]:
    """Return the format and value of an expression in the form that it has not.

    Raises:
        RefusedDefinition: With the problems of its syntax.
    """
    found = read_expression(value, stated_format)
    if found.places is not None:
        return TEXT_FORMAT, found.text
    return JSON_FORMAT, json.dumps(write(found.tree), ensure_ascii=False, separators=(",", ":"))


def _is_tree(value: str, stated_format: str) -> bool:
    start = value.lstrip()[:1]
    if stated_format == JSON_FORMAT:
        return start in ("{", "[")
    if start != "{" or '"nodeType"' not in value:
        return False
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "nodeType" in document
