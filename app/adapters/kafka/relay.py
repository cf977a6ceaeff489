"""The relay: publishes what an outbox of the control plane holds until Kafka has it.

One replica relays at a time. A record leaves the outbox only after the transaction that carries it
was committed, so whoever dies in between publishes it again: at least once, in order per
definition. The fixed transactional id fences a holder that was away for longer than its lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaProducer

from app.adapters.kafka.library import Producer
from app.adapters.kafka.patience import within
from app.adapters.waits import set_within
from app.domain.definitions import DefinitionRecord
from app.domain.model import Tenant
from app.domain.partitioning import partition_of

_ROUND_SECONDS = 10.0
"""Less than the lease: a longer round is given up before another replica may begin."""
_STOP_SECONDS = 3.0
_POLL_SECONDS = 1.0
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_SILENT_SECONDS = 60.0
_TRANSACTION_TIMEOUT_MS = 15_000
_BATCH = 500

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """Where the records wait."""

    async def waiting(self) -> list[Tenant]:
        """Return the tenants whose outbox holds something."""
        ...

    async def read(self, tenant: Tenant, count: int) -> list[DefinitionRecord]:
        """Return the oldest `count` records; they stay."""
        ...

    async def trim(self, tenant: Tenant, records: Sequence[DefinitionRecord]) -> None:
        """Take out records that Kafka acknowledged."""
        ...


class Lease(Protocol):
    """Who may relay."""

    async def hold(self) -> bool:
        """Renew or take the lease; tell whether it is held now."""
        ...

    async def release(self) -> None:
        """Give the lease up."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTarget:
    """Where to publish.

    Attributes:
        options: Arguments of the Kafka client: addresses and security.
        partitions: Of the topic; a key goes to murmur2 of it modulo this.
    """

    options: dict[str, Any]
    topic: str
    partitions: int
    transactional_id: str


class RelayCounters(Protocol):
    """Where the relay counts."""

    def relayed(self, records: int) -> None:
        """Count records that Kafka acknowledged."""
        ...

    def failed(self) -> None:
        """Count a round that failed and will be tried again."""
        ...

    def active(self, *, holds: bool) -> None:
        """Note whether this replica relays."""
        ...


class Relay:
    """Relays definitions or job events, inside the api process.

    It survives Kafka and Redis being away.

    Args:
        changes: Yields whenever there may be something; only makes the relay quicker.
        name: For logs and readiness.
    """

    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        target: RelayTarget,
        counters: RelayCounters,
        changes: Callable[[], AsyncIterator[Tenant]],
        name: str = "definition",
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._lease = lease
        self._target = target
        self._counters = counters
        self._changes = changes
        self._producer: AIOKafkaProducer | None = None
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._alive_at = time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Relay while the context is open; on leaving it finishes the round and lets go."""
        loop = asyncio.create_task(self._run(), name=f"{self._name}-relay")
        listener = asyncio.create_task(self._listen(), name=f"{self._name}-relay-listener")
        try:
            yield
        finally:
            self._stopping.set()
            self._wake.set()
            await asyncio.wait([loop], timeout=_STOP_SECONDS)
            loop.cancel()
            listener.cancel()
            await asyncio.gather(loop, listener, return_exceptions=True)
            await self._let_go()

    async def problem(self) -> str | None:
        """Return what is wrong with the relay, None while it goes round."""
        silent = time.monotonic() - self._alive_at
        if silent < _SILENT_SECONDS:
            return None
        return f"the {self._name} relay has been silent for {silent:.0f} s"

    async def _listen(self) -> None:
        async for _ in self._changes():
            self._wake.set()

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._alive_at = time.monotonic()
            self._wake.clear()
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._round()
                failures = 0
            except Exception as error:
                self._counters.failed()
                if failures == 0:
                    _log.warning(f"{self._name}-relay-retries", reason=_reason(error))
                await self._drop_producer()
                failures += 1
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        """Wait for the next change or poll; after failures longer, and only a stop ends it."""
        woken, seconds = self._wake, _POLL_SECONDS
        if failures:
            woken = self._stopping
            seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1]
        await set_within(woken, seconds)

    async def _let_go(self) -> None:
        await self._drop_producer()
        with suppress(Exception):
            await asyncio.wait_for(self._lease.release(), _STOP_SECONDS)

    async def _round(self) -> None:
        """Publish one batch of each tenant that has any; come back at once if there is more."""
        holds = await self._lease.hold()
        self._counters.active(holds=holds)
        if not holds:
            await self._drop_producer()
            return
        for tenant in await self._outbox.waiting():
            records = await self._outbox.read(tenant, _BATCH)
            await self._publish(records)
            await self._outbox.trim(tenant, records)
            self._counters.relayed(len(records))
            if len(records) == _BATCH:
                self._wake.set()

    async def _publish(self, records: Sequence[DefinitionRecord]) -> None:
        # No abort on failure: it may hang while Kafka is away, and the next start() does it.
        producer = await self._started_producer()
        await producer.begin_transaction()
        sent = [
            await producer.send(
                self._target.topic,
                value=record.value,
                key=record.key.encode(),
                partition=partition_of(record.key, self._target.partitions),
            )
            for record in records
        ]
        await asyncio.gather(*sent)
        await producer.commit_transaction()

    async def _started_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = Producer(
                **self._target.options,
                transactional_id=self._target.transactional_id,
                transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
            )
            await self._producer.start()
        return self._producer

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):
                await within(_STOP_SECONDS, producer.stop())


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
