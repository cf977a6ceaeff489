"""How far the segment jobs of one partition are, by tenant.

A job goes through a tenant's profiles as the scan after a change of definitions does
(`app.service.backfill`): in the order of the hash of their ids, a slice with a batch. Cursor and
counts are one field of the partition's hash, written by the very call that writes what the slice
changed (docs/decisions/0304), so each profile is counted once whoever dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from app.domain.jobs import JobCounts, JobError, JobTask
from app.domain.model import ProfileKey, Tenant
from app.engine.catalogue import Catalogue
from app.engine.working import Profile
from app.service.backfill import Slice, Suspects
from app.service.identity_map import namespaces_of

_FIELD = "job:"
_JOB_TAG = "job "


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far one job is in a partition.

    Attributes:
        cursor: Smallest hash not looked at yet; None once all were.
    """

    job_id: str
    cursor: int | None
    counts: JobCounts

    def packed(self) -> str:
        """Return it as the text of a field."""
        return orjson.dumps((self.job_id, self.cursor, self.counts.row())).decode()

    @classmethod
    def unpacked(cls, text: str) -> JobProgress:
        """Return what `packed` gave."""
        job_id, cursor, row = orjson.loads(text)
        return cls(job_id, cursor, JobCounts.from_row(row))


class Tally:
    """Counts the profiles of a slice.

    Attributes:
        keys: The profiles; set once they were read.
        counts: Of this slice alone.
    """

    def __init__(self, task: JobTask) -> None:
        self.task = task
        self.keys: list[ProfileKey] = []
        self.counts = JobCounts.zero(len(task.segments))
        self._places = {one.ordinal: place for place, one in enumerate(task.segments)}

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """Take the profiles of the slice, and those among them that can be evaluated."""
        self.keys = wanted
        self.counts.skipped = len(found) - len(wanted)

    def add(self, profile: Profile) -> None:
        """Count one that exists and is up to date."""
        self.counts.total += 1
        namespaces: list[str] | None = None
        for ordinal in profile.state.details.ordinals():
            place = self._places.get(ordinal)
            if place is None:
                continue
            count = self.counts.segments[place]
            if not profile.members >> ordinal & 1:
                count.exited += 1
                continue
            count.realized += 1
            if namespaces is None:
                namespaces = namespaces_of(profile.attributes)
            for name in namespaces:
                count.by_namespace[name] = count.by_namespace.get(name, 0) + 1


class PartitionJobs:
    """The jobs of one partition.

    Attributes:
        stored: What the partition's hash holds, by tenant.
        failures: Jobs that cannot be done any more, and why.
    """

    def __init__(self) -> None:
        self._tasks: dict[Tenant, JobTask] = {}
        self._catalogues: dict[Tenant, Catalogue] = {}
        self._progress: dict[Tenant, JobProgress] = {}
        self._waiting: dict[Tenant, None] = {}
        self._unwritten: dict[Tenant, None] = {}
        self.stored: dict[Tenant, JobProgress] = {}
        self.failures: dict[Tenant, tuple[str, JobError]] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether there are profiles to look at."""
        return bool(self._waiting)

    def restore(self, meta: Mapping[str, str]) -> None:
        """Go on from the fields of the partition's hash."""
        for name, text in meta.items():
            if name.startswith(_FIELD):
                org_id, _, sandbox_name = name.removeprefix(_FIELD).partition("/")
                self._progress[Tenant(org_id, sandbox_name)] = JobProgress.unpacked(text)
        self.stored = dict(self._progress)

    def set_catalogue(self, tenant: Tenant, catalogue: Catalogue) -> None:
        """Learn the definitions that a tenant's batches have from now on."""
        self._catalogues[tenant] = catalogue
        self._decide(tenant)

    def offer(self, tasks: Mapping[Tenant, JobTask]) -> None:
        """Learn whose turn it is now; a job that is not named any more is given up."""
        before, self._tasks = self._tasks, dict(tasks)
        for tenant in {**before, **tasks}:
            if before.get(tenant) != tasks.get(tenant):
                self._decide(tenant)

    def _decide(self, tenant: Tenant) -> None:
        """Find out whether a tenant's job has something to look at."""
        task, catalogue = self._tasks.get(tenant), self._catalogues.get(tenant)
        self.failures.pop(tenant, None)
        if task is None or catalogue is None or _number(catalogue) < task.number:
            self._waiting.pop(tenant, None)
            return
        known = self._progress.get(tenant)
        is_done = known is not None and known.job_id == task.job_id and known.cursor is None
        error = None if is_done else _misfit(task, catalogue)
        if error is not None:
            self.failures[tenant] = (task.job_id, error)
        if is_done or error is not None:
            self._waiting.pop(tenant, None)
        else:
            self._waiting[tenant] = None

    def next(self, limit: int, suspects: Suspects) -> tuple[Slice, Tally] | None:
        """Return what to look at next, at most `limit` profiles; None for nothing.

        The tenants take turns.
        """
        for tenant in self._waiting:
            # To the end of the line; we do not go on iterating.
            self._waiting[tenant] = self._waiting.pop(tenant)
            task = self._tasks[tenant]
            start = self._of(tenant, task).cursor or 0
            tag = _JOB_TAG + task.job_id
            suspected = suspects.limit(tenant, tag, start)
            size = min(suspected, limit) if suspected else limit
            return Slice(tenant, tag, start, size, is_alone=bool(suspected)), Tally(task)
        return None

    def _of(self, tenant: Tenant, task: JobTask) -> JobProgress:
        known = self._progress.get(tenant)
        if known is None or known.job_id != task.job_id:
            return JobProgress(task.job_id, 0, JobCounts.zero(len(task.segments)))
        return known

    def advance(self, tenant: Tenant, tally: Tally, following: int | None) -> dict[str, str]:
        """Learn that a batch looked at a slice.

        Args:
            tenant: Whose profiles.
            tally: What was counted.
            following: Smallest hash behind the slice, None where there is none.

        Returns:
            The field that the batch has to write.
        """
        before = self._of(tenant, tally.task)
        counts = JobCounts.from_row(orjson.loads(orjson.dumps(before.counts.row())))
        counts.add(tally.counts)
        progress = JobProgress(tally.task.job_id, following, counts)
        self._progress[tenant] = progress
        self._unwritten[tenant] = None
        if following is None and self._tasks.get(tenant) == tally.task:
            self._waiting.pop(tenant, None)
        return {f"{_FIELD}{tenant.org_id}/{tenant.sandbox_name}": progress.packed()}

    def committed(self) -> None:
        """Learn that the fields returned so far are stored."""
        for tenant in self._unwritten:
            self.stored[tenant] = self._progress[tenant]
        self._unwritten.clear()

    def done(self) -> list[tuple[Tenant, JobProgress]]:
        """Return what is stored and complete of the jobs whose turn it is."""
        return [
            (tenant, progress)
            for tenant, progress in self.stored.items()
            if progress.cursor is None
            and tenant in self._tasks
            and self._tasks[tenant].job_id == progress.job_id
        ]


def is_job(tag: str) -> bool:
    """Tell whether a slice with this tag is of a job."""
    return tag.startswith(_JOB_TAG)


def _number(catalogue: Catalogue) -> int:
    return int(catalogue.tag.partition("-")[0] or 0)


def _misfit(task: JobTask, catalogue: Catalogue) -> JobError | None:
    """Return why a job cannot count under a catalogue."""
    versions = {one.segment_id: one.version for one in catalogue.definitions}
    named = [(one.segment_id, one.version) for one in task.segments]
    for name, version in (*named, *task.asked):
        if name in catalogue.failures:
            text = f"segment definition {name!r} cannot be evaluated: {catalogue.failures[name]}"
            return JobError("definition-failed", text)
        if versions.get(name) != version:
            return JobError(
                "definition-changed",
                f"segment definition {name!r} was changed or removed before the job had ended;"
                f" the job began with version {version} of it. Start a new one.",
            )
    return None
