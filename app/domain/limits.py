"""Limits of the engine, as plain data; the values come from settings."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds on what is kept per profile.

    Attributes:
        retention_ms: An event older than this at the partition clock is not seen by any rule.
        retention_events: Only so many newest events of a profile are kept.
        dedup_ids: So many newest event ids are remembered per profile,
        dedup_ms: each for this long.
        whole_state_bytes: A stored profile from this size on has its changes appended to it;
            smaller ones are written whole.
        profile_bytes: A profile whose stored state and events are larger takes no more updates.
        event_bytes: No event is larger.
    """

    retention_ms: int = 30 * DAY_MS
    retention_events: int = 5_000
    dedup_ids: int = 1_000
    dedup_ms: int = 30 * DAY_MS
    whole_state_bytes: int = 2_048
    profile_bytes: int = 67_108_864
    event_bytes: int = 1_048_576
