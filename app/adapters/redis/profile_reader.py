"""Reading packed profiles for the control plane; only workers write them."""

from __future__ import annotations

from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.keys import PartitionKeys
from app.domain.model import ProfileKey
from app.domain.partitioning import partition_of


class RedisProfileReader:
    """Implements `app.service.profile_memberships.ProfileStates`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key.
        partitions: How many there are; a profile lives in the one that its id hashes to.
    """

    def __init__(self, redis: Redis, prefix: str, partitions: int) -> None:
        self._redis = redis
        self._keys = [PartitionKeys(prefix, number) for number in range(partitions)]

    async def state(self, key: ProfileKey) -> bytes | None:
        """Return the packed state of a profile, None when nothing is stored."""
        keys = self._keys[partition_of(key.profile_id, len(self._keys))]
        with redis_errors():
            state: bytes | None = await self._redis.get(keys.state(key))  # type: ignore[assignment]
        return state
