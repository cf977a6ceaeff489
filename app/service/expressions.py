"""Accepting or refusing the expression of a definition, with every problem at its position."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.errors import InvalidDefinition
from app.domain.limits import EngineLimits
from app.domain.model import Tenant
from app.engine.report import EvaluationReport, report
from app.pql.ast import Expr
from app.pql.checker import Checked, check
from app.pql.diagnosis import diagnose
from app.pql.errors import PqlError, Problem
from app.pql.event_loops import event_loops
from app.pql.limits import MAX_CHARACTERS, ExpressionLimits, check_length, check_size
from app.pql.parser import parse
from app.pql.render import Place, place_of
from app.pql.schema_checks import NO_SCHEMAS, Schemas
from app.service.event_reach import beyond_retention

DEFAULT_LIMITS = ExpressionLimits()
DEFAULT_RETENTION_MS = EngineLimits().retention_ms
WITHOUT_LIMITS = ExpressionLimits(
    nodes=MAX_CHARACTERS,
    list_items=MAX_CHARACTERS,
    state_bytes=sys.maxsize,
    event_loops=sys.maxsize,
)
"""What this program can bear."""

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
        pointer: JSON pointer of the place in a pql/json; empty for the whole of it, None in a text.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    length: int | None = None
    excerpt: str = ""
    hint: str = ""
    pointer: str | None = None


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
        text: PQL text that parses to it.
        tree: The parsed tree; equal trees mean the same.
        segment_ids: Named by `inSegment` or `segmentMembership`, sorted, each once.
        warnings: True things that the author may not have meant.
        report: How it is evaluated.
    """

    text: str
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


@dataclass(frozen=True, slots=True)
class KnownSchemas:
    """The schemas of a tenant.

    Attributes:
        problem: Why they are not those that there should be; empty when they are.
    """

    schemas: Schemas
    problem: str = ""


class SchemaSource(Protocol):
    """The schemas of all tenants."""

    def of(self, tenant: Tenant) -> KnownSchemas:
        """Return what is known of the records of a tenant."""
        ...


class NoSchemas:
    """Where no schemas are kept."""

    def of(self, tenant: Tenant) -> KnownSchemas:
        """Return that nothing is known."""
        return KnownSchemas(NO_SCHEMAS)


@dataclass(frozen=True, slots=True)
class ExpressionRules:
    """What the expressions of new definitions are held to.

    Attributes:
        retention_ms: How long workers keep events; a longer window is warned of.
    """

    retention_ms: int = DEFAULT_RETENTION_MS
    limits: ExpressionLimits = DEFAULT_LIMITS
    schemas: SchemaSource = field(default_factory=NoSchemas)

    def for_what_is_stored(self) -> ExpressionRules:
        """Return the rules for an expression that was accepted before.

        Limits and schemas that came later must not stand in the way of another name or state.
        """
        return ExpressionRules(self.retention_ms, WITHOUT_LIMITS)


DEFAULT_RULES = ExpressionRules()


def parsed(text: str, limits: ExpressionLimits = WITHOUT_LIMITS) -> Expr:
    """Parse an expression.

    Raises:
        RefusedDefinition: With the syntax problems, or because it is too large.
    """
    too_long = check_length(text, limits)
    if too_long:
        raise refused(text, too_long)
    tree = _parsed(text)
    too_large = check_size(tree, limits)
    if too_large:
        raise refused(text, too_large)
    return tree


def _parsed(text: str) -> Expr:
    try:
        return parse(text)
    except PqlError as error:
        raise refused(text, diagnose(text, error)) from None


def accept(
    tenant: Tenant,
    text: str,
    tree: Expr,
    known: Collection[str],
    rules: ExpressionRules,
    places: Sequence[str] | None = None,
) -> AcceptedExpression:
    """Check an expression.

    Args:
        tenant: Whose schemas it is held to.
        text: What `tree` is parsed from.
        tree: The parsed tree.
        known: Ids of the segments there are.
        rules: What it is held to otherwise.
        places: JSON pointers that the spans of `tree` are indices of, where it was read from JSON.

    Raises:
        RefusedDefinition: With all problems.
    """
    found = rules.schemas.of(tenant)
    checked: Checked = check(tree, segments=known, schemas=found.schemas)
    if checked.expr is None or checked.problems:
        raise refused(text, checked.problems, places)
    loops = event_loops(checked.expr)
    if loops > rules.limits.event_loops:
        raise refused(text, [_too_many_loops(tree, loops, rules.limits)], places)
    evaluation = report(checked.expr)
    if evaluation.state_bytes > rules.limits.state_bytes:
        raise refused(text, [_too_much_state(tree, evaluation, rules.limits)], places)
    problems = [*checked.warnings, *beyond_retention(checked.expr, rules.retention_ms)]
    warnings = [_located(text, warning, places) for warning in problems]
    if found.problem:
        warnings.append(_without_schema(found))
    return AcceptedExpression(
        text=text,
        tree=tree,
        segment_ids=tuple(sorted(set(checked.segment_ids))),
        warnings=tuple(warnings),
        report=evaluation,
    )


def _too_many_loops(tree: Expr, found: int, limits: ExpressionLimits) -> Problem:
    message = (
        f"it goes through the events of a profile in {found} loops, each within the other;"
        f" {limits.event_loops} are allowed"
    )
    hint = "join segments by inSegment, or use a chain: it goes through the events once"
    return Problem("too-many-event-loops", message, tree.span, hint)


def _too_much_state(tree: Expr, found: EvaluationReport, limits: ExpressionLimits) -> Problem:
    message = (
        f"it needs about {found.state_bytes:,} bytes of the state of a profile,"
        f" {limits.state_bytes:,} are allowed"
    )
    hint = "use fewer event conditions, or equal ones: those are kept once"
    return Problem("state-too-large", message, tree.span, hint)


def _without_schema(found: KnownSchemas) -> ExpressionProblem:
    held = "no schema" if found.schemas == NO_SCHEMAS else "the last schema that could be used"
    return ExpressionProblem(
        "schema-unavailable",
        f"paths were held to {held}: {found.problem}",
        hint="mend the registry of schemas (docs/operations.md), then check the definition again",
    )


def refused(
    text: str, problems: Sequence[Problem], places: Sequence[str] | None = None
) -> RefusedDefinition:
    """Return the refusal of an expression, with the place of each problem in what was sent."""
    count = len(problems)
    message = f"the expression has {count} problem{'s' if count > 1 else ''}"
    if count > MOST_PROBLEMS:
        message += f", of which the first {MOST_PROBLEMS} are listed"
    listed = [_located(text, problem, places) for problem in problems[:MOST_PROBLEMS]]
    return RefusedDefinition(message, listed)


def _located(text: str, problem: Problem, places: Sequence[str] | None) -> ExpressionProblem:
    if places is not None:
        # What is wrong with the text as such has a place in the text alone.
        at = problem.span.start
        pointer = places[at] if at < len(places) else ""
        return ExpressionProblem(problem.code, problem.message, hint=problem.hint, pointer=pointer)
    place = place_of(text, problem.span.start, problem.span.end)
    return placed(problem.code, problem.message, place, problem.hint)


def same_meaning(text: str, tree: Expr) -> bool:
    """Tell whether `text` parses to `tree`: whitespace and parentheses make no difference."""
    try:
        return parse(text) == tree
    except PqlError:  # stored by a version with a wider grammar
        return False
