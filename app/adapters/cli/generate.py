"""`segmentation generate`: realistic shop traffic, to Kafka or to standard output."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.adapters.cli.clients import KafkaAccess, now_ms, start_producer, stop_on_signal
from app.adapters.cli.output import quiet_on_closed_pipe
from app.adapters.cli.shop import Shop, ShopUpdate
from app.domain.errors import ConfigurationError, Unavailable

_TICK_S = 0.02
_IN_FLIGHT = 5_000

OnSent = Callable[[ShopUpdate, int], None]
"""Called with each update and the epoch ms at which it was handed to the producer."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much is generated.

    Attributes:
        profiles: Customers of the shop.
        rate: Updates per second.
        seconds: When to stop; None goes on until `count`, or until stopped.
        count: Stop after so many updates; None for no such end.
        seed: Equal seeds give equal customers and visits.
    """

    profiles: int = 2_000
    rate: float = 200.0
    seconds: float | None = None
    count: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be generated.

        Raises:
            ConfigurationError: Naming the option and what it takes.
        """
        problems = {
            "--profiles must be at least 1": self.profiles < 1,
            "--rate must be above 0 (updates per second)": not self.rate > 0,
            "--seconds must be above 0": self.seconds is not None and not self.seconds > 0,
            "--count must be at least 1": self.count is not None and self.count < 1,
        }
        for text, wrong in problems.items():
            if wrong:
                raise ConfigurationError(text)

    def due(self, elapsed_s: float, sent: int) -> int:
        """Return how many more updates are due `elapsed_s` seconds after the start."""
        if self.seconds is not None:
            elapsed_s = min(elapsed_s, self.seconds)
        wanted = int(elapsed_s * self.rate)
        if self.count is not None:
            wanted = min(wanted, self.count)
        return max(0, wanted - sent)

    def is_over(self, elapsed_s: float, sent: int) -> bool:
        """Whether nothing will be due any more."""
        if self.count is not None and sent >= self.count:
            return True
        return (
            self.seconds is not None and elapsed_s >= self.seconds and not self.due(elapsed_s, sent)
        )


def encode(update: ShopUpdate) -> bytes:
    """Return the record value: one line of JSON."""
    return orjson.dumps(update.body)


class Sink(Protocol):
    """Where updates go."""

    async def send(self, update: ShopUpdate) -> None:
        """Take one update; raises `Unavailable` when that is impossible."""
        ...

    async def flush(self) -> None:
        """Return when all that was taken is where it belongs."""
        ...


class KafkaSink:
    """Sends updates to the profile update topic, with a bounded number under way."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._under_way: set[asyncio.Future[object]] = set()

    async def send(self, update: ShopUpdate) -> None:
        """Hand over one update; waits while too many are unacknowledged.

        Raises:
            Unavailable: If an earlier record could not be delivered.
        """
        if len(self._under_way) >= _IN_FLIGHT:
            await self._settle(asyncio.FIRST_COMPLETED)
        delivery = await self._producer.send(
            self._topic, key=update.profile_id.encode(), value=encode(update)
        )
        self._under_way.add(delivery)

    async def flush(self) -> None:
        """Wait until all that was sent is acknowledged.

        Raises:
            Unavailable: If a record could not be delivered.
        """
        await self._settle(asyncio.ALL_COMPLETED)

    async def _settle(self, return_when: str) -> None:
        if not self._under_way:
            return
        done, self._under_way = await asyncio.wait(self._under_way, return_when=return_when)
        for delivery in done:
            error = delivery.exception()
            if error is not None:
                raise Unavailable(f"Kafka did not take a record for {self._topic}: {error}")


class LineSink:
    """Writes updates to standard output as JSON lines."""

    async def send(self, update: ShopUpdate) -> None:
        """Write one update."""
        sys.stdout.buffer.write(encode(update) + b"\n")

    async def flush(self) -> None:
        """Write out what is buffered."""
        sys.stdout.buffer.flush()


async def pour(
    shop: Shop,
    sink: Sink,
    traffic: Traffic,
    stop: asyncio.Event,
    on_sent: OnSent = lambda _update, _at_ms: None,
) -> int:
    """Send updates at the wanted rate until the traffic is over or `stop` is set.

    Args:
        shop: Makes the updates.
        sink: Takes them.
        traffic: How many, and how fast.
        stop: Ends it early.
        on_sent: Told of each update before it is handed to the sink.

    Returns:
        How many updates were sent; all are acknowledged.

    Raises:
        Unavailable: If Kafka does not take them.
    """
    started_s, sent = time.monotonic(), 0
    while not stop.is_set():
        elapsed_s = time.monotonic() - started_s
        for _ in range(traffic.due(elapsed_s, sent)):
            at_ms = now_ms()
            update = shop.update(at_ms)
            on_sent(update, at_ms)
            await sink.send(update)
            sent += 1
        if traffic.is_over(elapsed_s, sent):
            break
        await asyncio.sleep(_TICK_S)
    await sink.flush()
    return sent


def run(access: KafkaAccess, traffic: Traffic, *, stdout: bool = False) -> int:
    """Generate until the traffic is over or a signal comes.

    Args:
        access: Where Kafka is; unused with `stdout`.
        traffic: How many updates, and how fast.
        stdout: Write JSON lines instead of records; needs no Kafka.

    Returns:
        Exit status 0.

    Raises:
        Unavailable: If Kafka does not answer.
    """
    with quiet_on_closed_pipe():
        sent = asyncio.run(_run(access, traffic, stdout=stdout))
    if not stdout:
        topic = access.topic("profile-updates")
        sys.stdout.write(f"{sent:,} updates sent to {topic} on {access.servers}\n")
    return 0


async def _run(access: KafkaAccess, traffic: Traffic, *, stdout: bool) -> int:
    shop = Shop(
        seed=traffic.seed,
        profiles=traffic.profiles,
        start_ms=now_ms(),
        org_id=access.org_id,
        sandbox_name=access.sandbox_name,
    )
    with stop_on_signal() as stop:
        if stdout:
            return await _to_lines(shop, traffic, stop)
        return await _to_kafka(shop, access, traffic, stop)


async def _to_lines(shop: Shop, traffic: Traffic, stop: asyncio.Event) -> int:
    return await pour(shop, LineSink(), traffic, stop)


async def _to_kafka(shop: Shop, access: KafkaAccess, traffic: Traffic, stop: asyncio.Event) -> int:
    producer = await start_producer(access)
    try:
        sink = KafkaSink(producer, access.topic("profile-updates"))
        return await pour(shop, sink, traffic, stop)
    except KafkaError as error:
        raise Unavailable(f"Kafka at {access.servers} stopped taking records: {error}") from error
    finally:
        await producer.stop()
