"""Segment definitions in Redis: documents, versions, names, ordinals, tag and outbox.

Every write is one script on keys of one slot, so a process that dies leaves all of it or nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import orjson
from redis.asyncio import Redis

from app.adapters.redis.backfill_progress import with_progress
from app.adapters.redis.connection import redis_errors
from app.adapters.redis.control_keys import tenant_text
from app.adapters.redis.definition_codec import decoded, encoded, worker_row, worker_stub
from app.adapters.redis.definition_lists import DefinitionLists
from app.adapters.redis.definition_scripts import PUT, REMOVE
from app.adapters.redis.definition_source import RedisDefinitionSource, as_text
from app.adapters.redis.metric_store import metric_fields
from app.domain.definitions import (
    INACTIVE,
    CatalogueHead,
    DefinitionWrite,
    StoredDefinition,
)
from app.domain.limits import DAY_MS
from app.domain.model import SEGMENT_NAMESPACE, Tenant

VERSIONS_KEPT_MS = 30 * DAY_MS
"""How long the versions of a removed definition can still be looked up."""

_RANDOM_BYTES = 8


class RedisDefinitionStore(RedisDefinitionSource):
    """Implements `app.domain.definitions.DefinitionStore` and `app.domain.ports.DefinitionSource`.

    Args:
        redis: A client without response decoding.
        prefix: Of every key and of the notification channel.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        super().__init__(redis, prefix)
        self._lists = DefinitionLists(redis, self._keys)
        self._put = redis.register_script(PUT)
        self._remove = redis.register_script(REMOVE)

    async def head(self, tenant: Tenant) -> CatalogueHead:
        """Return what the next write has to be decided on."""
        with redis_errors():
            revision, number, ordinal = await self._redis.hmget(
                self._keys.catalogue(tenant), ["revision", "number", "next-ordinal"]
            )
        return CatalogueHead(as_text(revision or b""), int(number or 0), int(ordinal or 0))

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredDefinition]:
        """Return the definitions among `ids` that exist, by id, in the order asked for."""
        if not ids:
            return {}
        keys = self._keys
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hmget(keys.definitions(tenant), list(ids))
                pipeline.smismember(keys.pending(tenant), list(ids))
                pipeline.hmget(keys.failures(tenant), list(ids))
                pipeline.hmget(keys.since(tenant), list(ids))
                pipeline.hgetall(keys.backfill(tenant))
                *columns, reports = await pipeline.execute()
        rows = zip(ids, *columns, strict=True)
        return {
            segment_id: with_progress(
                decoded(document, pending=bool(pending), reason=reason), number, reports
            )
            for segment_id, document, pending, reason, number in rows
            if document is not None
        }

    async def page(
        self, tenant: Tenant, offset: int, limit: int, *, newest_first: bool
    ) -> tuple[int, list[StoredDefinition]]:
        """Return how many have an expression, and `limit` from `offset` by creation time."""
        order = self._keys.order(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zcard(order)
                pipeline.zrange(order, offset, offset + limit - 1, desc=newest_first)
                total, members = await pipeline.execute()
        found = await self.get(tenant, [as_text(member) for member in members])
        return total, list(found.values())

    async def all(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every definition that has an expression, oldest first, without progress."""
        return await self._lists.all(tenant, self._keys.order(tenant))

    async def external(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every external audience, oldest first, without progress."""
        return await self._lists.all(tenant, self._keys.external_order(tenant))

    async def with_progress(
        self, tenant: Tenant, definitions: Sequence[StoredDefinition]
    ) -> list[StoredDefinition]:
        """Return the same, with how far those are that are `BACKFILLING`."""
        return await self._lists.with_progress(tenant, definitions)

    async def owner_of_name(self, tenant: Tenant, name: str) -> str | None:
        """Return the id of the definition with this name."""
        with redis_errors():
            owner = await self._redis.hget(self._keys.names(tenant), name)
        return as_text(owner) if owner else None

    async def existing(self, tenant: Tenant, ids: Collection[str]) -> frozenset[str]:
        """Return those of `ids` that exist."""
        asked = list(ids)
        if not asked:
            return frozenset()
        with redis_errors():
            found = await self._redis.hmget(self._keys.since(tenant), asked)
        pairs = zip(asked, found, strict=True)
        return frozenset(segment_id for segment_id, known in pairs if known is not None)

    async def uses(self, tenant: Tenant) -> dict[str, tuple[str, ...]]:
        """Return what each definition asks with `inSegment`; those that ask nothing are absent."""
        with redis_errors():
            rows = await self._redis.hgetall(self._keys.uses(tenant))
        return {as_text(segment_id): tuple(orjson.loads(row)) for segment_id, row in rows.items()}

    async def versions(self, tenant: Tenant, segment_id: str) -> list[StoredDefinition]:
        """Return the kept versions, oldest first; each with the state of the definition now."""
        current = (await self.get(tenant, [segment_id])).get(segment_id)
        with redis_errors():
            rows = await self._redis.hgetall(self._keys.versions(tenant, segment_id))
        found = [decoded(row, pending=False, reason=None) for row in rows.values()]
        found.sort(key=lambda definition: definition.version)
        if current is None:
            return found
        return [current if one.version == current.version else one for one in found]

    async def segment_ids(self, tenant: Tenant) -> dict[int, str]:
        """Return the id by ordinal of each existing definition that was ever published."""
        loaded = await self.load(tenant)
        found = {one.ordinal: one.segment_id for one in loaded.definitions}
        found.update({one.ordinal: one.segment_id for one in loaded.removed if one.is_inactive})
        return found

    async def namespaces(self, tenant: Tenant) -> dict[int, str]:
        """Return by ordinal the namespace of memberships of those that are external."""
        loaded = await self.load(tenant)
        found = [(one.ordinal, one.namespace) for one in loaded.definitions]
        found += [(one.ordinal, one.namespace) for one in loaded.removed]
        return {ordinal: name for ordinal, name in found if name != SEGMENT_NAMESPACE}

    async def ordinals(self, tenant: Tenant) -> dict[int, str]:
        """Return the segment id of every ordinal ever given out, those of removed ones too."""
        with redis_errors():
            rows = await self._redis.hgetall(self._keys.ordinals(tenant))
        return {int(ordinal): as_text(segment_id) for ordinal, segment_id in rows.items()}

    async def put(self, tenant: Tenant, head: CatalogueHead, write: DefinitionWrite) -> bool:
        """Store a definition with history, name, tag and outbox record, all or nothing.

        Returns:
            False, with nothing written, when `head` is outdated.
        """
        new, previous, keys = write.definition, write.previous, self._keys
        row = worker_row(new)
        number, tag = _next_tag(head) if _is_seen(new, previous) else (head.number, "")
        begins = previous is None or _begins(new, previous)
        is_pending = new.is_evaluated or (previous is not None and tag != "")
        names = [
            keys.catalogue(tenant),
            keys.definitions(tenant),
            self._order_of(tenant, new),
            keys.names(tenant),
            keys.versions(tenant, new.segment_id),
            keys.evaluated(tenant),
            keys.uses(tenant),
            keys.ordinals(tenant),
            keys.since(tenant),
            keys.pending(tenant),
            keys.failures(tenant),
            keys.outbox(tenant),
            keys.tags(tenant),
            keys.removed(tenant),
        ]
        values: list[str | bytes | int] = [
            head.revision,
            secrets.token_hex(_RANDOM_BYTES),
            keys.changes,
            tenant_text(tenant),
            new.segment_id,
            encoded(new),
            new.name,
            previous.name if previous else "",
            new.created_ms,
            new.version,
            row,
            worker_stub(new, number),
            orjson.dumps(new.uses) if new.uses else "",
            new.ordinal,
            number,
            tag,
            _record_key(tenant, new.segment_id),
            orjson.dumps(write.published),
            int(begins),
            int(is_pending),
        ]
        with redis_errors():
            # Its own slot, so not in the script; a tenant without definitions does no harm.
            await self._redis.sadd(keys.tenants, tenant_text(tenant))
            return bool(await self._put(keys=names, args=values))

    async def remove(
        self, tenant: Tenant, head: CatalogueHead, definition: StoredDefinition
    ) -> bool:
        """Remove a definition and its metrics; its ordinal stays taken. False as in `put`."""
        keys, segment_id = self._keys, definition.segment_id
        is_known = definition.is_evaluated or definition.lifecycle == INACTIVE
        number, tag = _next_tag(head) if is_known else (head.number, "")
        names = [
            keys.catalogue(tenant),
            keys.definitions(tenant),
            self._order_of(tenant, definition),
            keys.names(tenant),
            keys.versions(tenant, segment_id),
            keys.evaluated(tenant),
            keys.uses(tenant),
            keys.since(tenant),
            keys.pending(tenant),
            keys.failures(tenant),
            keys.outbox(tenant),
            keys.tags(tenant),
            keys.removed(tenant),
            keys.audience_metrics(tenant),
        ]
        values: list[str | bytes | int] = [
            head.revision,
            secrets.token_hex(_RANDOM_BYTES),
            keys.changes,
            tenant_text(tenant),
            segment_id,
            definition.name,
            number,
            tag,
            _record_key(tenant, segment_id),
            VERSIONS_KEPT_MS,
            worker_stub(definition, number, is_inactive=False),
            *metric_fields(segment_id),
        ]
        with redis_errors():
            return bool(await self._remove(keys=names, args=values))

    def _order_of(self, tenant: Tenant, definition: StoredDefinition) -> str:
        """Lists of definitions have no external audiences in them."""
        if definition.external is None:
            return self._keys.order(tenant)
        return self._keys.external_order(tenant)


def _next_tag(head: CatalogueHead) -> tuple[int, str]:
    number = head.number + 1
    return number, f"{number}-{secrets.token_hex(_RANDOM_BYTES)}"


def _record_key(tenant: Tenant, segment_id: str) -> str:
    return f"{tenant_text(tenant)}/{segment_id}"


def _is_seen(new: StoredDefinition, previous: StoredDefinition | None) -> bool:
    """Tell whether workers see a write.

    One that is inactive from the start may be a restored one, of which profiles are members.
    """
    if previous is None:
        return new.is_evaluated or new.lifecycle == INACTIVE
    return worker_row(new) != worker_row(previous)


def _begins(new: StoredDefinition, previous: StoredDefinition) -> bool:
    """Tell whether profiles have to be brought up to a write."""
    if previous.is_evaluated != new.is_evaluated:
        return True
    return new.is_evaluated and previous.version != new.version
