"""What the demo counts: pure, the clock is an argument; `demo_view` shows it."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.model import JsonObject

_LAST = 10
_LATENCIES = 20_000
_SENT_AT = 50_000
_RATE_WINDOW_MS = 3_000
_LEAST_WINDOW_MS = 1_000
_SEEN = 500_000


@dataclass(frozen=True, slots=True)
class SeenChange:
    """One membership change as the demo shows it.

    Attributes:
        at_ms: When it was read from the topic.
        latency_ms: From the update being handed to the producer (a change by time: from the instant
            it was due) to this change being read; None where neither is known.
    """

    at_ms: int
    profile_id: str
    segment_id: str
    entered: bool
    cause: str
    latency_ms: int | None


@dataclass(slots=True)
class SegmentCounts:
    """Of one segment: how many entered, left, and are in it."""

    segment_id: str
    name: str
    shows: str
    entered: int = 0
    left: int = 0

    @property
    def members(self) -> int:
        """How many profiles are in the segment, by the changes seen."""
        return self.entered - self.left


class Rate:
    """Occurrences per second over the last three seconds, or since the first."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque()
        self._first_ms: int | None = None
        self.total = 0

    def add(self, at_ms: int, count: int = 1) -> None:
        """Note `count` occurrences at `at_ms`; times do not go backwards."""
        self.total += count
        if self._first_ms is None:
            self._first_ms = at_ms
        if self._marks and self._marks[-1][0] == at_ms:
            count += self._marks.pop()[1]
        self._marks.append((at_ms, count))

    def per_second(self, now_ms: int) -> float:
        """Return the rate at `now_ms`, and forget what is older than the window."""
        while self._marks and self._marks[0][0] <= now_ms - _RATE_WINDOW_MS:
            self._marks.popleft()
        since_ms = now_ms - (now_ms if self._first_ms is None else self._first_ms)
        window_ms = min(_RATE_WINDOW_MS, max(_LEAST_WINDOW_MS, since_ms))
        return sum(count for _, count in self._marks) * 1_000 / window_ms


@dataclass(slots=True)
class Place:
    """Where things run, for the head of the view."""

    kafka: str = ""
    kafka_kind: str = ""
    redis: str = ""
    api: str = ""
    workers: int = 0
    folder: str = ""


@dataclass(slots=True)
class DemoModel:
    """Everything the view shows.

    Attributes:
        lag: Updates on the topic that the workers' group has not committed; None before the first
            look.
        repeated: Changes seen twice; must stay 0, as exactly once is promised.
        trouble: What died meanwhile; empty while all is well.
        gaps: Changes whose sequence number does not follow the last one; must stay 0.
    """

    seconds: float
    started_ms: int
    place: Place = field(default_factory=Place)
    segments: dict[str, SegmentCounts] = field(default_factory=dict)
    updates: Rate = field(default_factory=Rate)
    changes: Rate = field(default_factory=Rate)
    causes: Counter[str] = field(default_factory=Counter)
    last: deque[SeenChange] = field(default_factory=lambda: deque(maxlen=_LAST))
    latencies: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    lateness: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    lag: int | None = None
    repeated: int = 0
    gaps: int = 0
    trouble: str = ""
    ended_ms: int = 0
    _sent_at: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _sequences: dict[tuple[str, str], int] = field(default_factory=dict)

    def add_segment(self, segment_id: str, name: str, shows: str) -> None:
        """Show a segment from now on."""
        self.segments[segment_id] = SegmentCounts(segment_id, name, shows)

    def sent(self, event_id: str, at_ms: int) -> None:
        """Note an update; a duplicate keeps the time of the first."""
        self.updates.add(at_ms)
        self._sent_at.setdefault(event_id, at_ms)
        if len(self._sent_at) > _SENT_AT:
            self._sent_at.popitem(last=False)

    def changed(self, change: JsonObject, at_ms: int, due_ms: int | None) -> SeenChange | None:
        """Count one membership change read from the topic.

        Args:
            change: Value of the record (docs/topics.md).
            at_ms: When it was read.
            due_ms: Its `lastQualificationTime`.

        Returns:
            What to show; None for a repetition, which is only counted.
        """
        if not self._follows(change):
            return None
        cause = change["cause"]["kind"]
        counts = self.segments.get(change["segmentId"])
        entered = change["status"] == "realized"
        if counts is not None:
            counts.entered += entered
            counts.left += not entered
        self.changes.add(at_ms)
        self.causes[cause] += 1
        seen = SeenChange(
            at_ms=at_ms,
            profile_id=change["profileId"],
            segment_id=change["segmentId"],
            entered=entered,
            cause=cause,
            latency_ms=self._latency(change, at_ms, due_ms),
        )
        self.last.append(seen)
        return seen

    def _follows(self, change: JsonObject) -> bool:
        key, sequence = (change["profileId"], change["segmentId"]), change["sequence"]
        before = self._sequences.get(key, 0)
        if sequence <= before:
            self.repeated += 1
            return False
        self.gaps += sequence != before + 1
        if len(self._sequences) < _SEEN or key in self._sequences:
            self._sequences[key] = sequence
        return True

    def _latency(self, change: JsonObject, at_ms: int, due_ms: int | None) -> int | None:
        cause = change["cause"]
        if cause["kind"] == "time":
            if due_ms is None:
                return None
            late = max(0, at_ms - due_ms)
            self.lateness.append(late)
            return late
        sent_ms = self._sent_at.get(cause.get("eventId") or "")
        if sent_ms is None:
            return None
        latency = max(0, at_ms - sent_ms)
        self.latencies.append(latency)
        return latency

    def name_of(self, segment_id: str) -> str:
        """Return the name of a segment, or its id when the demo did not make it."""
        counts = self.segments.get(segment_id)
        return segment_id if counts is None else counts.name


def percentile(values: Sequence[int], share: float) -> int | None:
    """Return the value below or at which `share` (0 to 1) of the values are; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
