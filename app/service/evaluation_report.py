"""How definitions are evaluated, by their expressions."""

from __future__ import annotations

from functools import lru_cache

from app.domain.errors import InvalidDefinition
from app.domain.model import JsonObject
from app.engine.report import EvaluationReport, report
from app.pql.checker import check
from app.pql.parser import parse

_REMEMBERED = 20_000


@lru_cache(maxsize=_REMEMBERED)
def report_of(expression: str) -> EvaluationReport | None:
    """Return the report on an expression; None when this version cannot evaluate it.

    Computed, not stored with the definition: another version may evaluate it in another way.
    """
    try:
        resolved = check(parse(expression)).expr
        return None if resolved is None else report(resolved)
    except InvalidDefinition:
        return None


def report_fields(found: EvaluationReport | None) -> JsonObject:
    """Return a report, an extension, as fields of an answer."""
    if found is None:
        return {}
    return {"evaluation": found.evaluation, "estimatedStateBytes": found.state_bytes}
