"""Updates in, changes out, on real Kafka and Redis."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Producer

from app.adapters.redis.keys import sample_hash
from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, ProfileKey
from app.service.partition import PartitionEngine
from tests.integration.stream.harness import (
    Bus,
    NoDefinitions,
    eventually,
    flips,
    history,
    owned,
)

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


def some(count, profiles=5, start=0):
    return [(f"p-{n % profiles}", {"attributes": {"n": n}}) for n in range(start, start + count)]


def value_of(counter, *labels):
    return counter.labels(*labels)._value.get() if labels else counter._value.get()


async def test_updates_become_changes_in_order(bus):
    async with bus.running():
        await bus.send(*some(20))
        changes = await bus.changes(20)
        memberships = await bus.read(bus.topics.memberships, 5)
    assert history(changes) == {f"p-{n}": flips(4) for n in range(5)}
    assert {change["cause"]["kind"] for change in changes} == {"attribute"}
    assert len({change["changeId"] for change in changes}) == 20
    assert {r.key.decode().rsplit("/", 1)[1] for r in memberships} == {f"p-{n}" for n in range(5)}
    for record in memberships:
        assert record.partition == bus.partition(record.key.decode().rsplit("/", 1)[1])


async def test_state_survives_a_stop(bus):
    async with bus.running():
        await bus.send(*some(10))
        await bus.changes(10)
    admin = AIOKafkaAdminClient(**bus.client)
    await admin.start()
    (answer,) = await admin.describe_consumer_groups([bus.names.application_id])
    await admin.close()
    assert "Empty" in str(answer), "the worker did not leave the group"
    async with bus.running():
        await bus.send(*some(10, start=10))
        assert history(await bus.changes(20)) == {f"p-{n}": flips(4) for n in range(5)}


async def test_at_least_once_skips_transactions(bus):
    async with bus.running(is_exactly_once=False):
        await bus.send(*some(10))
        changes = await bus.changes(10)

        async def committed():
            found = [await bus.positions.group(bus.topics.updates, p) for p in range(2)]
            return sum(one.offset or 0 for one in found) == 10

        await eventually(committed)
    assert history(changes) == {f"p-{n}": flips(2) for n in range(5)}
    async with bus.running(is_exactly_once=False):
        await bus.send(*some(5, start=10))
        assert history(await bus.changes(15)) == {f"p-{n}": flips(3) for n in range(5)}


async def test_records_in_the_wrong_partition_are_forwarded_once(bus):
    """librdkafka's default partitioner is CRC32: about half are elsewhere."""
    names = [f"p-{n}" for n in range(40)]
    producer = Producer({"bootstrap.servers": bus.bootstrap})
    for name in names:
        producer.produce(
            bus.topics.updates,
            key=name,
            value=json.dumps({"attributes": {"a": 1}}),
            timestamp=1_700_000_000_000,
            headers={"trace": "t-1"},
        )
    await asyncio.to_thread(producer.flush)
    sent = await bus.read(bus.topics.updates, 40)
    wrong = [r for r in sent if r.partition != bus.partition(r.key.decode())]
    assert wrong, "the partitioners agree: the test shows nothing"
    async with bus.running() as worker:
        changes = await bus.changes(40)
        assert value_of(worker.metrics.updates, "forwarded") == len(wrong)
    assert history(changes) == {name: flips(1) for name in names}
    everything = await bus.read(bus.topics.updates)
    copies = [r for r in everything if "forwarded-from" in dict(r.headers)]
    assert len(copies) == len(wrong)
    for copy in copies:
        assert copy.partition == bus.partition(copy.key.decode())
        assert copy.timestamp == 1_700_000_000_000
        assert dict(copy.headers)["trace"] == b"t-1"
    origins = {(c["cause"]["partition"], c["cause"]["offset"]) for c in changes}
    assert {(r.partition, r.offset) for r in wrong} <= origins


async def test_a_forwarded_record_is_applied_once_however_often_it_comes(bus):
    partition = bus.partition("p-1")
    source = f"{bus.topics.updates}/{1 - partition}"
    async with bus.producer() as producer:
        for offset in (3, 3, 2, 5):
            await producer.send_and_wait(
                bus.topics.updates,
                json.dumps({"attributes": {"a": offset}}).encode(),
                key=b"p-1",
                partition=partition,
                headers=[("forwarded-from", f"{source}/{offset}".encode())],
            )
    async with bus.running() as worker:
        await eventually(lambda: value_of(worker.metrics.updates, "repeated") == 2)
        assert history(await bus.changes(2)) == {"p-1": flips(2)}


POISON = [
    (b"p-1", b"{", "invalid-json"),
    (b"p-1", b"[]", "not-an-object"),
    (b"p-1", b'{"attributes": 1}', "wrong-type"),
    (b"p-1", b'{"attributes": {"a": NaN}}', "invalid-json"),
    (b"p-1", b'{"attributes": {"a": "\\ud800"}}', "invalid-json"),
    (b"p-1", b'{"attributes": {"a": "' + b"x" * 1_048_576 + b'"}}', "too-large"),
    (b"p-1", b'{"header": {}, "body": {}}', "unknown-envelope"),
    (None, b'{"attributes": {}}', "missing-profile-id"),
    (b"p-1", b"{}", "empty-update"),
    (b"p-1", b'{"event": {"timestamp": "2300-01-01T00:00:00Z"}}', "invalid-timestamp"),
    (b"p-1", b'{"attributes": ' + b'{"a":' * 150 + b"1" + b"}" * 151, "nested-too-deeply"),
    (b"p-1", b'{"orgId": "a b", "attributes": {}}', "invalid-tenant"),
]


async def test_poison_becomes_dead_letters_and_stops_nothing(bus):
    partition = bus.partition("p-1")
    async with bus.producer(max_request_size=4 << 20) as producer:
        for key, value, _ in POISON:
            await producer.send_and_wait(bus.topics.updates, value, key=key, partition=partition)
    await bus.send(("p-1", {"attributes": {"a": 1}}))
    async with bus.running():
        assert history(await bus.changes(1)) == {"p-1": flips(1)}
        letters = await bus.read(bus.topics.dead_letters, len(POISON))
    assert [dict(r.headers)["error-code"].decode() for r in letters] == [c for _, _, c in POISON]
    for record, (key, value, _) in zip(letters, POISON, strict=True):
        assert (record.key, record.value) == (key, value)
        headers = dict(record.headers)
        assert headers["topic"].decode() == bus.topics.updates
        assert int(headers["partition"]) == partition
        assert len(headers["message"]) > 20
    assert [int(dict(r.headers)["offset"]) for r in letters] == list(range(len(POISON)))


async def test_an_update_that_breaks_the_engine_is_set_aside_alone(bus):
    around = [("p-1", {"attributes": {"n": n}}) for n in range(30)]
    await bus.send(*around, ("p-1", {"attributes": {"crash": True}}), *around)
    async with bus.running():
        assert history(await bus.changes(60)) == {"p-1": flips(60)}
        (letter,) = await bus.read(bus.topics.dead_letters, 1)
    assert dict(letter.headers)["error-code"] == b"evaluation-failed"


async def test_a_tombstone_deletes_the_profile(bus):
    key = ProfileKey(bus.tenant, "p-1")
    partition = bus.partition("p-1")
    keys = bus.store.keys(partition)
    async with bus.running():
        await bus.send(("p-1", {"attributes": {}, "event": {"_id": "e"}}))
        await bus.changes(1)
        zset = keys.profiles(bus.tenant)
        assert await bus.redis.zscore(zset, "p-1") == sample_hash("p-1")
        assert await bus.redis.get(keys.events(key)) == b"e"
        await bus.send(("p-1", None))
        changes = await bus.changes(2)
        records = await bus.read(bus.topics.memberships, 2)
        assert await bus.redis.exists(keys.state(key), keys.events(key), zset) == 0
    assert [c["cause"]["kind"] for c in changes] == ["event", "profile-deleted"]
    assert records[-1].value is None


async def test_a_batch_without_output_moves_the_group_within_a_second(bus):
    partition = bus.partition("p-1")
    async with bus.running() as worker:
        await bus.send(*[("p-1", {"attributes": {"quiet": True}})] * 3)
        sent = time.monotonic()

        async def committed():
            found = await bus.positions.group(bus.topics.updates, partition)
            return found.offset == 3 and found.sequence == worker.stream.owners[partition].sequence

        await eventually(committed)
        assert time.monotonic() - sent < 2.5
    assert await bus.changes() == []


async def test_a_timer_fires_on_time_without_traffic(bus):
    async with bus.running():
        due = time.time_ns() // 1_000_000 + 1_500
        await bus.send(("p-1", {"attributes": {"dueAt": due}}))
        changes = await bus.changes(2)
        late_ms = time.time_ns() // 1_000_000 - due
    assert [c["cause"]["kind"] for c in changes] == ["attribute", "time"]
    assert history(changes) == {"p-1": flips(2)}
    assert 0 <= late_ms < 1_000
    assert await bus.redis.zcard(bus.store.keys(bus.partition("p-1")).timers) == 0


async def test_timers_due_while_nobody_ran_fire_in_slices(bus):
    due = time.time_ns() // 1_000_000 + 300
    names = [f"p-{n}" for n in range(700)]
    async with bus.running():
        await bus.send(*[(name, {"attributes": {"dueAt": due, "quiet": True}}) for name in names])
    async with bus.running():
        changes = await bus.changes(700)
    assert history(changes) == {name: flips(1) for name in names}


async def test_partitions_move_to_a_second_worker_and_back(bus):
    first = bus.worker()
    async with bus.running(first):
        await bus.send(*some(10))
        await bus.changes(10)
        second = bus.worker()
        async with bus.running(second, ready=()):
            await eventually(lambda: len(owned(first)) == 1 and len(owned(second)) == 1, 30)
            await bus.send(*some(10, start=10))
            await bus.changes(20)
        await eventually(lambda: owned(first) == {0, 1}, 30)
        await bus.send(*some(10, start=20))
        assert history(await bus.changes(30)) == {f"p-{n}": flips(6) for n in range(5)}


async def test_redis_away_stops_the_worker_and_loses_nothing(kafka, own_redis):
    bus = Bus(kafka.bootstrap, own_redis.url)
    await bus.create_topics()
    async with bus.running() as worker:
        await bus.send(*some(10))
        await bus.changes(10)
        await eventually(lambda: not worker.problems())
        own_redis.kill()
        await bus.send(*some(10, start=10))
        await eventually(lambda: any("Redis" in text for text in worker.problems()))
        own_redis.start()
        assert history(await bus.changes(20, 30)) == {f"p-{n}": flips(4) for n in range(5)}
        await eventually(lambda: not worker.problems())
    await bus.close()


async def test_kafka_restarted_loses_nothing(own_kafka, redis_server):
    bus = Bus(own_kafka.bootstrap, redis_server.url)
    await bus.create_topics()
    async with bus.running() as worker:
        await bus.send(*some(10))
        await bus.changes(10)
        await asyncio.to_thread(own_kafka.restart)
        await bus.send(*some(10, start=10))
        assert history(await bus.changes(20, 40)) == {f"p-{n}": flips(4) for n in range(5)}
        await eventually(lambda: not worker.problems(), 30)
    await bus.close()


async def test_definitions_reach_the_engine_within_two_seconds(bus):
    source = NoDefinitions()
    async with bus.running(bus.worker(source=source)) as worker:
        source.put(DefinitionSet(bus.tenant, "1-a"))
        put = time.monotonic()
        await eventually(
            lambda: all(o.tags.get(bus.tenant) == "1-a" for o in worker.stream.owners.values())
        )
        assert time.monotonic() - put < 2


async def test_health_tells_what_is_wrong(bus):
    import httpx

    async with bus.running() as worker, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{worker.health.port}"
        assert (await client.get(f"{base}/livez")).status_code == 200
        await eventually(lambda: not worker.problems())
        assert (await client.get(f"{base}/readyz")).status_code == 200
        assert "segmentation_batches_total" in (await client.get(f"{base}/metrics")).text
        worker.stream.owners[0].is_ready = False
        answer = await client.get(f"{base}/readyz")
        assert answer.status_code == 503
        assert answer.json()["problems"] == ["partition 0 is being taken over"]


async def test_a_profile_that_is_too_large_takes_no_more_until_it_is_deleted(bus):
    limits = EngineLimits(profile_bytes=20_000, event_bytes=5_000)
    wide, long = ProfileKey(bus.tenant, "wide"), ProfileKey(bus.tenant, "long")
    partition = bus.partition("long")
    keys = bus.store.keys(partition)
    bought = {"event": {"eventType": "buy", "text": "x" * 4_000}}

    async def events():
        return await bus.redis.strlen(keys.events(long))

    def engine(_, cache=0):
        return PartitionEngine(limits, cache)

    async with bus.running(engine=engine) as worker:
        await bus.send(("wide", {"attributes": {"a": "x" * 25_000}}))
        state_of_wide = bus.store.keys(bus.partition("wide")).state(wide)
        await eventually(lambda: bus.redis.exists(state_of_wide))
        await bus.send(("wide", {"attributes": {"b": 1}}))
        (letter,) = await bus.read(bus.topics.dead_letters, 1)
        assert dict(letter.headers)["error-code"] == b"profile-too-large"
        assert value_of(worker.metrics.updates, "dead-letter") == 1
        # Each in a batch of its own: what is stored counts.
        for number in range(1, 6):
            await bus.send(("long", bought))
            await eventually(partial(_reaches, events, number * 4_000))
    # Another worker knows it as well.
    async with bus.running(engine=engine):
        await bus.send(("long", bought), ("other", {"attributes": {"c": 1}}))
        await bus.read(bus.topics.dead_letters, 2)
        assert await events() < 24_000
        await bus.send(("long", None), ("long", {"attributes": {"back": True}}))
        await eventually(partial(_is_empty, events))
        await bus.send(("long", bought))
        await eventually(partial(_reaches, events, 4_000))
    assert len(await bus.read(bus.topics.dead_letters, 2)) == 2


async def _reaches(measured, size):
    return await measured() >= size


async def _is_empty(measured):
    return not await measured()
