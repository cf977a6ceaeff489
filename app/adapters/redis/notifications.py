"""Pub/sub messages that name a tenant, across lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError

from app.adapters.redis.control_keys import tenant_from
from app.domain.model import Tenant

_AWAY = (BusyLoadingError, ConnectionError, TimeoutError, OSError)
_RECONNECT_SECONDS = 0.5
_MESSAGE_SECONDS = 5.0


async def notifications(redis: Redis, channel: str) -> AsyncGenerator[Tenant, None]:
    """Yield the tenant of each message; after a lost connection it goes on when Redis is back.

    What was sent while Redis was away is not yielded: look at what it speaks of as well.
    """
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=_MESSAGE_SECONDS)
                    if message is not None:
                        yield tenant_from(bytes(message["data"]).decode())
        except _AWAY:
            await asyncio.sleep(_RECONNECT_SECONDS)
