"""Waiting ends in time, whatever the other side does with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from app.adapters.kafka.patience import within


async def deaf(never: asyncio.Event) -> None:
    """Swallow every cancellation, as aiokafka does while it closes."""
    while not never.is_set():
        try:
            await never.wait()
        except asyncio.CancelledError:
            continue


async def test_the_result_is_passed_on():
    async def answer() -> int:
        return 4

    assert await within(5, answer()) == 4


async def test_an_error_is_passed_on():
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(5, fail())


async def test_a_call_that_cannot_be_cancelled_does_not_hold_the_caller():
    end = asyncio.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        await asyncio.wait_for(within(0.01, deaf(end)), 5)
    end.set()


async def test_a_cancelled_caller_does_not_wait_either():
    end = asyncio.Event()
    task = asyncio.create_task(within(60, deaf(end)))
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert done
    assert task.cancelled()
    end.set()


@pytest.mark.parametrize("seconds", [0.01, 60])
async def test_what_is_cancelled_gets_a_moment_to_close_what_it_opened(seconds):
    closed = False

    async def call() -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            closed = True

    task = asyncio.create_task(within(seconds, call()))
    if seconds == 60:
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert closed
