"""Accepting or refusing the expression of a definition, with every problem at its position."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.domain.errors import InvalidDefinition
from app.pql.ast import Expr
from app.pql.checker import Checked, check
from app.pql.errors import PqlError, Problem, locate
from app.pql.parser import parse
from app.service.event_reach import beyond_retention


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One thing wrong with a definition.

    Attributes:
        line, column: Position in the expression, both from 1; None for what has no position.
        hint: How to mend it; may be empty.
        pointer: JSON pointer of the place in a pql/json; empty for the whole of it, None in a text.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    hint: str = ""
    pointer: str | None = None


class RefusedDefinition(InvalidDefinition):
    """A definition that cannot be accepted; `details` are the problems of `problems`, in parts."""

    def __init__(self, message: str, details: Iterable[ExpressionProblem]) -> None:
        self.details = tuple(details)
        super().__init__(message, tuple(problem.message for problem in self.details))


@dataclass(frozen=True, slots=True)
class AcceptedExpression:
    """A checked expression.

    Attributes:
        text: PQL text that parses to it.
        tree: The parsed tree; equal trees mean the same.
        segment_ids: Named by `inSegment` or `segmentMembership`, sorted, each once.
        warnings: True things that the author may not have meant.
    """

    text: str
    tree: Expr
    segment_ids: tuple[str, ...]
    warnings: tuple[ExpressionProblem, ...]


def parsed(text: str) -> Expr:
    """Parse an expression.

    Raises:
        RefusedDefinition: With the syntax problems.
    """
    try:
        return parse(text)
    except PqlError as error:
        raise refused(text, error.problems) from None


def accept(
    text: str,
    tree: Expr,
    known: Collection[str],
    retention_ms: int,
    places: Sequence[str] | None = None,
) -> AcceptedExpression:
    """Check an expression.

    Args:
        text: What `tree` is parsed from.
        tree: The parsed tree.
        known: Ids of the segments there are.
        retention_ms: How long events are kept; a window that is longer is warned of.
        places: JSON pointers that the spans of `tree` are indices of, where it was read from JSON.

    Raises:
        RefusedDefinition: With all problems.
    """
    checked: Checked = check(tree, segments=known)
    if checked.expr is None or checked.problems:
        raise refused(text, checked.problems, places)
    warnings = [*checked.warnings, *beyond_retention(checked.expr, retention_ms)]
    return AcceptedExpression(
        text=text,
        tree=tree,
        segment_ids=tuple(sorted(set(checked.segment_ids))),
        warnings=tuple(_located(text, warning, places) for warning in warnings),
    )


def refused(
    text: str, problems: Iterable[Problem], places: Sequence[str] | None = None
) -> RefusedDefinition:
    """Return the refusal of an expression, with the place of each problem in what was sent."""
    details = [_located(text, problem, places) for problem in problems]
    message = f"the expression has {len(details)} problem{'s' if len(details) > 1 else ''}"
    return RefusedDefinition(message, details)


def _located(text: str, problem: Problem, places: Sequence[str] | None) -> ExpressionProblem:
    if places is not None:
        # What is wrong with the text as such has a place in the text alone.
        at = problem.span.start
        pointer = places[at] if at < len(places) else ""
        return ExpressionProblem(problem.code, problem.message, hint=problem.hint, pointer=pointer)
    line, column = locate(text, problem.span.start)
    return ExpressionProblem(problem.code, problem.message, line, column, problem.hint)


def same_meaning(text: str, tree: Expr) -> bool:
    """Tell whether `text` parses to `tree`: whitespace and parentheses make no difference."""
    try:
        return parse(text) == tree
    except PqlError:  # stored by a version with a wider grammar
        return False
