"""Publishing one partition's outboxes: in transactions, or idempotently.

One publisher is used by one owner and by one call at a time. After any error it is of no more use:
whether the output arrived is then unknown, and the owner goes through assignment again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from app.adapters.kafka.library import Producer
from app.adapters.kafka.patience import read_error, within
from app.adapters.kafka.records import OutputRecord
from app.domain.errors import Fenced, Unavailable

T = TypeVar("T")
Offsets = Mapping[TopicPartition, OffsetAndMetadata]
EndOffsets = dict[tuple[str, int], int]
OffsetCommitter = Callable[[Offsets], Coroutine[Any, Any, None]]

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping, InvalidTxnState)


class Publisher(Protocol):
    """Publishes outboxes of one partition."""

    async def start(self) -> None:
        """Connect; shuts out every earlier publisher of the partition where it can."""
        ...

    async def publish(self, records: Sequence[OutputRecord], offsets: Offsets) -> EndOffsets:
        """Publish records and input offsets.

        Returns:
            The end offset behind the last record, by topic and partition.

        Raises:
            Fenced: Another owner's publisher has started.
            Unavailable: The result is unknown.
        """
        ...

    async def stop(self) -> None:
        """Disconnect; never raises."""
        ...


class _ProducerPublisher:
    def __init__(self, make_producer: Callable[[], AIOKafkaProducer], timeout_s: float) -> None:
        self._make_producer = make_producer
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        self._producer = self._make_producer()
        try:
            await within(_START_TIMEOUT_S, self._producer.start())
        except (KafkaError, TimeoutError, OSError) as error:
            await self.stop()
            raise Unavailable(f"Kafka: the producer does not start: {error!r}") from error

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        with suppress(Exception):
            await within(_STOP_TIMEOUT_S, producer.stop())
        with suppress(Exception):
            await within(_STOP_TIMEOUT_S, producer.client.close())

    def _running(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("Kafka: the producer is stopped")
        return self._producer

    async def _send(
        self, producer: AIOKafkaProducer, records: Sequence[OutputRecord]
    ) -> EndOffsets:
        """Send in as few batches as possible and await all acknowledgements."""
        grouped: dict[tuple[str, int], list[OutputRecord]] = {}
        for record in records:
            grouped.setdefault((record.topic, record.partition), []).append(record)
        ends = await _all_of(
            [
                self._send_to(producer, topic, partition, group)
                for (topic, partition), group in grouped.items()
            ]
        )
        return dict(zip(grouped, ends, strict=True))

    async def _send_to(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        records: Sequence[OutputRecord],
    ) -> int:
        acknowledged: list[tuple[asyncio.Future[Any], int]] = []
        try:
            await self._add_batches(producer, topic, partition, records, acknowledged)
        except BaseException:
            # The batches before fail as well; asyncio complains of errors that nobody reads.
            for sent, _ in acknowledged:
                sent.add_done_callback(read_error)
            raise
        answers = await _all_of([sent for sent, _ in acknowledged])
        return max(
            int(answer.offset) + count
            for answer, (_, count) in zip(answers, acknowledged, strict=True)
        )

    async def _add_batches(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        records: Sequence[OutputRecord],
        acknowledged: list[tuple[asyncio.Future[Any], int]],
    ) -> None:
        builder = producer.create_batch()
        for record in records:
            fields = {
                "key": record.key,
                "value": record.value,
                "timestamp": record.timestamp_ms,
                "headers": record.headers,
            }
            if builder.append(**fields) is None:
                count = builder.record_count()
                sent = await producer.send_batch(builder, topic, partition=partition)
                acknowledged.append((sent, count))
                builder = producer.create_batch()
                builder.append(**fields)
        count = builder.record_count()
        sent = await producer.send_batch(builder, topic, partition=partition)
        acknowledged.append((sent, count))


class TransactionalPublisher(_ProducerPublisher):
    """Output and offsets in one Kafka transaction: exactly once."""

    def __init__(
        self,
        make_producer: Callable[[], AIOKafkaProducer],
        group_id: str,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(make_producer, timeout_s)
        self._group_id = group_id

    async def publish(self, records: Sequence[OutputRecord], offsets: Offsets) -> EndOffsets:
        """See `Publisher.publish`."""
        return await self._guarded(self._transaction(self._running(), records, offsets))

    async def end_open(self, partitions: Sequence[tuple[str, int]], *, is_commit: bool) -> None:
        """End what an earlier transaction left open: the marker of one without records does it.

        Raises:
            Fenced: Another owner's publisher has started.
            Unavailable: The result is unknown.
        """
        await self._guarded(self._mark(self._running(), partitions, is_commit=is_commit))

    async def _guarded(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return await within(self._timeout_s, call)
        except (*_FENCED, OutOfOrderSequenceNumber) as error:
            raise Fenced(f"Kafka refuses the producer: {error!r}") from error
        except (KafkaError, IllegalOperation, TimeoutError, OSError, AssertionError) as error:
            # aiokafka asserts its transaction states; after an error they no longer hold.
            raise Unavailable(
                f"Kafka: the outcome of a transaction is unknown: {error!r}"
            ) from error

    async def _mark(
        self,
        producer: AIOKafkaProducer,
        partitions: Sequence[tuple[str, int]],
        *,
        is_commit: bool,
    ) -> None:
        await producer.begin_transaction()
        for topic, partition in partitions:
            at = TopicPartition(topic, partition)
            # aiokafka knows no other way into a transaction than sending a record.
            producer._txn_manager.maybe_add_partition_to_txn(at)  # noqa: SLF001
        await (producer.commit_transaction() if is_commit else producer.abort_transaction())

    async def _transaction(
        self, producer: AIOKafkaProducer, records: Sequence[OutputRecord], offsets: Offsets
    ) -> EndOffsets:
        await producer.begin_transaction()
        # The acknowledgements first: in parallel with the offsets the broker's verification of
        # the transaction fails and aiokafka waits 100 ms (docs/decisions/0301).
        ends = await self._send(producer, records)
        await producer.send_offsets_to_transaction(dict(offsets), self._group_id)
        await producer.commit_transaction()
        return ends


def transactional_publisher(
    client: Mapping[str, Any], application_id: str, partition: int
) -> TransactionalPublisher:
    """Return the publisher of a partition, not started.

    Args:
        client: Arguments of the producer: servers, security, batch sizes.
        application_id: The consumer group, and first part of the transactional id.
    """
    name = f"{application_id}-{partition}"
    return TransactionalPublisher(lambda: Producer(**client, transactional_id=name), application_id)


class IdempotentPublisher(_ProducerPublisher):
    """Output first, then the offsets: at least once; a repetition has the same change ids."""

    def __init__(
        self,
        make_producer: Callable[[], AIOKafkaProducer],
        commit_offsets: OffsetCommitter,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(make_producer, timeout_s)
        self._commit_offsets = commit_offsets

    async def publish(self, records: Sequence[OutputRecord], offsets: Offsets) -> EndOffsets:
        """See `Publisher.publish`."""
        producer = self._running()
        try:
            ends = await within(self._timeout_s, self._send(producer, records))
            await within(self._timeout_s, self._commit_offsets(offsets))
        except (KafkaError, IllegalOperation, TimeoutError, OSError) as error:
            raise Unavailable(f"Kafka: the output may not have arrived: {error!r}") from error
        return ends


async def _all_of(awaitables: Sequence[Awaitable[T]]) -> list[T]:
    """Await all, whatever fails, then raise the first error: no future is left unread."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast(list[T], results)
