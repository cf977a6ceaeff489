"""What workers read of the definitions kept in Redis, and what they report back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from
from app.adapters.redis.definition_scripts import REPORT_BACKFILL, REPORT_FAILURES, WHOLE
from app.adapters.redis.notifications import notifications
from app.domain.model import DefinitionSet, RemovedDefinition, SegmentDefinition, Tenant

EMPTY_TAG = "0-0"
"""Tag of a tenant that never had a definition."""


def as_text(value: Any) -> str:
    """Decode a reply; the client's types allow for clients that have decoded it already."""
    return bytes(value).decode()


class RedisDefinitionSource:
    """Implements `app.domain.ports.DefinitionSource`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)
        self._report_backfill = redis.register_script(REPORT_BACKFILL)
        self._report_failures = redis.register_script(REPORT_FAILURES)

    async def load(self, tenant: Tenant) -> DefinitionSet:
        """Return all definitions of a tenant and their tag, read at one instant, by ordinal.

        Removed ones are in it until every partition reported that no profile is a member any more;
        inactive ones are among those removed for as long as they are inactive.
        """
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hget(self._keys.catalogue(tenant), "tag")
                pipeline.hgetall(self._keys.evaluated(tenant))
                pipeline.hgetall(self._keys.removed(tenant))
                tag, rows, stubs = await pipeline.execute()
        definitions = [_evaluated(segment_id, row) for segment_id, row in rows.items()]
        definitions.sort(key=lambda definition: definition.ordinal)
        removed = [_removed(segment_id, stub) for segment_id, stub in stubs.items()]
        removed.sort(key=lambda definition: definition.ordinal)
        return DefinitionSet(
            tenant, as_text(tag) if tag else EMPTY_TAG, tuple(definitions), tuple(removed)
        )

    async def tenants(self) -> list[Tenant]:
        """Return every tenant that ever had a definition, sorted."""
        with redis_errors():
            members = await self._redis.smembers(self._keys.tenants)
        return sorted(tenant_from(as_text(member)) for member in members)

    async def tag(self, tenant: Tenant) -> str:
        """Return the current tag of one tenant."""
        with redis_errors():
            tag = await self._redis.hget(self._keys.catalogue(tenant), "tag")
        return as_text(tag) if tag else EMPTY_TAG

    async def tags(self) -> dict[Tenant, str]:
        """Return the current tag of every tenant, in two round trips."""
        tenants = await self.tenants()
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.hget(self._keys.catalogue(tenant), "tag")
                found = await pipeline.execute()
        return {
            tenant: as_text(tag) if tag else EMPTY_TAG
            for tenant, tag in zip(tenants, found, strict=True)
        }

    def changed(self) -> AsyncGenerator[Tenant, None]:
        """Yield the tenant of each change, see `notifications`; look at `tags` as well."""
        return notifications(self._redis, self._keys.changes)

    async def report_failures(self, tenant: Tenant, tag: str, failures: Mapping[str, str]) -> None:
        """Make definitions `FAILED`, with a reason by segment id, unless edited after `tag`."""
        if not failures:
            return
        keys = self._keys
        names = [
            keys.tags(tenant),
            keys.since(tenant),
            keys.pending(tenant),
            keys.failures(tenant),
        ]
        pairs = [text for pair in failures.items() for text in pair]
        with redis_errors():
            await self._report_failures(keys=names, args=[tag.partition("-")[0], tag, *pairs])

    async def report_backfill(
        self, tenant: Tenant, tag: str, partition: int, partitions: int, share: float
    ) -> int:
        """Note how far a partition is with a tag; the last one makes definitions `LIVE`.

        Args:
            tenant: Whose profiles.
            tag: What they are brought to.
            partition: Which one.
            partitions: How many there are.
            share: Part of its profiles that was brought there; 1 for all of them only.

        Returns:
            How many became live; 0 for a tag that is unknown or a thousand changes old.
        """
        keys = self._keys
        names = [
            keys.tags(tenant),
            keys.since(tenant),
            keys.pending(tenant),
            keys.removed(tenant),
            keys.backfill(tenant),
        ]
        number = tag.partition("-")[0]
        values: list[str | int] = [number, tag, partition, partitions, int(share * WHOLE)]
        with redis_errors():
            return int(await self._report_backfill(keys=names, args=values))


def _evaluated(segment_id: bytes, row: bytes) -> SegmentDefinition:
    ordinal, version, expression, name, *more = orjson.loads(row)
    return SegmentDefinition(segment_id.decode(), ordinal, version, expression, name, *more)


def _removed(segment_id: bytes, stub: bytes) -> RemovedDefinition:
    ordinal, version, _, *more = orjson.loads(stub)
    return RemovedDefinition(segment_id.decode(), ordinal, version, *more)
