"""A definition created, edited or deleted over HTTP takes effect while the worker runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.stage import Stage, running_stage
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    add,
    audience_body,
    definition_body,
)
from tests.integration.stream.harness import eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(180)]
EFFECT_S = 2.0


async def seconds_until_used(stage: Stage, segment_id: str, since: float) -> float:
    """Send one new profile after the other; return when the first one was sent that got in."""
    sent: dict[str, float] = {}
    while True:
        name = f"probe-{segment_id[:8]}-{len(sent)}"
        sent[name] = time.monotonic()
        await stage.send(name, {"attributes": {"age": 40}})
        entered = [name for name in sent if stage.of(name, segment_id)]
        if entered:
            return min(sent[name] for name in entered) - since
        assert time.monotonic() - since < 20, "the definition never took effect"
        await asyncio.sleep(0.02)


async def is_stored(stage: Stage, profile_id: str) -> bool:
    answer = await stage.client.get(f"/profiles/{profile_id}/membership")
    return answer.status_code == 200


async def test_definitions_take_effect_without_a_restart(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        await stage.send("before", {"attributes": {"age": 40}})
        await stage.send("untouched", {"attributes": {"age": 40}})
        # Once it is stored, no update of it can be evaluated under the definition.
        await eventually(lambda: is_stored(stage, "untouched"))

        segment_id = await stage.define("grown up", "age > 30")
        took = await seconds_until_used(stage, segment_id, time.monotonic())
        assert took <= EFFECT_S
        # Who was there before enters without an update.
        entered = await stage.change("untouched", segment_id, 1)
        assert (entered["status"], entered["cause"]["kind"]) == ("realized", "backfill")
        await stage.until_live(segment_id)
        await stage.send("before", {"attributes": {"city": "Oslo"}})
        assert (await stage.change("before", segment_id, 1))["status"] == "realized"

        path = f"{DEFINITIONS}/{segment_id}"
        answer = await stage.client.patch(path, json=definition_body("grown up", "age > 50"))
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
        edited = time.monotonic()
        number = 0
        while len(stage.of("before", segment_id)) < 2:
            number += 1
            await stage.send("before", {"attributes": {"visits": number}})
            assert time.monotonic() - edited < 20, stage.of("before", segment_id)
            await asyncio.sleep(0.02)
        left = await stage.change("before", segment_id, 2)
        assert (left["status"], left["definitionVersion"]) == ("exited", 2)
        assert left["cause"]["kind"] == "definition"
        left = await stage.change("untouched", segment_id, 2)
        assert (left["status"], left["cause"]["kind"]) == ("exited", "definition")
        await stage.until_live(segment_id)
        path_of_other = f"{DEFINITIONS}/{await stage.define('not young', 'age > 20')}"
        other_id = path_of_other.rpartition("/")[2]
        assert (await stage.change("untouched", other_id, 1))["status"] == "realized"
        assert (await stage.client.delete(path_of_other)).status_code == 200
        gone = await stage.change("untouched", other_id, 2)
        assert (gone["status"], gone["cause"]["kind"]) == ("exited", "definition")
        await stage.send("before", {"attributes": {"age": 60}})
        assert (await stage.change("before", segment_id, 3))["status"] == "realized"

        answer = await stage.client.delete(path)
        assert answer.status_code == 200
        deleted = time.monotonic()
        while len(stage.of("before", segment_id)) < 4:
            number += 1
            await stage.send("before", {"attributes": {"visits": number}})
            assert time.monotonic() - deleted < 20, stage.of("before", segment_id)
            await asyncio.sleep(0.02)
        gone = await stage.change("before", segment_id, 4)
        assert (gone["status"], gone["cause"]["kind"]) == ("exited", "definition")
        assert (await stage.client.get(path)).status_code == 404


async def test_a_worker_killed_in_a_scan_tells_nothing_twice(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    names = [f"p-{number}" for number in range(1_500)]
    async with running_stage(kafka, redis_server, tmp_path, SEG_SCAN_MAX_PROFILES="8") as stage:
        await asyncio.gather(*(stage.send(name, {"attributes": {"age": 40}}) for name in names))
        first_id = await stage.define("first", "age > 30")
        await stage.until_live(first_id)
        segment_id = await stage.define("grown up", "age > 35")
        await eventually(lambda: len(stage.of_segment(segment_id)) >= 100)
        stage.kill("worker")
        told = len(stage.of_segment(segment_id))
        assert told < len(names), "the scan was over too soon: the test shows nothing"
        await stage.start("worker")
        await stage.until_live(segment_id)
        await eventually(lambda: len(stage.of_segment(segment_id)) >= len(names))
        for one in (first_id, segment_id):
            found = stage.of_segment(one)
            assert sorted(change["profileId"] for change in found) == sorted(names)
            assert {(change["sequence"], change["status"]) for change in found} == {(1, "realized")}


async def moved(stage: Stage, path: str, lifecycle: str) -> str:
    """Bring an audience to another state of its life; return how far its evaluation is."""
    answer = await stage.client.patch(path, json=[add("/lifecycleState", lifecycle)])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["evaluationState"])


async def test_an_audience_switched_off_and_on_reaches_profiles_that_nobody_touches(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    names = [f"p-{number}" for number in range(20)]
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        draft = audience_body("buyers", "age > 30", lifecycleState="draft")
        answer = await stage.client.post(AUDIENCES, json=draft)
        segment_id = answer.json()["id"]
        path = f"{AUDIENCES}/{segment_id}"
        everyone_id = await stage.define("everyone", "age > 0")
        young_id = await stage.define("young", "age < 25")
        await asyncio.gather(*(stage.send(name, {"attributes": {"age": 40}}) for name in names))
        await stage.until_live(everyone_id)
        for name in names:
            await stage.change(name, everyone_id, 1)
        assert stage.of_segment(segment_id) == []
        assert (await stage.client.get(path)).json()["evaluationState"] == "OFF"

        assert await moved(stage, path, "published") == "BACKFILLING"
        await stage.until_state(path, "LIVE")
        for name in names:
            entered = await stage.change(name, segment_id, 1)
            assert (entered["status"], entered["cause"]["kind"]) == ("realized", "backfill")

        assert await moved(stage, path, "inactive") == "REMOVING"
        await stage.until_state(path, "OFF")
        for name in names:
            left = await stage.change(name, segment_id, 2)
            assert (left["status"], left["cause"]["kind"]) == ("exited", "definition")
            assert left["definitionVersion"] == 1
        await stage.send("p-0", {"attributes": {"age": 20}})
        await stage.send("p-1", {"attributes": {"age": 20}})
        await stage.send("p-1", {"attributes": {"age": 50}})
        await stage.change("p-0", young_id, 1)
        await stage.change("p-1", young_id, 2)

        assert await moved(stage, path, "published") == "BACKFILLING"
        await stage.until_state(path, "LIVE")
        for name in names[1:]:
            back = await stage.change(name, segment_id, 3)
            assert (back["status"], back["previousStatus"]) == ("realized", "exited")
            assert back["cause"]["kind"] == "backfill"
        assert len(stage.of("p-0", segment_id)) == 2
        assert len(stage.of_segment(segment_id)) == 3 * len(names) - 1
        assert len(stage.of_segment(everyone_id)) == len(names)
