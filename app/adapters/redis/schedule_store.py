"""Schedules in Redis: documents, order, next and last runs, and the firings that are open.

Every write is one script on keys of one slot, so a process that dies leaves all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from, tenant_text
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.schedule_scripts import (
    CLAIM,
    CLOSE,
    NOTE_RUN,
    PASS_OVER,
    PUT,
    REMOVE,
    TAKE_OVER,
)
from app.domain.export_requests import ExportRequest
from app.domain.model import Tenant
from app.domain.schedules import OpenFiring, Schedule, ScheduleRun


class RedisScheduleStore:
    """Implements `app.domain.schedules.ScheduleStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._put = redis.register_script(PUT)
        self._remove = redis.register_script(REMOVE)
        self._claim = redis.register_script(CLAIM)
        self._pass_over = redis.register_script(PASS_OVER)
        self._take_over = redis.register_script(TAKE_OVER)
        self._close = redis.register_script(CLOSE)
        self._note_run = redis.register_script(NOTE_RUN)

    async def get(self, tenant: Tenant, schedule_id: str) -> Schedule | None:
        """Return one schedule."""
        found = await self._read(tenant, [schedule_id])
        return found[0] if found else None

    async def page(self, tenant: Tenant, offset: int, limit: int) -> tuple[int, list[Schedule]]:
        """Return how many there are, and `limit` of them from `offset`, newest first."""
        order = self._keys.schedule_order(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zcard(order)
                pipeline.zrange(order, offset, offset + limit - 1, desc=True)
                total, members = await pipeline.execute()
        return total, await self._read(tenant, [as_text(member) for member in members])

    async def all(self, tenant: Tenant) -> list[Schedule]:
        """Return every schedule, oldest first."""
        with redis_errors():
            members = await self._redis.zrange(self._keys.schedule_order(tenant), 0, -1)
        return await self._read(tenant, [as_text(member) for member in members])

    async def put(self, tenant: Tenant, schedule: Schedule, previous: Schedule | None) -> bool:
        """Store a schedule with its next run.

        Returns:
            False, with nothing written, when what is stored is not `previous`.
        """
        keys = self._keys
        names = [
            keys.schedules(tenant),
            keys.schedules_due(tenant),
            keys.schedule_order(tenant),
        ]
        values = [
            schedule.schedule_id,
            _encoded(previous) if previous else "",
            _number(previous.next_run_ms if previous else None),
            _encoded(schedule),
            _number(schedule.next_run_ms),
            schedule.created_ms,
        ]
        with redis_errors():
            # Its own slot, so not in the script; a tenant without schedules does no harm.
            await self._redis.sadd(keys.schedule_tenants, tenant_text(tenant))
            return bool(await self._put(keys=names, args=values))

    async def remove(self, tenant: Tenant, schedule_id: str) -> bool:
        """Remove a schedule and its open firings; False when there is none."""
        keys = self._keys
        names = [
            keys.schedules(tenant),
            keys.schedules_due(tenant),
            keys.schedule_order(tenant),
            keys.schedule_runs(tenant),
            keys.open_firings(tenant),
        ]
        with redis_errors():
            return bool(await self._remove(keys=names, args=[schedule_id]))

    async def tenants(self) -> list[Tenant]:
        """Return every tenant that ever had a schedule, sorted."""
        with redis_errors():
            members = await self._redis.smembers(self._keys.schedule_tenants)
        return sorted(tenant_from(as_text(member)) for member in members)

    async def due(self, tenants: Sequence[Tenant], now_ms: int) -> dict[Tenant, list[str]]:
        """Return the ids of what is due, earliest first; tenants without are absent."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.zrangebyscore(self._keys.schedules_due(tenant), "-inf", now_ms)
                found = await pipeline.execute()
        pairs = zip(tenants, found, strict=True)
        return {tenant: [as_text(one) for one in members] for tenant, members in pairs if members}

    async def open_firings(self, tenants: Sequence[Tenant]) -> dict[Tenant, list[OpenFiring]]:
        """Return the firings that were claimed and not closed; tenants without are absent."""
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.hgetall(self._keys.open_firings(tenant))
                found = await pipeline.execute()
        pairs = zip(tenants, found, strict=True)
        return {
            tenant: [_open_firing(as_text(name), claim) for name, claim in sorted(rows.items())]
            for tenant, rows in pairs
            if rows
        }

    async def claim(
        self, tenant: Tenant, schedule: Schedule, next_run_ms: int | None, firing: OpenFiring
    ) -> bool:
        """Open a firing and move its schedule to the next run.

        Returns:
            False, with nothing written, when the schedule or its next run is not as given.
        """
        keys = self._keys
        names = [keys.schedules(tenant), keys.schedules_due(tenant), keys.open_firings(tenant)]
        values = [*_as_read(schedule), _number(next_run_ms), _name(firing), _claim(firing)]
        with redis_errors():
            return bool(await self._claim(keys=names, args=values))

    async def pass_over(
        self, tenant: Tenant, schedule: Schedule, next_run_ms: int | None, run: ScheduleRun | None
    ) -> bool:
        """Move a schedule to another next run without a firing; False as `claim`."""
        keys = self._keys
        names = [keys.schedules(tenant), keys.schedules_due(tenant), keys.schedule_runs(tenant)]
        values = [*_as_read(schedule), _number(next_run_ms), _row(run) if run else ""]
        with redis_errors():
            return bool(await self._pass_over(keys=names, args=values))

    async def take_over(self, tenant: Tenant, held: OpenFiring, taken: OpenFiring) -> bool:
        """Replace an open firing by one with a lease of its own; False when it is not as held."""
        names = [self._keys.open_firings(tenant)]
        values: list[str | bytes] = [_name(held), _claim(held), _claim(taken)]
        with redis_errors():
            return bool(await self._take_over(keys=names, args=values))

    async def close(self, tenant: Tenant, firing: OpenFiring, run: ScheduleRun) -> None:
        """End an open firing, if it is still open, and note what became of it."""
        keys = self._keys
        names = [keys.schedules(tenant), keys.schedule_runs(tenant), keys.open_firings(tenant)]
        with redis_errors():
            await self._close(keys=names, args=[firing.schedule_id, _name(firing), _row(run)])

    async def note_run(self, tenant: Tenant, schedule_id: str, run: ScheduleRun) -> None:
        """Note a run that was no firing; nothing when there is no such schedule."""
        names = [self._keys.schedules(tenant), self._keys.schedule_runs(tenant)]
        with redis_errors():
            await self._note_run(keys=names, args=[schedule_id, _row(run)])

    async def _read(self, tenant: Tenant, ids: Sequence[str]) -> list[Schedule]:
        """Return those of `ids` that exist, in their order."""
        if not ids:
            return []
        keys, asked = self._keys, list(ids)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hmget(keys.schedules(tenant), asked)
                pipeline.zmscore(keys.schedules_due(tenant), asked)
                pipeline.hmget(keys.schedule_runs(tenant), asked)
                columns = await pipeline.execute()
        return [
            _decoded(document, next_run, run)
            for document, next_run, run in zip(*columns, strict=True)
            if document is not None
        ]


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _as_read(schedule: Schedule) -> list[str | bytes]:
    return [schedule.schedule_id, _encoded(schedule), _number(schedule.next_run_ms)]


def _encoded(schedule: Schedule) -> bytes:
    document = asdict(schedule)
    del document["next_run_ms"], document["last_run"]
    if schedule.export is None:
        # As it was before there were exports: what is compared is what was stored then.
        del document["export"]
    return orjson.dumps(document)


def _decoded(document: Any, next_run: float | None, run: Any) -> Schedule:
    fields = orjson.loads(document)
    fields["segments"] = tuple(fields["segments"])
    if "export" in fields:
        fields["export"] = msgspec.convert(fields["export"], ExportRequest)
    return Schedule(
        **fields,
        next_run_ms=None if next_run is None else int(next_run),
        last_run=None if run is None else ScheduleRun(*orjson.loads(run)),
    )


def _row(run: ScheduleRun) -> bytes:
    return orjson.dumps((run.due_ms, run.at_ms, run.outcome, run.job_id, run.reason))


def _name(firing: OpenFiring) -> str:
    return f"{firing.schedule_id}:{firing.due_ms}"


def _claim(firing: OpenFiring) -> bytes:
    row = [firing.segments, firing.lease_ms, firing.token, firing.attempts]
    return orjson.dumps(row if firing.export is None else [*row, asdict(firing.export)])


def _open_firing(name: str, claim: bytes) -> OpenFiring:
    schedule_id, _, due_ms = name.rpartition(":")
    segments, lease_ms, token, attempts, *more = orjson.loads(claim)
    return OpenFiring(
        schedule_id,
        int(due_ms),
        tuple(segments),
        lease_ms,
        token,
        attempts,
        msgspec.convert(more[0], ExportRequest) if more else None,
    )
