"""The thread in which aiokafka reads: connects, polls, seeks, and leaves the group."""

# ruff: noqa: SLF001 - positions are not public in the pinned aiokafka; see library.py
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
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
from faust.types import TP

from app.adapters.kafka.library import hand_out_raw_records
from app.adapters.kafka.patience import within
from app.domain.errors import Unavailable

logger = logging.getLogger(__name__)

_CATCH_UP_S = 0.004
_AT_ONCE_S = 0.001
_LEAVE_S = 5.0
_CONNECT_S = 60.0
_RECONNECT_S = 0.5


class Position(NamedTuple):
    """Where a partition's reader stands after a poll.

    Attributes:
        end: Last stable offset as of the last fetch answer, or None before the first.
        answered_ms: Wall clock of that answer, 0 before the first.
    """

    offset: int
    end: int | None
    answered_ms: int


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


class HasOptions(Protocol):
    """What the thread has to know of its transport."""

    options: ConsumerOptions


class Polled(NamedTuple):
    """What one poll brought.

    Attributes:
        positions: Of every partition asked for.
        out_of_range: Partitions whose position the topic no longer holds.
    """

    records: dict[TopicPartition, list[Any]]
    positions: dict[int, Position]
    out_of_range: list[int]


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka reads, with our settings and our polls."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        options = cast(HasOptions, transport).options
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

    def close(self) -> None:
        """Do nothing: `on_thread_stop` closes the consumer, in the loop it belongs to.

        Faust calls this where a rebalance begins while the app stops, and would close client and
        group from the loop of the app. The consumer then counts as closed, what still runs in the
        thread is never told to end, and the worker hangs.
        """

    def _stopped_set(self) -> None:
        """Tell the thread to stop, unless it has ended with an error before."""
        if not self.thread_loop.is_closed():
            super()._stopped_set()

    async def _gather_remaining_tasks(self) -> None:
        """Let go of tasks that do not heed their cancellation; `mode` waits for them for ever."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LEAVE_S)

    async def _wakeup_timer_in_thread(self) -> None:
        """Note the time, without the empty call into the loop of the app that `mode` makes.

        In a loop that has just ended the coroutine of that call is never awaited.
        """
        self.last_wakeup_at = time.monotonic()

    async def _stop_consumer(self) -> None:
        if self._consumer is not None:
            try:
                await within(_LEAVE_S, self._consumer.stop())
            except TimeoutError:
                logger.warning("Kafka did not answer while the group was left")
            except (Exception, asyncio.CancelledError) as error:
                # A Kafka that went away ends tasks of the consumer in ways it does not expect;
                # raised from here it would keep the thread from telling that it has ended.
                logger.warning("the group was not left in order: %r", error)

    def highwater(self, tp: TP) -> int:
        """Return the last stable offset: what a reader of committed records can reach."""
        return cast(int, self._ensure_consumer().last_stable_offset(tp) or 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave it to the worker's own watchdog."""

    async def poll(self, partitions: frozenset[int], timeout_s: float) -> Polled:
        """Read what is there, in the thread.

        Raises:
            ConsumerStoppedError: The consumer is closed.
        """
        result: Polled = await self.call_thread(self._poll, partitions, timeout_s)
        return result

    async def _poll(self, partitions: frozenset[int], timeout_s: float) -> Polled:
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        hand_out_raw_records(fetcher)
        subscription = fetcher._subscriptions
        topic = cast(HasOptions, self.transport).options.topic
        assigned = {
            tp for tp in consumer.assignment() if tp.topic == topic and tp.partition in partitions
        }
        if not assigned or not self.consumer.flow_active:
            await asyncio.sleep(timeout_s)
            return Polled({}, {}, [])
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
        return Polled(records, _positions(consumer, assigned), lost)

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


def _positions(consumer: AIOKafkaConsumer, assigned: set[TopicPartition]) -> dict[int, Position]:
    found: dict[int, Position] = {}
    assignment = consumer._subscription.subscription.assignment
    for tp in assigned:
        state = assignment.state_value(tp) if assignment is not None else None
        # A partition that is revoked meanwhile has no state, one not yet sought no position.
        if state is not None and state.has_valid_position:
            found[tp.partition] = Position(state.position, state.lso, state.timestamp or 0)
    return found
