"""Schedules through the shipped processes: two control planes, of which one dies at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.processes import Service
from tests.e2e.stage import Stage, running_stage
from tests.integration.stream.harness import eventually
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
JOBS = "/data/core/ups/segment/jobs"
SCHEDULES = "/data/core/ups/config/schedules"
EXPORTS = "/data/core/ups/export/jobs"
EVERY_MS = 1_000
EVERY_EXPORT_MS = 3_000
RUNS = 2


class Caller:
    """Calls whichever control plane it is told to; each has a new port after each start."""

    def __init__(self, stage: Stage) -> None:
        self._headers = dict(stage.client.headers)

    async def call(self, api: Service, method: str, path: str, **sent: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=api.url, headers=self._headers) as client:
            return await client.request(method, path, **sent)

    async def jobs(self, api: Service) -> list[dict[str, Any]]:
        """Return the jobs that schedules started, oldest first."""
        asked = {"property": "source==scheduler", "sort": "creationTime:asc"}
        found: list[dict[str, Any]] = (await self.call(api, "GET", JOBS, params=asked)).json()[
            "children"
        ]
        return found

    async def exports(self, api: Service) -> list[dict[str, Any]]:
        """Return all exports, oldest first."""
        found: list[dict[str, Any]] = (await self.call(api, "GET", EXPORTS)).json()["records"]
        return found[::-1]


def due_times(jobs: list[dict[str, Any]]) -> list[int]:
    return sorted(int(job["requestId"].rpartition("-")[2]) for job in jobs)


async def test_each_due_time_starts_one_job_whichever_control_plane_dies(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        first, caller = stage.service("api"), Caller(stage)
        org_id = stage.bus.names.org_id
        second, _ = stage.services.api(org_id, "api-2", SEG_SCHEDULE_RUNS_PER_DAY="86400")
        await second.ready()
        for number in range(10):
            await stage.send(f"p-{number}", {"attributes": {"age": number}})
        segment_id = await stage.define("adult", "age >= 4")
        sent = {
            "name": "often",
            "type": "batch_segmentation",
            "properties": {"segments": [segment_id]},
            "schedule": "* * * * * ?",
            "state": "active",
        }
        refused = await caller.call(first, "POST", SCHEDULES, json=sent)
        assert "at most 1" in refused.text
        schedule = (await caller.call(second, "POST", SCHEDULES, json=sent)).json()
        path = f"{SCHEDULES}/{schedule['id']}"
        members = {
            "name": "members",
            "type": "export",
            "properties": {
                "schema": {"name": "_xdm.context.profile"},
                "filter": {"segments": [{"segmentId": segment_id}]},
            },
            "schedule": "0/3 * * * * ?",
            "state": "active",
        }
        exporting = (await caller.call(second, "POST", SCHEDULES, json=members)).json()
        export_path = f"{SCHEDULES}/{exporting['id']}"

        for dying, other in ((first, second), (second, first)):
            before = len(await caller.jobs(other))

            async def goes_on(api: Service = other, count: int = before) -> bool:
                return len(await caller.jobs(api)) >= count + RUNS

            await eventually(goes_on, 60)
            dying.kill()
            before = len(await caller.jobs(other))
            await eventually(lambda go=goes_on, api=other, n=before: go(api, n), 60)
            dying.start()
            await dying.ready()

        patch = [{"op": "add", "path": "/state", "value": "inactive"}]
        for each in (path, export_path):
            assert (await caller.call(first, "PATCH", each, json=patch)).status_code == 204
        shown = (await caller.call(first, "GET", path)).json()
        assert "nextRunTime" not in shown

        def is_whole(jobs: list[dict[str, Any]], of: dict[str, Any], every_ms: int) -> bool:
            """What a process claimed when it died is started once its lease is over."""
            wanted = (due_times(jobs)[-1] - of["nextRunTime"]) // every_ms + 1
            return len(jobs) >= wanted and all(job["status"] == "SUCCEEDED" for job in jobs)

        async def all_there() -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
            jobs, exports = await caller.jobs(first), await caller.exports(first)
            there = is_whole(jobs, schedule, EVERY_MS)
            there = there and is_whole(exports, exporting, EVERY_EXPORT_MS)
            return (jobs, exports) if there else None

        jobs, exports = await eventually(all_there, 90)
        begin, found = schedule["nextRunTime"], due_times(jobs)
        assert found == [begin + n * EVERY_MS for n in range(len(found))]
        for job in jobs:
            assert job["properties"]["scheduleId"] == schedule["id"]
            assert job["metrics"]["totalProfiles"] == 10
            assert job["metrics"]["segmentedProfileCounter"] == {segment_id: 6}
        last = (await caller.call(second, "GET", path)).json()["lastRun"]
        assert last["outcome"] == "started"
        assert last["jobId"] in {job["id"] for job in jobs}
        begin, found = exporting["nextRunTime"], due_times(exports)
        assert found == [begin + n * EVERY_EXPORT_MS for n in range(len(found))]
        for job in exports:
            assert job["properties"]["scheduleId"] == exporting["id"]
            assert job["metrics"]["totalExportedProfileCounter"] <= 6  # while it is backfilled
        assert exports[-1]["metrics"]["totalExportedProfileCounter"] == 6
        last = (await caller.call(second, "GET", export_path)).json()["lastRun"]
        assert last["jobId"] in {str(job["id"]) for job in exports}
