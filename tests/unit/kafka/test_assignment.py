"""Partitions that are revoked while they are being acquired."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from app.adapters.kafka.assignment import Assignment
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.records import TopicNames
from app.domain.limits import EngineLimits
from app.service.partition import PartitionEngine


class Swallowing:
    """An acquisition that loses its cancellation, as `asyncio.wait_for` of Python 3.11 does."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.runs = 0

    async def run(self, owner: Owner) -> None:
        self.runs += 1
        self.started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def quiesce(owners: Any) -> None:
    return


def make_assignment(acquisition: Any, sought: list[int]) -> tuple[Assignment, Any]:
    async def seek(offset: int, partition: int, lease: int) -> None:
        sought.append(partition)

    def new_owner(partition: int, lease: int) -> Owner:
        return Owner(partition, lease, TopicNames.of(""), PartitionEngine(EngineLimits()))

    stream: Any = SimpleNamespace(owners={}, on_lost=lambda lose: None, quiesce=quiesce)
    assignment = Assignment(stream, acquisition, new_owner, seek, WorkerMetrics(), 0.01)
    return assignment, stream


async def test_a_lost_cancellation_does_not_hold_up_a_rebalance() -> None:
    acquisition, sought = Swallowing(), list[int]()
    assignment, stream = make_assignment(acquisition, sought)
    assignment.assigned([3])
    await acquisition.started.wait()
    await asyncio.wait_for(assignment.revoked([3]), 5)
    assert (stream.owners, sought, acquisition.runs) == ({}, [], 1)


async def test_nothing_is_taken_once_the_worker_ends() -> None:
    acquisition = Swallowing()
    assignment, stream = make_assignment(acquisition, [])
    await assignment.close()
    assignment.assigned([1, 2])
    assert stream.owners == {}
