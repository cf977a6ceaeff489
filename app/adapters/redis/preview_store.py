"""Previews in Redis, as the control plane sees them."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_text
from app.adapters.redis.definition_source import as_text
from app.adapters.redis.preview_scripts import CREATE, DELETE
from app.adapters.redis.preview_source import preview_names, share_from, task_from, task_row
from app.domain.model import Tenant
from app.domain.previews import (
    PreviewLimits,
    PreviewMatch,
    PreviewState,
    PreviewTask,
    StoredPreview,
)

_CURSOR = b"cursor:"


class RedisPreviewStore:
    """Implements `app.domain.previews.PreviewStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._create = redis.register_script(CREATE)
        self._delete = redis.register_script(DELETE)

    async def create(
        self, tenant: Tenant, task: PreviewTask, limits: PreviewLimits, now_ms: int
    ) -> Literal["ok", "running", "stored"]:
        """Begin a preview; return which limit forbids it, or `ok`."""
        keys = self._keys
        values: list[str | bytes | int] = [
            task.query_id,
            now_ms,
            task_row(task),
            limits.kept_ms,
            limits.running,
            limits.stored,
            keys.preview_changes,
            tenant_text(tenant),
        ]
        with redis_errors():
            # First of all: workers look for previews of these tenants only.
            await self._redis.sadd(keys.preview_tenants, tenant_text(tenant))
            answer: Any = await self._create(
                keys=preview_names(keys, tenant, task.query_id), args=values
            )
        said = as_text(answer)
        return "ok" if said == "ok" else "running" if said == "running" else "stored"

    async def get(self, tenant: Tenant, query_id: str) -> StoredPreview | None:
        """Return a preview; None where there is none, or it has expired."""
        with redis_errors():
            found: Any = await self._redis.hgetall(self._keys.preview(tenant, query_id))
        if not found:
            return None
        state: PreviewState = found[b"state"].decode()
        return StoredPreview(
            task_from(orjson.loads(found[b"task"])),
            state,
            tuple(
                share_from(value, found[b"row:" + name.removeprefix(_CURSOR)])
                for name, value in found.items()
                if name.startswith(_CURSOR)
            ),
            found.get(b"error", b"").decode(),
        )

    async def matches(
        self, tenant: Tenant, query_id: str, offset: int, limit: int
    ) -> tuple[int, list[PreviewMatch]]:
        """Return how many matches are kept, and `limit` of them from `offset`, by hash."""
        key = self._keys.preview_matches(tenant, query_id)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zcard(key)
                pipeline.zrange(key, offset, offset + limit - 1)
                total, members = await pipeline.execute()
        rows = [orjson.loads(member) for member in members]
        return total, [PreviewMatch(row[0], tuple(row[1:])) for row in rows]

    async def delete(self, tenant: Tenant, query_id: str) -> bool:
        """Cancel and remove a preview with all that is kept of it; tell whether there was one."""
        keys = self._keys
        values = [query_id, keys.preview_changes, tenant_text(tenant)]
        with redis_errors():
            return bool(await self._delete(keys=preview_names(keys, tenant, query_id), args=values))
