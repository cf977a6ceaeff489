"""Waiting for an event for a limited time."""

from __future__ import annotations

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, for so long at most; tell whether it is set.

    `asyncio.wait_for` of Python 3.11 loses a cancellation that comes as the event is set or the
    time is over; whoever waits for the end of the cancelled task then waits for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
