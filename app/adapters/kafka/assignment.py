"""Partitions coming and going: each is acquired in a task of its own, and given up as a whole."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from app.adapters.kafka.acquisition import Acquisition
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.stream import Stream
from app.domain.errors import ConfigurationError, Fenced, SegmentationError

logger = logging.getLogger(__name__)

_REFUSED_RETRY_S = 5.0
_UNAVAILABLE_RETRY_S = 0.3
_QUIESCE_S = 20.0
_CLOSE_S = 8.0
_LONGEST_RETRY_S = 5.0


class Assignment:
    """Holds the owners of the partitions that the group assigned to this worker.

    Args:
        new_owner: Makes an owner of a partition under a lease, with an empty engine.
        seek: Sets the reader of a partition to an offset, under a lease.
        fenced_retry_s: How long one that was fenced waits before it tries again: about two
            heartbeats, after which a worker that is no member any more has learnt of it.

    Attributes:
        refused: Why partitions cannot be started, by partition.
    """

    def __init__(
        self,
        stream: Stream,
        acquisition: Acquisition,
        new_owner: Callable[[int, int], Owner],
        seek: Callable[[int, int, int], Awaitable[None]],
        metrics: WorkerMetrics,
        fenced_retry_s: float,
    ) -> None:
        self._stream = stream
        self._acquisition = acquisition
        self._new_owner = new_owner
        self._seek = seek
        self._metrics = metrics
        self._fenced_retry_s = fenced_retry_s
        self._leases = 0
        self._leaving: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.refused: dict[int, str] = {}
        stream.on_lost(self.lose)

    def assigned(self, partitions: Iterable[int]) -> None:
        """Start to acquire partitions; those owned already stay."""
        if self._is_closed:
            # A rebalance that was under way when the worker began to end.
            return
        for partition in partitions:
            if partition not in self._stream.owners:
                self._begin(self._lease(partition), 0.0)
        self._show()

    async def revoked(self, partitions: Iterable[int], patience_s: float = _QUIESCE_S) -> None:
        """Finish the batch in flight of partitions, then give them up.

        Args:
            patience_s: How long to wait for what is being published. Where Kafka takes longer the
                next owner finds out what became of it.
        """
        owners = [
            owner
            for partition in partitions
            if (owner := self._stream.owners.get(partition)) is not None
        ]
        leaving = {owner.partition for owner in owners}
        self._leaving |= leaving
        cancelled = [task for p in leaving if (task := self._tasks.pop(p, None)) is not None]
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._stream.quiesce(owners)
        for partition in leaving:
            self._stream.owners.pop(partition, None)
            self.refused.pop(partition, None)
            self._metrics.lag.labels(str(partition)).set(0)
        await asyncio.gather(*(_stop_publisher(owner) for owner in owners))
        self._leaving -= leaving
        self._show()

    def lose(self, owner: Owner, error: SegmentationError) -> None:
        """Throw away everything held of a partition, and run its whole assignment again."""
        if self._stream.owners.get(owner.partition) is not owner:
            return
        logger.warning("partition %d: assigned again: %s", owner.partition, error)
        owner.is_ready = False
        owner.pending.clear()
        if owner.partition in self._leaving or self._is_closed:
            del self._stream.owners[owner.partition]
            return
        successor = self._lease(owner.partition)
        successor.suspicion = owner.suspicion
        delay = self._fenced_retry_s if isinstance(error, Fenced) else _UNAVAILABLE_RETRY_S
        closing = asyncio.create_task(_stop_publisher(owner))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._begin(successor, delay, closing)
        self._show()

    async def close(self) -> None:
        """Give up everything, and take nothing any more."""
        self._is_closed = True
        # Whoever stops a worker waits for half a minute at most before killing it.
        await self.revoked(list(self._stream.owners), _CLOSE_S)
        if self._closing:
            await asyncio.wait(self._closing)

    def _lease(self, partition: int) -> Owner:
        self._leases += 1
        owner = self._new_owner(partition, self._leases)
        self._stream.owners[partition] = owner
        return owner

    def _begin(self, owner: Owner, delay_s: float, after: asyncio.Task[None] | None = None) -> None:
        previous = self._tasks.pop(owner.partition, None)
        if previous is not None:
            previous.cancel()
        self._tasks[owner.partition] = asyncio.create_task(
            self._acquire(owner, delay_s, after), name=f"acquire-{owner.partition}"
        )

    async def _acquire(
        self, owner: Owner, delay_s: float, after: asyncio.Task[None] | None
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        # Asked each time, for a cancellation can get lost: Python 3.11's `wait_for` swallows one
        # that comes together with the result, and who revokes the partition waits for this task.
        while self._is_wanted(owner):
            await asyncio.sleep(delay_s * random.uniform(0.75, 1.5))  # noqa: S311 - jitter
            try:
                await self._acquisition.run(owner)
                if self._is_wanted(owner):
                    await self._start(owner)
                    return
            except ConfigurationError as error:
                self._refuse(owner, error)
                delay_s = _REFUSED_RETRY_S
            except Fenced as error:
                self._metrics.fenced.labels("assignment").inc()
                logger.warning("partition %d: %s", owner.partition, error)
                delay_s = self._fenced_retry_s
            except SegmentationError as error:
                logger.warning("partition %d: not started yet: %s", owner.partition, error)
                delay_s = min(max(delay_s * 2, _UNAVAILABLE_RETRY_S), _LONGEST_RETRY_S)
            except Exception:
                logger.exception("partition %d: assignment failed", owner.partition)
                delay_s = _LONGEST_RETRY_S
            await _stop_publisher(owner)

    def _is_wanted(self, owner: Owner) -> bool:
        is_current = self._stream.owners.get(owner.partition) is owner
        return is_current and owner.partition not in self._leaving

    async def _start(self, owner: Owner) -> None:
        owner.received = owner.offset
        await self._seek(owner.offset, owner.partition, owner.lease)
        self.refused.pop(owner.partition, None)
        # The watchdog measures from here: what waited before is not the new owner's delay.
        owner.progress_at = time.monotonic()
        owner.is_ready = owner.has_started = True
        logger.info(
            "partition %d: owned from input offset %d, epoch %d, sequence %d",
            owner.partition,
            owner.offset,
            owner.epoch,
            owner.sequence,
        )
        self._show()

    def _refuse(self, owner: Owner, error: ConfigurationError) -> None:
        if self.refused.get(owner.partition) != error.message:
            logger.error("partition %d is not started: %s", owner.partition, error)
        self.refused[owner.partition] = error.message
        self._metrics.refused.inc()

    def _show(self) -> None:
        owners = self._stream.owners.values()
        ready = sum(owner.is_ready for owner in owners)
        self._metrics.owned.labels("ready").set(ready)
        self._metrics.owned.labels("starting").set(len(owners) - ready)


async def _stop_publisher(owner: Owner) -> None:
    publisher, owner.publisher = owner.publisher, None
    if publisher is not None:
        await publisher.stop()
