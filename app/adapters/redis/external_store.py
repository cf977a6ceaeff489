"""Imports of external audiences in Redis: operations, runs, and who is at them.

Every write is one script on keys of one slot. What is unfinished stays in a sorted set until the
write that ends it; whoever holds its lease goes on with it, and loses every write with the lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from, tenant_text
from app.adapters.redis.definition_codec import external_from
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.external_scripts import BEGIN_RUN, CLAIM, RELEASE, SAVE
from app.adapters.redis.keys import PartitionKeys
from app.domain.external import PROCESSING, Operation, Run, SourceFile, Work
from app.domain.model import Tenant

OPERATIONS_KEPT = 1_000
RUNS_KEPT = 1_000
"""The newest, of each tenant and of each audience."""


class RedisExternalStore:
    """Implements `app.domain.external.ExternalStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
        partitions: Of the input topic.
        topic: The input topic.
    """

    def __init__(self, redis: Redis, prefix: str, partitions: int, topic: str) -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._metas = [PartitionKeys(prefix, number).meta for number in range(partitions)]
        self._topic = topic
        self._begin_run = redis.register_script(BEGIN_RUN)
        self._claim = redis.register_script(CLAIM)
        self._release = redis.register_script(RELEASE)
        self._save = redis.register_script(SAVE)

    async def begin_operation(self, tenant: Tenant, operation: Operation) -> None:
        """Store a new operation as unfinished work; the oldest beyond a thousand are forgotten."""
        one, created_ms = operation.operation_id, operation.created_ms
        order = self._keys.external(tenant, "operation-order")
        documents = self._keys.external(tenant, "operations")
        work = self._keys.external(tenant, "work")
        with redis_errors():
            await self._redis.sadd(self._keys.tenants, tenant_text(tenant))
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(documents, one, _encoded(operation))
                pipeline.zadd(order, {one: created_ms})
                pipeline.zadd(work, {_name(Work("operation", one)): created_ms})
                pipeline.zrange(order, 0, -OPERATIONS_KEPT - 1)
                *_, old = await pipeline.execute()
            if old:
                await self._redis.hdel(documents, *old)
                await self._redis.zrem(order, *old)

    async def operation(self, tenant: Tenant, operation_id: str) -> Operation | None:
        """Return one operation."""
        with redis_errors():
            row = await self._redis.hget(self._keys.external(tenant, "operations"), operation_id)
        return None if row is None else _operation(row)

    async def begin_run(self, tenant: Tenant, run: Run) -> bool:
        """Store a new run as unfinished work; False while another of the audience is unfinished."""
        names = [
            self._keys.external(tenant, part)
            for part in ("runs", "running", f"runs:{run.segment_id}", "work")
        ]
        values: list[str | bytes | int] = [
            run.run_id,
            run.segment_id,
            _encoded(run),
            run.created_ms,
            _name(Work("run", run.run_id)),
            RUNS_KEPT,
        ]
        with redis_errors():
            return bool(await self._begin_run(keys=names, args=values))

    async def run(self, tenant: Tenant, run_id: str) -> Run | None:
        """Return one run."""
        with redis_errors():
            row = await self._redis.hget(self._keys.external(tenant, "runs"), run_id)
        return None if row is None else _run(row)

    async def runs(self, tenant: Tenant, segment_id: str) -> list[Run]:
        """Return the runs of an audience, newest first."""
        order = self._keys.external(tenant, f"runs:{segment_id}")
        with redis_errors():
            found = await self._redis.zrange(order, 0, -1, desc=True)
            if not found:
                return []
            ids = [as_text(one) for one in found]
            rows = await self._redis.hmget(self._keys.external(tenant, "runs"), ids)
        return [_run(row) for row in rows if row is not None]

    async def forget_audience(self, tenant: Tenant, segment_id: str) -> None:
        """Remove the runs of an audience that is gone."""
        order = self._keys.external(tenant, f"runs:{segment_id}")
        with redis_errors():
            ids = [as_text(one) for one in await self._redis.zrange(order, 0, -1)]
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(order)
                pipeline.hdel(self._keys.external(tenant, "running"), segment_id)
                for one in ids:
                    pipeline.hdel(self._keys.external(tenant, "runs"), one)
                    pipeline.zrem(self._keys.external(tenant, "work"), _name(Work("run", one)))
                await pipeline.execute()

    async def waiting(self) -> list[tuple[Tenant, Work]]:
        """Return what is unfinished, oldest first in each tenant."""
        with redis_errors():
            members = await self._redis.smembers(self._keys.tenants)
            tenants = sorted(tenant_from(as_text(member)) for member in members)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.zrange(self._keys.external(tenant, "work"), 0, -1)
                found = await pipeline.execute()
        rows = zip(tenants, found, strict=True)
        return [(tenant, _work(as_text(name))) for tenant, names in rows for name in names]

    async def claim(self, tenant: Tenant, work: Work, token: str, lease_ms: int) -> bool:
        """Take the lease of unfinished work, or renew it; False while another holds it."""
        names = [self._lease(tenant, work), self._keys.external(tenant, "work")]
        with redis_errors():
            return bool(await self._claim(keys=names, args=[token, lease_ms, _name(work)]))

    async def release(self, tenant: Tenant, work: Work, token: str) -> None:
        """Give a lease up."""
        with redis_errors():
            await self._release(keys=[self._lease(tenant, work)], args=[token])

    async def discard(self, tenant: Tenant, work: Work) -> None:
        """Forget work of which nothing is stored any more."""
        with redis_errors():
            await self._redis.zrem(self._keys.external(tenant, "work"), _name(work))

    async def save_operation(self, tenant: Tenant, operation: Operation, token: str) -> bool:
        """Store an operation, unless the lease was lost; a finished one is no work any more."""
        work = Work("operation", operation.operation_id)
        is_over = operation.status != PROCESSING
        return await self._saved(tenant, work, _encoded(operation), token, "", is_over)

    async def save_run(self, tenant: Tenant, run: Run, token: str) -> bool:
        """Store a run, unless the lease was lost or it was forgotten; as `save_operation`."""
        work, is_over = Work("run", run.run_id), run.status != PROCESSING
        return await self._saved(tenant, work, _encoded(run), token, run.segment_id, is_over)

    async def _saved(
        self, tenant: Tenant, work: Work, row: bytes, token: str, segment_id: str, is_over: bool
    ) -> bool:
        names = [
            self._lease(tenant, work),
            self._keys.external(tenant, f"{work.kind}s"),
            self._keys.external(tenant, "work"),
            self._keys.external(tenant, "running"),
        ]
        values: list[str | bytes | int] = [
            token,
            work.id,
            row,
            _name(work),
            segment_id,
            int(is_over),
        ]
        with redis_errors():
            return bool(await self._save(keys=names, args=values))

    async def heard_since(self, tenant: Tenant, segment_id: str) -> int | None:
        """Return the catalogue number under which every partition's owner knows the audience.

        An owner reports what it has committed under a catalogue, and whoever takes a partition over
        loads the newest one (docs/decisions/0302).
        """
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hget(self._keys.since(tenant), segment_id)
                pipeline.hgetall(self._keys.backfill(tenant))
                since, reports = await pipeline.execute()
        if since is None:
            return None
        for partition in range(len(self._metas)):
            report = reports.get(str(partition).encode())
            completed, scanning, _ = orjson.loads(report) if report else (0, 0, 0)
            if max(completed, scanning) < int(since):
                return None
        return int(since)

    async def is_applied(self, positions: Sequence[tuple[int, int]]) -> bool:
        """Tell whether the owners have applied the input up to an offset, by partition."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for partition, _ in positions:
                    pipeline.hget(self._metas[partition], f"offset:{self._topic}")
                found = await pipeline.execute()
        return all(
            int(applied or 0) >= offset
            for (_, offset), applied in zip(positions, found, strict=True)
        )

    def _lease(self, tenant: Tenant, work: Work) -> str:
        return self._keys.external(tenant, f"lease:{_name(work)}")


def _name(work: Work) -> str:
    return f"{work.kind}:{work.id}"


def _work(name: str) -> Work:
    kind, _, one = name.partition(":")
    return Work(cast(Any, kind), one)


def _encoded(item: Operation | Run) -> bytes:
    return orjson.dumps(asdict(item), default=tuple)


def _operation(row: Any) -> Operation:
    fields = orjson.loads(row)
    fields["external"] = external_from(fields["external"])
    fields["labels"] = tuple(fields["labels"])
    return Operation(**fields)


def _run(row: Any) -> Run:
    fields = orjson.loads(row)
    if fields["files"] is not None:
        fields["files"] = tuple(SourceFile(*one) for one in fields["files"])
    return Run(**fields)
