"""Updates in, changes out, on real Kafka and Redis."""

from __future__ import annotations

import pytest

from tests.integration.stream.harness import flips, history

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def test_updates_become_changes_in_order(bus):
    async with bus.running():
        await bus.send(*[(f"p-{n % 5}", {"attributes": {"n": n}}) for n in range(20)])
        changes = await bus.changes(20)
    assert history(changes) == {f"p-{n}": flips(4) for n in range(5)}
    assert {change["cause"]["kind"] for change in changes} == {"attribute"}
    assert len({change["changeId"] for change in changes}) == 20
