"""Jobs in Redis, as the control plane sees them.

Every write is one script on keys of one slot, so a process that dies leaves all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_text
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.job_scripts import CANCEL, CREATE, FORGET
from app.adapters.redis.job_source import job_names, task_from, task_row
from app.adapters.redis.keys import PartitionKeys
from app.domain.exports import NewExport
from app.domain.job_reach import JobReach, reach_field, reach_of
from app.domain.jobs import JobError, JobKind, NewJob, StoredJob, counts_from_row
from app.domain.model import Tenant


class RedisJobStore:
    """Implements `app.domain.jobs.JobStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
        kind: Of the jobs that are to be seen.
        partitions: How many there are, to read how far a job is; 0 leaves that out.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str = "seg",
        kind: JobKind = "segment",
        *,
        partitions: int = 0,
    ) -> None:
        self._redis = redis
        self._kind = kind
        self._order = "order" if kind == "segment" else "exports"
        self._keys = ControlKeys(prefix)
        self._metas = [PartitionKeys(prefix, number).meta for number in range(partitions)]
        self._create = redis.register_script(CREATE)
        self._cancel = redis.register_script(CANCEL)
        self._forget = redis.register_script(FORGET)

    async def create(self, tenant: Tenant, job: NewJob, most: int) -> str | None:
        """Queue a job, unless one with its id or origin is known; None where there are too many."""
        values: list[str | bytes | int] = [
            job.created_ms,
            *tenant,
            job.task.job_id,
            _encoded(job),
            job.origin,
            job.source,
            most,
            self._keys.job_changes,
        ]
        export = job.task.export
        if export is not None and job.export is not None:
            staged = export.dataset_id and orjson.dumps((export.dataset_id, export.batch_id))
            values += [job.task.kind, job.export.after, staged]
        with redis_errors():
            # Workers look there; an export needs no definition.
            await self._redis.sadd(self._keys.tenants, tenant_text(tenant))
            found: Any = await self._create(keys=job_names(self._keys, tenant), args=values)
        return as_text(found) or None

    async def known(self, tenant: Tenant, origin: str) -> str | None:
        """Return the id of the job with this origin."""
        with redis_errors():
            found = await self._redis.hget(self._keys.job(tenant, "origins"), origin)
        return as_text(found) if found else None

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Return the jobs among `ids` that exist, by id, in the order asked for."""
        if not ids:
            return {}
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                for part in ("documents", "states", "results"):
                    pipeline.hmget(self._keys.job(tenant, part), list(ids))
                columns = await pipeline.execute()
        found = {
            job_id: _decoded(job_id, document, state, result)
            for job_id, document, state, result in zip(ids, *columns, strict=True)
            if document is not None and orjson.loads(state).get("kind", "segment") == self._kind
        }
        # One of a tenant at most.
        for job_id in [one for one, job in found.items() if job.started_ms and not job.ended_ms]:
            found[job_id] = replace(found[job_id], reach=await self._reach(tenant, job_id))
        return found

    async def _reach(self, tenant: Tenant, job_id: str) -> JobReach | None:
        if not self._metas:
            return None
        field = reach_field(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for meta in self._metas:
                    pipeline.hget(meta, field)
                return reach_of(job_id, await pipeline.execute())

    async def page(
        self, tenant: Tenant, offset: int, limit: int, *, newest_first: bool
    ) -> tuple[int, list[StoredJob]]:
        """Return how many there are, and `limit` of them from `offset` by creation time."""
        order = self._keys.job(tenant, self._order)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zcard(order)
                pipeline.zrange(order, offset, offset + limit - 1, desc=newest_first)
                total, members = await pipeline.execute()
        found = await self.get(tenant, [as_text(member) for member in members])
        return total, list(found.values())

    async def all(self, tenant: Tenant) -> list[StoredJob]:
        """Return every job, oldest first."""
        with redis_errors():
            members = await self._redis.zrange(self._keys.job(tenant, self._order), 0, -1)
        return list((await self.get(tenant, [as_text(member) for member in members])).values())

    async def cancel(self, tenant: Tenant, job_id: str, now_ms: int) -> str:
        """Cancel a job; return `ok`, `none` for an unknown one, `ended` for one that has ended."""
        channel = self._keys.job_changes
        values: list[str | bytes | int] = [now_ms, *tenant, job_id, channel, self._kind]
        with redis_errors():
            return as_text(await self._cancel(keys=job_names(self._keys, tenant), args=values))

    async def forget(self, tenant: Tenant, before_ms: int) -> None:
        """Remove what ended before an instant."""
        with redis_errors():
            await self._forget(
                keys=job_names(self._keys, tenant), args=[before_ms, *tenant, before_ms]
            )


def _encoded(job: NewJob) -> bytes:
    document = asdict(job)
    document["task"] = task_row(job.task)
    return orjson.dumps(document)


def _decoded(job_id: str, document: bytes, state: bytes, result: bytes | None) -> StoredJob:
    fields = orjson.loads(document)
    fields["task"] = task_from(fields, job_id)
    if fields.get("export"):
        fields["export"] = NewExport(**fields["export"])
    if fields["schedule"]:
        fields["schedule"] = tuple(fields["schedule"])
    found = orjson.loads(state)
    row, errors = orjson.loads(result) if result else (None, ())
    return StoredJob(
        asked=NewJob(**fields),
        number=found["number"],
        status=found["status"],
        updated_ms=int(found["updated"]),
        started_ms=int(found.get("started", 0)),
        closing_ms=int(found.get("closing", 0)),
        ended_ms=int(found.get("ended", 0)),
        counts=None if row is None else counts_from_row(row),
        errors=tuple(JobError(*error) for error in errors),
    )
