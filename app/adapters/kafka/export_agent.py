"""What a worker does for exports beside the stream: files, and the end of the job.

One partition, told by the id of the job, is the home of an export: its owner publishes the data set
and tells the end of the job, once every partition has reported (docs/decisions/0307).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from app.adapters.kafka.export_files import ExportFiles, ExportPart
from app.adapters.kafka.owner import Owner
from app.domain.exports import ExportCounts, ExportNotes
from app.domain.jobs import JobTask
from app.domain.model import Tenant
from app.domain.partitioning import partition_of
from app.service.export_records import job_end
from app.service.export_scan import EndTally
from app.service.job_tally import JobProgress

_LEFT_FOR_S = 3.0
"""Longer than a worker takes to hear of a cancellation: it may still write until then."""


class ExportAgent:
    """Helps `JobAgent` with exports.

    Args:
        partitions: How many there are in all.
    """

    def __init__(self, source: ExportNotes, files: ExportFiles, partitions: int) -> None:
        self._source = source
        self._files = files
        self._partitions = partitions
        self._marks: dict[tuple[Tenant, str, int, int, bool], int] = {}
        self._left_since: dict[tuple[Tenant, str], float] = {}

    async def refresh(self, tasks: Mapping[Tenant, JobTask], owners: Mapping[int, Owner]) -> None:
        """Give up what nobody wants any more, and remove what it left."""
        self._files.retain(tasks)
        wanted = {(tenant, task.job_id) for tenant, task in tasks.items()}
        self._marks = {key: mark for key, mark in self._marks.items() if key[:2] in wanted}
        now = time.monotonic()
        left = await self._source.leftovers()
        self._left_since = {key: self._left_since.get(key, now) for key in left}
        for key, (dataset_id, batch_id) in left.items():
            is_ours = self._home(key[1]) in owners and now - self._left_since[key] >= _LEFT_FOR_S
            if is_ours and await self._files.discard(dataset_id, batch_id):
                await self._source.forget_leftover(*key)

    def counts(
        self, owner: Owner, tenant: Tenant, task: JobTask, progress: JobProgress
    ) -> ExportCounts | None:
        """Return what to report of a partition; None while it is not on the topic and in files.

        Raises:
            ExportFailed: The files cannot be written.
        """
        counts = progress.counts
        if not isinstance(counts, ExportCounts) or not self._is_published(owner, tenant, progress):
            return None
        if task.export is None or not task.export.dataset_id:
            return counts
        files = self._files.parts(_part(owner, tenant, task, counts))
        return None if files is None else replace(counts, files=files)

    def reported(self, owner: Owner, tenant: Tenant, task: JobTask) -> None:
        """Learn that the control plane has the counts of a partition."""
        self._files.reported(_part(owner, tenant, task, ExportCounts()))

    async def end(self, tenant: Tenant, task: JobTask, owners: Mapping[int, Owner]) -> bool:
        """Let an export end that all partitions have reported; tell whether readers know.

        Raises:
            ExportFailed: The data set cannot be published.
            Unavailable: As the control plane.
        """
        owner = owners.get(self._home(task.job_id))
        if owner is None or not owner.is_ready:
            return False
        known = owner.jobs.stored.get(tenant)
        if known is not None and known.job_id == task.job_id and known.is_closed:
            return self._is_published(owner, tenant, known)
        reports = await self._source.close(
            tenant, task.job_id, self._partitions, time.time_ns() // 1_000_000
        )
        if reports is None:
            return False
        has_files = task.export is not None and bool(task.export.dataset_id)
        if has_files and not self._files.publish(tenant, task, reports):
            return False
        owner.jobs.end(tenant, EndTally(task, job_end(tenant, task, reports)))
        return False

    async def close(self) -> None:
        """Stop what is being written."""
        await self._files.close()

    def _home(self, job_id: str) -> int:
        return partition_of(job_id, self._partitions)

    def _is_published(self, owner: Owner, tenant: Tenant, progress: JobProgress) -> bool:
        """Tell whether readers find what is stored as done.

        It was in the outbox of the last batch at the time at which it was first seen here.
        """
        key = (tenant, progress.job_id, owner.partition, owner.lease, progress.is_closed)
        mark = self._marks.setdefault(key, owner.sequence)
        return owner.published_sequence >= mark


def _part(owner: Owner, tenant: Tenant, task: JobTask, counts: ExportCounts) -> ExportPart:
    return ExportPart(tenant, task, owner.partition, owner.lease, counts)
