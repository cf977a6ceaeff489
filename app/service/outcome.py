"""What a batch changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.domain.model import MembershipChange, ProfileKey


@dataclass(frozen=True, slots=True)
class EventWrite:
    """What happens to the stored event frames of a profile.

    Attributes:
        replace: True to overwrite the stored frames with `frames`, False to append them.
    """

    frames: bytes
    replace: bool = False


@dataclass(slots=True)
class Outcome:
    """Everything one batch changes.

    Attributes:
        states: Packed profile by key; None deletes the key.
        appended: By key, what to append to the stored packed profile.
        events: Event frames by key; None deletes the key.
        timers: Due time in ms by key; None removes the timer.
        added: Profiles that came into existence.
        removed: Profiles that ceased to exist (deleted; a stub may stay in `states`).
        changes: In the order they happened.
        memberships: For each profile with a change the whole `segmentMembership` map as JSON
            bytes (with sequences, see `docs/topics.md`); None when the profile was deleted.
        clock_ms: The partition clock after the batch.
        applied, duplicates, expired: Counts of updates applied, skipped as duplicates, skipped
            because they are older than the retention or the deletion of the profile.
        unknown: Count of updates skipped because they name no external audience that is published.
    """

    clock_ms: int
    states: dict[ProfileKey, bytes | None] = field(default_factory=dict)
    appended: dict[ProfileKey, bytes] = field(default_factory=dict)
    events: dict[ProfileKey, EventWrite | None] = field(default_factory=dict)
    timers: dict[ProfileKey, int | None] = field(default_factory=dict)
    added: list[ProfileKey] = field(default_factory=list)
    removed: list[ProfileKey] = field(default_factory=list)
    changes: list[MembershipChange] = field(default_factory=list)
    memberships: dict[ProfileKey, bytes | None] = field(default_factory=dict)
    applied: int = 0
    duplicates: int = 0
    expired: int = 0
    unknown: int = 0
