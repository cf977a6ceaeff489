"""Each rule of the takeover: the services are put into the state that it is for."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient

from app.domain.errors import ConfigurationError, Fenced
from tests.integration.stream.dying_owner import DyingOwner
from tests.integration.stream.harness import Bus, eventually, flips, history

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

P = "p-1"


@pytest.fixture
async def bus(kafka, redis_server):
    """One partition: every record concerns the owner under test."""
    bus = Bus(kafka.bootstrap, redis_server.url, partitions=1)
    await bus.create_topics()
    yield bus
    await bus.close()


def updates(count, start=0):
    return [(P, {"eventId": f"e-{n}", "attributes": {"n": n}}) for n in range(start, start + count)]


async def owner_of(bus):
    return await DyingOwner(bus, 0).acquire()


async def snapshot(bus):
    """Copy every key of the test out of Redis."""
    keys = [key async for key in bus.redis.scan_iter(f"{bus.names.redis_key_prefix}:*")]
    return {key: await bus.redis.dump(key) for key in keys}


async def restore(bus, copy):
    await forget(bus)
    for key, value in copy.items():
        await bus.redis.restore(key, 0, value)


async def forget(bus):
    async for key in bus.redis.scan_iter(f"{bus.names.redis_key_prefix}:*"):
        await bus.redis.delete(key)


async def delete_group(bus):
    admin = AdminClient({"bootstrap.servers": bus.bootstrap})
    group = bus.names.application_id
    futures = await asyncio.to_thread(admin.delete_consumer_groups, [group])
    await asyncio.to_thread(futures[group].result)


def recoveries(worker, step):
    return worker.metrics.recoveries.labels(step)._value.get()


async def test_an_outbox_that_was_not_published_is_published_first(bus):
    await bus.send(*updates(3))
    owner = await owner_of(bus)
    await owner.commit()
    await owner.die()
    assert await bus.changes() == []

    async with bus.running() as worker:
        await bus.changes(3)
        assert recoveries(worker, "publish") == 1
        await bus.send(*updates(2, start=3))
        assert history(await bus.changes(5)) == {P: flips(5)}


async def test_an_outbox_that_was_published_is_not_published_again(bus):
    await bus.send(*updates(3))
    owner = await owner_of(bus)
    outbox = await owner.commit()
    await owner.publish(outbox)
    await owner.die()

    async with bus.running() as worker:
        await bus.send(*updates(2, start=3))
        assert history(await bus.changes(5)) == {P: flips(5)}
        assert recoveries(worker, "publish") == 0


@pytest.mark.parametrize("has_group", [True, False])
async def test_a_batch_without_output_does_not_hide_that_of_the_one_before(bus, has_group):
    await bus.send(*updates(2))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    await bus.send(*updates(1, start=1))
    assert await owner.commit() is None, "a duplicate"
    await owner.die()
    if not has_group:
        await delete_group(bus)

    async with bus.running() as worker:
        await bus.send(*updates(2, start=2))
        assert history(await bus.changes(4)) == {P: flips(4)}
        assert recoveries(worker, "publish") == recoveries(worker, "torn") == 0


async def torn(bus, topics, *, has_offsets):
    """Leave a batch of which Kafka kept some topics only, and perhaps the group's offsets."""
    await bus.send(*updates(2), ("p-2", {"eventId": 5}))
    owner = await owner_of(bus)
    outbox = await owner.commit()
    kept = [record for record in outbox.records if record.topic in topics]
    if has_offsets:
        await owner.owner.publisher.publish(kept, owner.owner.group_offsets())
    await owner.die()
    if not has_offsets and kept:
        name = f"{bus.names.application_id}-0"
        async with (
            AIOKafkaProducer(**bus.client, transactional_id=name) as producer,
            producer.transaction(),
        ):
            for record in kept:
                await producer.send(
                    record.topic, record.value, record.key, 0, headers=record.headers
                )


@pytest.mark.parametrize("has_offsets", [True, False])
@pytest.mark.parametrize("kept", [(), (1,), (0, 1), (0, 1, 2)])
async def test_what_a_torn_transaction_lacks_is_published_and_nothing_twice(bus, kept, has_offsets):
    topics = [bus.topics.changes, bus.topics.memberships, bus.topics.dead_letters]
    await torn(bus, [topics[at] for at in kept], has_offsets=has_offsets)

    async with bus.running() as worker:
        await bus.send(*updates(2, start=2))
        assert history(await bus.changes(4)) == {P: flips(4)}
        # Nothing kept at all is an outbox that was not published, everything kept one that was.
        is_torn = len(kept) < len(topics) and (has_offsets or bool(kept))
        assert recoveries(worker, "torn") == is_torn
    letters = await bus.read(bus.topics.dead_letters)
    assert [dict(one.headers)["error-code"] for one in letters] == [b"wrong-type"]
    maps = await bus.read(bus.topics.memberships)
    assert len({dict(one.headers)["batch"] for one in maps}) == len(maps)


@pytest.mark.parametrize("is_published", [True, False])
async def test_without_group_metadata_the_output_topic_tells(bus, is_published):
    await bus.send(*updates(2))
    owner = await owner_of(bus)
    outbox = await owner.commit()
    await owner.publish(outbox)
    await bus.send(*updates(1, start=2))
    outbox = await owner.commit()
    if is_published:
        await owner.publish(outbox)
    await owner.die()
    await delete_group(bus)

    async with bus.running() as worker:
        await bus.send(*updates(2, start=3))
        assert history(await bus.changes(5)) == {P: flips(5)}
        assert recoveries(worker, "publish") == (0 if is_published else 1)


async def test_an_offset_without_metadata_counts_as_none(bus):
    await bus.send(*updates(2))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    await owner.die()
    consumer = AIOKafkaConsumer(**bus.client, group_id=bus.names.application_id)
    await consumer.start()
    at = TopicPartition(bus.topics.updates, 0)
    consumer.assign([at])
    await consumer.commit({at: 1})
    await consumer.stop()

    async with bus.running():
        await bus.send(*updates(1, start=2))
        assert history(await bus.changes(3)) == {P: flips(3)}


async def test_writes_that_redis_lost_are_replayed_in_silence(bus):
    await bus.send(*updates(2))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    copy = await snapshot(bus)
    for start in (2, 4):
        await bus.send(*updates(2, start=start))
        await owner.publish(await owner.commit())
    await owner.die()
    await restore(bus, copy)

    async with bus.running() as worker:
        await eventually(lambda: worker.stream.owners[0].recovery is None)
        assert recoveries(worker, "replay") == 1
        await bus.send(*updates(1, start=6))
        assert history(await bus.changes(7)) == {P: flips(7)}
    meta = await bus.meta(0)
    assert int(meta["sequence"]) > 3
    assert not await bus.redis.exists(bus.store.keys(0).recovery)


async def test_a_replay_that_ends_differently_is_put_right_by_a_further_change(bus):
    """The engine after the crash counts one update less: its status differs."""
    await bus.send(*updates(1))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    copy = await snapshot(bus)
    await bus.send((P, {"eventId": "late", "attributes": {}}))
    outbox = await owner.commit()
    await owner.publish(outbox)
    await owner.die()
    await restore(bus, copy)
    # What was counted then is a duplicate now.
    key = bus.store.keys(0)
    (state,) = [k async for k in bus.redis.scan_iter(f"{bus.names.redis_key_prefix}:*:state:*")]
    packed = await bus.redis.get(state)
    await bus.redis.set(state, packed.replace(b'"ids": ["e-0"]', b'"ids": ["e-0", "late"]'))

    async with bus.running():
        changes = await bus.changes(3)
        assert not await bus.redis.exists(key.recovery)
    assert history(changes) == {P: flips(3)}
    assert changes[-1]["previousStatus"] == "exited"


async def test_an_interrupted_replay_is_resumed(bus):
    await bus.send(*updates(1))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    copy = await snapshot(bus)
    await bus.send(*updates(3, start=1))
    await owner.publish(await owner.commit())
    await owner.die()
    await restore(bus, copy)
    second = await owner_of(bus)
    assert second.owner.recovery is not None
    await second.commit()
    await second.die()

    async with bus.running():
        await bus.send(*updates(1, start=4))
        assert history(await bus.changes(5)) == {P: flips(5)}


async def test_a_found_outbox_that_is_not_on_the_topics_is_not_lost_in_a_replay(bus):
    """Redis comes back with a batch that never was published, while the group went on."""
    await bus.send(*updates(1))
    first = await owner_of(bus)
    await first.publish(await first.commit())
    copy = await snapshot(bus)
    await bus.send(*updates(1, start=1))
    await first.commit()
    orphan = await snapshot(bus)
    await first.die()
    await restore(bus, copy)
    # The same inputs, committed by another owner, and two more batches.
    second = await owner_of(bus)
    await second.publish(await second.commit())
    await bus.send(*updates(1, start=2))
    await second.publish(await second.commit())
    await second.die()
    await restore(bus, orphan)

    async with bus.running():
        await bus.send(*updates(1, start=3))
        assert history(await bus.changes(4)) == {P: flips(4)}


async def test_an_owner_fenced_in_redis_runs_the_assignment_again(bus):
    async with bus.running() as worker:
        await bus.send(*updates(2))
        await bus.changes(2)
        await bus.store.claim(0, 1, 0, may_begin=False)
        await bus.send(*updates(2, start=2))
        assert history(await bus.changes(4)) == {P: flips(4)}
        assert worker.metrics.fenced.labels("redis")._value.get() == 1


async def test_an_owner_fenced_in_kafka_runs_the_assignment_again(bus):
    async with bus.running() as worker:
        await bus.send(*updates(2))
        await bus.changes(2)
        name = f"{bus.names.application_id}-0"
        other = AIOKafkaProducer(**bus.client, transactional_id=name)
        await other.start()
        await other.stop()
        await bus.send(*updates(2, start=2))
        assert history(await bus.changes(4)) == {P: flips(4)}
        assert worker.metrics.fenced.labels("kafka")._value.get() == 1


async def test_a_zombie_writes_neither_side(bus):
    await bus.send(*updates(1))
    zombie = await owner_of(bus)
    outbox = await zombie.commit()
    heir = await owner_of(bus)
    await bus.send(*updates(1, start=1))
    with pytest.raises(Fenced):
        await zombie.publish(outbox)
    with pytest.raises(Fenced):
        await zombie.commit()
    await heir.publish(await heir.commit())
    assert history(await bus.changes(2)) == {P: flips(2)}
    await zombie.die()
    await heir.die()


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.006])
async def test_an_owner_killed_between_commit_and_markers(bus, delay):
    await bus.send(*updates(1))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    await bus.send(*updates(1, start=1))
    outbox = await owner.commit()
    producer = owner.owner.publisher._producer
    await producer.begin_transaction()
    await owner.owner.publisher._send(producer, outbox.records)
    await producer.send_offsets_to_transaction(
        owner.owner.group_offsets(), bus.names.application_id
    )
    ending = asyncio.create_task(producer.commit_transaction())
    await asyncio.sleep(delay)
    ending.cancel()
    await producer.client.close()
    await asyncio.gather(ending, return_exceptions=True)

    heir = await owner_of(bus)
    group = await bus.positions.group(bus.topics.updates, 0)
    assert (group.sequence, group.offset) == (2, 2)
    assert heir.owner.sequence == 2
    assert history(await bus.changes(2)) == {P: flips(2)}
    await heir.die()
    await owner.die()


async def test_empty_redis_with_published_output_is_refused(bus):
    await bus.send(*updates(1))
    owner = await owner_of(bus)
    await owner.publish(await owner.commit())
    await owner.die()
    await forget(bus)
    with pytest.raises(ConfigurationError, match="segmentation recover"):
        await owner_of(bus)
    async with bus.running(ready=()) as worker:
        await eventually(lambda: any("segmentation recover" in p for p in worker.problems()))
        assert not worker.stream.owners[0].is_ready
    assert await bus.meta(0) == {}


async def test_another_number_of_partitions_is_refused(bus):
    owner = await owner_of(bus)
    await owner.die()
    await bus.redis.hset(bus.store.keys(0).meta, "partitions", 7)
    with pytest.raises(ConfigurationError, match=r"made with 7 partitions.*SEG_APPLICATION_ID"):
        await owner_of(bus)


async def test_inputs_deleted_before_they_were_read_are_an_alarm(bus):
    async with bus.running():
        await bus.send(*updates(1))
        await bus.changes(1)
    await bus.send(*updates(4, start=1))
    admin = AIOKafkaAdminClient(**bus.client)
    await admin.start()
    at = TopicPartition(bus.topics.updates, 0)
    await admin.delete_records({at: RecordsToDelete(before_offset=4)})
    await admin.close()

    async with bus.running() as worker:
        changes = await bus.changes(2)
        lost = worker.metrics.lost.labels("0", "below-log-start")._value.get()
    assert lost == 3
    assert changes[-1]["cause"]["eventId"] == "e-4"


async def test_an_offset_above_the_log_end_is_an_alarm(bus):
    async with bus.running():
        await bus.send(*updates(1))
        await bus.changes(1)
    await bus.redis.hset(bus.store.keys(0).meta, f"offset:{bus.topics.updates}", 11)
    async with bus.running() as worker:
        await bus.send(*updates(1, start=1))
        assert history(await bus.changes(2)) == {P: flips(2)}
        assert worker.metrics.lost.labels("0", "above-log-end")._value.get() == 10
