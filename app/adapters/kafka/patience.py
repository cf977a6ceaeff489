"""Waiting for clients whose broker may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


_GRACE_S = 1.0


async def within(seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """Await a call for so long at most, then cancel it and, if it does not heed that, let go of it.

    `asyncio.wait_for` waits for the end of what it cancelled. aiokafka swallows cancellations
    while it closes, and where its broker went away at the wrong moment that end never comes. A
    moment it gets, to close what it had opened.

    Raises:
        TimeoutError: There was no result in time; the call may still be running.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return task.result()
        raise TimeoutError(f"no answer within {seconds:g} s")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE_S)
            task.add_done_callback(read_error)


def read_error(future: asyncio.Future[Any]) -> None:
    """Take note of the error of a future that nobody awaits (a done callback)."""
    if not future.cancelled():
        future.exception()
