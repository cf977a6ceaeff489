"""Counting the profiles of a segment job's slice that are up to date, from what is stored."""

from __future__ import annotations

from collections.abc import Collection

from app.domain.model import ProfileKey, Tenant
from app.domain.previews import ScannedProfiles
from app.engine.state_glance import glance_at_whole
from app.service.job_tally import SegmentTally

Stored = dict[ProfileKey, bytes | None]


def count_settled(
    tally: SegmentTally,
    found: ScannedProfiles,
    tenant: Tenant,
    tag: str,
    changing: Collection[str],
    until_ms: int,
) -> Stored:
    """Count the profiles that a batch leaves as they are; they need neither key nor cache.

    Args:
        tally: Takes them.
        found: The slice.
        tenant: Whose profiles.
        tag: Of the definitions in force.
        changing: Ids of profiles that the batch is about in any case.
        until_ms: The clock of the batch does not go beyond.

    Returns:
        What is stored of all others.
    """
    rest: Stored = {}
    for profile_id, packed in zip(found.ids, found.states, strict=True):
        is_counted = (
            packed is not None
            and profile_id not in changing
            and _is_counted(tally, packed, tag, until_ms)
        )
        if not is_counted:
            rest[ProfileKey(tenant, profile_id)] = packed
    return rest


def _is_counted(tally: SegmentTally, packed: bytes, tag: str, until_ms: int) -> bool:
    try:
        stored = glance_at_whole(packed)
        if stored is None or not stored.is_settled(tag, until_ms):
            return False
        if stored.created:
            tally.add_stored(stored)
    except Exception:
        # The engine will fail on it too: it is then found by halves, and left out alone.
        return False
    return True
