"""When to poll next: at low rates polls and transactions cost more than the records."""

from __future__ import annotations

from dataclasses import dataclass

_TRANSACTION_S = 0.004
_LONGEST_S = 0.06


@dataclass(slots=True)
class Pace:
    """Adapts the least time between two polls to what the last cycle did.

    A transaction costs about 1 ms of processor time; four times that between polls keeps
    transactions to a quarter of the processor. Under full load batches are large anyway, and
    waiting would only idle.

    Attributes:
        linger_s: Least interval.
        full_records: A poll of so many records shows full load.
        is_full: The last cycle did.
    """

    linger_s: float
    full_records: int
    interval_s: float = 0.0
    is_full: bool = False
    _next_at: float = 0.0

    def cycle_ended(self, transactions: int, busy_s: float, records: int) -> None:
        """Learn what a cycle did."""
        self.is_full = records >= self.full_records
        if self.is_full:
            self.interval_s = 0.0
            return
        wanted = max(self.linger_s, transactions * _TRANSACTION_S, busy_s)
        self.interval_s = min(wanted, max(_LONGEST_S, self.linger_s))

    def delay(self, now_s: float) -> float:
        """Return how long to wait before the next poll."""
        return max(self._next_at - now_s, 0.0)

    def polls(self, now_s: float) -> None:
        """Learn that a poll starts."""
        self._next_at = now_s + self.interval_s
