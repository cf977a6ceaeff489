"""Accepting or refusing the expression of a definition, with every problem at its position."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from app.domain.errors import InvalidDefinition
from app.engine.report import EvaluationReport, report
from app.pql.ast import Call, Expr, Literal, walk
from app.pql.checker import Checked, check
from app.pql.diagnosis import diagnose
from app.pql.errors import PqlError, Problem
from app.pql.parser import parse
from app.pql.render import Place, place_of
from app.service.event_reach import beyond_retention

MOST_PROBLEMS = 100
"""Listed of one expression; nobody reads more."""


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One thing wrong with a definition.

    Attributes:
        line, column: Position in the expression, both from 1; None for what has no position.
        length: How many characters of that line it is about.
        excerpt: The line and, below it, the place underlined; empty where there is no position.
        hint: How to mend it; may be empty.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    length: int | None = None
    excerpt: str = ""
    hint: str = ""


def placed(code: str, message: str, place: Place, hint: str = "") -> ExpressionProblem:
    """Return a problem with its position."""
    return ExpressionProblem(
        code, message, place.line, place.column, place.length, place.excerpt, hint
    )


class RefusedDefinition(InvalidDefinition):
    """A definition that cannot be accepted; `details` are the problems of `problems`, in parts."""

    def __init__(self, message: str, details: Iterable[ExpressionProblem]) -> None:
        self.details = tuple(details)
        super().__init__(message, tuple(problem.message for problem in self.details))


@dataclass(frozen=True, slots=True)
class AcceptedExpression:
    """A checked expression.

    Attributes:
        tree: The parsed tree; equal trees mean the same.
        segment_ids: Asked with `inSegment`, sorted, each once.
        warnings: True things that the author may not have meant.
        report: How it is evaluated.
    """

    tree: Expr
    segment_ids: tuple[str, ...]
    warnings: tuple[ExpressionProblem, ...]
    report: EvaluationReport


def rendered(problem: ExpressionProblem) -> str:
    """Return a problem as lines for people: place and message, excerpt, remedy."""
    head = problem.message
    if problem.line is not None:
        head = f"line {problem.line}, column {problem.column}: {head}"
    lines = [head, *(f"  {line}" for line in problem.excerpt.split("\n") if line)]
    return "\n".join([*lines, f"  hint: {problem.hint}"] if problem.hint else lines)


def parsed(text: str) -> Expr:
    """Parse an expression.

    Raises:
        RefusedDefinition: With the syntax problems.
    """
    try:
        return parse(text)
    except PqlError as error:
        raise _refused(text, diagnose(text, error)) from None


def segments_asked(tree: Expr) -> frozenset[str]:
    """Return the ids that a parsed tree names with `inSegment`."""
    return frozenset(
        argument.value
        for node in walk(tree)
        if isinstance(node, Call) and node.function == "inSegment"
        for argument in node.arguments
        if isinstance(argument, Literal) and isinstance(argument.value, str)
    )


def accept(text: str, tree: Expr, known: Collection[str], retention_ms: int) -> AcceptedExpression:
    """Check an expression.

    Args:
        text: Where `tree` was parsed from.
        tree: The parsed tree.
        known: Ids that `inSegment` may name.
        retention_ms: How long events are kept; a window that is longer is warned of.

    Raises:
        RefusedDefinition: With all problems.
    """
    checked: Checked = check(tree, segments=known)
    if checked.expr is None or checked.problems:
        raise _refused(text, checked.problems)
    warnings = [*checked.warnings, *beyond_retention(checked.expr, retention_ms)]
    return AcceptedExpression(
        tree=tree,
        segment_ids=tuple(sorted(set(checked.segment_ids))),
        warnings=tuple(_located(text, warning) for warning in warnings),
        report=report(checked.expr),
    )


def _refused(text: str, problems: Sequence[Problem]) -> RefusedDefinition:
    count = len(problems)
    message = f"the expression has {count} problem{'s' if count > 1 else ''}"
    if count > MOST_PROBLEMS:
        message += f", of which the first {MOST_PROBLEMS} are listed"
    return RefusedDefinition(
        message, [_located(text, problem) for problem in problems[:MOST_PROBLEMS]]
    )


def _located(text: str, problem: Problem) -> ExpressionProblem:
    place = place_of(text, problem.span.start, problem.span.end)
    return placed(problem.code, problem.message, place, problem.hint)


def same_meaning(text: str, tree: Expr) -> bool:
    """Tell whether `text` parses to `tree`: whitespace and parentheses make no difference."""
    try:
        return parse(text) == tree
    except PqlError:  # stored by a version with a wider grammar
        return False
