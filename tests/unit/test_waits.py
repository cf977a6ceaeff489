"""Waiting for an event for a limited time."""

from __future__ import annotations

import asyncio

import pytest

from app.adapters.waits import set_within


async def test_it_tells_whether_the_event_is_set() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.001)
    event.set()
    assert await set_within(event, 5)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_is_not_lost_when_the_event_is_set(turns: int) -> None:
    event = asyncio.Event()
    task = asyncio.create_task(set_within(event, 5))
    await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        # With `wait_for` there is a turn in which the event was seen, and the task was not woken.
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert turns > 0
        assert task.result()
