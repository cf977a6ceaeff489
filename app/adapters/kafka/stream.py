"""The cycle: batches of all owned partitions, evaluated, committed and published together.

One task runs it. A cycle takes what arrived for every partition, loads the touched profiles of
all in one round trip, evaluates each, commits all in one round trip, and publishes side by side
while the next cycle is evaluated (docs/decisions/0301).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from app.adapters.kafka.catalogues import CatalogueKeeper
from app.adapters.kafka.codecs import UpdateDecoder
from app.adapters.kafka.consumer_thread import Position
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner, Work
from app.adapters.kafka.pace import Pace
from app.adapters.kafka.publishing import Lose, Publishing, all_published, no_loss
from app.adapters.kafka.scanning import Scanning
from app.adapters.kafka.slices import next_slice
from app.adapters.kafka.transport import RecordBatch
from app.adapters.redis.partition_store import RedisPartitionStore
from app.adapters.waits import set_within
from app.domain.errors import Fenced, SegmentationError, Unavailable
from app.domain.model import ProfileKey
from app.service.outcome import Outcome

logger = logging.getLogger(__name__)
T = TypeVar("T")

TIMER_SLICE = 256
_TICK_S = 0.02
_FRESH_MS = 2_000
_CYCLES_TO_ARRIVE = 3
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)

Wanted = Mapping[int, Sequence[ProfileKey]]
Loaded = dict[ProfileKey, bytes | None]


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of a cycle.

    Attributes:
        max_records, max_bytes: Of one partition's batch.
        full_poll: Records of a poll from which on the worker counts as fully loaded.
        scan_profiles: Profiles brought to changed definitions in a cycle.
    """

    max_records: int = 2_000
    max_bytes: int = 8 * 1_048_576
    linger_ms: int = 5
    full_poll: int = 1_000
    scan_profiles: int = 256


@dataclass(slots=True)
class Batch:
    """One partition's part of a cycle.

    Attributes:
        busy_s: Processor time that its engine has taken.
        loaded_bytes: Of stored profiles.
    """

    owner: Owner
    work: Work
    clock_ms: int
    outcome: Outcome | None = None
    is_failed: bool = False
    busy_s: float = 0.0
    loaded_bytes: int = 0


class Stream:
    """Runs cycles over `owners`; implements `transport.PollGate`.

    Attributes:
        owners: By partition; changed by `assignment.Assignment` only.
        unavailable: What does not answer at present, "" for nothing.
    """

    def __init__(
        self,
        store: RedisPartitionStore,
        decoder: UpdateDecoder,
        catalogues: CatalogueKeeper,
        limits: StreamLimits,
        metrics: WorkerMetrics,
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._catalogues = catalogues
        self._limits = limits
        self._metrics = metrics
        self._pace = Pace(limits.linger_ms / 1000, limits.full_poll)
        self._scanning = Scanning(limits.scan_profiles)
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._lose: Lose = no_loss
        self._publishing = Publishing(
            metrics, lambda owner, error: self._lose(owner, error), self._arrived.set
        )
        self._busy = asyncio.Lock()
        self._is_stopping = False
        self._cycles = 0
        self.owners: dict[int, Owner] = {}
        self.unavailable = ""

    def on_lost(self, lose: Lose) -> None:
        """Name who takes care of partitions that were refused."""
        self._lose = lose

    # --- the gate of the polls ---

    async def wanted(self) -> Mapping[int, int]:
        """Wait for the time of the next poll, see `transport.PollGate`."""
        delay = self._pace.delay(time.monotonic())
        if delay:
            await asyncio.sleep(delay)
        if self._has_enough() or self._is_stopping:
            # The last poll was not taken yet: batches grow while a cycle runs.
            self._taken.clear()
            if not await set_within(self._taken, 0.1):
                return {}
        if not self._pace.is_full and not await self._ends_cycle():
            return {}
        leases = {owner.partition: owner.lease for owner in self.owners.values() if owner.is_ready}
        if not leases or self._is_stopping:
            await asyncio.sleep(_TICK_S)
            return {}
        self._pace.polls(time.monotonic())
        return leases

    def _has_enough(self) -> bool:
        """Tell whether what was read has to be taken before more is read."""
        pending = [batch for owner in self.owners.values() for batch in owner.pending]
        if self._pace.is_full:
            return bool(pending)
        return sum(len(batch.records) for batch in pending) >= self._limits.full_poll

    async def _ends_cycle(self) -> bool:
        """Wait for the end of the running cycle, for some time; tell whether it has ended.

        What is read while a cycle runs waits for its end, and so does what comes after that: below
        full load, reading as late as can be gives fresher and fewer batches.
        """
        return await set_within(self._ended, 0.1)

    def polled(self, partition: int, lease: int, position: Position, count: int) -> None:
        """Learn where a reader stands, see `transport.PollGate`."""
        owner = self._current(partition, lease)
        if owner is not None:
            owner.position = position
            if count:
                owner.in_flight += 1
                owner.polled_in_cycle = self._cycles

    def is_astray(self, owner: Owner) -> bool:
        """Whether a batch was read but does not arrive.

        Told by cycles, not by time: while one long cycle has the processor nothing can arrive.
        """
        return owner.in_flight > 0 and self._cycles - owner.polled_in_cycle > _CYCLES_TO_ARRIVE

    def out_of_range(self, partition: int, lease: int) -> None:
        """Run the whole assignment again: it tells how much is lost."""
        owner = self._current(partition, lease)
        if owner is not None:
            self._lose(owner, Unavailable("the topic no longer holds the next offset"))

    def offer(self, batch: RecordBatch) -> None:
        """Take in a batch from the agent."""
        owner = self._current(batch.partition, batch.lease)
        if owner is None or not owner.is_ready:
            return
        owner.in_flight -= 1
        if batch.start != owner.received:
            text = f"a batch was lost on the way: {batch.start} after {owner.received}"
            self._lose(owner, Unavailable(text))
            return
        owner.received = batch.end
        owner.pending.append(batch)
        self._arrived.set()

    def _current(self, partition: int, lease: int) -> Owner | None:
        owner = self.owners.get(partition)
        return owner if owner is not None and owner.lease == lease else None

    # --- the cycle ---

    async def run(self) -> None:
        """Run cycles until `stop`."""
        await self._catalogues.wait_loaded()
        while not self._is_stopping:
            await self._wait_for_records()
            async with self._busy:
                await self._cycle()

    async def stop(self) -> None:
        """Finish the batch in flight and publish it; start no other."""
        self._is_stopping = True
        self._arrived.set()
        async with self._busy:
            await self.drain(list(self.owners.values()))

    async def quiesce(self, owners: Sequence[Owner]) -> None:
        """Finish the batch in flight; the owners get no further one."""
        for owner in owners:
            owner.is_ready = False
            owner.pending.clear()
        async with self._busy:
            await self.drain(owners)

    async def drain(self, owners: Sequence[Owner]) -> None:
        """Await what is being published, then tell the group the last offsets."""
        await all_published(owners)
        for owner in owners:
            if self._is_owned(owner):
                self._publishing.flush(owner, at_once=True)
        await all_published(owners)

    async def _wait_for_records(self) -> None:
        if self._arrived.is_set() or await set_within(self._arrived, _TICK_S):
            self._arrived.clear()

    async def _cycle(self) -> None:
        self._cycles += 1
        now_ms = time.time_ns() // 1_000_000
        owners = [owner for owner in self.owners.values() if self._may_take(owner)]
        # Only of those that get a batch: one that always publishes would lose its turns.
        scanner = self._scanning.choose(owners, time.monotonic())
        batches = [
            batch for owner in owners if (batch := self._take(owner, now_ms, scanner)) is not None
        ]
        self._taken.set()
        for owner in list(self.owners.values()):
            self._publishing.flush(owner)
        if not batches:
            return
        self._ended.clear()
        try:
            await self._run_batches(batches, now_ms)
        except SegmentationError as error:
            # Nothing of it may be used: whether it was written is unknown.
            for batch in batches:
                if self._is_owned(batch.owner):
                    self._lose(batch.owner, error)
        finally:
            self._ended.set()

    async def _run_batches(self, batches: list[Batch], now_ms: int) -> None:
        started = time.monotonic()
        processor = time.process_time()
        await self._load(batches, now_ms)
        for batch in batches:
            self._guarded(batch, partial(self._evaluate, batch, now_ms))
            # Evaluating is the bulk of the work: let acknowledgements in between.
            await asyncio.sleep(0)
        batches = [batch for batch in batches if not batch.is_failed]
        transactions = await self._commit(batches)
        records = sum(batch.work.records for batch in batches)
        self._pace.cycle_ended(transactions, time.process_time() - processor, records)
        for batch in batches:
            self._scanning.ended(batch.work, batch.busy_s, batch.loaded_bytes)
        self._metrics.batch_seconds.observe(time.monotonic() - started)
        if any(owner.pending for owner in self.owners.values()):
            self._arrived.set()

    def _may_take(self, owner: Owner) -> bool:
        """Whether a partition gets a batch in this cycle.

        Below full load, one whose last output is still being published is left for the next
        cycle: its commit would have to wait for that, and all others with it.
        """
        return owner.is_ready and (self._pace.is_full or not owner.is_publishing)

    def _take(self, owner: Owner, now_ms: int, scanner: Owner | None = None) -> Batch | None:
        """Decide what the next batch of a partition is; None for nothing to do."""
        if not self._may_take(owner):
            return None
        self._swap_catalogues(owner)
        sliced = Work(owner.offset)
        if owner is scanner:
            next_slice(owner, self._scanning, sliced)
        max_records = 0 if sliced.scans_alone else self._limits.max_records
        work = owner.take(max_records, self._limits.max_bytes, self._decoder)
        scan, work.scan, work.tally = sliced.scan, sliced.scan, sliced.tally
        owner.begin_tally(work, now_ms)
        clock_ms = owner.clock_ms
        if owner.recovery is not None and work.records == 0 and owner.is_replayed():
            # Whatever the clock had fired before the crash fires first, unheard.
            clock_ms = max(clock_ms, min(owner.recovery.clock_ms, now_ms))
            work.settles = owner.head_ms is None or owner.head_ms > clock_ms
            return Batch(owner, work, clock_ms)
        if work.records == 0 and owner.is_idle(now_ms, _FRESH_MS):
            clock_ms = max(clock_ms, now_ms)
        has_due = owner.head_ms is not None and owner.head_ms <= clock_ms
        if work.records == 0 and not has_due and scan is None:
            return None
        return Batch(owner, work, clock_ms)

    def _swap_catalogues(self, owner: Owner) -> None:
        for tenant, catalogue in self._catalogues.current.items():
            if owner.tags.get(tenant) != catalogue.tag:
                owner.set_catalogue(tenant, catalogue)

    async def _load(self, batches: list[Batch], now_ms: int) -> None:
        """Hand every engine what it lacks: three round trips at most, most often one."""
        await self._load_due(batches, now_ms)
        await self._load_slice(batches)
        await self._provide(
            batches,
            self._store.states,
            lambda batch: batch.owner.engine.missing_states(_keys(batch)),
            lambda batch, found: batch.owner.engine.provide_states(found),
        )
        await self._refuse_oversized(batches)
        for batch in batches:
            if batch.work.scanned:
                self._guarded(batch, partial(_leave_current, batch))
        await self._cut_slices(batches)
        await self._provide(
            batches,
            self._store.events,
            _missing_events,
            lambda batch, found: batch.owner.engine.provide_events(found),
        )

    async def _refuse_oversized(self, batches: list[Batch]) -> None:
        """Set aside what would add to profiles that are too large."""
        for batch in batches:
            owner, updates = batch.owner, batch.work.updates
            keys = self._guarded(batch, partial(owner.engine.unmeasured, updates))
            if keys:
                sizes = await self._redis(
                    partial(self._store.event_bytes, owner.partition, keys), batches
                )
                self._guarded(batch, partial(owner.engine.provide_event_bytes, keys, sizes))
            oversized = self._guarded(batch, partial(owner.engine.oversized, updates))
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
            if (keys := self._guarded(batch, partial(missing, batch)))
        }
        if not wanted:
            return
        found = await self._redis(lambda: load(wanted), batches)
        for batch in batches:
            if batch.owner.partition in found:
                values = found[batch.owner.partition]
                batch.loaded_bytes += sum(map(len, filter(None, values.values())))
                self._guarded(batch, partial(provide, batch, values))

    async def _load_due(self, batches: list[Batch], now_ms: int) -> None:
        until: dict[int, int] = {}
        for batch in batches:
            clock_ms = max(batch.clock_ms, min(batch.work.last_ms, now_ms))
            head_ms = batch.owner.head_ms
            if head_ms is not None and head_ms <= clock_ms and batch.owner.may_fire(batch.work):
                until[batch.owner.partition] = clock_ms
        if not until:
            return
        is_alone = any(batch.owner.is_timer_suspect for batch in batches)
        limit = 1 if is_alone else TIMER_SLICE
        due = await self._redis(lambda: self._store.due(until, limit), batches)
        for batch in batches:
            batch.owner.set_due(batch.work, due.get(batch.owner.partition, {}))

    async def _load_slice(self, batches: list[Batch]) -> None:
        for batch in batches:
            owner, scan = batch.owner, batch.work.scan
            if scan is None:
                continue
            call = partial(self._store.scan, owner.partition, scan.tenant, scan.start, scan.limit)
            owner.set_scanned(batch.work, *await self._redis(call, batches))

    async def _cut_slices(self, batches: list[Batch]) -> None:
        """Bound what is loaded and published of the slice of an export."""
        for batch in batches:
            owner, tally = batch.owner, batch.work.tally
            if batch.is_failed or tally is None or not tally.most_bytes or not tally.keys:
                continue
            keys = tally.keys
            sizes = self._guarded(batch, partial(owner.engine.stored_bytes, keys))
            if sizes is None:
                continue
            if tally.needs_events:
                load = partial(self._store.event_bytes, owner.partition, keys)
                of_events = await self._redis(load, batches)
                sizes = [one + other for one, other in zip(sizes, of_events, strict=True)]
            owner.cut(batch.work, dict(zip(keys, sizes, strict=True)))

    def _evaluate(self, batch: Batch, now_ms: int) -> None:
        owner, work = batch.owner, batch.work
        if work.settles and owner.recovery is not None:
            published = owner.recovery.memberships()
            batch.outcome = owner.engine.settle(published, batch.clock_ms)
        else:
            due = list(work.due)
            tally = {} if work.tally is None else {"tally": work.tally}
            batch.outcome = owner.engine.apply(
                work.updates, due, batch.clock_ms, now_ms, work.scanned, **tally
            )

    def _guarded(self, batch: Batch, call: Callable[[], T]) -> T | None:
        """Call the engine; what it fails on is set aside, and the partition goes on.

        A failure is a defect, or stored state that cannot be read. The engine is then worth
        nothing: the assignment runs again, with smaller batches until one record is left.
        """
        if batch.is_failed:
            return None
        started = time.process_time()
        try:
            return call()
        except Exception:
            logger.exception("partition %d: evaluating failed", batch.owner.partition)
            batch.is_failed = True
            batch.owner.isolate(batch.work)
            self._lose(batch.owner, Unavailable("evaluating a batch failed"))
            return None
        finally:
            batch.busy_s += time.process_time() - started

    async def _commit(self, batches: list[Batch]) -> int:
        """Write all batches in one round trip, once those before are published."""
        await all_published([batch.owner for batch in batches])
        batches = [batch for batch in batches if self._is_owned(batch.owner)]
        if not batches:
            return 0
        finished = [
            batch.owner.finish(batch.work, batch.outcome)
            for batch in batches
            if batch.outcome is not None
        ]
        commits = [commit for commit, _ in finished]
        answers = await self._redis(lambda: self._store.commit(commits), batches)
        transactions = 0
        for batch, (_, outbox), answer in zip(batches, finished, answers, strict=True):
            if isinstance(answer, Fenced):
                self._metrics.fenced.labels("redis").inc()
                self._lose(batch.owner, answer)
                continue
            batch.owner.head_ms = answer
            batch.owner.progress_at = time.monotonic()
            batch.owner.backfill.committed()
            batch.owner.jobs.committed()
            self._count(batch)
            if outbox is not None and self._is_owned(batch.owner):
                transactions += 1
                self._publishing.publish(batch.owner, outbox)
        return transactions

    def _is_owned(self, owner: Owner) -> bool:
        return self.owners.get(owner.partition) is owner

    # --- Redis away ---

    async def _redis(self, call: Callable[[], Awaitable[T]], batches: Sequence[Batch]) -> T:
        """Repeat a call until Redis answers: nothing is fetched meanwhile, nothing lost."""
        attempt = 0
        while True:
            try:
                result = await call()
            except SegmentationError as error:
                self.unavailable = error.message
                if attempt == 0:
                    logger.warning("waiting for Redis: %s", error)
                if not any(self._is_owned(b.owner) and b.owner.is_ready for b in batches):
                    raise
            else:
                if attempt:
                    logger.info("Redis answers again")
                self.unavailable = ""
                return result
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    def _count(self, batch: Batch) -> None:
        outcome, work, metrics = batch.outcome, batch.work, self._metrics
        if outcome is None:
            return
        metrics.batches.inc()
        counts = {
            "applied": outcome.applied,
            "duplicate": outcome.duplicates,
            "expired": outcome.expired,
            "unknown-audience": outcome.unknown,
            "dead-letter": work.dead,
            "forwarded": work.forwarded,
            "repeated": work.skipped,
        }
        for result, count in counts.items():
            if count:
                metrics.updates.labels(result).inc(count)
        if work.due:
            metrics.timers.inc(len(work.due))
        if work.looked:
            (metrics.scanned if work.tally is None else metrics.counted).inc(work.looked)
        # One labelled lookup costs more than making the change's record: once per status.
        for status, count in Counter(change.status for change in outcome.changes).items():
            metrics.changes.labels(status).inc(count)
        metrics.lag.labels(str(batch.owner.partition)).set(batch.owner.lag)


def _leave_current(batch: Batch) -> None:
    batch.work.scanned = batch.owner.engine.outdated(batch.work.scanned)


def _missing_events(batch: Batch) -> list[ProfileKey]:
    tally = batch.work.tally
    engine = batch.owner.engine
    if tally is None or not tally.needs_events:
        return engine.missing_events(_keys(batch))
    return engine.missing_events(_keys(batch), tally.keys)


def _keys(batch: Batch) -> list[ProfileKey]:
    keys = batch.work.keys()
    if batch.work.settles and batch.owner.recovery is not None:
        keys.extend(batch.owner.recovery.published)
    return keys
