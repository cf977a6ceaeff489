"""`segmentation recover` as a process, on a real Kafka and Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest
from aiokafka import AIOKafkaProducer

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.redis.connection import connect
from app.domain.partitioning import partition_of
from tests.services import LocalKafka, LocalRedis, Names

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

PARTITIONS = 2
UNAVAILABLE = 3


async def run(names: Names, kafka: LocalKafka, redis: LocalRedis, *given: str) -> tuple[int, str]:
    """Run the command until Kafka answers it; return its status and what it wrote."""
    deadline = time.monotonic() + 40
    while True:
        status, text = await run_once(names, kafka, redis, *given)
        # A fresh broker has no group coordinator for its first seconds.
        if status != UNAVAILABLE or time.monotonic() > deadline:
            return status, text


async def run_once(
    names: Names, kafka: LocalKafka, redis: LocalRedis, *given: str
) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "recover", *given),
        env={
            **os.environ,
            **names.environment(kafka, redis),
            "SEG_PARTITIONS": str(PARTITIONS),
            "SEG_LOG_LEVEL": "error",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_it_needs_something_to_recover_and_an_offset_to_go_on_from(
    kafka: LocalKafka, redis_server: LocalRedis, names: Names
) -> None:
    options = {"bootstrap_servers": kafka.bootstrap}
    await ensure_topics(options, TopicPlan(names.topic_prefix, PARTITIONS))
    status, text = await run(names, kafka, redis_server)
    assert (status, "nothing to recover" in text) == (2, True), text

    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait(
            f"{names.topic_prefix}memberships",
            b'{"segmentMembership":{"ups":{}}}',
            key=f"{names.org_id}/prod/p-1".encode(),
            partition=partition_of("p-1", PARTITIONS),
        )
    status, text = await run(names, kafka, redis_server)
    assert (status, "--from-beginning" in text) == (2, True), text

    status, text = await run(names, kafka, redis_server, "--from-beginning")
    assert status == 0, text
    assert f"partition {partition_of('p-1', PARTITIONS)}: 1 profiles" in text
    redis = connect(redis_server.url)
    found = [key async for key in redis.scan_iter(f"{names.redis_key_prefix}:*:meta")]
    await redis.aclose()
    assert len(found) == 1
