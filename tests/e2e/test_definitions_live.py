"""A definition created, edited or deleted over HTTP takes effect while the worker runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import Stage, running_stage
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    add,
    audience_body,
    definition_body,
)
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


async def test_definitions_take_effect_without_a_restart(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        await stage.send("before", {"attributes": {"age": 40}})

        segment_id = await stage.define("grown up", "age > 30")
        took = await seconds_until_used(stage, segment_id, time.monotonic())
        assert took <= EFFECT_S
        # Who was there before is looked at with the next update.
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


async def changes_when_touched(
    stage: Stage, profile_id: str, segment_id: str, count: int
) -> dict[str, Any]:
    """Touch a profile until a membership has so many changes; return the last of them."""
    began, number = time.monotonic(), 0
    while len(stage.of(profile_id, segment_id)) < count:
        number += 1
        await stage.send(profile_id, {"attributes": {f"visits{count}": number}})
        assert time.monotonic() - began < 20, stage.of(profile_id, segment_id)
        await asyncio.sleep(0.02)
    return await stage.change(profile_id, segment_id, count)


async def test_an_audience_is_left_while_inactive_and_entered_again_when_published(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        draft = audience_body("buyers", "age > 30", lifecycleState="draft")
        answer = await stage.client.post(AUDIENCES, json=draft)
        segment_id = answer.json()["id"]
        path = f"{AUDIENCES}/{segment_id}"
        other_id = await stage.define("everyone", "age > 0")
        await stage.send("buyer", {"attributes": {"age": 40}})
        await changes_when_touched(stage, "buyer", other_id, 1)
        assert stage.of("buyer", segment_id) == []

        await stage.client.patch(path, json=[add("/lifecycleState", "published")])
        entered = await changes_when_touched(stage, "buyer", segment_id, 1)
        assert (entered["status"], entered["cause"]["kind"]) == ("realized", "backfill")

        await stage.client.patch(path, json=[add("/lifecycleState", "inactive")])
        left = await changes_when_touched(stage, "buyer", segment_id, 2)
        assert (left["status"], left["cause"]["kind"]) == ("exited", "definition")
        assert left["definitionVersion"] == 1
        await stage.send("buyer", {"attributes": {"age": 20}})
        await stage.send("buyer", {"attributes": {"age": 50}})

        await stage.client.patch(path, json=[add("/lifecycleState", "published")])
        back = await changes_when_touched(stage, "buyer", segment_id, 3)
        assert (back["status"], back["previousStatus"]) == ("realized", "exited")
        assert len(stage.of("buyer", other_id)) == 1
