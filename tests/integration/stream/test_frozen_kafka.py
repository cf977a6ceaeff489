"""A Kafka that neither answers nor closes the connection: every question ends in time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress

import pytest

from app.adapters.kafka.positions import KafkaPositions
from app.domain.errors import Unavailable
from tests.integration.stream.harness import Bus, eventually, owned

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    # aiokafka leaves the connection open that a cancelled start is waiting for.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
async def bus(own_kafka, redis_server):
    bus = Bus(own_kafka.bootstrap, redis_server.url, partitions=1)
    await bus.create_topics()
    yield bus
    await bus.close()


@asynccontextmanager
async def frozen(kafka):
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kafka.pid, signal.SIGCONT)


QUESTIONS: list[Callable[[KafkaPositions, Bus], object]] = [
    lambda positions, bus: positions.group(bus.topics.updates, 0),
    lambda positions, bus: positions.group_members(),
    lambda positions, bus: positions.partition_counts([bus.topics.updates]),
    lambda positions, bus: positions.bounds([(bus.topics.updates, 0)]),
    lambda positions, bus: positions.read_back({(bus.topics.updates, 0): 0}, lambda record: None),
]


@pytest.mark.parametrize("ask", QUESTIONS)
async def test_a_question_to_a_frozen_kafka_ends_and_can_be_repeated(own_kafka, bus, ask):
    await bus.send(("p-1", {"attributes": {"n": 1}}))
    positions = KafkaPositions(bus.client, bus.names.application_id, patience_s=0.5)
    async with frozen(own_kafka):
        with pytest.raises(Unavailable):
            await asyncio.wait_for(ask(positions, bus), 20)
    later = KafkaPositions(bus.client, bus.names.application_id)
    await answered(lambda: ask(later, bus))
    await later.stop()
    await positions.stop()


async def test_reading_that_stands_still_ends(own_kafka, bus):
    for n in range(40):
        await bus.send(("p-1", {"attributes": {"text": "x" * 200_000, "n": n}}))
    positions = KafkaPositions(bus.client, bus.names.application_id, patience_s=0.5)
    reading = positions.read({(bus.topics.updates, 0): 0})
    found = len(await anext(reading))
    async with frozen(own_kafka):
        with pytest.raises(Unavailable):
            await asyncio.wait_for(rest(reading), 20)
    assert found < 40


async def answered(ask):
    """Ask until there is an answer: the coordinator of a new group takes a moment."""
    async with asyncio.timeout(30):
        while True:
            with suppress(Unavailable):
                return await ask()
            await asyncio.sleep(0.05)


async def rest(reading):
    async for _ in reading:
        pass


async def test_a_worker_stops_without_an_answer_of_kafka(own_kafka, bus):
    worker = bus.worker()
    async with bus.task_of(worker, {0}) as running:
        async with frozen(own_kafka):
            worker.stop()
            done, _ = await asyncio.wait({running}, timeout=30)
        assert done


async def test_a_worker_whose_kafka_goes_away_while_it_starts_waits_for_it(own_kafka, bus):
    worker = bus.worker()
    start = worker._start_app

    async def start_without_kafka():
        await asyncio.to_thread(own_kafka.kill)
        starting = asyncio.create_task(start())
        await asyncio.to_thread(own_kafka.start)
        await starting

    worker._start_app = start_without_kafka
    async with bus.running(worker, ready=()):
        await eventually(lambda: owned(worker) == {0}, timeout=90)
        await bus.send(("p-1", {"attributes": {"n": 1}}))
        await bus.changes(1)
