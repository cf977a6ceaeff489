"""Reading packed profiles for the control plane; only workers write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.keys import PartitionKeys
from app.domain.model import ProfileKey
from app.domain.partitioning import partition_of
from app.service.profile_view import StoredProfile


class RedisProfileReader:
    """Implements `app.service.profiles.ProfileStore`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
        partitions: How many there are; a profile lives in the one that its id hashes to.
    """

    def __init__(self, redis: Redis, prefix: str, partitions: int) -> None:
        self._redis = redis
        self._keys = [PartitionKeys(prefix, number) for number in range(partitions)]

    async def state(self, key: ProfileKey) -> bytes | None:
        """See `ProfileStore.state`."""
        keys = self._keys[self._partition(key)]
        with redis_errors():
            state: bytes | None = await self._redis.get(keys.state(key))  # type: ignore[assignment]
        return state

    async def profiles(
        self, keys: Sequence[ProfileKey], *, with_events: bool
    ) -> dict[ProfileKey, StoredProfile]:
        """See `ProfileStore.profiles`; one transaction for each partition."""
        grouped: dict[int, list[ProfileKey]] = {}
        for key in keys:
            grouped.setdefault(self._partition(key), []).append(key)
        found: dict[ProfileKey, StoredProfile] = {}
        for partition, group in grouped.items():
            found |= await self._of_partition(self._keys[partition], group, with_events)
        return found

    async def _of_partition(
        self, names: PartitionKeys, keys: Sequence[ProfileKey], with_events: bool
    ) -> dict[ProfileKey, StoredProfile]:
        pipe = self._redis.pipeline(transaction=True)
        pipe.hget(names.meta, "clock")
        pipe.mget([names.state(key) for key in keys])
        if with_events:
            pipe.mget([names.events(key) for key in keys])
        with redis_errors():
            clock, states, *rest = await pipe.execute()
        frames: Sequence[Any] = rest[0] if rest else [None] * len(keys)
        clock_ms = int(clock or 0)
        return {
            key: StoredProfile(state, events or b"", clock_ms)
            for key, state, events in zip(keys, states, frames, strict=True)
            if state is not None
        }

    def _partition(self, key: ProfileKey) -> int:
        return partition_of(key.profile_id, len(self._keys))
