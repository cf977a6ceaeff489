"""Becoming the owner of a partition: shut out the last one, then find out where it stopped.

The order matters (docs/decisions/0301): raise the epoch in Redis, start the producer, and only
then read both sides. Whoever owned the partition before can then change neither.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.publisher import Publisher
from app.adapters.kafka.records import (
    Outbox,
    OutputRecord,
    TopicNames,
    unpack_outbox,
)
from app.adapters.kafka.recovery import ReadBack, Recovery, begin_recovery, unpack_recovery
from app.adapters.kafka.torn import TornTransactions
from app.adapters.redis.partition_store import RedisPartitionStore, StoredPartition
from app.domain.errors import ConfigurationError, Fenced
from app.service.assignment import GroupPosition, Step, after_look, first_step, input_start

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Found:
    """What both sides know, read after the last owner was shut out."""

    stored: StoredPartition
    group: GroupPosition
    outbox: Outbox | None
    back: ReadBack | None = field(default=None)

    @property
    def sequence(self) -> int:
        return int(self.stored.meta.get("sequence", "0"))

    @property
    def outbox_sequence(self) -> int | None:
        return None if self.outbox is None else self.outbox.sequence


class Acquisition:
    """Takes over partitions, one call each.

    Args:
        partitions: The number of partitions that every topic sharded by profile has.
        make_publisher: Makes the publisher of a partition, not started.
        refresh: Looks for changed definitions. Asked once the last owner is shut out, so that
            no batch is evaluated under older definitions than one before it.
    """

    def __init__(
        self,
        store: RedisPartitionStore,
        positions: KafkaPositions,
        topics: TopicNames,
        partitions: int,
        make_publisher: Callable[[int], Publisher],
        metrics: WorkerMetrics,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._positions = positions
        self._topics = topics
        self._partitions = partitions
        self._make_publisher = make_publisher
        self._metrics = metrics
        self._torn = TornTransactions(positions, topics, metrics)
        self._refresh = refresh

    async def check_topics(self) -> None:
        """Check that all topics are there, with the number of partitions of the settings.

        Raises:
            ConfigurationError: One is missing or has another number.
            Unavailable: Kafka does not answer.
        """
        names = [self._topics.updates, *self._topics.outputs]
        counts = await self._positions.partition_counts(names)
        wrong = {name: count for name, count in counts.items() if count != self._partitions}
        if wrong:
            text = ", ".join(f"{name} has {count}" for name, count in wrong.items())
            raise ConfigurationError(
                f"SEG_PARTITIONS is {self._partitions}, but {text}: set SEG_PARTITIONS to the"
                " topics' number, or make the topics anew with that of SEG_PARTITIONS"
            )

    async def run(self, owner: Owner) -> None:
        """Take over a partition: afterwards `owner` knows where to go on.

        Raises:
            ConfigurationError: The partition must not be started as things are.
            Fenced: A later owner was faster.
            Unavailable: Redis or Kafka does not answer, or the outcome of publishing is unknown.
        """
        partition = owner.partition
        await self.check_topics()
        owner.epoch = await self._claim(partition)
        if self._refresh is not None:
            await self._refresh()
        owner.publisher = self._make_publisher(partition)
        await owner.publisher.start()
        found = await self._read(partition)
        if found.stored.meta.get("epoch") != str(owner.epoch):
            raise Fenced(f"partition {partition}: another owner raised the epoch meanwhile")
        self._restore(owner, found)
        await self._torn.end_open(owner, found.outbox)
        await self._catch_up(owner, found)
        await self._check_start(owner)

    async def _claim(self, partition: int) -> int:
        group = await self._positions.group(self._topics.updates, partition)
        is_new = not await self._store.meta(partition) and await self._has_no_past(partition, group)
        return await self._store.claim(
            partition, self._partitions, group.epoch or 0, may_begin=is_new
        )

    async def _has_no_past(self, partition: int, group: GroupPosition) -> bool:
        outputs = [(self._topics.changes, partition), (self._topics.memberships, partition)]
        bounds = await self._positions.bounds(outputs)
        return group.offset is None and all(bound.stop == 0 for bound in bounds.values())

    async def _read(self, partition: int) -> _Found:
        stored = await self._store.load(partition)
        group = await self._positions.group(self._topics.updates, partition)
        return _Found(stored, group, unpack_outbox(stored.outbox) if stored.outbox else None)

    def _restore(self, owner: Owner, found: _Found) -> None:
        meta = found.stored.meta
        owner.sequence = found.sequence
        owner.offset = int(meta.get(f"offset:{self._topics.updates}", "-1"))
        owner.clock_ms = int(meta.get("clock", "0"))
        owner.backfill.restore(meta)
        owner.jobs.restore(meta)
        owner.head_ms = found.stored.head_ms
        owner.published_sequence = found.group.sequence or 0
        owner.origins = {
            int(name.partition(":")[2]): int(value)
            for name, value in meta.items()
            if name.startswith("origin:")
        }
        if found.stored.recovery is not None:
            self._enter_recovery(owner, unpack_recovery(found.stored.recovery))

    def _enter_recovery(self, owner: Owner, recovery: Recovery) -> None:
        owner.recovery = recovery
        owner.dirty.update(owner.jobs.restart_exports())

    async def _catch_up(self, owner: Owner, found: _Found) -> None:
        step = first_step(found.sequence, found.outbox_sequence, found.group)
        if step is Step.LOOK:
            found.back = await self._read_back(owner.partition, found)
            last = found.back.last_sequence
            step = after_look(found.sequence, found.outbox_sequence, last)
        if step is not Step.GO_ON:
            self._metrics.recoveries.labels(step.value).inc()
            logger.warning(
                "partition %d: %s (Redis has sequence %d, outbox %s; the group has %s)",
                owner.partition,
                step.value,
                found.sequence,
                found.outbox_sequence,
                found.group,
            )
        if step is Step.REPLAY:
            await self._begin_replay(owner, found)
        elif found.outbox is not None and found.stored.recovery is None:
            await self._complete(owner, found, found.outbox, is_published=step is Step.GO_ON)
        elif found.outbox is not None and step is Step.PUBLISH:
            await self._publish(owner, found.outbox.records)

    async def _complete(
        self, owner: Owner, found: _Found, outbox: Outbox, *, is_published: bool
    ) -> None:
        """Publish what a found outbox lacks on the topics; most often all of it, or nothing.

        A Kafka that was killed may end a transaction without its markers in some partitions, that
        of the group's offsets among them: the sequences alone do not tell (decision 0303).
        """
        missing = await self._torn.missing(
            owner.partition, found.stored.meta, outbox, is_published=is_published
        )
        if is_published and not missing:
            return
        if is_published or len(missing) < len(outbox.records):
            self._metrics.recoveries.labels("torn").inc()
            logger.error(
                "partition %d: Kafka kept only a part of a transaction: %d of %d records of batch"
                " %d are published again",
                owner.partition,
                len(missing),
                len(outbox.records),
                outbox.sequence,
            )
        await self._publish(owner, missing)

    async def _publish(self, owner: Owner, records: Sequence[OutputRecord]) -> None:
        """Publish a found outbox. The batches after it had no output: their offset goes along."""
        assert owner.publisher is not None
        owner.ends.update(await owner.publisher.publish(records, _offsets(owner)))
        owner.published_sequence = owner.sequence

    async def _begin_replay(self, owner: Owner, found: _Found) -> None:
        back = found.back or await self._read_back(owner.partition, found)
        recovery = begin_recovery(back, found.group.offset, found.outbox)
        if found.stored.recovery is not None:
            # Redis lost writes again before the last replay was over.
            recovery.end = max(recovery.end, unpack_recovery(found.stored.recovery).end)
        sequence = max(found.sequence, found.group.sequence or 0, back.last_sequence) + 1
        await self._store.begin_recovery(owner.partition, owner.epoch, sequence, recovery.pack())
        owner.sequence = sequence
        self._enter_recovery(owner, recovery)
        logger.error(
            "partition %d: Redis lost its last writes; replaying input offsets %d to %d",
            owner.partition,
            owner.offset,
            recovery.end,
        )

    async def _read_back(self, partition: int, found: _Found) -> ReadBack:
        topics = self._topics
        own = (topics.changes, topics.dead_letters, topics.exports)
        wanted = {(topic, partition) for topic in own}
        if found.outbox is not None:
            wanted |= {(record.topic, record.partition) for record in found.outbox.records}
        meta = found.stored.meta
        starts = {(topic, at): int(meta.get(f"output:{topic}:{at}", "0")) for topic, at in wanted}
        back = ReadBack(partition, topics)
        await self._positions.read_back(starts, back.add)
        return back

    async def _check_start(self, owner: Owner) -> None:
        """Hold the stored offset against what the topic has."""
        at = (self._topics.updates, owner.partition)
        bound = (await self._positions.bounds([at]))[at]
        stored = None if owner.offset < 0 else owner.offset
        start = input_start(stored, bound.start, bound.stop)
        if start.reason:
            self._metrics.lost.labels(str(owner.partition), start.reason).inc(start.lost)
            logger.critical(
                "partition %d: %d records are lost: the stored offset %d is %s (%d to %d)",
                owner.partition,
                start.lost,
                owner.offset,
                start.reason.replace("-", " "),
                bound.start,
                bound.stop,
            )
        owner.offset = start.offset
        if owner.recovery is not None:
            owner.recovery.end = min(owner.recovery.end, max(bound.stop, owner.offset))


def _offsets(owner: Owner) -> dict[TopicPartition, OffsetAndMetadata]:
    if owner.offset >= 0:
        return owner.group_offsets()
    return {}
