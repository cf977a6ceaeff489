"""Which partition looks at a slice of its profiles in a cycle, and at how many.

Live records come first: one partition scans in a cycle, if there are few records or if none has
done so for a while; and a slice is only as large as the processor can do in a few hundredths of a
second, which is found out by doing it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.adapters.kafka.owner import Owner, Work

FEW_RECORDS = 200
"""A cycle with fewer records has time for a slice; a batch with fewer tells what it takes."""

LONGEST_WAIT_S = 0.25
"""With more records, a slice comes so long after the last one at the latest."""

SLICE_S = 0.02
"""Processor time that a slice may take; slices are halved beyond the double of it."""

_LEAST = 16


class Scanning:
    """Shares out slices among the owners of a worker.

    Args:
        most: Profiles of a slice at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(_LEAST, most)
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

    @property
    def limit(self) -> int:
        """Profiles of the next slice at most."""
        return self._limit

    def ended(self, work: Work, busy_s: float) -> None:
        """Learn how long the processor was busy with a batch."""
        if not work.looked or work.records >= FEW_RECORDS:
            return
        if busy_s > 2 * SLICE_S:
            self._limit = max(self._limit // 2, min(_LEAST, self._most))
        elif busy_s < SLICE_S and work.looked >= self._limit:
            self._limit = min(self._limit * 2, self._most)


def _records(owners: Collection[Owner]) -> int:
    batches: list[Any] = [batch for owner in owners for batch in owner.pending]
    return sum(len(batch.records) for batch in batches)
