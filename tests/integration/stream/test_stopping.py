"""A worker that is told to stop ends in order, whatever its group does at that moment."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.integration.stream.harness import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def test_a_worker_that_is_told_to_stop_as_a_rebalance_begins_leaves_the_group(bus):
    """Its successor need not wait for the end of its session."""
    first = bus.worker()
    loop = asyncio.get_running_loop()
    async with bus.task_of(first, {0, 1}) as task:
        consumer = first._app.consumer
        revoke = consumer.threadsafe_partitions_revoked
        revoked = []

        async def when_stopping(receiver_loop, partitions):
            loop.call_soon_threadsafe(first.stop)
            await eventually(lambda: first._app.should_stop)
            await revoke(receiver_loop, partitions)
            revoked.append(partitions)

        consumer.threadsafe_partitions_revoked = when_stopping
        async with bus.running(ready={0, 1}):
            assert await task == 0
            assert revoked
            assert await bus.positions.group_members() == 1


async def test_what_faust_does_where_a_rebalance_begins_while_it_stops_changes_nothing(bus):
    """It would close client and group from the wrong thread, and what is in the thread ran on."""
    async with bus.running() as worker:
        worker._app._on_rebalance_when_stopped()
        consumer = worker._app.consumer._thread._consumer
    assert consumer._fetcher._closed
    assert await bus.positions.group_members() == 0


async def test_a_task_that_does_not_heed_its_cancellation_does_not_hold_a_worker_up(bus):
    """As aiokafka's may: one that awaits another while that one swallows the cancellation."""
    kept: list[asyncio.Task[None]] = []

    async def stubborn():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue

    async def begin():
        kept.append(asyncio.create_task(stubborn()))

    async with bus.running() as worker:
        await worker._app.consumer._thread.call_thread(begin)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    assert not kept[0].done()
    kept[0]._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [KafkaConnectionError("closed"), asyncio.CancelledError()])
async def test_a_consumer_that_closes_with_an_error_does_not_hold_a_worker_up(bus, error):
    """As aiokafka's does where Kafka goes away meanwhile."""
    async with bus.running() as worker:
        thread = worker._app.consumer._thread
        stop = thread._consumer.stop

        async def fails():
            await stop()
            raise error

        thread._consumer.stop = fails
        started = time.monotonic()
    assert time.monotonic() - started < 20
    # Whoever tells a thread to stop that has ended is told nothing.
    thread._stopped_set()
