"""How far the segment and export jobs of one partition are, by tenant.

A job goes through a tenant's profiles as the scan after a change of definitions does
(`app.service.backfill`): in the order of the hash of their ids, a slice with a batch. Cursor and
counts are one field of the partition's hash, written by the very call that writes what the slice
changed (docs/decisions/0304), so each profile is counted, or exported, once whoever dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.domain.job_reach import reach_field, reach_text
from app.domain.jobs import JobCounts, JobError, JobTask
from app.domain.model import Tenant
from app.engine.catalogue import Catalogue
from app.service.backfill import HASHES, Slice, Suspects
from app.service.job_tally import JobProgress, SegmentTally, Tally

_FIELD = "job:"
_JOB_TAG = "job "


MakeTally = Callable[[Tenant, JobTask, JobProgress, Catalogue], Tally]


class PartitionJobs:
    """The jobs of one partition.

    Args:
        make_export: Makes the tally of a slice of an export.

    Attributes:
        stored: What the partition's hash holds, by tenant.
        failures: Jobs that cannot be done any more, and why.
    """

    def __init__(self, make_export: MakeTally) -> None:
        self._make_export = make_export
        self._endings: dict[Tenant, Tally] = {}
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

    def restart_exports(self) -> dict[str, str]:
        """Let exports of this partition begin anew: the store lost what it knew of them.

        Records that it does not know of may be on the topic. Counts and cursors of segment jobs
        went back together with the profiles and need nothing.

        Returns:
            The fields that the next batch has to write.
        """
        fields: dict[str, str] = {}
        for tenant, known in self._progress.items():
            if not isinstance(known.counts, JobCounts):
                progress = JobProgress(known.job_id, 0, type(known.counts)())
                self._progress[tenant] = self.stored[tenant] = progress
                fields |= _fields(tenant, progress)
                self._decide(tenant)
        return fields

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
        if tenant in self._endings and self._endings[tenant].task.job_id != task.job_id:
            del self._endings[tenant]
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
            tag = _JOB_TAG + task.job_id
            ending = self._endings.get(tenant)
            if ending is not None:
                # There are no profiles behind the last hash.
                return Slice(tenant, tag, HASHES, 1), ending
            known = self._of(tenant, task)
            start = known.cursor or 0
            suspected = suspects.limit(tenant, tag, start)
            size = min(suspected, limit) if suspected else limit
            tally = self._tally(tenant, task, known)
            return Slice(tenant, tag, start, size, is_alone=bool(suspected)), tally
        return None

    def _tally(self, tenant: Tenant, task: JobTask, known: JobProgress) -> Tally:
        if task.export is None:
            return SegmentTally(task)
        return self._make_export(tenant, task, known, self._catalogues[tenant])

    def end(self, tenant: Tenant, ending: Tally) -> None:
        """Let the next batch tell the end of a job that all partitions have done."""
        task, known = self._tasks.get(tenant), self._progress.get(tenant)
        is_due = (
            task is not None
            and known is not None
            and task.job_id == ending.task.job_id == known.job_id
            and known.cursor is None
            and not known.is_closed
        )
        if is_due and tenant not in self._endings:
            self._endings[tenant] = ending
            self._waiting[tenant] = None

    def _of(self, tenant: Tenant, task: JobTask) -> JobProgress:
        known = self._progress.get(tenant)
        if known is None or known.job_id != task.job_id:
            return JobProgress(task.job_id, 0, task.zero())
        return known

    def advance(self, tenant: Tenant, tally: Tally, following: int | None) -> dict[str, str]:
        """Learn that a batch looked at a slice.

        Args:
            tenant: Whose profiles.
            tally: What was counted.
            following: Smallest hash behind the slice, None where there is none.

        Returns:
            The fields that the batch has to write.
        """
        progress = tally.finish(self._of(tenant, tally.task), following)
        self._progress[tenant] = progress
        self._unwritten[tenant] = None
        if following is None and self._tasks.get(tenant) == tally.task:
            self._waiting.pop(tenant, None)
        self._endings.pop(tenant, None)
        return _fields(tenant, progress)

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


def _fields(tenant: Tenant, progress: JobProgress) -> dict[str, str]:
    """Return what a successor goes on from, and what the control plane shows of it."""
    share = None if progress.cursor is None else progress.cursor / HASHES
    counts = progress.counts
    reached = reach_text(progress.job_id, share, counts.total + counts.skipped)
    return {
        f"{_FIELD}{tenant.org_id}/{tenant.sandbox_name}": progress.packed(),
        reach_field(tenant): reached,
    }


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
