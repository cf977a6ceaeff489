"""Reading the stored profiles of a partition in the order of their hashes; nothing is written."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.keys import PartitionKeys, sample_hash
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

    async def count(self, partition: int, tenant: Tenant) -> int:
        """Return how many profiles a tenant has in a partition."""
        with redis_errors():
            found: int = await self._redis.zcard(self._keys(partition).profiles(tenant))
        return found

    async def profiles(
        self, partition: int, tenant: Tenant, start: int, limit: int, *, with_events: bool
    ) -> ScannedProfiles:
        """Return about `limit` profiles from a hash on, state and events of one instant."""
        keys = self._keys(partition)
        ids, following = await self.ids(partition, tenant, start, limit)
        if not ids:
            return ScannedProfiles((), (), (), following, 0)
        columns = await self._columns(keys, tenant, ids, with_events=with_events)
        size = sum(len(value) for column in columns for value in column if value is not None)
        frames = columns[1] if with_events else ()
        return ScannedProfiles(ids, columns[0], frames, following, size)

    async def ids(
        self, partition: int, tenant: Tenant, start: int, limit: int
    ) -> tuple[list[str], int | None]:
        """Return the next profile ids of a tenant by their hash.

        Args:
            partition: Which one.
            tenant: Whose profiles.
            start: The smallest hash wanted.
            limit: Number of profiles, at least 1.

        Returns:
            The ids, and the hash to go on from; None where there are no more. Those that have this
            hash are left for the next call, so that each is returned once.
        """
        key = self._keys(partition).profiles(tenant)
        while True:
            with redis_errors():
                found: Any = await self._redis.zrangebyscore(key, start, "+inf", 0, limit + 1)
            ids = [name.decode() for name in found]
            if len(ids) <= limit:
                return ids, None
            # The score is this hash: to ask for the scores as well would take twice as long.
            following = sample_hash(ids.pop())
            if following != start:
                break
            # All of them have one hash: the next call would begin where this one did.
            limit *= 2
        while ids and sample_hash(ids[-1]) == following:
            ids.pop()
        return ids, following

    async def _columns(
        self, keys: PartitionKeys, tenant: Tenant, ids: list[str], *, with_events: bool
    ) -> list[Any]:
        nobody = ProfileKey(tenant, "")
        prefixes = [keys.state(nobody)] + ([keys.events(nobody)] if with_events else [])
        with redis_errors():
            async with self._redis.pipeline(transaction=with_events) as pipeline:
                for prefix in prefixes:
                    pipeline.execute_command("MGET", *[prefix + one for one in ids])
                return list(await pipeline.execute())

    def _keys(self, partition: int) -> PartitionKeys:
        return PartitionKeys(self._prefix, partition)
