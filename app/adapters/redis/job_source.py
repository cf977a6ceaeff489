"""What workers read of the segment jobs kept in Redis, and what they report back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.job_scripts import END, NEXT, REPORT
from app.adapters.redis.notifications import notifications
from app.domain.jobs import JobCounts, JobError, JobSegment, JobTask
from app.domain.model import Tenant


def job_names(keys: ControlKeys, tenant: Tenant) -> list[str]:
    """Return the keys of every script of `job_scripts`."""
    return [keys.job(tenant, part) for part in _PARTS]


_PARTS = (
    "documents",
    "states",
    "order",
    "queue",
    "ended",
    "origins",
    "counts",
    "results",
    "outbox",
    "number",
)


class RedisJobSource:
    """Implements `app.domain.jobs.JobSource`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._next = redis.register_script(NEXT)
        self._report = redis.register_script(REPORT)
        self._end = redis.register_script(END)
        self._known: dict[Tenant, JobTask] = {}

    async def tasks(self, now_ms: int) -> dict[Tenant, tuple[JobTask, int]]:
        """Return by tenant the job whose turn it is, and how many partitions have done it."""
        found: dict[Tenant, tuple[JobTask, int]] = {}
        for tenant in await self._busy():
            known = self._known.get(tenant)
            with redis_errors():
                answer: Any = await self._next(
                    keys=job_names(self._keys, tenant),
                    args=[now_ms, *tenant, known.job_id if known else ""],
                )
            if not answer:
                continue
            _, document, done = answer
            task = task_from(orjson.loads(document)["task"]) if document else known
            assert task is not None
            found[tenant] = task, int(done)
        self._known = {tenant: task for tenant, (task, _) in found.items()}
        return found

    async def _busy(self) -> list[Tenant]:
        """Return the tenants with unfinished jobs."""
        with redis_errors():
            members = await self._redis.smembers(self._keys.tenants)
            tenants = sorted(tenant_from(as_text(member)) for member in members)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.zcard(self._keys.job(tenant, "queue"))
                sizes = await pipeline.execute()
        return [tenant for tenant, size in zip(tenants, sizes, strict=True) if size]

    def changed(self) -> AsyncGenerator[Tenant, None]:
        """Yield a tenant after a job was started or cancelled; never ends."""
        return notifications(self._redis, self._keys.job_changes)

    async def report(
        self, tenant: Tenant, job_id: str, partition: int, counts: JobCounts, now_ms: int
    ) -> int:
        """Note what a partition counted, the first time; return how many have."""
        values: list[str | bytes | int] = [
            now_ms,
            *tenant,
            job_id,
            partition,
            orjson.dumps(counts.row()),
        ]
        with redis_errors():
            return int(await self._report(keys=job_names(self._keys, tenant), args=values))

    async def complete(self, tenant: Tenant, task: JobTask, partitions: int, now_ms: int) -> bool:
        """End a job that all partitions have done; tell whether this call did."""
        with redis_errors():
            rows: Any = await self._redis.hgetall(self._keys.job(tenant, "counts"))
        if len(rows) != partitions:
            return False
        counts = JobCounts.zero(len(task.segments))
        found = [JobCounts.from_row(orjson.loads(row)) for row in rows.values()]
        if any(len(one.segments) != len(task.segments) for one in found):
            # Of the next job already: the script would refuse it too.
            return False
        for one in found:
            counts.add(one)
        errors = []
        if counts.skipped:
            text = f"{counts.skipped} profiles could not be evaluated; the log of the workers says"
            errors.append(JobError("profiles-skipped", f"{text} why"))
        return await self._ended(tenant, task.job_id, "SUCCEEDED", counts, errors, now_ms)

    async def fail(self, tenant: Tenant, job_id: str, error: JobError, now_ms: int) -> bool:
        """End a job that cannot be done; tell whether this call did."""
        return await self._ended(tenant, job_id, "FAILED", None, [error], now_ms)

    async def _ended(
        self,
        tenant: Tenant,
        job_id: str,
        status: str,
        counts: JobCounts | None,
        errors: Sequence[JobError],
        now_ms: int,
    ) -> bool:
        pairs = [(error.code, error.message) for error in errors]
        result = orjson.dumps((counts.row() if counts else None, pairs))
        values: list[str | bytes | int] = [now_ms, *tenant, job_id, status, result]
        with redis_errors():
            return bool(await self._end(keys=job_names(self._keys, tenant), args=values))


def task_from(row: Any) -> JobTask:
    """Return the task that `task_row` wrote."""
    job_id, number, segments, asked = row
    return JobTask(
        job_id,
        number,
        tuple(JobSegment(*segment) for segment in segments),
        tuple((name, version) for name, version in asked),
    )
