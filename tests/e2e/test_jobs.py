"""A segment job through the shipped processes, which die while it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.processes import Service
from tests.e2e.stage import Stage, running_stage
from tests.e2e.test_definitions_live import until_live
from tests.integration.stream.harness import eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
JOBS = "/data/core/ups/segment/jobs"
PROFILES = 1_200


def service(stage: Stage, name: str) -> Service:
    (found,) = (one for one in stage.services.running if one.name == name)
    return found


async def looked_at(worker: Service) -> float:
    """Return how many profiles a worker has counted."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{worker.url}/metrics")).text
    name = "segmentation_job_profiles_total "
    (line,) = (line for line in text.splitlines() if line.startswith(name))
    return float(line.removeprefix(name))


async def test_a_job_outlives_worker_and_control_plane(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path, SEG_SCAN_MAX_PROFILES="2") as stage:
        await asyncio.gather(
            *(stage.send(f"p-{n}", {"attributes": {"age": n % 60}}) for n in range(PROFILES))
        )
        segment_id = await stage.define("grown up", "age >= 30")
        await until_live(stage, segment_id)
        answer = await stage.client.post(JOBS, json=[{"segmentId": segment_id}])
        job_id = answer.json()["id"]
        worker, api = service(stage, "worker"), service(stage, "api")

        async def is_under_way() -> bool:
            return await looked_at(worker) >= 50

        await eventually(is_under_way)
        worker.kill()
        api.kill()
        worker.start()
        api.start()
        await asyncio.gather(worker.ready(), api.ready())
        headers = dict(stage.client.headers)
        async with httpx.AsyncClient(base_url=api.url, headers=headers) as client:

            async def ended() -> dict[str, Any] | None:
                job: dict[str, Any] = (await client.get(f"{JOBS}/{job_id}")).json()
                return job if job["status"] in ("SUCCEEDED", "FAILED") else None

            job = await eventually(ended, 60)
        again = await looked_at(worker)
        assert again < PROFILES - 40, "the job began anew, or was over before"
        assert job["status"] == "SUCCEEDED"
        metrics = job["metrics"]
        assert metrics["totalProfiles"] == PROFILES
        assert metrics["segmentedProfileCounter"] == {segment_id: PROFILES // 2}
        topic = f"{stage.bus.names.topic_prefix}job-events"

        async def told() -> list[Any] | None:
            found = [json.loads(record.value) for record in await stage.bus.read(topic)]
            # The relay may repeat what it published before it died.
            states = {one["sequence"]: one["status"] for one in found if one["jobId"] == job_id}
            return list(states.values()) if len(states) == 4 else None

        assert await eventually(told, 60) == ["NEW", "QUEUED", "PROCESSING", "SUCCEEDED"]
