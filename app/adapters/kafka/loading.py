"""What the batches of a cycle need from Redis before they can be evaluated."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from app.adapters.kafka.attempts import Attempts
from app.adapters.kafka.batches import Batch
from app.adapters.kafka.slices import cut_slice, set_scanned
from app.adapters.redis.partition_store import RedisPartitionStore
from app.domain.model import ProfileKey
from app.service.job_tally import SegmentTally

logger = logging.getLogger(__name__)

TIMER_SLICE = 256

Wanted = Mapping[int, Sequence[ProfileKey]]
Loaded = dict[ProfileKey, bytes | None]


class Loading:
    """Loads for all batches of a cycle at once."""

    def __init__(self, store: RedisPartitionStore, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts

    async def load(self, batches: list[Batch], now_ms: int) -> None:
        """Hand every engine what it lacks: three round trips at most, most often one."""
        await self._load_due(batches, now_ms)
        await self._load_slices(batches, now_ms)
        await self._provide(
            batches,
            self._store.states,
            lambda batch: batch.owner.engine.missing_states(batch.keys()),
            lambda batch, found: batch.owner.engine.provide_states(found),
        )
        await self._refuse_oversized(batches)
        for batch in batches:
            if batch.work.scanned:
                self._attempts.engine(batch, batch.leave_current)
        await self._cut_slices(batches)
        await self._provide(
            batches,
            self._store.events,
            Batch.missing_events,
            lambda batch, found: batch.owner.engine.provide_events(found),
        )

    async def _refuse_oversized(self, batches: list[Batch]) -> None:
        """Set aside what would add to profiles that are too large."""
        for batch in batches:
            owner, updates = batch.owner, batch.work.updates
            keys = self._attempts.engine(batch, partial(owner.engine.unmeasured, updates))
            if keys:
                sizes = await self._attempts.redis(
                    partial(self._store.event_bytes, owner.partition, keys), batches
                )
                self._attempts.engine(batch, partial(owner.engine.provide_event_bytes, keys, sizes))
            oversized = self._attempts.engine(batch, partial(owner.engine.oversized, updates))
            if oversized and owner.refuse(batch.work, oversized):
                logger.warning(
                    "partition %d: updates refused, these profiles are too large: %s",
                    owner.partition,
                    ", ".join(sorted(key.profile_id for key in oversized)),
                )

    async def _provide(
        self,
        batches: list[Batch],
        load: Callable[[Wanted], Awaitable[dict[int, Loaded]]],
        missing: Callable[[Batch], list[ProfileKey]],
        provide: Callable[[Batch, Loaded], None],
    ) -> None:
        wanted = {
            batch.owner.partition: keys
            for batch in batches
            if (keys := self._attempts.engine(batch, partial(missing, batch)))
        }
        if not wanted:
            return
        found = await self._attempts.redis(lambda: load(wanted), batches)
        for batch in batches:
            if batch.owner.partition in found:
                values = found[batch.owner.partition]
                batch.loaded_bytes += sum(map(len, filter(None, values.values())))
                self._attempts.engine(batch, partial(provide, batch, values))

    async def _load_due(self, batches: list[Batch], now_ms: int) -> None:
        until: dict[int, int] = {}
        for batch in batches:
            clock_ms = max(batch.clock_ms, min(batch.work.last_ms, now_ms))
            head_ms = batch.owner.head_ms
            if head_ms is not None and head_ms <= clock_ms and batch.owner.may_fire(batch.work):
                until[batch.owner.partition] = clock_ms
        if not until:
            return
        is_alone = any(batch.owner.suspicion.is_timer_suspect for batch in batches)
        limit = 1 if is_alone else TIMER_SLICE
        due = await self._attempts.redis(lambda: self._store.due(until, limit), batches)
        for batch in batches:
            batch.owner.set_due(batch.work, due.get(batch.owner.partition, {}))

    async def _load_slices(self, batches: list[Batch], now_ms: int) -> None:
        for batch in batches:
            owner, scan, tally = batch.owner, batch.work.scan, batch.work.tally
            if scan is None:
                continue
            asked = (owner.partition, scan.tenant, scan.start, scan.limit)
            if isinstance(tally, SegmentTally):
                stored = await self._attempts.redis(partial(self._store.stored, *asked), batches)
                batch.loaded_bytes += stored.size_bytes
                count = partial(batch.count_stored, tally, stored, now_ms)
                self._attempts.engine(batch, count)
            else:
                found = await self._attempts.redis(partial(self._store.scan, *asked), batches)
                set_scanned(owner, batch.work, *found)

    async def _cut_slices(self, batches: list[Batch]) -> None:
        """Bound what is loaded and published of the slice of an export."""
        for batch in batches:
            owner, tally = batch.owner, batch.work.tally
            if batch.is_failed or tally is None or not tally.most_bytes or not tally.keys:
                continue
            keys = tally.keys
            sizes = self._attempts.engine(batch, partial(owner.engine.stored_bytes, keys))
            if sizes is None:
                continue
            if tally.needs_events:
                load = partial(self._store.event_bytes, owner.partition, keys)
                of_events = await self._attempts.redis(load, batches)
                sizes = [one + other for one, other in zip(sizes, of_events, strict=True)]
            cut_slice(batch.work, dict(zip(keys, sizes, strict=True)))
