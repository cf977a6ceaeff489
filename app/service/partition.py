"""One owned partition: decoded inputs and stored bytes in, one outcome to commit out.

Pure but for its cache: no I/O, no clock. The stream adapter loads what `missing` asks for, calls
`apply`, writes the outcome in one atomic call and publishes it (design §4). A failed or fenced
partition is thrown away with everything it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.limits import EngineLimits
from app.domain.model import MembershipChange, ProfileKey, ProfileUpdate, Tenant
from app.engine.catalogue import Catalogue


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
    """

    clock_ms: int
    states: dict[ProfileKey, bytes | None] = field(default_factory=dict)
    events: dict[ProfileKey, EventWrite | None] = field(default_factory=dict)
    timers: dict[ProfileKey, int | None] = field(default_factory=dict)
    added: list[ProfileKey] = field(default_factory=list)
    removed: list[ProfileKey] = field(default_factory=list)
    changes: list[MembershipChange] = field(default_factory=list)
    memberships: dict[ProfileKey, bytes | None] = field(default_factory=dict)
    applied: int = 0
    duplicates: int = 0
    expired: int = 0


class PartitionEngine:
    """The evaluator of one owned partition.

    One batch is: `missing_states` → load → `provide_states` → `missing_events` → load →
    `provide_events` → `apply`. Afterwards the stored truth is `Outcome`; nothing may be asked of
    the engine again before the outcome was written, and a partition whose write failed for good
    throws its engine away.
    """

    def __init__(self, limits: EngineLimits, cache_profiles: int = 0) -> None:
        """Start with no catalogue and an empty cache of at most `cache_profiles` profiles."""
        self._limits = limits

    def set_catalogue(self, tenant: Tenant, catalogue: Catalogue) -> None:
        """Swap the compiled definitions of a tenant; only between two batches."""
        raise AssertionError

    def missing_states(self, keys: Iterable[ProfileKey]) -> list[ProfileKey]:
        """Return the keys, each once, whose packed state has to be loaded for this batch."""
        raise AssertionError

    def provide_states(self, loaded: Mapping[ProfileKey, bytes | None]) -> None:
        """Hand over what was stored for `missing_states`; None where nothing is."""
        raise AssertionError

    def missing_events(self, keys: Iterable[ProfileKey]) -> list[ProfileKey]:
        """Return the keys, each once, whose event frames this batch needs; most often none."""
        raise AssertionError

    def provide_events(self, loaded: Mapping[ProfileKey, bytes | None]) -> None:
        """Hand over what was stored for `missing_events`; None where nothing is."""
        raise AssertionError

    def apply(
        self,
        updates: Sequence[ProfileUpdate],
        due: Sequence[ProfileKey],
        clock_ms: int,
        wall_ms: int,
    ) -> Outcome:
        """Apply the updates in order, then fire the timers of `due`.

        Args:
            due: Profiles whose stored timer is at or before the clock that the batch ends with;
                more do no harm.
            clock_ms: The partition clock to start from. The caller of an idle partition passes
                the wall clock, never less than the stored clock.
            wall_ms: The clock never runs ahead of this.

        Returns:
            The outcome; keys of profiles that did not change are absent from it.
        """
        raise AssertionError
