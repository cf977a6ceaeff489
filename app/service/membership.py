"""The `segmentMembership` map of a profile, for the API and for the memberships topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.domain.model import SEGMENT_NAMESPACE, ProfileKey
from app.domain.timestamps import iso_text
from app.engine.profile import ProfileState
from app.engine.tables import Detail, DetailTable


def segment_membership(state: ProfileState, segment_ids: Mapping[int, str]) -> dict[str, Any]:
    """Return the two-level map of a stored profile: namespace → segment id → membership.

    Args:
        state: As it is stored.
        segment_ids: Segment id by ordinal; memberships in unknown segments are left out.

    Returns:
        `{"ups": {"<id>": {"status", "lastQualificationTime"}}}`; empty inner map for none.
        Source: API reference, segmentMembership on the profile.
    """
    members = int.from_bytes(state.members, "little")
    return membership_map(members, state.details, segment_ids)


def membership_map(
    members: int, details: DetailTable, segment_ids: Mapping[int, str]
) -> dict[str, Any]:
    """Return the same of a profile that a batch works on; `members` is its bit set."""
    found = {
        segment_ids[ordinal]: {
            "lastQualificationTime": iso_text(detail.at_ms),
            "status": "realized" if members >> ordinal & 1 else "exited",
        }
        for ordinal, detail in details.items()
        if ordinal in segment_ids
    }
    return {SEGMENT_NAMESPACE: found}


def memberships_record(
    key: ProfileKey, members: int, details: DetailTable, segment_ids: Mapping[int, str]
) -> bytes:
    """Return the value of a record of the memberships topic, sequences included.

    It names every segment that the profile ever was in, of which one or two have changed: the
    texts of a busy profile are kept.
    """
    parts = details.rendered if len(details) >= _MANY else {}
    for ordinal, detail in details.items():
        if ordinal not in parts and ordinal in segment_ids:
            parts[ordinal] = _rendered(segment_ids[ordinal], members >> ordinal & 1, detail)
    head = orjson.dumps(
        {
            "orgId": key.tenant.org_id,
            "sandboxName": key.tenant.sandbox_name,
            "profileId": key.profile_id,
            "segmentMembership": {SEGMENT_NAMESPACE: {}},
        }
    )
    texts = [text for ordinal, text in parts.items() if ordinal in segment_ids]
    return b"%b%b}}}" % (head[:-3], b",".join(texts))


_MANY = 16


def _rendered(segment_id: str, is_member: int, detail: Detail) -> bytes:
    membership = {
        "status": "realized" if is_member else "exited",
        "lastQualificationTime": iso_text(detail.at_ms),
        "sequence": detail.sequence,
    }
    return orjson.dumps({segment_id: membership})[1:-1]
