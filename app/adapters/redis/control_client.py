"""The Redis client of the control plane."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError

from app.adapters.redis.connection import connect

_RETRIES = 3
_FIRST_SECONDS = 0.02
_LONGEST_SECONDS = 0.25
_CONNECTIONS = 64


def connect_control(url: str) -> Redis:
    """Return a client that tries again on a broken connection, unlike that of a worker.

    After a restart of Redis every pooled connection is broken, and each would cost a caller a 503.
    Its writes may be repeated: they are decided on a revision, which a done write has moved.
    """
    redis = connect(url, connections=_CONNECTIONS)
    backoff = ExponentialBackoff(cap=_LONGEST_SECONDS, base=_FIRST_SECONDS)
    redis.set_retry(Retry(backoff, _RETRIES, supported_errors=(ConnectionError,)))
    return redis
