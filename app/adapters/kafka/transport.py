"""A Faust transport that hands out one message per poll: the raw records of each partition.

Faust starts two tasks for each message it drains, so a message has to be all that was read. Offsets
are ours (docs/decisions/0301): Faust neither seeks nor commits. What Faust keeps is the group:
subscribing, rebalancing, and leaving.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol, cast

from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from app.adapters.kafka.consumer_thread import (
    BatchConsumerThread,
    ConsumerOptions,
    Polled,
    Position,
)

FETCH_WAIT_S = 0.1
"""How long a poll waits for the first record; also how late a new owner's first poll may be."""


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
        self, partition: int, leases: Mapping[int, int], polled: Polled, records: list[Any]
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
