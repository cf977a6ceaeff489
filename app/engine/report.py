"""How a definition is evaluated, and what it keeps in the state of a profile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.domain.limits import EngineLimits
from app.engine.bounds import Sliding
from app.engine.conditions import condition_of
from app.engine.leaves import (
    ChainLeaf,
    ExpressionLeaf,
    FilterSpec,
    HistoryLeaf,
    Leaf,
    TermLeaf,
    TermSpec,
    leaves_of,
)
from app.engine.windows import ALWAYS
from app.pql.ast import Expr

Evaluation: TypeAlias = Literal["incremental", "history"]

NOMINAL_EVENTS = 100
"""Kept events of the profile for which sizes are estimated, all of them matching."""

_EVENT_BYTES = 300
_ORDER_BYTES = 8
_NUMBER_BYTES = 8
_TIMELINE_BYTES = 24
_DUE_BYTES = 16


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """How a definition is evaluated.

    Attributes:
        evaluation: `incremental`: from numbers that each update moves. `history`: a part of it is
            evaluated again over the kept events, whenever something it reads has changed.
        state_bytes: What it needs of the state of a profile with `NOMINAL_EVENTS` kept events that
            all match, were it alone; equal filters of several definitions are kept once. For
            `history` the kept events themselves are counted, which are there in any case.
    """

    evaluation: Evaluation
    state_bytes: int


def report(expr: Expr) -> EvaluationReport:
    """Report on a resolved expression.

    Args:
        expr: As `checker.check` returns it.
    """
    leaves = leaves_of(condition_of(expr, EngineLimits().retention_ms))
    reads_history = any(isinstance(leaf, HistoryLeaf) for leaf in leaves)
    size = sum(_timeline_bytes(spec, events) for spec, events in _timelines(leaves).items())
    size += _DUE_BYTES * sum(isinstance(leaf, ChainLeaf | HistoryLeaf) for leaf in leaves)
    if reads_history:
        size += NOMINAL_EVENTS * _EVENT_BYTES
    return EvaluationReport("history" if reads_history else "incremental", size)


def evaluation_of(expr: Expr) -> Evaluation:
    """Tell how a resolved expression is evaluated."""
    return report(expr).evaluation


def _timelines(leaves: Iterable[Leaf]) -> dict[FilterSpec, int]:
    """Return the filters whose events are kept, and how many events of each."""
    found: dict[FilterSpec, int] = {}
    for leaf in leaves:
        for spec, events in _filters(leaf):
            found[spec] = max(found.get(spec, 0), events)
    return found


def _filters(leaf: Leaf) -> list[tuple[FilterSpec, int]]:
    match leaf:
        case TermLeaf(spec, _, constant):
            return [(spec.filter, _kept(spec, constant))]
        case ExpressionLeaf(_, specs):
            return [(spec.filter, NOMINAL_EVENTS) for spec in specs]
        case ChainLeaf(spec):
            return [(filter_spec, NOMINAL_EVENTS) for filter_spec, _, _ in spec.steps]
    return []


def _kept(spec: TermSpec, constant: float) -> int:
    """Return how many events are kept: of a count up to now only as many as decide it."""
    interval = spec.interval
    reaches_now = interval.high in (ALWAYS.high, Sliding(1)) and isinstance(interval.low, Sliding)
    if spec.kind == "count" and reaches_now:
        return int(max(1, min(constant + 1, NOMINAL_EVENTS)))
    return NOMINAL_EVENTS


def _timeline_bytes(spec: FilterSpec, events: int) -> int:
    per_event = _ORDER_BYTES + (0 if spec.value is None else _NUMBER_BYTES)
    return _TIMELINE_BYTES + _DUE_BYTES + events * per_event
