"""What runs beside the requests, and what readiness looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import structlog
from redis.asyncio import Redis

from app.adapters.http.health import Check
from app.adapters.redis.connection import check_server, redis_errors
from app.domain.errors import SegmentationError, Unavailable

_log = structlog.get_logger(__name__)


class Companion(Protocol):
    """What runs as long as the application does: relays, the index of search, and so on."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run while the context is open."""
        ...


@asynccontextmanager
async def api_background(redis: Redis, companions: Sequence[Companion]) -> AsyncIterator[None]:
    """Run the companions while the application does, and stop the last one first; then close Redis.

    Redis may be away at the start: the service then is not ready until it is back.

    Raises:
        ConfigurationError: Redis may drop keys, or refuses the user.
    """
    try:
        for warning in await check_server(redis):
            _log.warning("redis-setting", reason=warning)
    except Unavailable as error:
        _log.warning("redis-away", reason=error.message)
    try:
        async with AsyncExitStack() as stack:
            for companion in companions:
                await stack.enter_async_context(companion.running())
            yield
    finally:
        await redis.aclose()


def redis_check(redis: Redis) -> Check:
    """Return the readiness check of Redis."""

    async def check() -> str | None:
        try:
            with redis_errors():
                await redis.ping()
        except SegmentationError as error:
            return error.message
        return None

    return check
