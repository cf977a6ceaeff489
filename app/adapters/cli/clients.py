"""What the commands need of Kafka, and of the settings."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.adapters.kafka.library import Producer
from app.domain.errors import ConfigurationError, Unavailable

_START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """How a command reaches the topics.

    Attributes:
        options: Arguments of every aiokafka client: `bootstrap_servers` and what secures them.
        topic_prefix: For example `segmentation.`.
        org_id: Default organisation, for records that name none; may be empty.
        sandbox_name: Default sandbox.
        max_record_bytes: Largest record that the service accepts.
        application_id: Consumer group of the workers.
    """

    options: Mapping[str, Any]
    topic_prefix: str = "segmentation."
    org_id: str = ""
    sandbox_name: str = "prod"
    max_record_bytes: int = 1_048_576
    application_id: str = "segmentation"

    @property
    def servers(self) -> str:
        """The bootstrap servers, for messages."""
        servers = self.options.get("bootstrap_servers", "localhost:9092")
        return servers if isinstance(servers, str) else ",".join(servers)

    def topic(self, name: str) -> str:
        """Return the full name of a topic of docs/topics.md."""
        return self.topic_prefix + name


def now_ms() -> int:
    """Return the wall clock in epoch ms."""
    return time.time_ns() // 1_000_000


async def start_producer(access: KafkaAccess) -> AIOKafkaProducer:
    """Return a started idempotent producer; aiokafka's default partitioner is murmur2.

    Raises:
        Unavailable: If Kafka does not answer.
    """
    producer = Producer(
        **access.options,
        enable_idempotence=True,
        linger_ms=5,
        # The service refuses larger ones with a dead letter, which is what a producer should see.
        max_request_size=12 * 1024 * 1024,
    )
    try:
        await asyncio.wait_for(producer.start(), _START_TIMEOUT_S)
    except (KafkaError, TimeoutError, OSError) as error:
        await producer.stop()
        raise _unavailable(access, error) from error
    return producer


async def start_reader(
    access: KafkaAccess, topic: str, *, from_beginning: bool
) -> AIOKafkaConsumer:
    """Return a started `read_committed` consumer of all partitions of a topic, without a group.

    Raises:
        Unavailable: If Kafka does not answer.
        ConfigurationError: If the topic does not exist.
    """
    consumer = AIOKafkaConsumer(
        **access.options,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_beginning else "latest",
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    try:
        partitions = await topic_partitions(access, topic)
        await asyncio.wait_for(consumer.start(), _START_TIMEOUT_S)
        await _assign_all(consumer, partitions, from_beginning=from_beginning)
    except (KafkaError, TimeoutError, OSError) as error:
        await consumer.stop()
        raise _unavailable(access, error) from error
    except BaseException:
        await consumer.stop()
        raise
    return consumer


async def _assign_all(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], *, from_beginning: bool
) -> None:
    """Take up positions now, not at the first fetch: what is produced later is seen."""
    consumer.assign(partitions)
    if from_beginning:
        await consumer.seek_to_beginning(*partitions)
    else:
        await consumer.seek_to_end(*partitions)


async def topic_partitions(access: KafkaAccess, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic, in order.

    Raises:
        ConfigurationError: If the topic does not exist.
    """
    async with admin_client(access) as admin:
        [described] = await admin.describe_topics([topic])
    if described["error_code"]:
        raise ConfigurationError(
            f"There is no topic {topic} on {access.servers}: create the topics with"
            " `segmentation topics`, or correct SEG_TOPIC_PREFIX."
        )
    return [
        TopicPartition(topic, n) for n in sorted(p["partition"] for p in described["partitions"])
    ]


@asynccontextmanager
async def admin_client(access: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    """Start an admin client and close it."""
    admin = AIOKafkaAdminClient(**access.options)
    try:
        await asyncio.wait_for(admin.start(), _START_TIMEOUT_S)
        yield admin
    finally:
        await admin.close()


def _unavailable(access: KafkaAccess, error: BaseException) -> Unavailable:
    what = str(error) or "no answer"
    return Unavailable(
        f"Kafka at {access.servers} cannot be used: {what}. Check that it runs and that"
        " SEG_KAFKA_BOOTSTRAP_SERVERS names it."
    )


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT or SIGTERM sets, instead of ending the process.

    A second signal acts as usual, so that a stop which hangs can be ended.
    """
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        event.set()
        loop.remove_signal_handler(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
