"""What a worker does for jobs beside the stream: learns of them, and says what was done.

Whose turn it is is learnt from a notification and, should that be lost, by asking each second. Only
what is stored in a partition is reported, and it is reported again each second while the job is not
done, so a worker may die in between, and Redis may lose its last writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from app.adapters.kafka.export_agent import ExportAgent
from app.adapters.kafka.export_files import ExportFailed
from app.adapters.kafka.owner import Owner
from app.adapters.waits import set_within
from app.domain.errors import Unavailable
from app.domain.jobs import JobSource, JobTask
from app.domain.model import Tenant
from app.service.job_tally import JobProgress

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
CHECK_INTERVAL_S = 1.0


class JobAgent:
    """Follows the jobs for the owners of a worker.

    Args:
        owners: By partition; read each time.
        partitions: How many there are in all.
        exports: What only exports need.
    """

    def __init__(
        self,
        source: JobSource,
        owners: Mapping[int, Owner],
        partitions: int,
        exports: ExportAgent,
    ) -> None:
        self._source = source
        self._owners = owners
        self._partitions = partitions
        self._exports = exports
        self._tasks: dict[Tenant, JobTask] = {}
        self._complete_in: dict[Tenant, bool] = {}
        self._reported: set[tuple[int, int, Tenant, str]] = set()
        self._asked = asyncio.Event()
        self._checked_at = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        listener = asyncio.create_task(self._listen(), name="job-notifications")
        is_away = False
        try:
            while True:
                try:
                    await self.step()
                    is_away = False
                except Unavailable as error:
                    if not is_away:
                        logger.warning("jobs: %s", error)
                    is_away = True
                await set_within(self._asked, INTERVAL_S)
        finally:
            listener.cancel()
            await self._exports.close()

    async def step(self) -> None:
        """Learn what is to be done, tell the owners, and report what they have done.

        Raises:
            Unavailable: The control plane does not answer; what was not told is told next time.
        """
        if self._asked.is_set() or time.monotonic() - self._checked_at >= CHECK_INTERVAL_S:
            self._asked.clear()
            await self._refresh()
        owners = [owner for owner in self._owners.values() if owner.is_ready]
        for owner in owners:
            owner.jobs.offer(self._tasks)
        for owner in owners:
            await self._report(owner)
        for tenant in [tenant for tenant, is_done in self._complete_in.items() if is_done]:
            await self._end(tenant, self._tasks[tenant])

    async def _refresh(self) -> None:
        found = await self._source.tasks(_now_ms())
        self._checked_at = time.monotonic()
        self._tasks = {tenant: task for tenant, (task, _) in found.items()}
        self._complete_in = {
            tenant: done == self._partitions for tenant, (_, done) in found.items()
        }
        self._reported.clear()
        await self._exports.refresh(self._tasks, self._owners)

    async def _report(self, owner: Owner) -> None:
        for tenant, (job_id, error) in list(owner.jobs.failures.items()):
            # What all partitions have done is not undone by a definition that changes now.
            if self._complete_in.get(tenant):
                continue
            if await self._source.fail(tenant, job_id, error, _now_ms()):
                logger.warning("job %s failed: %s", job_id, error.message)
            self._asked.set()
        for tenant, progress in owner.jobs.done():
            try:
                await self._report_counts(owner, tenant, progress)
            except ExportFailed as failed:
                await self._give_up(tenant, progress.job_id, failed)

    async def _report_counts(self, owner: Owner, tenant: Tenant, progress: JobProgress) -> None:
        task = self._tasks.get(tenant)
        told = (owner.partition, owner.lease, tenant, progress.job_id)
        if told in self._reported or task is None or task.job_id != progress.job_id:
            return
        counts = progress.counts
        if task.export is not None:
            found = self._exports.counts(owner, tenant, task, progress)
            if found is None:
                return
            counts = found
        partition = owner.partition
        done = await self._source.report(tenant, task.job_id, partition, counts, _now_ms())
        self._reported.add(told)
        if done and task.export is not None:
            self._exports.reported(owner, tenant, task)
        if done == self._partitions:
            self._complete_in[tenant] = True

    async def _end(self, tenant: Tenant, task: JobTask) -> None:
        try:
            is_over = task.export is None or await self._exports.end(tenant, task, self._owners)
        except ExportFailed as failed:
            await self._give_up(tenant, task.job_id, failed)
            return
        if not is_over:
            return
        if await self._source.complete(tenant, task, self._partitions, _now_ms()):
            logger.info("%s job %s of %s/%s succeeded", task.kind, task.job_id, *tenant)
        self._complete_in[tenant] = False
        # The next one's turn.
        self._asked.set()

    async def _give_up(self, tenant: Tenant, job_id: str, failed: ExportFailed) -> None:
        if await self._source.fail(tenant, job_id, failed.error, _now_ms()):
            logger.warning("export job %s failed: %s", job_id, failed)
        self._complete_in[tenant] = False
        self._asked.set()

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._source.changed():
                    self._asked.set()
            except Unavailable as error:
                logger.warning("jobs: notifications stopped: %s", error)
            await asyncio.sleep(CHECK_INTERVAL_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
