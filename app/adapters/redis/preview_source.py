"""What workers read of the previews kept in Redis, and what they report back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.keys import sample_hash
from app.adapters.redis.notifications import notifications
from app.adapters.redis.preview_scripts import FAIL, REPORT
from app.domain.model import Tenant
from app.domain.previews import PreviewMatch, PreviewTask, Share

_DONE = "done"


def preview_names(keys: ControlKeys, tenant: Tenant, query_id: str) -> list[str]:
    """Return the keys of every script of `preview_scripts`."""
    return [
        keys.preview(tenant, query_id),
        keys.preview_matches(tenant, query_id),
        keys.preview_queue(tenant),
        keys.previews(tenant),
    ]


class RedisPreviewSource:
    """Implements `app.domain.previews.PreviewSource`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
        partitions: How many have to be done.
    """

    def __init__(self, redis: Redis, prefix: str = "seg", partitions: int = 1) -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._partitions = partitions
        self._report = redis.register_script(REPORT)
        self._fail = redis.register_script(FAIL)
        self._known: dict[str, PreviewTask] = {}

    async def tasks(self, now_ms: int) -> dict[Tenant, list[PreviewTask]]:
        """Return the unfinished previews by tenant."""
        queued = await self._queued(now_ms)
        asked = [
            (tenant, one) for tenant, ids in queued.items() for one in ids if one not in self._known
        ]
        if asked:
            with redis_errors():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for tenant, query_id in asked:
                        pipeline.hget(self._keys.preview(tenant, query_id), "task")
                    rows = await pipeline.execute()
            for row in rows:
                if row is not None:
                    task = task_from(orjson.loads(row))
                    self._known[task.query_id] = task
        # What has expired since has no document, and is nobody's any more.
        found = {
            tenant: [self._known[one] for one in ids if one in self._known]
            for tenant, ids in queued.items()
        }
        self._known = {task.query_id: task for tasks in found.values() for task in tasks}
        return {tenant: tasks for tenant, tasks in found.items() if tasks}

    async def _queued(self, now_ms: int) -> dict[Tenant, list[str]]:
        with redis_errors():
            members: Any = await self._redis.smembers(self._keys.preview_tenants)
            tenants = sorted(tenant_from(as_text(member)) for member in members)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.zrangebyscore(self._keys.preview_queue(tenant), f"({now_ms}", "+inf")
                rows = await pipeline.execute()
        return {
            tenant: [as_text(one) for one in row]
            for tenant, row in zip(tenants, rows, strict=True)
            if row
        }

    def changed(self) -> AsyncGenerator[Tenant, None]:
        """Yield a tenant after a preview was begun or removed; never ends."""
        return notifications(self._redis, self._keys.preview_changes)

    async def share(self, tenant: Tenant, query_id: str, partition: int) -> Share | None:
        """Return how far a preview is in a partition; None where it has not begun there."""
        with redis_errors():
            found: Any = await self._redis.hmget(
                self._keys.preview(tenant, query_id), [f"cursor:{partition}", f"row:{partition}"]
            )
        cursor, row = found
        return None if cursor is None or row is None else share_from(cursor, row)

    async def report(
        self,
        tenant: Tenant,
        query_id: str,
        partition: int,
        before: Share | None,
        after: Share,
        found: Sequence[PreviewMatch],
    ) -> Literal["ok", "stale", "gone"]:
        """Note what a slice found, if what is stored is where it began."""
        values: list[str | bytes | int] = [
            query_id,
            partition,
            self._partitions,
            "" if before is None else _cursor(before),
            _cursor(after),
            orjson.dumps(after.row()),
        ]
        for match in found:
            values.append(sample_hash(match.profile_id))
            values.append(orjson.dumps((match.profile_id, *match.related)))
        with redis_errors():
            answer: Any = await self._report(
                keys=preview_names(self._keys, tenant, query_id), args=values
            )
        said = as_text(answer)
        return "ok" if said == "ok" else "stale" if said == "stale" else "gone"

    async def fail(self, tenant: Tenant, query_id: str, reason: str) -> None:
        """End a preview that cannot be done."""
        with redis_errors():
            await self._fail(
                keys=preview_names(self._keys, tenant, query_id), args=[query_id, reason]
            )


def task_row(task: PreviewTask) -> bytes:
    """Return a task as it is stored."""
    asked = (task.query_id, task.expression, task.ordinals)
    return orjson.dumps((*asked, task.is_stitched, task.excludes_opt_out))


def task_from(row: Any) -> PreviewTask:
    """Return the task that `task_row` wrote."""
    return PreviewTask(*row)


def share_from(cursor: bytes, row: bytes) -> Share:
    """Return the share that a report wrote."""
    text = as_text(cursor)
    return Share.from_row(orjson.loads(row), None if text == _DONE else int(text))


def _cursor(share: Share) -> str:
    return _DONE if share.cursor is None else str(share.cursor)
