"""What a batch does with the profiles of a job's slice, and what of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from app.domain.jobs import Counts, JobCounts, JobTask, counts_from_row
from app.domain.model import JsonObject, ProfileKey
from app.engine.evaluation import bits
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


_Likeness = tuple[int, tuple[int, ...], tuple[str, ...]]
"""Bits of the job's segments that a profile is in, all it has left, namespaces of identities."""


class SegmentTally:
    """Counts the members among the profiles of a slice; implements `Tally`.

    Profiles that are up to date need not be unpacked for it: `add_stored` takes them.
    """

    needs_events = False
    most_bytes = 0

    def __init__(self, task: JobTask) -> None:
        self.task = task
        self.keys: list[ProfileKey] = []
        self.output: list[bytes] = []
        self._counts = JobCounts.zero(len(task.segments))
        ordinals = [one.ordinal for one in task.segments]
        self._segments = dict(zip(ordinals, self._counts.segments, strict=True))
        self._mask = sum(1 << ordinal for ordinal in ordinals)
        self._alike: dict[_Likeness, int] = {}

    @property
    def counts(self) -> JobCounts:
        """What was counted of this slice."""
        alike, self._alike = self._alike, {}
        for likeness, profiles in alike.items():
            self._count(likeness, profiles)
        return self._counts

    def begin(self, place: Place) -> None:
        """Counts are the same wherever they are made."""

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """Take the profiles of the slice, and those among them that can be evaluated."""
        self.keys = wanted
        self._counts.skipped = len(found) - len(wanted)

    def finish(self, before: JobProgress, following: int | None) -> JobProgress:
        """Return the counts of all slices so far."""
        counts = JobCounts.from_row(orjson.loads(orjson.dumps(before.counts.row())))
        counts.add(self.counts)
        return JobProgress(self.task.job_id, following, counts)

    def add(self, key: ProfileKey, profile: Profile, oldest: int) -> None:
        """Count one."""
        members = profile.members
        ordinals = profile.state.details.ordinals()
        exited = tuple(ordinal for ordinal in ordinals if not members >> ordinal & 1)
        self._add(members, exited, lambda: profile.attributes)

    def add_stored(self, stored: StateGlance) -> None:
        """Count one that was not unpacked."""
        members, exited = stored.memberships()
        self._add(members, exited, lambda: orjson.loads(stored.attributes_json))

    def _add(
        self, members: int, exited: tuple[int, ...], attributes: Callable[[], JsonObject]
    ) -> None:
        members &= self._mask
        namespaces = tuple(namespaces_of(attributes())) if members else ()
        likeness = (members, exited, namespaces)
        # Most profiles of a slice are like others: each kind is counted segment by segment once.
        self._alike[likeness] = self._alike.get(likeness, 0) + 1
        self._counts.total += 1

    def _count(self, likeness: _Likeness, profiles: int) -> None:
        members, exited, namespaces = likeness
        segments = self._segments
        for ordinal in bits(members):
            count = segments[ordinal]
            count.realized += profiles
            for name in namespaces:
                count.by_namespace[name] = count.by_namespace.get(name, 0) + profiles
        for ordinal in exited:
            if ordinal in segments:
                segments[ordinal].exited += profiles
