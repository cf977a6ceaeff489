"""Which events were applied lately, for de-duplication."""

from __future__ import annotations

from array import array
from bisect import bisect_right

_SCAN_UPTO = 32


class RecentIds:
    """Hashes of applied event ids with the partition clock at that time, oldest first.

    Two parallel arrays, so that a busy profile packs and unpacks by copying; an index is made only
    once there are too many to look through.

    Attributes:
        saved: So many of them, from the oldest on, are in the stored state,
        cut: which begins with so many more.
    """

    __slots__ = ("_index", "cut", "hashes", "saved", "times")

    def __init__(self, hashes: array[int] | None = None, times: array[int] | None = None) -> None:
        self.hashes = array("Q") if hashes is None else hashes
        self.times = array("q") if times is None else times
        self._index: dict[int, int] | None = None
        self.mark_saved()

    def mark_saved(self) -> None:
        """Take note that the stored state holds them all."""
        self.saved = len(self.hashes)
        self.cut = 0

    def __len__(self) -> int:
        return len(self.hashes)

    def seen_ms(self, id_hash: int) -> int | None:
        """Return when an id was applied, None if it is not remembered."""
        if self._index is None:
            if len(self.hashes) <= _SCAN_UPTO:
                found = self.hashes.index(id_hash) if id_hash in self.hashes else -1
                return self.times[found] if found >= 0 else None
            self._index = dict(zip(self.hashes, self.times, strict=True))
        return self._index.get(id_hash)

    def remember(self, id_hash: int, now_ms: int, most: int, oldest_ms: int) -> None:
        """Add an id that is not remembered yet; keep the bounds of `trim`."""
        times = self.times
        if times and (len(times) >= most or times[0] <= oldest_ms):
            self.trim(most - 1, oldest_ms)
        self.add(id_hash, now_ms)

    def add(self, id_hash: int, now_ms: int) -> None:
        """Remember an id that is not remembered yet."""
        self.hashes.append(id_hash)
        self.times.append(now_ms)
        if self._index is not None:
            self._index[id_hash] = now_ms

    def trim(self, most: int, oldest_ms: int) -> None:
        """Forget all but the `most` newest, and those applied at or before `oldest_ms`."""
        drop = max(len(self.hashes) - most, 0)
        if self.times and self.times[0] <= oldest_ms:
            drop = max(drop, bisect_right(self.times, oldest_ms))
        if not drop:
            return
        if self._index is not None:
            for id_hash in self.hashes[:drop]:
                self._index.pop(id_hash, None)
        del self.hashes[:drop]
        del self.times[:drop]
        stored = min(drop, self.saved)
        self.cut += stored
        self.saved -= stored

    def all_at(self, now_ms: int) -> RecentIds:
        """Return the same ids as if all of them had been applied at one instant."""
        return RecentIds(self.hashes, array("q", [now_ms]) * len(self.hashes))
