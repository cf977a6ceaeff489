"""One partition's part of a cycle, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.slices import set_scanned
from app.adapters.kafka.work import Work
from app.domain.model import ProfileKey
from app.domain.previews import ScannedProfiles
from app.service.job_tally import SegmentTally
from app.service.outcome import Outcome
from app.service.settled import count_settled


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of a cycle.

    Attributes:
        max_records, max_bytes: Of one partition's batch.
        full_poll: Records of a poll from which on the worker counts as fully loaded.
        scan_profiles: Profiles of a slice of a scan or job at most; one in a cycle.
    """

    max_records: int = 2_000
    max_bytes: int = 8 * 1_048_576
    linger_ms: int = 5
    full_poll: int = 1_000
    scan_profiles: int = 256


@dataclass(slots=True)
class Batch:
    """One partition's part of a cycle.

    Attributes:
        busy_s: Processor time that its engine has taken.
        loaded_bytes: Of stored profiles.
    """

    owner: Owner
    work: Work
    clock_ms: int
    outcome: Outcome | None = None
    is_failed: bool = False
    busy_s: float = 0.0
    loaded_bytes: int = 0

    def keys(self) -> list[ProfileKey]:
        """Return the profiles that it looks at; a key may come twice."""
        keys = self.work.keys()
        if self.work.settles and self.owner.recovery is not None:
            keys.extend(self.owner.recovery.published)
        return keys

    def count_stored(self, tally: SegmentTally, found: ScannedProfiles, now_ms: int) -> None:
        """Count a slice of a segment job as far as it need not be unpacked.

        Only the rest of it is left for the engine.
        """
        owner, work = self.owner, self.work
        assert work.scan is not None
        tenant = work.scan.tenant
        changing = {key.profile_id for key in work.changing() if key.tenant == tenant}
        until_ms = max(self.clock_ms, now_ms)
        rest = count_settled(tally, found, tenant, owner.tags[tenant], changing, until_ms)
        set_scanned(owner, work, list(rest), found.following)
        work.looked = len(found.ids)
        missing = owner.engine.missing_states(tally.keys)
        owner.engine.provide_states({key: rest[key] for key in missing})

    def missing_events(self) -> list[ProfileKey]:
        """Return the profiles whose events it needs and the engine has not."""
        tally, engine = self.work.tally, self.owner.engine
        if tally is None or not tally.needs_events:
            return engine.missing_events(self.keys())
        return engine.missing_events(self.keys(), tally.keys)

    def leave_current(self) -> None:
        """Leave out of a scan the profiles that are up to date."""
        self.work.scanned = self.owner.engine.outdated(self.work.scanned)
