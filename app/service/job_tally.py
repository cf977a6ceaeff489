"""What a batch does with the profiles of a job's slice, and what of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import orjson

from app.domain.jobs import Counts, JobCounts, JobTask, counts_from_row
from app.domain.model import JsonObject, ProfileKey
from app.engine.state_glance import StateGlance
from app.engine.working import Profile
from app.service.identity_map import namespaces_of


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far one job is in a partition.

    Attributes:
        cursor: Smallest hash not looked at yet; None once all were.
        is_closed: The end of the whole job was told, which is for one of the partitions to do.
    """

    job_id: str
    cursor: int | None
    counts: Counts
    is_closed: bool = False

    def packed(self) -> str:
        """Return it as the text of a field."""
        row = [self.job_id, self.cursor, self.counts.row()]
        return orjson.dumps([*row, True] if self.is_closed else row).decode()

    @classmethod
    def unpacked(cls, text: str) -> JobProgress:
        """Return what `packed` gave."""
        job_id, cursor, row, *more = orjson.loads(text)
        return cls(job_id, cursor, counts_from_row(row), more == [True])


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a batch looks at a slice.

    Attributes:
        offset: Next offset of the input: what came before was applied.
        now_ms: The wall clock.
    """

    partition: int
    epoch: int
    offset: int
    now_ms: int


class Tally(Protocol):
    """What a batch does with the profiles of a slice.

    Attributes:
        keys: The profiles; set once they were read.
        needs_events: The kept events of the profiles have to be loaded.
        most_bytes: The slice is cut to so many bytes of stored profiles; 0 for no bound.
        output: What is published of it, once `finish` was called.
    """

    task: JobTask
    keys: list[ProfileKey]
    needs_events: bool
    most_bytes: int
    output: list[bytes]

    def begin(self, place: Place) -> None:
        """Learn where it is before the first profile."""
        ...

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """Take the profiles of the slice, and those among them that can be evaluated."""
        ...

    def add(self, key: ProfileKey, profile: Profile, oldest: int) -> None:
        """Take one that exists and is up to date; its kept events are from order `oldest` on."""
        ...

    def finish(self, before: JobProgress, following: int | None) -> JobProgress:
        """Return how far the job is after the slice; `following` is None at its end."""
        ...


class SegmentTally:
    """Counts the members among the profiles of a slice; implements `Tally`.

    Profiles that are up to date need not be unpacked for it: `add_stored` takes them.

    Attributes:
        counts: Of this slice alone.
    """

    needs_events = False
    most_bytes = 0

    def __init__(self, task: JobTask) -> None:
        self.task = task
        self.keys: list[ProfileKey] = []
        self.output: list[bytes] = []
        self.counts = JobCounts.zero(len(task.segments))
        self._places = {one.ordinal: place for place, one in enumerate(task.segments)}

    def begin(self, place: Place) -> None:
        """Counts are the same wherever they are made."""

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """Take the profiles of the slice, and those among them that can be evaluated."""
        self.keys = wanted
        self.counts.skipped = len(found) - len(wanted)

    def finish(self, before: JobProgress, following: int | None) -> JobProgress:
        """Return the counts of all slices so far."""
        counts = JobCounts.from_row(orjson.loads(orjson.dumps(before.counts.row())))
        counts.add(self.counts)
        return JobProgress(self.task.job_id, following, counts)

    def add(self, key: ProfileKey, profile: Profile, oldest: int) -> None:
        """Count one."""
        self._count(profile.state.details.ordinals(), profile.members, lambda: profile.attributes)

    def add_stored(self, stored: StateGlance) -> None:
        """Count one that was not unpacked."""
        members = int.from_bytes(stored.members, "little")
        self._count(stored.ordinals(), members, lambda: orjson.loads(stored.attributes_json))

    def _count(
        self, ordinals: Iterable[int], members: int, attributes: Callable[[], JsonObject]
    ) -> None:
        self.counts.total += 1
        namespaces: list[str] | None = None
        for ordinal in ordinals:
            place = self._places.get(ordinal)
            if place is None:
                continue
            count = self.counts.segments[place]
            if not members >> ordinal & 1:
                count.exited += 1
                continue
            count.realized += 1
            if namespaces is None:
                namespaces = namespaces_of(attributes())
            for name in namespaces:
                count.by_namespace[name] = count.by_namespace.get(name, 0) + 1
