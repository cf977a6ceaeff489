"""Every kind of URL that the settings accept leads to a client that works."""

from __future__ import annotations

from pathlib import Path

import pytest

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
