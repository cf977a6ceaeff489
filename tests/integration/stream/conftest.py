from __future__ import annotations

import pytest

from tests.integration.stream.harness import Bus


@pytest.fixture
async def bus(kafka, redis_server):
    bus = Bus(kafka.bootstrap, redis_server.url)
    await bus.create_topics()
    yield bus
    await bus.close()


@pytest.fixture
async def world(request, kafka, redis_server):
    """Two partitions, and what the module's `WORLD` says there is beside them."""
    world = request.module.WORLD(kafka.bootstrap, redis_server.url)
    await world.create_topics()
    yield world
    await world.close()


@pytest.fixture
async def lone(request, kafka, redis_server):
    """One partition: every batch is the owner's under test."""
    world = request.module.WORLD(kafka.bootstrap, redis_server.url, partitions=1)
    await world.create_topics()
    yield world
    await world.close()
