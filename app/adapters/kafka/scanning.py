"""Which partition looks at a slice of its profiles in a cycle, and at how many.

Live records come first: one partition scans in a cycle, if there are few records or if none has
done so for a while; and a slice is only as large as the processor can do in a few hundredths of a
second, which is found out by doing it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.adapters.kafka.owner import Owner
from app.adapters.kafka.work import Work

FEW_RECORDS = 200
"""A cycle with fewer records has time for a slice; a batch with fewer tells what it takes."""

LONGEST_WAIT_S = 0.25
"""With more records, a slice comes so long after the last one at the latest."""

SLICE_S = 0.02
"""Processor time that a slice may take; slices are halved beyond the double of it."""

SLICE_BYTES = 4 << 20
"""Stored profiles that a slice may load; likewise."""

_LEAST = 16
_REMEMBERED = 64


class Scanning:
    """Shares out slices among the owners of a worker.

    Args:
        most: Profiles of a slice at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limits: dict[str, int] = {}
        self._last = -1
        self._next_s = 0.0

    def choose(self, owners: Collection[Owner], now_s: float) -> Owner | None:
        """Return who scans in this cycle, in turn; None for nobody."""
        waiting = sorted(owner.partition for owner in owners if owner.may_scan)
        if not waiting:
            return None
        if now_s < self._next_s and _records(owners) >= FEW_RECORDS:
            return None
        self._next_s = now_s + LONGEST_WAIT_S
        self._last = next((p for p in waiting if p > self._last), waiting[0])
        return next(owner for owner in owners if owner.partition == self._last)

    def limit_of(self, tag: str) -> int:
        """Return how many profiles the next slice with a tag may have.

        What one change of definitions, or one job, does with a profile says nothing of another.
        """
        return self._limits.get(tag, min(_LEAST, self._most))

    def ended(self, work: Work, busy_s: float, loaded_bytes: int) -> None:
        """Learn how long the processor was busy with a batch, and what was loaded for it."""
        if work.scan is None or not work.looked or work.records >= FEW_RECORDS:
            return
        tag = work.scan.tag
        limit = self.limit_of(tag)
        if busy_s > 2 * SLICE_S or loaded_bytes > 2 * SLICE_BYTES:
            limit = max(limit // 2, min(_LEAST, self._most))
        elif busy_s < SLICE_S and loaded_bytes < SLICE_BYTES and work.looked >= limit:
            limit = min(limit * 2, self._most)
        self._limits.pop(tag, None)
        self._limits[tag] = limit
        if len(self._limits) > _REMEMBERED:
            del self._limits[next(iter(self._limits))]


def _records(owners: Collection[Owner]) -> int:
    batches: list[Any] = [batch for owner in owners for batch in owner.pending]
    return sum(len(batch.records) for batch in batches)
