from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.adapters.redis.control_client import connect_control
from tests.integration.http.harness import Plane, running_plane
from tests.services import LocalRedis, Names


@pytest.fixture
async def redis(redis_server: LocalRedis) -> AsyncIterator[Redis]:
    client = connect_control(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def plane(redis: Redis, names: Names, tmp_path: Path) -> AsyncIterator[Plane]:
    async with running_plane(redis, names.redis_key_prefix, names.org_id, tmp_path) as running:
        yield running


@pytest.fixture
def client(plane: Plane) -> httpx.AsyncClient:
    return plane.client()
