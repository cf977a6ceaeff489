"""The definition relay between a real Redis and a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from app.adapters.http.metrics import HttpMetrics
from app.adapters.kafka.relay import Relay, RelayTarget
from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.redis.control_client import connect_control
from app.adapters.redis.definition_outbox import RedisDefinitionOutbox, RedisRelayLease
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.definitions import DefinitionRecord, DefinitionWrite, StoredDefinition
from app.domain.model import Tenant
from app.domain.partitioning import partition_of
from tests.integration.http.test_definition_store import BASE
from tests.services import LocalKafka, LocalRedis, Names

pytestmark = [pytest.mark.redis, pytest.mark.kafka]

TENANT = Tenant("org@AdobeOrg", "prod")
PARTITIONS = 3
DEADLINE_SECONDS = 40


async def until(met: Callable[[], Awaitable[bool]]) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while not await met():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


class Bench:
    """One tenant's definitions and the topic they are relayed to."""

    def __init__(self, redis: Redis, kafka: LocalKafka, names: Names) -> None:
        self.redis = redis
        self.names = names
        self.options = {"bootstrap_servers": [kafka.bootstrap]}
        self.store = RedisDefinitionStore(redis, names.redis_key_prefix)
        self.outbox = RedisDefinitionOutbox(redis, names.redis_key_prefix)
        self.topic = f"{names.topic_prefix}definitions"

    async def create_topics(self) -> None:
        await ensure_topics(self.options, TopicPlan(self.names.topic_prefix, PARTITIONS, 1))

    def relay(self, outbox: RedisDefinitionOutbox | None = None, lease_ms: int = 15_000) -> Relay:
        return Relay(
            outbox or self.outbox,
            RedisRelayLease(self.redis, self.names.redis_key_prefix, lease_ms),
            RelayTarget(
                options=self.options,
                topic=self.topic,
                partitions=PARTITIONS,
                transactional_id=f"{self.names.application_id}-definitions",
            ),
            HttpMetrics(),
            self.changes,
        )

    def changes(self) -> AsyncGenerator[Tenant, None]:
        return self.store.changed()

    async def write(self, number: int) -> StoredDefinition:
        """Store definition `number` as new."""
        new = replace(BASE, segment_id=f"s{number}", ordinal=number, name=f"n{number}")
        return await self.put(new, {"number": number, "version": 1})

    async def put(
        self,
        new: StoredDefinition,
        published: dict[str, Any],
        previous: StoredDefinition | None = None,
    ) -> StoredDefinition:
        write = DefinitionWrite(new, published, previous)
        assert await self.store.put(TENANT, await self.store.head(TENANT), write)
        return new

    async def is_relayed(self) -> bool:
        return not await self.outbox.waiting()

    async def ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where the topic ends, behind what was committed a moment ago as well.

        A reader of committed records is told an earlier end until the markers are written, which
        may be after the commit was answered.
        """
        consumer = AIOKafkaConsumer(**self.options)
        await consumer.start()
        try:
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
            return ends
        finally:
            await consumer.stop()

    async def records(self) -> list[tuple[int, str, bytes | None]]:
        """Return everything committed on the topic: partition, key, value, in order of each."""
        partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        ends = await self.ends(partitions)
        consumer = AIOKafkaConsumer(
            **self.options, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[tuple[int, str, bytes | None]] = []

            async def is_read() -> bool:
                batches = await consumer.getmany(timeout_ms=100)
                for batch in batches.values():
                    found.extend((one.partition, one.key.decode(), one.value) for one in batch)
                positions = [await consumer.position(one) for one in partitions]
                return all(at >= ends[one] for at, one in zip(positions, partitions, strict=True))

            await until(is_read)
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def bench(redis: Redis, kafka: LocalKafka, names: Names) -> Bench:
    bench = Bench(redis, kafka, names)
    await bench.create_topics()
    return bench


async def test_writes_arrive_in_order_where_their_key_belongs(bench: Bench) -> None:
    async with bench.relay().running():
        first = await bench.write(1)
        await bench.put(replace(first, version=2), {"version": 2}, first)
        await bench.write(2)
        head = await bench.store.head(TENANT)
        assert await bench.store.remove(TENANT, head, replace(first, version=2))
        await until(bench.is_relayed)
    records = await bench.records()
    key = "org@AdobeOrg/prod/s1"
    assert [value for _, name, value in records if name == key] == [
        b'{"number":1,"version":1}',
        b'{"version":2}',
        None,
    ]
    assert {partition for partition, name, _ in records if name == key} == {
        partition_of(key, PARTITIONS)
    }
    assert len(records) == 4


async def test_a_change_is_relayed_at_once(bench: Bench) -> None:
    relay = bench.relay()
    async with relay.running():
        await bench.write(1)
        await until(bench.is_relayed)  # the producer is up from here on
        started = asyncio.get_running_loop().time()
        await bench.write(2)
        await until(bench.is_relayed)
        assert asyncio.get_running_loop().time() - started < 5
        assert await relay.problem() is None


class DyingOutbox(RedisDefinitionOutbox):
    """Stands for a process that dies after the commit and before the trim, `deaths` times."""

    deaths = 1

    async def trim(self, tenant: Tenant, records: Sequence[DefinitionRecord]) -> None:
        if self.deaths:
            self.deaths -= 1
            raise RuntimeError("died")
        await super().trim(tenant, records)


async def test_a_relay_that_dies_before_trimming_loses_nothing(bench: Bench) -> None:
    for number in range(5):
        await bench.write(number)
    dying = DyingOutbox(bench.redis, bench.names.redis_key_prefix)
    async with bench.relay(dying).running():
        await until(bench.is_relayed)
    keys = [name for _, name, _ in await bench.records()]
    assert set(keys) == {f"org@AdobeOrg/prod/s{number}" for number in range(5)}
    assert len(keys) == 10  # published again: at least once


async def test_a_new_relay_takes_over_what_an_old_one_left(bench: Bench) -> None:
    await bench.write(0)
    async with bench.relay().running():
        await until(bench.is_relayed)
    await bench.write(1)  # while none runs
    async with bench.relay().running():
        await until(bench.is_relayed)
    assert [value for _, _, value in sorted(await bench.records(), key=lambda one: one[1])] == [
        b'{"number":0,"version":1}',
        b'{"number":1,"version":1}',
    ]


async def test_of_two_replicas_one_relays(bench: Bench) -> None:
    async with bench.relay().running(), bench.relay().running():
        for number in range(20):
            await bench.write(number)
        await until(bench.is_relayed)
    assert len(await bench.records()) == 20


async def test_the_other_replica_goes_on_when_one_stops_renewing(bench: Bench) -> None:
    silent = RedisRelayLease(bench.redis, bench.names.redis_key_prefix, 400)
    assert await silent.hold()
    async with bench.relay().running():
        await bench.write(0)
        await until(bench.is_relayed)
        assert not await silent.hold()


async def test_an_old_holder_is_fenced_by_kafka(bench: Bench) -> None:
    old, new = bench.relay(), bench.relay()
    await bench.write(0)
    records = await bench.outbox.read(TENANT, 10)
    await old._publish(records)
    await new._publish(records)
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        await old._publish(records)
    await old._drop_producer()
    await new._drop_producer()
    assert len(await bench.records()) == 2


@asynccontextmanager
async def connected(server: LocalRedis) -> AsyncIterator[Redis]:
    redis = connect_control(server.url)
    yield redis
    await redis.aclose()


async def test_the_relay_outlives_kafka_and_redis(
    own_kafka: LocalKafka, own_redis: LocalRedis, names: Names
) -> None:
    async with connected(own_redis) as redis:
        bench = Bench(redis, own_kafka, names)
        await bench.create_topics()
        relay = bench.relay()
        async with relay.running():
            await bench.write(0)
            await until(bench.is_relayed)
            await asyncio.to_thread(own_kafka.kill)
            await bench.write(1)  # the API goes on
            await asyncio.to_thread(own_kafka.start)
            await until(bench.is_relayed)
            await asyncio.to_thread(own_redis.kill)
            await asyncio.to_thread(own_redis.start)
            await bench.write(2)
            await until(bench.is_relayed)
            assert await relay.problem() is None
        assert {name for _, name, _ in await bench.records()} == {
            f"org@AdobeOrg/prod/s{number}" for number in range(3)
        }


async def test_it_stops_soon_while_kafka_is_away(
    redis: Redis, own_kafka: LocalKafka, names: Names
) -> None:
    bench = Bench(redis, own_kafka, names)
    await bench.create_topics()
    relay = bench.relay()
    async with relay.running():
        await bench.write(0)
        await until(bench.is_relayed)
        await asyncio.to_thread(own_kafka.kill)
        await bench.write(1)

        async def is_noticed() -> bool:
            return relay._producer is None

        await until(is_noticed)
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 9
    assert await bench.outbox.waiting() == [TENANT]
    assert await RedisRelayLease(redis, names.redis_key_prefix).hold()
