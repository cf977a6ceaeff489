"""The `segmentMembership` map of a profile, for the API and for the memberships topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.domain.model import SEGMENT_NAMESPACE, JsonObject, ProfileKey
from app.domain.timestamps import iso_text
from app.engine.profile import ProfileState
from app.engine.tables import Detail, DetailTable

_NONE: Mapping[int, Any] = {}


def segment_membership(
    state: ProfileState, segment_ids: Mapping[int, str], namespaces: Mapping[int, str] = _NONE
) -> dict[str, Any]:
    """Return the two-level map of a stored profile: namespace → segment id → membership.

    Args:
        state: As it is stored.
        segment_ids: Segment id by ordinal; memberships in unknown segments are left out.
        namespaces: Namespace by ordinal, of external audiences.

    Returns:
        `{"ups": {"<id>": {"status", "lastQualificationTime"}}}`; empty inner map for none. A
        membership of an external audience is in the namespace of that, with `validUntil`.
        Source: API reference, segmentMembership on the profile.
    """
    members = int.from_bytes(state.members, "little")
    return membership_map(members, state.details, segment_ids, namespaces, state.external)


def membership_map(
    members: int,
    details: DetailTable,
    segment_ids: Mapping[int, str],
    namespaces: Mapping[int, str] = _NONE,
    external: Mapping[int, int] = _NONE,
) -> dict[str, Any]:
    """Return the same of a profile that a batch works on.

    Args:
        members: Bit set over ordinals.
        details: Of every segment the profile ever was in.
        segment_ids, namespaces: See `segment_membership`.
        external: By ordinal, until when it is in an external audience.
    """
    found: dict[str, Any] = {SEGMENT_NAMESPACE: {}}
    for ordinal, detail in details.items():
        if ordinal in segment_ids:
            membership = {
                "lastQualificationTime": iso_text(detail.at_ms),
                **_status(members >> ordinal & 1, external.get(ordinal, 0)),
            }
            namespace = namespaces.get(ordinal, SEGMENT_NAMESPACE)
            found.setdefault(namespace, {})[segment_ids[ordinal]] = membership
    return found


def memberships_record(
    key: ProfileKey,
    members: int,
    details: DetailTable,
    segment_ids: Mapping[int, str],
    namespaces: Mapping[int, str] = _NONE,
    external: Mapping[int, int] = _NONE,
) -> bytes:
    """Return the value of a record of the memberships topic, sequences included.

    It names every segment that the profile ever was in, of which one or two have changed: the
    texts of a busy profile are kept.

    Args:
        key: The profile.
        members: Bit set over ordinals.
        details: Of every segment the profile ever was in.
        segment_ids: By ordinal.
        namespaces: Namespace by ordinal, of external audiences.
        external: By ordinal, until when it is in an external audience.
    """
    parts = details.rendered if len(details) >= _MANY else {}
    others: dict[str, JsonObject] = {}
    for ordinal, detail in details.items():
        if ordinal in parts or ordinal not in segment_ids:
            continue
        is_member = members >> ordinal & 1
        if ordinal in namespaces:
            # Not kept: its end moves without a change of the membership.
            membership = _membership(is_member, detail, external.get(ordinal, 0))
            others.setdefault(namespaces[ordinal], {})[segment_ids[ordinal]] = membership
        else:
            membership = _membership(is_member, detail, 0)
            parts[ordinal] = orjson.dumps({segment_ids[ordinal]: membership})[1:-1]
    head = orjson.dumps(
        {
            "orgId": key.tenant.org_id,
            "sandboxName": key.tenant.sandbox_name,
            "profileId": key.profile_id,
            "segmentMembership": {**others, SEGMENT_NAMESPACE: {}},
        }
    )
    texts = [text for ordinal, text in parts.items() if ordinal in segment_ids]
    return b"%b%b}}}" % (head[:-3], b",".join(texts))


_MANY = 16


def _membership(is_member: int, detail: Detail, until_ms: int) -> JsonObject:
    return {
        **_status(is_member, until_ms),
        "lastQualificationTime": iso_text(detail.at_ms),
        "sequence": detail.sequence,
    }


def _status(is_member: int, until_ms: int) -> JsonObject:
    status = {"status": "realized" if is_member else "exited"}
    if is_member and until_ms:
        status["validUntil"] = iso_text(until_ms)
    return status
