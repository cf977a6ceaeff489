"""The outbox of the `definitions` topic, and the lock of whoever relays it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys, tenant_from
from app.adapters.redis.definition_source import as_text
from app.domain.definitions import DefinitionRecord
from app.domain.model import Tenant

LEASE_MS = 15_000
"""Longer than a round of the relay may take."""

_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisDefinitionOutbox:
    """Records in the order in which definitions were written, until they are taken out."""

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._keys = ControlKeys(prefix)

    async def waiting(self) -> list[Tenant]:
        """Return the tenants whose outbox holds something."""
        with redis_errors():
            members = await self._redis.smembers(self._keys.tenants)
            tenants = sorted(tenant_from(as_text(member)) for member in members)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.xlen(self._stream(tenant))
                lengths = await pipeline.execute()
        return [tenant for tenant, length in zip(tenants, lengths, strict=True) if length]

    async def read(self, tenant: Tenant, count: int) -> list[DefinitionRecord]:
        """Return the oldest `count` records; they stay."""
        with redis_errors():
            rows: Any = await self._redis.xrange(self._stream(tenant), count=count)
        return [
            DefinitionRecord(row, as_text(data[b"key"]), data.get(b"value")) for row, data in rows
        ]

    async def trim(self, tenant: Tenant, records: Sequence[DefinitionRecord]) -> None:
        """Take out records that Kafka acknowledged."""
        with redis_errors():
            await self._redis.xdel(self._stream(tenant), *(one.position for one in records))

    def _stream(self, tenant: Tenant) -> str:
        return self._keys.outbox(tenant)


class RedisJobOutbox(RedisDefinitionOutbox):
    """The same of the `job-events` topic."""

    def _stream(self, tenant: Tenant) -> str:
        return self._keys.job(tenant, "outbox")


class RedisRelayLease:
    """A lease: whoever stops renewing it loses it.

    It only keeps replicas from relaying by turns; what fences an old holder for good is the
    transactional id of its Kafka producer.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str = "seg",
        lease_ms: int = LEASE_MS,
        *,
        is_of_jobs: bool = False,
    ) -> None:
        self._redis = redis
        keys = ControlKeys(prefix)
        self._key = keys.job_relay_lock if is_of_jobs else keys.relay_lock
        self._token = secrets.token_hex(16)
        self._lease_ms = lease_ms
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    async def hold(self) -> bool:
        """Renew the lease, or take it when nobody has it; tell whether it is held now."""
        with redis_errors():
            if await self._renew(keys=[self._key], args=[self._token, self._lease_ms]):
                return True
            taken = await self._redis.set(self._key, self._token, nx=True, px=self._lease_ms)
        return bool(taken)

    async def release(self) -> None:
        """Give the lease up at once, if it is held."""
        with redis_errors():
            await self._release(keys=[self._key], args=[self._token])
