"""What one batch of a partition consists of, and why updates of it are set aside."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.adapters.kafka.records import OutputRecord
from app.adapters.kafka.update_fields import InputRecord
from app.domain.errors import InvalidUpdate
from app.domain.model import ProfileKey, ProfileUpdate
from app.service.backfill import Slice
from app.service.job_tally import Tally


@dataclass(slots=True)
class Work:
    """What one batch of a partition consists of.

    Attributes:
        first, end: Offset of the first record, and the next one after the last.
        last_ms: Largest record timestamp in it, 0 without records.
        updates, sources: What is to be applied, and the record that each came in.
        due: Profiles with a timer to fire, with its due time.
        dropped: Profiles whose timer is dropped unfired.
        scan: Slice of profiles to look at, if any; `following` is the smallest hash behind it.
        scanned: Those of them that are not up to date; `looked` is the number of all.
        tally: Counts or exports the slice, where it is a job's; `scanned` is empty then.
        found: All profiles of a job's slice.
        output: Dead letters and forwarded records.
    """

    end: int
    first: int = -1
    records: int = 0
    last_ms: int = 0
    updates: list[ProfileUpdate] = field(default_factory=list)
    sources: list[InputRecord] = field(default_factory=list)
    due: dict[ProfileKey, int] = field(default_factory=dict)
    dropped: list[ProfileKey] = field(default_factory=list)
    scan: Slice | None = None
    following: int | None = None
    scanned: list[ProfileKey] = field(default_factory=list)
    looked: int = 0
    tally: Tally | None = None
    found: list[ProfileKey] = field(default_factory=list)
    output: list[OutputRecord] = field(default_factory=list)
    dead: int = 0
    forwarded: int = 0
    skipped: int = 0
    settles: bool = False

    def keys(self) -> list[ProfileKey]:
        """Return the profiles it touches."""
        keys = [update.key for update in self.updates]
        keys.extend(self.due)
        keys.extend(self.scanned)
        if self.tally is not None:
            keys.extend(self.tally.keys)
        return keys

    def changing(self) -> set[ProfileKey]:
        """Return the profiles that it is about, whatever a tally looks at."""
        return {*[update.key for update in self.updates], *self.due, *self.scanned}

    @property
    def scans_alone(self) -> bool:
        """Whether the slice is all there may be in the batch."""
        return self.scan is not None and self.scan.is_alone


def too_large() -> InvalidUpdate:
    """Return why an update of a profile that is too large is refused."""
    return InvalidUpdate(
        "the profile is larger than SEG_MAX_PROFILE_BYTES, so nothing more is added to it; delete"
        " it or raise the limit, and send the update again",
        code="profile-too-large",
    )


def not_applied() -> InvalidUpdate:
    """Return why an update that breaks the engine is refused."""
    return InvalidUpdate(
        "the update is well formed, but evaluating it failed: this is a defect of the service;"
        " please report it with the record, and send the update again once it is mended",
        code="evaluation-failed",
    )
