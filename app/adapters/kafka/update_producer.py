"""The producer of the API: appends profile updates and deletions to the input topic.

Started by the first call and kept. After any failure it is abandoned and the next call starts
another one: what failed is not sent later, when its caller has long been told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.adapters.kafka.library import Producer, abandon
from app.adapters.kafka.patience import read_error
from app.domain.errors import ConfigurationError, Unavailable
from app.domain.partitioning import partition_of
from app.service.profile_updates import Position, UpdateRecord

DEADLINE_S = 10.0
"""From the call to the acknowledgement of all its records."""

MOST_WAITING = 200
"""Calls that may wait for Kafka at a time, each with at most one request body."""

_BATCH_BYTES = 262_144
_LARGEST_REQUEST_BYTES = 12 * 1024 * 1024
_STOP_S = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTarget:
    """Where to append.

    Attributes:
        options: Arguments of the Kafka client: addresses and security.
        partitions: Of the topic; a profile lives in murmur2 of its id modulo this.
    """

    options: dict[str, Any]
    topic: str
    partitions: int


class UpdateCounters(Protocol):
    """Where the producer counts."""

    def appended(self, records: int) -> None:
        """Count records that Kafka acknowledged."""
        ...

    def not_appended(self) -> None:
        """Count a call of which no acknowledgement came."""
        ...


class UpdateProducer:
    """Implements `app.service.profile_updates.UpdateLog`; acks from all, idempotent, in order."""

    def __init__(
        self,
        target: UpdateTarget,
        counters: UpdateCounters,
        *,
        deadline_s: float = DEADLINE_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._target = target
        self._counters = counters
        self._deadline_s = deadline_s
        self._most_waiting = most_waiting
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._waiting = 0
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept calls while the context is open; on leaving it disconnects."""
        try:
            yield
        finally:
            producer, self._producer = self._producer, None
            if producer is not None:
                self._leave(producer)
            await self._all_left()

    async def _all_left(self) -> None:
        if not self._leaving:
            return
        _, late = await asyncio.wait(self._leaving, timeout=_STOP_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def append(self, records: Sequence[UpdateRecord]) -> list[Position]:
        """See `UpdateLog.append`."""
        if self._waiting >= self._most_waiting:
            raise Unavailable(
                f"{self._waiting} calls wait for Kafka already; nothing was sent, try again"
            )
        self._waiting += 1
        try:
            return await self._append(records)
        finally:
            self._waiting -= 1

    async def _append(self, records: Sequence[UpdateRecord]) -> list[Position]:
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                producer = await self._started()
                found = await self._send(producer, records)
        except (KafkaError, OSError, TimeoutError) as error:
            self._counters.not_appended()
            _log.warning("updates-not-acknowledged", reason=repr(error), sent=producer is not None)
            if producer is None:
                raise Unavailable("Kafka does not answer; nothing was sent, try again") from error
            self._drop(producer)
            raise Unavailable(
                f"Kafka did not acknowledge what was sent ({self._why(error)}); whether it has it"
                " is not known. Send the same again: an eventId keeps it from being applied twice"
            ) from error
        self._counters.appended(len(records))
        return found

    async def _send(
        self, producer: AIOKafkaProducer, records: Sequence[UpdateRecord]
    ) -> list[Position]:
        futures: list[asyncio.Future[Any]] = []
        for record in records:
            future = await producer.send(
                self._target.topic,
                value=record.value,
                key=record.profile_id.encode(),
                partition=partition_of(record.profile_id, self._target.partitions),
                timestamp_ms=record.timestamp_ms,
                headers=record.headers,
            )
            # Where this call gives up before it is done, nobody else reads its error.
            future.add_done_callback(read_error)
            futures.append(future)
        found = await asyncio.gather(*futures)
        return [Position(one.partition, one.offset) for one in found]

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._new()
            return self._producer

    async def _new(self) -> AIOKafkaProducer:
        producer = Producer(
            **self._target.options,
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_REQUEST_BYTES,
            request_timeout_ms=int(self._deadline_s * 1000),
        )
        try:
            await producer.start()
            await self._check_partitions(producer)
        except BaseException:
            self._leave(producer)
            raise
        return producer

    async def _check_partitions(self, producer: AIOKafkaProducer) -> None:
        """Refuse a topic that the workers would refuse: a profile would live elsewhere."""
        topic, wanted = self._target.topic, self._target.partitions
        found = len(await producer.partitions_for(topic))
        if found != wanted:
            raise ConfigurationError(
                f"topic {topic} has {found} partitions, SEG_PARTITIONS is {wanted}: set it to the"
                " number of the topics, the same for workers and API"
            )

    def _why(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self._deadline_s:g} s"
        return type(error).__name__

    def _drop(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            self._leave(producer)

    def _leave(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_left(producer), name="leave-update-producer")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


async def _left(producer: AIOKafkaProducer) -> None:
    with suppress(Exception):
        await abandon(producer)
