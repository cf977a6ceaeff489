"""Segment definitions in Redis, for search."""

from __future__ import annotations

from typing import Any

import orjson

from app.adapters.redis.connection import redis_errors
from app.adapters.redis.definition_source import RedisDefinitionSource, as_text
from app.domain.model import Tenant
from app.domain.search import SEGMENT_NAMESPACE, SearchDocument

_PIECE = 200
"""Definitions read at once, about."""


class RedisSearchSource(RedisDefinitionSource):
    """Implements `app.adapters.search.keeper.SearchSource`.

    It follows the catalogue's revision, not its tag: that one stays as it is when a description
    changes.
    """

    async def revisions(self) -> dict[Tenant, str]:
        """Return what changes with every write, of every tenant, in two round trips."""
        tenants = await self.tenants()
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for tenant in tenants:
                    pipeline.hget(self._keys.catalogue(tenant), "revision")
                found = await pipeline.execute()
        return {
            tenant: as_text(revision or b"")
            for tenant, revision in zip(tenants, found, strict=True)
        }

    async def read(self, tenant: Tenant) -> tuple[str, dict[bytes, bytes]]:
        """Return the revision of a tenant, and its stored definitions by id.

        In pieces, between which requests are answered; what is written meanwhile may be in them or
        not, and has moved the revision.
        """
        stored: dict[bytes, bytes] = {}
        cursor = 0
        with redis_errors():
            revision = await self._redis.hget(self._keys.catalogue(tenant), "revision")
            while True:
                reply: Any = await self._redis.hscan(
                    self._keys.definitions(tenant), cursor, count=_PIECE
                )
                cursor, piece = reply
                stored |= piece
                if not cursor:
                    return as_text(revision or b""), stored

    @staticmethod
    def decode(stored: bytes) -> SearchDocument:
        """Return what can be searched of a stored definition."""
        fields = orjson.loads(stored)
        external = fields.get("external")
        return SearchDocument(
            namespace=external["namespace"] if external else SEGMENT_NAMESPACE,
            entity_id=fields["segment_id"],
            source_id=external["audience_id"] if external else fields["segment_id"],
            name=fields["name"],
            description=fields["description"],
            created_ms=fields["created_ms"],
        )
