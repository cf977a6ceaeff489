"""Reading the stored profiles of a partition in the order of their hashes; nothing is written."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.keys import PartitionKeys
from app.adapters.redis.partition_store import RedisPartitionStore
from app.domain.model import ProfileKey, Tenant
from app.domain.previews import ScannedProfiles


class RedisProfileScan:
    """Implements `app.domain.previews.ProfileScan`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._prefix = prefix
        self._store = RedisPartitionStore(redis, prefix)

    async def count(self, partition: int, tenant: Tenant) -> int:
        """Return how many profiles a tenant has in a partition."""
        with redis_errors():
            found: int = await self._redis.zcard(self._store.keys(partition).profiles(tenant))
        return found

    async def profiles(
        self, partition: int, tenant: Tenant, start: int, limit: int, *, with_events: bool
    ) -> ScannedProfiles:
        """Return about `limit` profiles from a hash on, state and events of one instant."""
        keys, following = await self._store.scan(partition, tenant, start, limit)
        ids = [key.profile_id for key in keys]
        if not ids:
            return ScannedProfiles((), (), (), following, 0)
        names = self._store.keys(partition)
        columns = await self._columns(names, tenant, ids, with_events=with_events)
        size = sum(len(value) for column in columns for value in column if value is not None)
        frames = columns[1] if with_events else ()
        return ScannedProfiles(ids, columns[0], frames, following, size)

    async def _columns(
        self, names: PartitionKeys, tenant: Tenant, ids: list[str], *, with_events: bool
    ) -> list[Any]:
        nobody = ProfileKey(tenant, "")
        prefixes = [names.state(nobody)] + ([names.events(nobody)] if with_events else [])
        with redis_errors():
            async with self._redis.pipeline(transaction=with_events) as pipeline:
                for prefix in prefixes:
                    pipeline.execute_command("MGET", *[prefix + one for one in ids])
                return list(await pipeline.execute())
