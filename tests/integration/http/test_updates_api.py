"""Updates and deletions of profiles over HTTP, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

from app.adapters.http.metrics import HttpMetrics
from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.kafka.update_producer import UpdateProducer, UpdateTarget
from app.domain.errors import Unavailable
from app.domain.model import Tenant
from app.domain.partitioning import partition_of
from tests.integration.http.harness import (
    NO_KAFKA,
    OTHER_ORG,
    PARTITIONS,
    Plane,
    refusal,
    running_plane,
)
from tests.integration.http.stored_profiles import store_profile
from tests.services import LocalKafka, Names

pytestmark = [pytest.mark.redis, pytest.mark.kafka]

UPDATES = "/profiles/p-1/updates"
HOME = partition_of("p-1", PARTITIONS)


class Bench:
    """A plane that appends to a topic of its own, and a reader of it."""

    def __init__(self, plane: Plane, kafka: LocalKafka, topic: str) -> None:
        self.plane = plane
        self.client = plane.client()
        self._kafka = kafka
        self._topic = topic

    async def records(self) -> list[Any]:
        """Return everything on the topic, in the order of each partition."""
        partitions = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            while len(found) < sum(ends.values()):
                batches = await consumer.getmany(timeout_ms=100)
                found += [record for batch in batches.values() for record in batch]
            return found
        finally:
            await consumer.stop()


@asynccontextmanager
async def running_bench(
    redis: Redis,
    kafka: LocalKafka,
    names: Names,
    folder: Path,
    *,
    partitions: int = PARTITIONS,
    deadline_s: float = 10.0,
) -> AsyncIterator[Bench]:
    options = {"bootstrap_servers": [kafka.bootstrap]}
    await ensure_topics(options, TopicPlan(names.topic_prefix, partitions, 1))
    topic = f"{names.topic_prefix}profile-updates"
    async with running_plane(
        redis,
        names.redis_key_prefix,
        names.org_id,
        folder,
        kafka=kafka.bootstrap,
        topic=topic,
        deadline_s=deadline_s,
    ) as plane:
        yield Bench(plane, kafka, topic)


@pytest.fixture
async def bench(
    redis: Redis, kafka: LocalKafka, names: Names, tmp_path: Path
) -> AsyncIterator[Bench]:
    async with running_bench(redis, kafka, names, tmp_path) as bench:
        yield bench


async def test_updates_are_appended_in_order_where_the_profile_lives(
    bench: Bench, names: Names
) -> None:
    one = {"eventId": "u-0", "attributes": {"city": "Oslo"}}
    several: list[dict[str, Any]] = [
        {"attributes": {"n": 1}},
        {"event": {"_id": "e-2", "eventType": "buy"}},
        {"header": {}, "body": {"xdmEntity": {"_id": "e-3", "timestamp": 5}}},
    ]

    first = await bench.client.post(UPDATES, json=one)
    second = await bench.client.post(UPDATES, json=several)

    assert (first.status_code, second.status_code) == (202, 202), first.text + second.text
    assert first.json() == {
        "profileId": "p-1",
        "updates": [{"eventId": "u-0", "partition": HOME, "offset": 0}],
    }
    assert second.json()["updates"] == [
        {"eventId": None, "partition": HOME, "offset": 1},
        {"eventId": "e-2", "partition": HOME, "offset": 2},
        {"eventId": "e-3", "partition": HOME, "offset": 3},
    ]
    tenant = {"orgId": names.org_id, "sandboxName": "prod"}
    header = {"header": {"imsOrgId": names.org_id, "sandboxName": "prod"}}
    records = await bench.records()
    assert [json.loads(record.value) for record in records] == [
        one | tenant,
        several[0] | tenant,
        several[1] | tenant,
        several[2] | header,
    ]
    assert {(record.partition, record.key, record.headers) for record in records} == {
        (HOME, b"p-1", ())
    }
    text = bench.plane.metrics.text().decode()
    assert "segmentation_profile_updates_appended_total 4.0" in text
    route = "/profiles/{profileId}/updates"
    assert f'requests_total{{method="POST",route="{route}",status="202"}} 2.0' in text


async def test_an_id_with_slashes_and_many_updates_at_once(bench: Bench) -> None:
    body = [{"attributes": {"n": number, "pad": "x" * 900}} for number in range(1_000)]

    answer = await bench.client.post("/profiles/p%2F%C3%B8/updates", json=body)

    assert answer.status_code == 202, answer.text
    assert [one["offset"] for one in answer.json()["updates"]] == list(range(1_000))
    records = await bench.records()
    assert [json.loads(record.value)["attributes"]["n"] for record in records] == list(range(1_000))
    assert {(one.key.decode(), one.partition) for one in records} == {
        ("p/ø", partition_of("p/ø", PARTITIONS))
    }


async def test_nothing_is_taken_where_one_update_is_refused(bench: Bench) -> None:
    body = [
        {"attributes": {"a": 1}},
        {"attributes": {"a": 1}, "profileId": "p-2"},
        {"event": {"timestamp": "soon"}},
        {"attributes": {"a": 1}, "orgId": OTHER_ORG},
    ]

    answer = await bench.client.post(UPDATES, json=body)

    told = refusal(answer, 400, "SEG-INVALID-UPDATE-400")
    assert told.startswith("3 of 4 updates are refused; none was taken")
    entries = answer.json()["errors"]["400"][1:]
    assert [(one["code"], one["item"]) for one in entries] == [
        ("SEG-OTHER-PROFILE-400", 1),
        ("SEG-INVALID-TIMESTAMP-400", 2),
        ("SEG-OTHER-TENANT-400", 3),
    ]
    assert entries[1]["message"].startswith("update 2: event.timestamp is 'soon'")
    assert await bench.records() == []


async def test_a_single_update_is_refused_without_a_number(bench: Bench) -> None:
    answer = await bench.client.post(UPDATES, json={"attributes": 1})

    refusal(answer, 400, "SEG-INVALID-UPDATE-400")
    _, entry = answer.json()["errors"]["400"]
    assert entry == {
        "code": "SEG-WRONG-TYPE-400",
        "message": "attributes is a number: send an object",
    }


async def test_bodies_have_bounds(bench: Bench) -> None:
    one = {"attributes": {"a": 1}}
    for body in ([], [one] * 1_001):
        answer = await bench.client.post(UPDATES, json=body)
        assert "send 1 to 1,000" in refusal(answer, 400, "SEG-INVALID-BODY-400")
    large = {"attributes": {"a": "x" * 1_048_576}}
    refusal(await bench.client.post(UPDATES, json=large), 413, "SEG-BODY-TOO-LARGE-413")
    # What is filled in makes it larger than a worker takes.
    edge = {"attributes": {"a": "x" * (1_048_576 - 30)}}
    answer = await bench.client.post(UPDATES, json=edge)
    assert "the limit is 1048576" in refusal(answer, 400, "SEG-INVALID-UPDATE-400")
    answer = await bench.client.post(UPDATES, json=one, params={"dryRun": "true"})
    assert "dryRun is no parameter" in refusal(answer, 400, "SEG-INVALID-PARAMETER-400")
    assert await bench.records() == []


async def test_a_deletion_is_a_tombstone_that_names_its_tenant(bench: Bench, names: Names) -> None:
    await store_profile(bench.plane, "p-1", tenant=Tenant(names.org_id, "dev"))
    dev = bench.plane.client(x_sandbox_name="dev")

    answer = await dev.delete("/profiles/p-1")

    assert answer.status_code == 202, answer.text
    assert answer.json() == {"profileId": "p-1", "partition": HOME, "offset": 0}
    (record,) = await bench.records()
    assert (record.partition, record.key, record.value) == (HOME, b"p-1", None)
    assert dict(record.headers) == {"org-id": names.org_id.encode(), "sandbox-name": b"dev"}


async def test_what_is_not_there_cannot_be_deleted(bench: Bench) -> None:
    await store_profile(bench.plane, "gone", created=False, deleted_ms=1)
    await store_profile(bench.plane, "theirs", tenant=Tenant(OTHER_ORG, "prod"))

    for name in ("none", "gone", "theirs"):
        answer = await bench.client.delete(f"/profiles/{name}")
        refusal(answer, 404, "SEG-PROFILE-NOT-FOUND-404")
    assert await bench.records() == []


async def test_without_kafka_nothing_is_sent_and_all_else_goes_on(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-1")
    for _ in range(2):
        answer = await client.post(UPDATES, json={"attributes": {}})
        assert "nothing was sent" in refusal(answer, 503, "SEG-UNAVAILABLE-503")
        assert answer.headers["retry-after"] == "1"
    assert (await client.delete("/profiles/p-1")).status_code == 503
    assert (await client.get("/profiles/p-1")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    text = plane.metrics.text().decode()
    assert "segmentation_profile_update_failures_total 3.0" in text
    assert "segmentation_profile_updates_appended_total 0.0" in text


async def test_what_kafka_did_not_acknowledge_in_time_is_not_sent_later(
    redis: Redis, own_kafka: LocalKafka, names: Names, tmp_path: Path
) -> None:
    async with running_bench(redis, own_kafka, names, tmp_path, deadline_s=3) as bench:
        sent = [await bench.client.post(UPDATES, json={"attributes": {"n": 0}})]
        await asyncio.to_thread(own_kafka.kill)
        late = [bench.client.post(UPDATES, json={"attributes": {"n": n}}) for n in (1, 2)]
        for answer in await asyncio.gather(*late):
            told = refusal(answer, 503, "SEG-UNAVAILABLE-503")
            assert "is not known. Send the same again" in told or "nothing was sent" in told
        await asyncio.to_thread(own_kafka.start)
        while (answer := await bench.client.post(UPDATES, json={"attributes": {"n": 3}})).is_error:
            refusal(answer, 503, "SEG-UNAVAILABLE-503")
        sent.append(answer)

        numbers = [json.loads(one.value)["attributes"]["n"] for one in await bench.records()]

        # A repetition of the last is possible: whether it arrived was not known.
        assert numbers[0] == 0
        assert set(numbers[1:]) == {3}
        offsets = [answer.json()["updates"][0]["offset"] for answer in sent]
        assert [numbers[offset] for offset in offsets] == [0, 3]


async def test_a_broker_that_hangs_costs_no_more_than_the_deadline(
    redis: Redis, own_kafka: LocalKafka, names: Names, tmp_path: Path
) -> None:
    async with running_bench(redis, own_kafka, names, tmp_path, deadline_s=2) as bench:
        update = {"attributes": {"a": 1}, "eventId": "u-1"}
        assert (await bench.client.post(UPDATES, json=update)).status_code == 202
        own_kafka._process.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(6):
                answer = await bench.client.post(UPDATES, json=update)
        finally:
            own_kafka._process.send(signal.SIGCONT)
        assert "no answer within 2 s" in refusal(answer, 503, "SEG-UNAVAILABLE-503")
        while (answer := await bench.client.post(UPDATES, json=update)).is_error:
            refusal(answer, 503, "SEG-UNAVAILABLE-503")
        assert answer.status_code == 202


async def test_a_topic_with_other_partitions_is_refused(
    redis: Redis, kafka: LocalKafka, names: Names, tmp_path: Path
) -> None:
    async with running_bench(redis, kafka, names, tmp_path, partitions=3) as bench:
        answer = await bench.client.post(UPDATES, json={"attributes": {}})

        refusal(answer, 500, "SEG-INTERNAL-500")


async def test_calls_that_wait_are_bounded() -> None:
    target = UpdateTarget(options={"bootstrap_servers": NO_KAFKA}, topic="t", partitions=1)
    producer = UpdateProducer(target, HttpMetrics(), most_waiting=0)

    with pytest.raises(Unavailable, match="nothing was sent"):
        await producer.append([])
