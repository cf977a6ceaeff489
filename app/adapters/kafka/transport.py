"""A Faust transport that hands out one message per poll: the raw records of each partition.

Faust starts two tasks for each message it drains, so a message has to be all that was read. Offsets
are ours (docs/decisions/0301): Faust neither seeks nor commits. What Faust keeps is the group:
subscribing, rebalancing, and leaving.
"""

# ruff: noqa: SLF001 - positions are not public in the pinned aiokafka; see library.py
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from app.adapters.kafka.library import hand_out_raw_records
from app.adapters.kafka.patience import within
from app.domain.errors import Unavailable

logger = logging.getLogger(__name__)

FETCH_WAIT_S = 0.1
"""How long a poll waits for the first record; also how late a new owner's first poll may be."""

_CATCH_UP_S = 0.004
_AT_ONCE_S = 0.001
_LEAVE_S = 5.0
_CONNECT_S = 60.0
_RECONNECT_S = 0.5


class RecordBatch(NamedTuple):
    """The records of one partition and poll.

    Attributes:
        lease: Which assignment of the partition they were read under.
        start: Where the batch before ended; tells whether one was lost on the way.
        end: Position behind the batch.
        records: As aiokafka parsed them (`update_fields.InputRecord`), without topic and partition.
    """

    partition: int
    lease: int
    start: int
    end: int
    records: list[Any]


class Position(NamedTuple):
    """Where a partition's reader stands after a poll.

    Attributes:
        end: Last stable offset as of the last fetch answer, or None before the first.
        answered_ms: Wall clock of that answer, 0 before the first.
    """

    offset: int
    end: int | None
    answered_ms: int


class PollGate(Protocol):
    """Who decides when to poll, and for which partitions."""

    async def wanted(self) -> Mapping[int, int]:
        """Wait for the time of the next poll; return the lease of each partition to read."""
        ...

    def polled(self, partition: int, lease: int, position: Position, count: int) -> None:
        """Learn where a reader stands; `count` records are on their way."""
        ...

    def out_of_range(self, partition: int, lease: int) -> None:
        """Learn that the topic no longer holds the position of a partition."""
        ...


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How the group is joined.

    Attributes:
        client: Arguments of every aiokafka client: servers, security.
    """

    client: dict[str, Any]
    group_id: str
    topic: str
    session_timeout_ms: int = 10_000
    rebalance_timeout_ms: int = 60_000
    max_poll_records: int = 2_000
    max_partition_bytes: int = 1_048_576


class _Polled(NamedTuple):
    records: dict[TopicPartition, list[Any]]
    positions: dict[int, Position]
    out_of_range: list[int]


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka reads, with our settings and our polls."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        options = cast("BatchTransport", transport).options
        # Co-partitioned topics must stay together: by range, not round robin.
        self._assignor = RangePartitionAssignor
        return AIOKafkaConsumer(
            **options.client,
            group_id=options.group_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            # Every partition is sought before it is read; a silent reset would lose records.
            auto_offset_reset="none",
            max_poll_records=options.max_poll_records,
            # A worker that waits for Redis keeps its partitions; the watchdog ends a stuck one.
            max_poll_interval_ms=24 * 3_600_000,
            max_partition_fetch_bytes=options.max_partition_bytes,
            fetch_max_wait_ms=500,
            session_timeout_ms=options.session_timeout_ms,
            heartbeat_interval_ms=max(options.session_timeout_ms // 5, 200),
            rebalance_timeout_ms=options.rebalance_timeout_ms,
            isolation_level="read_committed",
            metadata_max_age_ms=60_000,
        )

    async def on_start(self) -> None:
        """Connect; a Kafka that went away since it was last asked is waited for."""
        deadline = time.monotonic() + _CONNECT_S
        while True:
            try:
                await super().on_start()
            except KafkaConnectionError as error:
                await self._stop_consumer()
                if self.should_stop or time.monotonic() > deadline:
                    raise
                logger.warning("waiting: Kafka does not answer: %r", error)
                await asyncio.sleep(_RECONNECT_S)
            else:
                return

    async def on_thread_stop(self) -> None:
        """Leave the group if Kafka lets us in time; its session timeout does it otherwise."""
        with suppress(TimeoutError):
            await within(_LEAVE_S, super(driver.AIOKafkaConsumerThread, self).on_thread_stop())
        await self._stop_consumer()

    async def _stop_consumer(self) -> None:
        if self._consumer is not None:
            try:
                await within(_LEAVE_S, self._consumer.stop())
            except TimeoutError:
                logger.warning("Kafka did not answer while the group was left")

    def highwater(self, tp: TP) -> int:
        """Return the last stable offset: what a reader of committed records can reach."""
        return cast(int, self._ensure_consumer().last_stable_offset(tp) or 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave it to the worker's own watchdog."""

    async def poll(self, partitions: frozenset[int], timeout_s: float) -> _Polled:
        """Read what is there, in the thread.

        Raises:
            ConsumerStoppedError: The consumer is closed.
        """
        result: _Polled = await self.call_thread(self._poll, partitions, timeout_s)
        return result

    async def _poll(self, partitions: frozenset[int], timeout_s: float) -> _Polled:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        hand_out_raw_records(fetcher)
        subscription = fetcher._subscriptions
        topic = cast("BatchTransport", self.transport).options.topic
        assigned = {
            tp for tp in consumer.assignment() if tp.topic == topic and tp.partition in partitions
        }
        if not assigned or not self.consumer.flow_active:
            await asyncio.sleep(timeout_s)
            return _Polled({}, {}, [])
        lost: list[int] = []
        records: dict[TopicPartition, list[Any]] = {}
        with subscription.fetch_context():
            try:
                records = await self._fetched(fetcher, assigned, timeout_s)
            except OffsetOutOfRangeError as error:
                lost = [tp.partition for tp in error.args[0]]
            except NoOffsetForPartitionError:
                # Assigned anew during the poll, in a group that has no offset of it: its owner
                # seeks it when it has read its state.
                records = {}
        return _Polled(records, _positions(consumer, assigned), lost)

    async def _fetched(
        self, fetcher: Fetcher, assigned: set[TopicPartition], timeout_s: float
    ) -> dict[TopicPartition, list[Any]]:
        """Return the records that are there now, the broker's included.

        aiokafka fetches ahead, once: what lies ready is what had come just after the last poll.
        What has come since is a round trip away.
        """
        limit = self._ensure_consumer()._max_poll_records
        started = time.monotonic()
        records: dict[TopicPartition, list[Any]] = await fetcher.fetched_records(
            assigned, timeout=timeout_s, max_records=limit
        )
        left = limit - sum(map(len, records.values()))
        if not records or left <= 0 or time.monotonic() - started > _AT_ONCE_S:
            return records
        with suppress(OffsetOutOfRangeError, NoOffsetForPartitionError):
            # An error comes again with the next poll; the first records must not be lost for it.
            more = await fetcher.fetched_records(assigned, timeout=_CATCH_UP_S, max_records=left)
            for tp, found in more.items():
                records.setdefault(tp, []).extend(found)
        return records

    async def seek_to(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Set the positions of assigned partitions.

        Raises:
            Unavailable: A partition is not assigned (any more).
        """
        await self.call_thread(self._seek_to, offsets)

    async def _seek_to(self, offsets: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in offsets.items():
            if tp not in assigned:
                raise Unavailable(f"{tp.topic}/{tp.partition} is not assigned")
            consumer.seek(tp, offset)

    async def commit_with_metadata(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata]
    ) -> None:
        """Commit offsets outside a transaction, as a member of the group."""
        await self.call_thread(self._ensure_consumer().commit, dict(offsets))


class BatchConsumer(driver.Consumer):
    """The Faust side of the consumer; drains polls instead of records."""

    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chain: dict[int, tuple[int, int]] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> BatchConsumerThread:
        """The thread that reads."""
        return self._thread

    async def seek_to(self, offset: int, partition: int, lease: int) -> None:
        """Start reading a partition at an offset, under a new lease."""
        options = cast("BatchTransport", self.transport).options
        tp = TopicPartition(options.topic, partition)
        await self._thread.seek_to({tp: offset})
        self._read_offset[TP(options.topic, partition)] = None
        self._chain[partition] = (lease, offset)

    async def perform_seek(self) -> None:
        """Do nothing: each owner seeks its partition when it has read its state."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Do nothing, see `perform_seek`."""
        return {}

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: each batch would look like a gap, and Faust's offsets are not used."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return True

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Poll once and yield one message with the batches of all partitions that have records."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        transport = cast("BatchTransport", self.transport)
        leases = await transport.gate.wanted()
        if not leases or self.should_stop:
            return
        generation = self.app.consumer_generation_id
        polled = await self._thread.poll(frozenset(leases), FETCH_WAIT_S)
        if generation != self.app.consumer_generation_id or not self.flow_active:
            return
        for partition in polled.out_of_range:
            transport.gate.out_of_range(partition, leases[partition])
        counts = {tp.partition: len(records) for tp, records in polled.records.items()}
        for partition, position in polled.positions.items():
            lease = leases[partition]
            transport.gate.polled(partition, lease, position, counts.get(partition, 0))
        batches = [
            batch
            for tp, records in polled.records.items()
            if (batch := self._batch(tp.partition, leases, polled, records)) is not None
        ]
        if batches:
            message = self._message(transport.options.topic, batches)
            yield message.tp, message

    def _batch(
        self, partition: int, leases: Mapping[int, int], polled: _Polled, records: list[Any]
    ) -> RecordBatch | None:
        lease, start = self._chain.get(partition, (0, 0))
        if lease != leases[partition]:
            return None
        end = polled.positions[partition].offset
        self._chain[partition] = (lease, end)
        return RecordBatch(partition, lease, start, end, records)

    def _message(self, topic: str, batches: list[RecordBatch]) -> ConsumerMessage:
        """Return the batches as a message of the first one's partition.

        Faust spends as much on a message as on evaluating some dozen updates. What it does with
        the offset does not matter, as long as it grows.
        """
        first = batches[0]
        last = first.records[-1]
        return ConsumerMessage(
            topic,
            first.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            [],
            None,
            cast(Any, batches),
            None,
            0,
            0,
            TP(topic, first.partition),
            generation_id=self.app.consumer_generation_id,
        )


class BatchTransport(driver.Transport):
    """Set as `app.transport` before the app starts.

    Attributes:
        options: How to connect.
        gate: Paces the polls.
    """

    Consumer = BatchConsumer
    options: ConsumerOptions
    gate: PollGate


def _positions(consumer: AIOKafkaConsumer, assigned: set[TopicPartition]) -> dict[int, Position]:
    found: dict[int, Position] = {}
    assignment = consumer._subscription.subscription.assignment
    for tp in assigned:
        state = assignment.state_value(tp) if assignment is not None else None
        # A partition that is revoked meanwhile has no state, one not yet sought no position.
        if state is not None and state.has_valid_position:
            found[tp.partition] = Position(state.position, state.lso, state.timestamp or 0)
    return found
