"""What a publisher leaves behind when another one has taken its place."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from app.adapters.kafka.library import ignore_unread_errors
from app.adapters.kafka.publisher import transactional_publisher
from app.adapters.kafka.records import OutputRecord
from app.domain.errors import Fenced
from tests.integration.stream.harness import Bus
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def test_a_fenced_publisher_says_so_once(kafka: LocalKafka, redis_server: LocalRedis) -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    ignore_unread_errors(loop)
    bus = Bus(kafka.bootstrap, redis_server.url)
    await bus.create_topics()
    names = bus.names
    old = transactional_publisher(bus.client, names.application_id, 0)
    new = transactional_publisher(bus.client, names.application_id, 0)
    try:
        await old.start()
        await new.start()
        records = [
            OutputRecord(topic, partition, b"key", b"value", [])
            for topic in (bus.topics.changes, bus.topics.memberships)
            for partition in range(2)
        ]
        with pytest.raises(Fenced):
            await old.publish(records, {})
    finally:
        await old.stop()
        await new.stop()
        await bus.close()
    # Futures complain when they are collected, in a later turn of the loop.
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_other_errors_that_nobody_reads_are_still_told() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    ignore_unread_errors(loop)
    loop.create_future().set_exception(ValueError("ours"))
    gc.collect()
    await asyncio.sleep(0)
    assert [str(one["exception"]) for one in complaints] == ["ours"]
