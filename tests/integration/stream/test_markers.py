"""Offsets of the update topic that hold no record for anybody."""

from __future__ import annotations

import pytest

from tests.integration.stream.harness import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def test_an_aborted_transaction_at_the_end_is_no_lag(bus):
    """A worker that dies while it forwards leaves one; the watchdog must not take it for lag."""
    async with bus.running() as worker:
        async with bus.producer(transactional_id=f"{bus.names.id}-dies") as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(bus.topics.updates, b"{}", key=b"p-1", partition=0)
            await producer.abort_transaction()
        owner = worker.stream.owners[0]
        await eventually(lambda: owner.position.end == 2)
        assert owner.offset == 0
        await eventually(lambda: owner.lag == 0)
        await bus.send(("p-1", {"attributes": {"a": 1}}))
        await bus.changes(1)
