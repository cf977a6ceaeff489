"""What runs beside the requests, and what readiness looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from redis.asyncio import Redis

from app.adapters.http.health import Check
from app.adapters.imports.runner import ImportRunner
from app.adapters.kafka.relay import Relay
from app.adapters.kafka.update_producer import UpdateProducer
from app.adapters.redis.connection import check_server, redis_errors
from app.adapters.search.keeper import SearchKeeper
from app.domain.errors import SegmentationError, Unavailable

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def api_background(
    redis: Redis,
    relays: Sequence[Relay],
    keeper: SearchKeeper,
    producer: UpdateProducer,
    importer: ImportRunner,
) -> AsyncIterator[None]:
    """Relay, index definitions and import external audiences while the application runs.

    Redis is closed when it ends.

    The producer of updates connects when the first of them comes.
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
            for relay in relays:
                await stack.enter_async_context(relay.running())
            await stack.enter_async_context(keeper.running())
            await stack.enter_async_context(producer.running())
            await stack.enter_async_context(importer.running())
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
