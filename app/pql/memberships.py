"""`segmentMembership.get("ups").get("id")`: stored memberships read as a path.

Namespace and id have to be named: what reads all memberships would depend on itself.
"""

from __future__ import annotations

from app.domain.model import SEGMENT_NAMESPACE
from app.pql import ast
from app.pql.ast import Expr
from app.pql.values import Value, project

ROOT = "segmentMembership"


def membership_of(node: Expr) -> Expr:
    """Return a resolved lookup as a `MembershipRef` if it is one, else as it is."""
    segment_id, namespaces = _key_of(node)
    namespace, root = _key_of(namespaces)
    if segment_id is None or namespace is None or not is_root(root):
        return node
    return ast.MembershipRef(namespace, segment_id, span=node.span)


def is_root(node: Expr | None) -> bool:
    """Tell whether a resolved expression is the whole map of memberships."""
    return (
        isinstance(node, ast.Field)
        and node.name == ROOT
        and isinstance(node.object, ast.ProfileRef)
    )


def written_membership(record: Value, node: ast.MembershipRef) -> Value:
    """Return a membership that producers wrote into the profile record; null for none.

    They cannot write those in segments of this service (API reference, segmentMembership).
    """
    if node.namespace == SEGMENT_NAMESPACE:
        return None
    return project(project(project(record, ROOT), node.namespace), node.segment_id)


def named_segment(node: ast.Node) -> str | None:
    """Return the segment of this service that a resolved node reads the membership of."""
    match node:
        case ast.Call("inSegment", (ast.Literal(str(segment_id)), *_)):
            return segment_id
        case ast.MembershipRef(namespace, segment_id) if namespace == SEGMENT_NAMESPACE:
            return segment_id
    return None


def possible_segments(tree: Expr) -> frozenset[str]:
    """Return the ids that a parsed tree may name as segments of this service; some may be none."""
    found: set[str] = set()
    for node in ast.walk(tree):
        segment_id, namespaces = _key_of(node)
        namespace, root = _key_of(namespaces)
        if segment_id is not None and namespace == SEGMENT_NAMESPACE and _may_be_root(root):
            found.add(segment_id)
        elif (asked := named_segment(node)) is not None:
            found.add(asked)
    return frozenset(found)


def _key_of(node: ast.Node | None) -> tuple[str | None, Expr | None]:
    match node:
        case ast.MethodCall(owner, "get", (ast.Literal(str(key)),)):
            return key, owner
        case ast.Field(owner, key):
            return key, owner
    return None, None


def _may_be_root(node: Expr | None) -> bool:
    return isinstance(node, ast.Name | ast.Field | ast.UpReference) and node.name == ROOT
