"""What workers read of the jobs kept in Redis, and what they report back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.job_scripts import CLOSE, END, NEXT, REPORT
from app.adapters.redis.notifications import notifications
from app.domain.exports import ExportCounts, ExportTask
from app.domain.jobs import Counts, JobError, JobSegment, JobTask, counts_from_row
from app.domain.model import Tenant


def job_names(keys: ControlKeys, tenant: Tenant) -> list[str]:
    """Return the keys of every script of `job_scripts`."""
    return [keys.job(tenant, part) for part in _PARTS]


_PARTS = (
    "documents",
    "states",
    "order",
    "exports",
    "queue",
    "ended",
    "origins",
    "counts",
    "results",
    "outbox",
    "number",
    "leftovers",
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
        self._close = redis.register_script(CLOSE)
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
            job_id, document, done = answer
            task = task_from(orjson.loads(document), as_text(job_id)) if document else known
            assert task is not None
            found[tenant] = task, int(done)
        self._known = {tenant: task for tenant, (task, _) in found.items()}
        return found

    async def _busy(self) -> list[Tenant]:
        """Return the tenants with unfinished jobs."""
        with redis_errors():
            tenants = await self._tenants()
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.zcard(self._keys.job(tenant, "queue"))
                sizes = await pipeline.execute()
        return [tenant for tenant, size in zip(tenants, sizes, strict=True) if size]

    def changed(self) -> AsyncGenerator[Tenant, None]:
        """Yield a tenant after a job was started or cancelled; never ends."""
        return notifications(self._redis, self._keys.job_changes)

    async def report(
        self, tenant: Tenant, job_id: str, partition: int, counts: Counts, now_ms: int
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
        found = list((await self._reports(tenant)).values())
        if len(found) != partitions:
            return False
        counts = task.zero()
        if any(not _is_like(counts, one) for one in found):
            # Of the next job already: the script would refuse it too.
            return False
        for one in found:
            counts.add(one)  # type: ignore[arg-type]  # of the same kind, as was checked
        errors = []
        if counts.skipped:
            done = "evaluated" if task.export is None else "exported"
            text = f"{counts.skipped} profiles could not be {done}; the log of the workers says"
            errors.append(JobError("profiles-skipped", f"{text} why"))
        return await self._ended(tenant, task.job_id, "SUCCEEDED", counts, errors, now_ms)

    async def fail(self, tenant: Tenant, job_id: str, error: JobError, now_ms: int) -> bool:
        """End a job that cannot be done; tell whether this call did."""
        return await self._ended(tenant, job_id, "FAILED", None, [error], now_ms)

    async def close(
        self, tenant: Tenant, job_id: str, partitions: int, now_ms: int
    ) -> dict[int, ExportCounts] | None:
        """Let an export end, which nobody can cancel from then on; return counts by partition."""
        values: list[str | bytes | int] = [now_ms, *tenant, job_id, partitions]
        with redis_errors():
            if not await self._close(keys=job_names(self._keys, tenant), args=values):
                return None
        found = await self._reports(tenant)
        reports = {at: one for at, one in found.items() if isinstance(one, ExportCounts)}
        # Fewer where somebody ended it meanwhile.
        return reports if len(reports) == partitions else None

    async def leftovers(self) -> dict[tuple[Tenant, str], tuple[str, str]]:
        """Return data set and batch of the exports that ended without success, by job id."""
        with redis_errors():
            tenants = await self._tenants()
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.hgetall(self._keys.job(tenant, "leftovers"))
                rows = await pipeline.execute()
        return {
            (tenant, as_text(job_id)): tuple(orjson.loads(staged))
            for tenant, row in zip(tenants, rows, strict=True)
            for job_id, staged in row.items()
        }

    async def forget_leftover(self, tenant: Tenant, job_id: str) -> None:
        """Note that what such an export had staged is removed."""
        with redis_errors():
            await self._redis.hdel(self._keys.job(tenant, "leftovers"), job_id)

    async def _tenants(self) -> list[Tenant]:
        members = await self._redis.smembers(self._keys.tenants)
        return sorted(tenant_from(as_text(member)) for member in members)

    async def _reports(self, tenant: Tenant) -> dict[int, Counts]:
        with redis_errors():
            rows: Any = await self._redis.hgetall(self._keys.job(tenant, "counts"))
        return {int(at): counts_from_row(orjson.loads(row)) for at, row in rows.items()}

    async def _ended(
        self,
        tenant: Tenant,
        job_id: str,
        status: str,
        counts: Counts | None,
        errors: Sequence[JobError],
        now_ms: int,
    ) -> bool:
        pairs = [(error.code, error.message) for error in errors]
        result = orjson.dumps((counts.row() if counts else None, pairs))
        values: list[str | bytes | int] = [now_ms, *tenant, job_id, status, result]
        with redis_errors():
            return bool(await self._end(keys=job_names(self._keys, tenant), args=values))


def task_row(task: JobTask) -> list[Any]:
    """Return a task for JSON."""
    segments = [tuple(asdict(one).values()) for one in task.segments]
    export = None if task.export is None else msgspec.to_builtins(task.export)
    return [task.job_id, task.number, segments, task.asked, export]


def task_from(document: Any, job_id: str) -> JobTask:
    """Return the task in the document of a job: of an export it has no id yet when it is stored."""
    _, number, segments, asked, *more = document["task"]
    export = more[0] if more else None
    return JobTask(
        job_id,
        number,
        tuple(JobSegment(*segment) for segment in segments),
        tuple((name, version) for name, version in asked),
        None if export is None else msgspec.convert(export, ExportTask),
    )


def _is_like(counts: Counts, other: Counts) -> bool:
    """Tell whether two counts can be added up."""
    if isinstance(counts, ExportCounts) or isinstance(other, ExportCounts):
        return type(counts) is type(other)
    return len(counts.segments) == len(other.segments)
