"""Checks of what names segments: `inSegment` and `segmentMembership`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.pql import ast
from app.pql.ast import Node
from app.pql.memberships import is_root, named_segment
from app.pql.scope import Findings

_LOOKUP = 'write segmentMembership.get("ups").get("id")'


def check_segments(
    nodes: Iterable[Node], known: Collection[str] | None, findings: Findings
) -> None:
    """Check that every segment is named, and exists.

    Args:
        nodes: All of a resolved tree.
        known: Ids of the segments there are; None accepts any.
        findings: Where to note problems.
    """
    for node in nodes:
        segment_id = named_segment(node)
        if segment_id is not None:
            _check_known(segment_id, node, known, findings)
        elif isinstance(node, ast.Call) and node.function == "inSegment":
            message, hint = "inSegment takes the id of a segment", 'write inSegment("id")'
            findings.problem("segment-literal", message, node, hint)
        elif isinstance(node, ast.Field) and is_root(node):
            message = "segmentMembership is read one membership at a time"
            findings.problem("segment-literal", message, node, _LOOKUP)


def _check_known(
    segment_id: str, node: Node, known: Collection[str] | None, findings: Findings
) -> None:
    if known is None or segment_id in known:
        return
    place: Node = node
    if isinstance(node, ast.Call):
        place = node.arguments[0]
    message = f'there is no segment "{segment_id}"'
    hint = "create that segment first, or correct its id"
    findings.problem("unknown-segment", message, place, hint)
