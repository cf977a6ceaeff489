"""A membership ends by time alone, within a second of being due, with nothing on the topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.adapters.kafka.recovery import milliseconds
from tests.e2e.stage import Stage, running_stage, wall_ms
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(180)]
WINDOW_S = 4
BOUGHT = (
    f'xEvent[eventType = "buy" and timestamp occurs <= {WINDOW_S} seconds before now].count() >= 1'
)
PROFILES = 12


async def explanation(stage: Stage, profile_id: str, segment_id: str) -> dict[str, Any]:
    """Ask why a profile is in a segment as soon as it is."""
    await stage.change(profile_id, segment_id, 1)
    answer = await stage.client.get(f"/profiles/{profile_id}/segments/{segment_id}/explain")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def check_explained(before: dict[str, Any], after: dict[str, Any], at_ms: int) -> None:
    """Check that what was said to come has come, and that the worker agrees both times."""
    due_ms = at_ms + WINDOW_S * 1000 + 1
    assert before["agreement"]["agrees"] is True
    # On a machine that is busy enough it is over by then.
    if before["qualifies"]:
        assert milliseconds(before["nextChange"]["at"]) == due_ms
    assert (after["qualifies"], after["agreement"]["agrees"]) == (False, True)
    assert milliseconds(after["membership"]["lastQualificationTime"]) == due_ms
    assert after["toFlip"]["alternatives"][0]["checked"] is True


async def test_timed_changes_arrive_within_a_second_without_traffic(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        bought = await stage.define("bought lately", BOUGHT)
        quiet = await stage.define("buys not lately", f"not({BOUGHT})")
        both = await stage.define("cascade", f'inSegment("{quiet}") and plan = "basic"')
        await stage.send("warm", {"event": {"eventType": "buy", "timestamp": wall_ms()}})
        await stage.change("warm", bought, 2)

        happened = {}
        for number in range(PROFILES):
            name = f"p-{number}"
            # Due at different moments: half a second apart at most, and in all partitions.
            happened[name] = wall_ms() - number * 40
            event = {"eventType": "buy", "timestamp": happened[name]}
            await stage.send(name, {"attributes": {"plan": "basic"}, "event": event})

        late = {}
        explained = await explanation(stage, "p-0", bought)
        for name, at_ms in happened.items():
            entered = await stage.change(name, bought, 1)
            assert entered["cause"]["kind"] == "event"
            # The window includes its edge: the first instant outside is one millisecond later.
            due_ms = at_ms + WINDOW_S * 1000 + 1
            timed = {
                bought: (await stage.change(name, bought, 2), "exited", "time"),
                quiet: (await stage.change(name, quiet, 1), "realized", "time"),
                both: (await stage.change(name, both, 1), "realized", "cascade"),
            }
            for segment_id, (change, status, kind) in timed.items():
                assert change["status"] == status
                assert change["cause"]["kind"] in {kind, "time"}
                assert milliseconds(change["lastQualificationTime"]) == due_ms
                late[name, segment_id] = change["receivedMs"] - due_ms
        check_explained(explained, await explanation(stage, "p-0", bought), happened["p-0"])
        print(f"\nlate by {min(late.values())} to {max(late.values())} ms")
        assert min(late.values()) >= 0, late
        assert max(late.values()) <= 1_000, late
