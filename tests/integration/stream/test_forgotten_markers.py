"""Kafka lost the markers of a transaction: its records are neither committed nor aborted.

Here they never come, since the coordinator does not learn of those partitions.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from confluent_kafka import admin

from tests.integration.stream.dying_owner import DyingOwner
from tests.integration.stream.harness import Bus, flips, history
from tests.integration.stream.test_recovery import P, recoveries, restore, snapshot, updates

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
ADMIN: Any = admin


@pytest.fixture
async def bus(own_kafka, redis_server):
    """One partition, on a Kafka that takes records of partitions not named before."""
    await asyncio.to_thread(verify_partitions, own_kafka.bootstrap, "false")
    bus = Bus(own_kafka.bootstrap, redis_server.url, partitions=1)
    await bus.create_topics()
    yield bus
    await bus.close()
    await asyncio.to_thread(verify_partitions, own_kafka.bootstrap, "true")


def verify_partitions(bootstrap, value):
    name = "transaction.partition.verification.enable"
    entry = ADMIN.ConfigEntry(name, value, incremental_operation=ADMIN.AlterConfigOpType.SET)
    broker = ADMIN.ResourceType.BROKER
    resource = ADMIN.ConfigResource(broker, "1", incremental_configs=[entry])
    client = ADMIN.AdminClient({"bootstrap.servers": bootstrap})
    for future in client.incremental_alter_configs([resource]).values():
        future.result(30)


async def publish_unmarked(bus, owner, outbox, hidden, *, has_offsets=True):
    """Publish an outbox in a transaction that ends without markers in the `hidden` topics."""
    publisher = owner.owner.publisher
    producer = publisher._producer
    await producer.begin_transaction()
    producer._txn_manager._txn_partitions.update(TopicPartition(topic, 0) for topic in hidden)
    await publisher._send(producer, outbox.records)
    if has_offsets:
        offsets = owner.owner.group_offsets()
        await producer.send_offsets_to_transaction(offsets, bus.names.application_id)
    if has_offsets or len(hidden) < 3:
        await producer.commit_transaction()
    owner.owner.published_sequence = outbox.sequence


@pytest.mark.parametrize("has_offsets", [True, False])
@pytest.mark.parametrize("hidden", [(0,), (1, 2), (0, 1, 2)])
async def test_the_records_are_committed_once(bus, hidden, has_offsets):
    topics = [bus.topics.changes, bus.topics.memberships, bus.topics.dead_letters]
    await bus.send(*updates(2), ("p-2", {"eventId": 5}))
    owner = await DyingOwner(bus, 0).acquire()
    outbox = await owner.commit()
    names = [topics[at] for at in hidden]
    await publish_unmarked(bus, owner, outbox, names, has_offsets=has_offsets)
    await owner.die()

    async with bus.running() as worker:
        await bus.send(*updates(2, start=2))
        assert history(await bus.changes(4)) == {P: flips(4)}
        assert recoveries(worker, "open") == 1
    letters = await bus.read(bus.topics.dead_letters)
    assert [dict(one.headers)["error-code"] for one in letters] == [b"wrong-type"]
    maps = await bus.read(bus.topics.memberships)
    assert len({dict(one.headers)["batch"] for one in maps}) == len(maps)


async def test_those_of_the_batch_before_are_committed_too(bus):
    await bus.send(*updates(2))
    owner = await DyingOwner(bus, 0).acquire()
    await publish_unmarked(bus, owner, await owner.commit(), [bus.topics.changes])
    await bus.send(*updates(1, start=2))
    await owner.commit()
    await owner.die()

    async with bus.running():
        await bus.send(*updates(1, start=3))
        assert history(await bus.changes(4)) == {P: flips(4)}


async def test_what_redis_does_not_know_is_aborted_and_evaluated_anew(bus):
    await bus.send(*updates(1))
    owner = await DyingOwner(bus, 0).acquire()
    await owner.publish(await owner.commit())
    copy = await snapshot(bus)
    await bus.send(*updates(2, start=1))
    outbox = await owner.commit()
    await publish_unmarked(bus, owner, outbox, [bus.topics.changes], has_offsets=False)
    await owner.die()
    await restore(bus, copy)

    async with bus.running():
        await bus.send(*updates(1, start=3))
        assert history(await bus.changes(4)) == {P: flips(4)}
