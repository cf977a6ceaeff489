"""A worker that cannot go on ends, so that whoever supervises it starts it anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from app.adapters.kafka import worker as worker_module
from tests.integration.stream.harness import Bus, eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(120)]


@pytest.fixture
async def bus(kafka: LocalKafka, redis_server: LocalRedis) -> AsyncIterator[Bus]:
    bus = Bus(kafka.bootstrap, redis_server.url)
    await bus.create_topics()
    yield bus
    await bus.close()


async def test_a_worker_whose_reader_breaks_ends_with_a_failure(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bus.worker()
    async with bus.task_of(worker, {0, 1}) as task:

        async def broken(*arguments: object) -> None:
            raise RuntimeError("the reader is broken")

        monkeypatch.setattr(worker._consumer.thread, "_poll", broken)
        await eventually(lambda: worker._failure is not None)
        # A rebalance that was under way assigns partitions to the worker that is ending.
        worker.assignment.assigned([0, 1])
        status = await asyncio.wait_for(asyncio.shield(task), 40)
    assert status == 1


class Ended(Exception):
    """Stands for the end of the process."""


async def test_a_worker_that_hangs_while_it_ends_is_ended(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = bus.worker()
    close = worker.assignment.close
    released = asyncio.Event()

    async def hanging() -> None:
        while not released.is_set():
            # Heeds no cancellation, as a task that lost one does.
            with suppress(asyncio.CancelledError):
                await released.wait()
        await close()

    def ended(status: int) -> None:
        raise Ended(status)

    async def ends() -> None:
        async with bus.task_of(worker, {0, 1}) as task:
            worker.stop()
            await asyncio.wait([task], timeout=20)
            assert task.done()

    monkeypatch.setattr(worker.assignment, "close", hanging)
    monkeypatch.setattr(worker_module, "_SHUT_DOWN_S", 0.5)
    monkeypatch.setattr("os._exit", ended)
    try:
        with pytest.raises(Ended, match="1"):
            await ends()
    finally:
        released.set()
        tasks = [one for one in asyncio.all_tasks() if one.get_name() == "shut-down"]
        await asyncio.gather(*tasks)
        # It went on with Redis after it was given up.
        await worker._redis.aclose()
