"""All definitions of a tenant, for lists with filters or an order of their own.

Decoding ten thousand definitions takes a fifth of a second. So what was decoded is kept, and used
for as long as Redis has the revision of the catalogue that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from redis.asyncio import Redis

from app.adapters.redis.backfill_progress import with_progress
from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import ControlKeys
from app.adapters.redis.definition_codec import from_document, with_state
from app.domain.definitions import BACKFILLING, StoredDefinition
from app.domain.model import Tenant

MOST_KEPT = 50_000
"""Definitions kept, of all lists together; the list asked for last is kept whatever it has."""

Row: TypeAlias = tuple[bytes, StoredDefinition, StoredDefinition]
"""What is stored, and what it says: once all profiles were brought up to it, and before."""

Rows: TypeAlias = dict[bytes, Row]
"""By segment id, in the order of the list."""


@dataclass(frozen=True, slots=True)
class _States:
    """How far workers are, at one revision of the catalogue."""

    revision: bytes | None
    pending: frozenset[bytes]
    failures: Mapping[bytes, bytes]


class DefinitionLists:
    """Reads whole orders of definitions.

    Args:
        redis: A client without response decoding.
        most_kept: Definitions kept in memory, about.
    """

    def __init__(self, redis: Redis, keys: ControlKeys, most_kept: int = MOST_KEPT) -> None:
        self._redis = redis
        self._keys = keys
        self._most_kept = most_kept
        self._kept: dict[str, tuple[bytes, Rows]] = {}

    @property
    def kept(self) -> int:
        """Number of definitions in memory."""
        return sum(len(rows) for _, rows in self._kept.values())

    async def all(self, tenant: Tenant, order: str) -> list[StoredDefinition]:
        """Return every definition of a sorted set of ids, in its order, without progress.

        Documents and states are of the same instant: a new version is never shown `LIVE`.
        """
        states, _ = await self._states(tenant, [])
        known = self._kept.pop(order, None)
        if known is not None and known[0] == states.revision:
            self._kept[order] = known
            rows = known[1]
        else:
            states, rows = await self._read(tenant, order, {} if known is None else known[1])
        pending = states.pending
        found = {
            segment_id: waiting if segment_id in pending else settled
            for segment_id, (_, settled, waiting) in rows.items()
        }
        for segment_id, reason in states.failures.items():
            if segment_id in found:
                is_pending = segment_id in pending
                found[segment_id] = with_state(found[segment_id], pending=is_pending, reason=reason)
        return list(found.values())

    async def with_progress(
        self, tenant: Tenant, definitions: Sequence[StoredDefinition]
    ) -> list[StoredDefinition]:
        """Return the same, with how far those are that are `BACKFILLING`."""
        ids = [one.segment_id for one in definitions if one.state == BACKFILLING]
        if not ids:
            return list(definitions)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hmget(self._keys.since(tenant), ids)
                pipeline.hgetall(self._keys.backfill(tenant))
                numbers, reports = await pipeline.execute()
        since = dict(zip(ids, numbers, strict=True))
        return [with_progress(one, since.get(one.segment_id), reports) for one in definitions]

    async def _read(self, tenant: Tenant, order: str, known: Rows) -> tuple[_States, Rows]:
        """Read a list; what is stored as it was before is not decoded again."""
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hget(self._keys.catalogue(tenant), "revision")
                pipeline.zrange(order, 0, -1)
                revision, ids = await pipeline.execute()
        states, documents = await self._states(tenant, ids)
        rows: Rows = {}
        for segment_id, document in zip(ids, documents, strict=True):
            if document is not None:
                row = known.get(segment_id)
                if row is None or row[0] != document:
                    row = _row(document)
                rows[segment_id] = row
        # Of another revision when a write came between: then its ids may not be all there are.
        if revision is not None and revision == states.revision:
            self._kept[order] = revision, rows
            self._forget()
        return states, rows

    async def _states(self, tenant: Tenant, ids: list[bytes]) -> tuple[_States, list[Any]]:
        """Return the states, and the documents of `ids` as they are at the same instant."""
        keys = self._keys
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hget(keys.catalogue(tenant), "revision")
                pipeline.smembers(keys.pending(tenant))
                pipeline.hgetall(keys.failures(tenant))
                if ids:
                    pipeline.hmget(keys.definitions(tenant), ids)
                revision, pending, failures, *documents = await pipeline.execute()
        states = _States(revision, frozenset(pending), failures)
        return states, documents[0] if documents else []

    def _forget(self) -> None:
        while len(self._kept) > 1 and self.kept > self._most_kept:
            del self._kept[next(iter(self._kept))]


def _row(document: bytes) -> Row:
    settled = from_document(document)
    return document, settled, with_state(settled, pending=True, reason=None)
