"""The cycle: batches of all owned partitions, evaluated, committed and published together.

One task runs it. A cycle takes what arrived for every partition, loads the touched profiles of
all in one round trip, evaluates each, commits all in one round trip, and publishes side by side
while the next cycle is evaluated (docs/decisions/0301).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial

from app.adapters.kafka.attempts import Attempts
from app.adapters.kafka.batch_counts import count_batch
from app.adapters.kafka.batches import Batch, StreamLimits
from app.adapters.kafka.catalogues import CatalogueKeeper
from app.adapters.kafka.codecs import UpdateDecoder
from app.adapters.kafka.consumer_thread import Position
from app.adapters.kafka.loading import Loading
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.pace import Pace
from app.adapters.kafka.publishing import Lose, Publishing, all_published, no_loss
from app.adapters.kafka.scanning import Scanning
from app.adapters.kafka.slices import begin_tally, next_slice
from app.adapters.kafka.transport import RecordBatch
from app.adapters.kafka.work import Work
from app.adapters.redis.partition_store import RedisPartitionStore
from app.adapters.waits import set_within
from app.domain.errors import Fenced, SegmentationError, Unavailable

_TICK_S = 0.02
_FRESH_MS = 2_000
_CYCLES_TO_ARRIVE = 3


class Stream:
    """Runs cycles over `owners`; implements `transport.PollGate`.

    Attributes:
        owners: By partition; changed by `assignment.Assignment` only.
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
        self._attempts = Attempts(self._is_owned, lambda owner, error: self._lose(owner, error))
        self._loading = Loading(store, self._attempts)
        self._busy = asyncio.Lock()
        self._is_stopping = False
        self._cycles = 0
        self.owners: dict[int, Owner] = {}

    @property
    def unavailable(self) -> str:
        """What does not answer at present, "" for nothing."""
        return self._attempts.unavailable

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
        await self._loading.load(batches, now_ms)
        for batch in batches:
            self._attempts.engine(batch, partial(self._evaluate, batch, now_ms))
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
        begin_tally(owner, work, now_ms)
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
        answers = await self._attempts.redis(lambda: self._store.commit(commits), batches)
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
            count_batch(self._metrics, batch)
            if outbox is not None and self._is_owned(batch.owner):
                transactions += 1
                self._publishing.publish(batch.owner, outbox)
        return transactions

    def _is_owned(self, owner: Owner) -> bool:
        return self.owners.get(owner.partition) is owner
