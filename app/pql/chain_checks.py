"""Checks of `chain` (PQL reference, events and sequences)."""

from __future__ import annotations

from dataclasses import replace

from app.pql import ast
from app.pql.ast import Expr, Span
from app.pql.limits import MAX_STEPS
from app.pql.scope import Findings

TIMESTAMP = ast.Field(ast.ItemRef(0), "timestamp")
"""The resolved key of every chain: the timestamp of the event in question."""

_SHAPE = "write chain(xEvent, timestamp, […])"


def check_chain(node: ast.Chain, array: Expr, findings: Findings) -> None:
    """Check array, key, number of steps, labels and counts."""
    if not isinstance(array, ast.EventsRef):
        findings.problem("chain-array", "a chain runs over xEvent", node.array, _SHAPE)
    if node.key not in (ast.Name("timestamp"), TIMESTAMP):
        findings.problem("chain-key", "a chain is ordered by timestamp", node.key, _SHAPE)
    if len(node.steps) > MAX_STEPS:
        message = f"a chain has at most {MAX_STEPS} steps, this one has {len(node.steps)}"
        place = replace(node, span=Span(node.steps[MAX_STEPS].span.start, node.span.end))
        findings.problem("too-many-steps", message, place, "join two chains with `and`")
    seen: set[str] = set()
    for step in node.steps:
        if step.label in seen:
            message = f"the label {step.label} is used twice"
            findings.problem("duplicate-name", message, step, "choose another label")
        seen.add(step.label)
        if step.count is not None and step.count < 1:
            hint = "for no event at all write not chain(…)"
            findings.problem("chain-count", "COUNT is at least 1", step, hint)
