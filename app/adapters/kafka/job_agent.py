"""What a worker does for segment jobs beside the stream: learns of them, and says what was counted.

Whose turn it is is learnt from a notification and, should that be lost, by asking each second. Only
what is stored in a partition is reported, and it is reported again each second while the job is not
done, so a worker may die in between, and Redis may lose its last writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress

from app.adapters.kafka.owner import Owner
from app.domain.errors import Unavailable
from app.domain.jobs import JobSource, JobTask
from app.domain.model import Tenant

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
CHECK_INTERVAL_S = 1.0


class JobAgent:
    """Follows the jobs for the owners of a worker.

    Args:
        owners: By partition; read each time.
        partitions: How many there are in all.
    """

    def __init__(self, source: JobSource, owners: Mapping[int, Owner], partitions: int) -> None:
        self._source = source
        self._owners = owners
        self._partitions = partitions
        self._tasks: dict[Tenant, JobTask] = {}
        self._reported: set[tuple[int, int, str]] = set()
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
                        logger.warning("segment jobs: %s", error)
                    is_away = True
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), INTERVAL_S)
        finally:
            listener.cancel()

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

    async def _refresh(self) -> None:
        found = await self._source.tasks(_now_ms())
        self._checked_at = time.monotonic()
        self._tasks = {tenant: task for tenant, (task, _) in found.items()}
        self._reported.clear()
        for tenant, (task, done) in found.items():
            if done == self._partitions:
                await self._complete(tenant, task)

    async def _report(self, owner: Owner) -> None:
        for tenant, (job_id, error) in list(owner.jobs.failures.items()):
            if await self._source.fail(tenant, job_id, error, _now_ms()):
                logger.warning("segment job %s failed: %s", job_id, error.message)
            self._asked.set()
        for tenant, progress in owner.jobs.done():
            told = (owner.partition, owner.lease, progress.job_id)
            if told in self._reported:
                continue
            done = await self._source.report(
                tenant, progress.job_id, owner.partition, progress.counts, _now_ms()
            )
            self._reported.add(told)
            task = self._tasks.get(tenant)
            if done == self._partitions and task is not None and task.job_id == progress.job_id:
                await self._complete(tenant, task)

    async def _complete(self, tenant: Tenant, task: JobTask) -> None:
        if await self._source.complete(tenant, task, self._partitions, _now_ms()):
            logger.info("segment job %s of %s/%s succeeded", task.job_id, *tenant)
        # The next one's turn.
        self._asked.set()

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._source.changed():
                    self._asked.set()
            except Unavailable as error:
                logger.warning("segment jobs: notifications stopped: %s", error)
            await asyncio.sleep(CHECK_INTERVAL_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
