"""An export through the shipped processes, of which one is killed while it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.e2e.stage import PARTITIONS, running_stage
from tests.e2e.test_definitions_live import until_live
from tests.e2e.test_jobs import looked_at, service
from tests.integration.stream.harness import eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
EXPORTS = "/data/core/ups/export/jobs"
PROFILES = 360


async def test_an_export_outlives_its_worker(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    folder = tmp_path / "members"
    settings = {
        "SEG_SCAN_MAX_PROFILES": "2",
        "SEG_DATASETS": json.dumps({"members": {"url": str(folder)}}),
    }
    async with running_stage(kafka, redis_server, tmp_path, **settings) as stage:
        await asyncio.gather(
            *(stage.send(f"p-{n}", {"attributes": {"age": n % 60}}) for n in range(PROFILES))
        )
        segment_id = await stage.define("grown up", "age >= 30")
        await until_live(stage, segment_id)
        body = {
            "schema": {"name": "_xdm.context.profile"},
            "filter": {"segments": [{"segmentId": segment_id}]},
            "destination": {"datasetId": "members"},
        }
        answer = await stage.client.post(EXPORTS, json=body)
        assert answer.status_code == 200, answer.text
        job = answer.json()
        worker = service(stage, "worker")

        async def is_under_way() -> bool:
            return await looked_at(worker) >= 50

        await eventually(is_under_way)
        worker.kill()
        progress = (await stage.client.get(f"{EXPORTS}/{job['id']}")).json()["progress"]
        assert (progress["partitions"], 50 <= progress["profiles"] < PROFILES) == (PARTITIONS, True)
        worker.start()
        await worker.ready()

        async def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = (await stage.client.get(f"{EXPORTS}/{job['id']}")).json()
            return found if found["status"] in ("SUCCEEDED", "FAILED") else None

        job = await eventually(ended, 60)
        assert await looked_at(worker) < PROFILES - 40, "it began anew, or was over before"
        assert job["status"] == "SUCCEEDED", job
        expected = sorted(f"p-{n}" for n in range(PROFILES) if n % 60 >= 30)
        records = [json.loads(one.value) for one in await stage.bus.read(stage.bus.topics.exports)]
        profiles = [one for one in records if one["type"] == "profile"]
        assert sorted(one["profileId"] for one in profiles) == expected
        (end,) = [one for one in records if one["type"] == "job-end"]
        assert end["records"] == len(expected)
        for partition in end["partitions"]:
            at = partition["partition"]
            numbers = [one["number"] for one in records if one.get("partition") == at]
            assert numbers == list(range(partition["records"] + 2))
        table = pq.read_table(folder / job["destination"]["batchId"], columns=["profileId"])
        assert sorted(table.column("profileId").to_pylist()) == expected
