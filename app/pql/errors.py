"""Problems of an expression: code, place and remedy, and the error that carries them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.errors import InvalidDefinition
from app.pql.ast import Span
from app.pql.render import locate, place_of


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an expression.

    Attributes:
        code: Stable and machine-readable, such as `unknown-function`.
        message: What is wrong, naming the text in question.
        span: Where, in characters of the source text.
        hint: How to mend it; empty when there is nothing to add.
    """

    code: str
    message: str
    span: Span
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class PqlError(InvalidDefinition):
    """An expression that cannot be parsed.

    Attributes:
        problems: At least one.
        source: The whole text.
    """

    code = "invalid-expression"
    problems: tuple[Problem, ...]  # type: ignore[assignment]  # richer than texts, prints as one

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        found = tuple(problems)
        super().__init__("\n".join(describe(problem, source) for problem in found))
        self.problems = found
        self.source = source


def refusal(code: str, message: str, span: Span, source: str, hint: str = "") -> PqlError:
    """Return the error for one problem."""
    return PqlError([Problem(code, message, span, hint)], source)


def describe(problem: Problem, source: str) -> str:
    """Return one line: `line 1, column 5: message; hint`."""
    line, column = locate(source, problem.span.start)
    return f"line {line}, column {column}: {problem}"


def render(problem: Problem, source: str) -> str:
    """Return the problem with its line of text and the place underlined."""
    place = place_of(source, problem.span.start, problem.span.end)
    lines = [f"line {place.line}, column {place.column}: {problem.message}"]
    lines += [f"  {line}" for line in place.excerpt.split("\n")]
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return "\n".join(lines)
