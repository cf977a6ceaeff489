"""A batch that was read but has not arrived: on its way, or lost."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from app.adapters.kafka.batches import StreamLimits
from app.adapters.kafka.consumer_thread import Position
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.stream import Stream
from app.adapters.kafka.transport import RecordBatch
from app.config import Settings
from app.domain.limits import EngineLimits
from app.service.partition import PartitionEngine

LEASE = 1


def make_stream() -> tuple[Stream, Owner]:
    nothing: Any = None
    catalogues: Any = SimpleNamespace(current={})
    stream = Stream(nothing, nothing, catalogues, StreamLimits(), WorkerMetrics())
    owner = Owner(0, LEASE, TopicNames.of(""), PartitionEngine(EngineLimits()), is_ready=True)
    stream.owners[0] = owner
    return stream, owner


async def cycles(stream: Stream, count: int) -> None:
    for _ in range(count):
        await stream._cycle()


async def test_a_batch_that_no_cycle_could_have_taken_is_on_its_way():
    stream, owner = make_stream()
    await cycles(stream, 10)
    stream.polled(0, LEASE, Position(5, 5, 0), 5)
    await cycles(stream, 1)
    assert not stream.is_astray(owner)


async def test_a_batch_that_several_cycles_did_not_see_is_astray():
    stream, owner = make_stream()
    stream.polled(0, LEASE, Position(5, 5, 0), 5)
    await cycles(stream, 10)
    assert stream.is_astray(owner)


async def test_nothing_read_is_never_astray():
    stream, owner = make_stream()
    stream.polled(0, LEASE, Position(0, 0, 0), 0)
    await cycles(stream, 10)
    assert not stream.is_astray(owner)


async def test_a_batch_that_arrived_is_not_astray():
    stream, owner = make_stream()
    stream.polled(0, LEASE, Position(5, 5, 0), 5)
    stream.offer(RecordBatch(0, LEASE, 0, 5, []))
    owner.pending.clear()
    await cycles(stream, 10)
    assert not stream.is_astray(owner)


def test_a_batch_of_the_default_size_does_not_hold_up_timers():
    """At the 130 µs that an update takes at worst; timers fire within 1 s."""
    settings, limits = Settings(), StreamLimits()
    assert settings.batch_max_records == limits.max_records
    assert limits.full_poll * 2 == limits.max_records
    assert limits.max_records * 130e-6 < 0.3


async def test_below_full_load_nothing_is_read_while_a_cycle_runs():
    stream, owner = make_stream()
    stream._ended.clear()
    asking = asyncio.create_task(stream.wanted())
    await asyncio.sleep(0.01)
    assert not asking.done()
    stream._ended.set()
    assert await asking == {owner.partition: LEASE}


async def test_under_full_load_the_next_poll_runs_beside_the_cycle():
    stream, owner = make_stream()
    stream._ended.clear()
    stream._pace.cycle_ended(0, 0.1, StreamLimits().full_poll)
    assert await stream.wanted() == {owner.partition: LEASE}


async def test_below_full_load_a_partition_that_still_publishes_is_left_for_the_next_cycle():
    stream, owner = make_stream()
    owner.pending.append(RecordBatch(0, LEASE, 0, 0, []))
    owner.head_ms = 0
    owner.publishing = asyncio.create_task(asyncio.sleep(30))
    assert stream._take(owner, 1) is None
    stream._pace.cycle_ended(0, 0.1, StreamLimits().full_poll)
    assert stream._take(owner, 1) is not None
    owner.publishing.cancel()
