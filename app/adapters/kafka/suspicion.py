"""What the engine of a partition failed on, and how the rest of it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.adapters.kafka.work import Work
from app.domain.model import ProfileKey
from app.service.backfill import Suspects


@dataclass(slots=True)
class Suspicion:
    """Outlives the owner whose engine failed: its successor goes on searching.

    Attributes:
        poison: Input offsets that the engine failed on.
        alone_until, alone_size: Up to this offset, batches have so many records at most: halved
            at each failure until one record is left.
        is_timer_suspect: Whether the engine failed on timers: they then fire one by one.
        bad_timers: Timers that the engine failed on; dropped when they are due.
        profiles: Those of a scan or job that the engine failed on.
    """

    poison: set[int] = field(default_factory=set)
    alone_until: int = -1
    alone_size: int = 1
    is_timer_suspect: bool = False
    bad_timers: set[ProfileKey] = field(default_factory=set)
    profiles: Suspects = field(default_factory=Suspects)

    def is_at(self, offset: int) -> bool:
        """Tell whether records from an offset on are searched."""
        return offset < self.alone_until

    def most(self, offset: int, max_records: int) -> int:
        """Return how many records the batch from an offset on may have."""
        return min(max_records, self.alone_size) if self.is_at(offset) else max_records

    def drop_bad(self, due: Mapping[ProfileKey, int]) -> list[ProfileKey]:
        """Return the due timers that are not to fire; each is dropped once."""
        found = [key for key in due if key in self.bad_timers]
        self.bad_timers.difference_update(found)
        return found

    def blame(self, work: Work) -> None:
        """Remember what the engine failed on, or how to find it."""
        looked = work.scanned if work.tally is None else work.tally.keys
        if work.scan is not None and looked:
            # The rest of the batch is suspected only if it fails again without the slice.
            self.profiles.blame(work.scan, looked, work.following)
            return
        if work.records == 1 and not work.due:
            self.poison.add(work.first)
            self.alone_until = -1
        elif work.records:
            self.alone_until = work.end
            self.alone_size = max(work.records // 2, 1)
            self.is_timer_suspect = self.is_timer_suspect or bool(work.due)
        elif len(work.due) == 1:
            self.bad_timers.update(work.due)
        else:
            self.is_timer_suspect = True
