from __future__ import annotations

import pytest

from tests.integration.stream.harness import Bus


@pytest.fixture
async def bus(kafka, redis_server):
    bus = Bus(kafka.bootstrap, redis_server.url)
    await bus.create_topics()
    yield bus
    await bus.close()
