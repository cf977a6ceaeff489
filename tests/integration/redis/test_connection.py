"""Every kind of URL that the settings accept leads to a client that works."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, TimeoutError

from app.adapters.redis.connection import check_server, connect
from app.adapters.redis.partition_store import RedisPartitionStore
from tests.services import LocalRedis

pytestmark = pytest.mark.redis


class OnSocket(LocalRedis):
    """A Redis that can be reached by a socket file as well."""

    @property
    def socket(self) -> Path:
        return self._data / "redis.sock"

    def _prepare(self) -> list[str]:
        return [*super()._prepare(), "--unixsocket", str(self.socket.resolve())]


async def test_a_socket_file_serves_commands_and_scripts(tmp_path: Path) -> None:
    server = OnSocket(tmp_path / "redis")
    server.start()
    client = connect(f"unix://{server.socket.resolve()}")
    try:
        assert await check_server(client) == []
        store = RedisPartitionStore(client, "unix")
        assert await store.claim(0, 8, 0, may_begin=True) == 1
        assert (await store.meta(0))["epoch"] == "1"
    finally:
        await client.aclose()
        server.kill()


@pytest.mark.parametrize(
    ("error", "told"),
    [(None, TimeoutError), (OSError("broken"), ConnectionError), (ValueError("x"), ValueError)],
)
async def test_what_fails_while_it_is_sent_breaks_the_connection(
    redis_server, monkeypatch, error, told
):
    redis = connect(redis_server.url, timeout_s=0.2)
    await redis.ping()
    (connection,) = redis.connection_pool._available_connections

    async def fails(command: object) -> None:
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(connection, "_send_packed_command", fails, raising=True)
        with pytest.raises(told):
            await redis.ping()
    assert not connection.is_connected
    assert await redis.ping()
    await redis.aclose()


async def test_no_cancellation_is_lost_whenever_it_comes(redis_server):
    """Whoever cancels a task waits for its end: one that goes on is waited for for ever."""
    redis = connect(redis_server.url)
    await redis.ping()
    lost, is_over = [], False
    for steps in range(200):

        async def ask() -> None:
            await redis.ping()
            await redis.ping()

        task = asyncio.create_task(ask())
        for _ in range(steps):
            await asyncio.sleep(0)
        if not task.cancel():
            is_over = True
            break
        await asyncio.wait([task])
        if not task.cancelled():
            lost.append(steps)
    await redis.aclose()
    assert lost == []
    assert is_over
