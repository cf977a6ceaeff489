"""The local Kafka and Redis keep their data and their address through kill and restart."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.adapters.kafka.topics import TOPICS, TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from app.adapters.local.redis import LocalRedis


async def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def _first_value(bootstrap: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        record = await asyncio.wait_for(consumer.getone(), 20)
        value: bytes | None = record.value
        return value
    finally:
        await consumer.stop()


@pytest.mark.kafka
@pytest.mark.timeout(120)
async def test_kafka_keeps_records_and_address_when_killed(own_kafka, names):
    plan = TopicPlan(names.topic_prefix, 2)
    before = own_kafka.bootstrap
    await ensure_topics({"bootstrap_servers": before}, plan)
    topic = names.topic_prefix + "profile-updates"
    await _produce(before, topic, b"kept")

    own_kafka.kill()
    own_kafka.start()

    assert own_kafka.bootstrap == before
    assert await _first_value(own_kafka.bootstrap, topic) == b"kept"


@pytest.mark.redis
def test_redis_keeps_keys_and_address_when_killed(own_redis):
    before = own_redis.url
    with redis.Redis.from_url(before) as client:
        client.set("key", "kept")

    own_redis.kill()
    own_redis.start()

    assert own_redis.url == before
    with redis.Redis.from_url(before) as client:
        assert client.get("key") == b"kept"


@pytest.mark.redis
def test_redis_goes_back_to_a_copy_of_its_data(own_redis, tmp_path):
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("key", "old")
        own_redis.copy_data(tmp_path / "copy")
        client.set("key", "new")

    own_redis.restore_data(tmp_path / "copy")

    with redis.Redis.from_url(own_redis.url) as client:
        assert client.get("key") == b"old"


@pytest.mark.redis
def test_redis_never_evicts_and_writes_an_append_only_file(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


@pytest.mark.redis
def test_a_taken_port_is_replaced_by_another(redis_server, tmp_path, monkeypatch):
    taken = iter([[int(redis_server.url.rsplit(":", 1)[1].split("/")[0])]])
    monkeypatch.setattr(
        "app.adapters.local.server.free_ports",
        lambda count: next(taken, None) or free_ports(count),
    )
    second = LocalRedis(tmp_path / "second")

    second.start()

    try:
        assert second.is_running
        assert second.url != redis_server.url
    finally:
        second.kill()


_STARTS_AND_HANGS = """
import sys, time
from pathlib import Path
from app.adapters.local.redis import LocalRedis
server = LocalRedis(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.redis
def test_a_server_dies_with_the_process_that_started_it(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_HANGS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)

        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while _exists(child):
        assert time.monotonic() < deadline, "the server outlived the process that started it"


def _exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.kafka
async def test_topics_are_created_once_and_then_as_planned(kafka, names):
    options = {"bootstrap_servers": kafka.bootstrap}
    plan = TopicPlan(names.topic_prefix, 3)

    missing = await ensure_topics(options, plan, check_only=True)
    first = await ensure_topics(options, plan)
    second = await ensure_topics(options, plan)

    assert sorted(missing.missing) == sorted(plan.names())
    assert not missing.is_as_planned
    assert sorted(first.created) == sorted(plan.names())
    assert first.is_as_planned
    assert second.created == []
    assert second.is_as_planned


@pytest.mark.kafka
async def test_another_partition_count_or_policy_is_told_with_its_remedy(kafka, names):
    options = {"bootstrap_servers": kafka.bootstrap}
    plan = TopicPlan(names.topic_prefix, 2)
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    small = {"max.message.bytes": "1000000"}
    await admin.create_topics(
        [NewTopic(names.topic_prefix + "memberships", 5, 1, topic_configs=small)]
    )
    await admin.close()

    report = await ensure_topics(options, plan)

    assert len(report.created) == len(TOPICS) - 1
    text = "\n".join(report.differences)
    assert "5 partitions, SEG_PARTITIONS is 2" in text
    assert "cleanup.policy is delete, should be compact" in text
    assert "max.message.bytes is 1000000, should be 12582912" in text
    assert "kafka-configs.sh --alter" in text


@pytest.mark.kafka
async def test_the_input_topic_takes_a_record_of_eleven_mebibytes(kafka, names):
    await ensure_topics({"bootstrap_servers": kafka.bootstrap}, TopicPlan(names.topic_prefix, 1))
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, max_request_size=12 * 1024 * 1024
    )
    await producer.start()
    try:
        sent = await producer.send_and_wait(
            names.topic_prefix + "profile-updates", b"x" * (11 * 1024 * 1024)
        )
    finally:
        await producer.stop()

    assert sent.offset == 0
