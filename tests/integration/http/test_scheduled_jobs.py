"""Schedules that start real segment jobs, as a client sees them; the test holds the clock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from app.adapters.http.definitions import now_ms
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.schedule_loop import LoggedFirings, ScheduleLoop
from app.adapters.redis.job_store import RedisJobStore
from app.adapters.redis.schedule_store import RedisScheduleStore
from app.domain.export_requests import ExportRequest
from app.domain.jobs import NewJob
from app.domain.model import Tenant
from app.service.exports import Exports
from app.service.firing import LEASE_MS, Firing, FiringParts
from app.service.jobs import Jobs
from app.service.scheduled_jobs import ScheduledJobs
from tests.integration.http.harness import Plane, refusal
from tests.integration.http.test_jobs_api import JOBS, definition, done, started
from tests.integration.stream.harness import eventually

pytestmark = pytest.mark.redis

SCHEDULES = "/data/core/ups/config/schedules"
DAY_MS = 86_400_000
Json = dict[str, Any]


class _Dies(Jobs):
    """Starts a job, and then its process is gone."""

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        await super().start(tenant, segment_ids, origin=origin)
        raise asyncio.CancelledError


class _DiesBetween(Exports):
    """Starts the evaluation before an export, and then its process is gone."""

    async def start(self, tenant: Tenant, request: ExportRequest, *, origin: str) -> str:
        self._kept.start = _dies  # type: ignore[method-assign]  # a process that ends here
        return await super().start(tenant, request, origin=origin)


async def _dies(tenant: Tenant, job: NewJob) -> str:
    raise asyncio.CancelledError


def firing_of(
    plane: Plane, kind: type[Jobs] = Jobs, export_kind: type[Exports] = Exports
) -> Firing:
    """Return what an API process on its own has."""
    jobs = kind(plane.jobs, plane.store, secrets.token_hex, now_ms)
    exports = export_kind(
        RedisJobStore(plane.redis, plane.prefix, "export"),
        plane.store,
        jobs,
        lambda _: ["members"],
        secrets.token_hex,
        now_ms,
    )
    store = RedisScheduleStore(plane.redis, plane.prefix)
    journal = LoggedFirings(HttpMetrics())
    scheduled = ScheduledJobs(plane.store, jobs, exports)
    return Firing(FiringParts(store, scheduled, journal, secrets.token_hex))


@asynccontextmanager
async def loops(plane: Plane, count: int, clock: Callable[[], int]) -> AsyncIterator[None]:
    """Run the loops of several API processes side by side."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(ScheduleLoop(firing_of(plane), clock, 0.02).running())
        yield


async def created(client: httpx.AsyncClient, **changed: Any) -> Json:
    whole = {
        "name": "nightly",
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 15 2 * * ?",
        "state": "active",
        **changed,
    }
    answer = await client.post(SCHEDULES, json=whole)
    assert answer.status_code == 200, answer.text
    schedule: Json = answer.json()
    return schedule


async def shown(client: httpx.AsyncClient, schedule: Json) -> Json:
    found: Json = (await client.get(f"{SCHEDULES}/{schedule['id']}")).json()
    return found


async def run(client: httpx.AsyncClient, schedule: Json) -> Json:
    """Wait for the last run of a schedule, and return it."""

    async def noted() -> Json | None:
        return (await shown(client, schedule)).get("lastRun")

    found: Json = await eventually(noted)
    return found


async def scheduled_jobs(client: httpx.AsyncClient) -> list[Json]:
    found = await client.get(JOBS, params={"property": "source==scheduler"})
    jobs: list[Json] = found.json()["children"]
    return jobs


async def test_a_due_schedule_starts_one_job_of_what_it_names(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    await definition(client, "two")
    schedule = await created(client, properties={"segments": [one]})
    due_ms = schedule["nextRunTime"]
    now = [due_ms - 1]
    async with loops(plane, 3, lambda: now[0]):
        assert await scheduled_jobs(client) == []
        now[0] = due_ms + 200
        last = await run(client, schedule)
        now[0] = due_ms + DAY_MS - 1
    [job] = await scheduled_jobs(client)
    assert last == {
        "dueTime": due_ms,
        "time": due_ms + 200,
        "outcome": "started",
        "jobId": job["id"],
    }
    assert job["requestId"] == f"{schedule['id']}-{due_ms}"
    assert job["properties"]["scheduleId"] == schedule["id"]
    assert [segment["segmentId"] for segment in job["segments"]] == [one]
    assert (await shown(client, schedule))["nextRunTime"] == due_ms + DAY_MS
    assert await done(plane, 3) == job["id"]


async def test_a_process_that_dies_once_the_job_is_there_makes_no_second_one(plane: Plane) -> None:
    client = plane.client()
    await definition(client, "one")
    schedule = await created(client)
    due_ms = schedule["nextRunTime"]
    with pytest.raises(asyncio.CancelledError):
        await firing_of(plane, _Dies).round(due_ms)
    [job] = await scheduled_jobs(client)
    assert "lastRun" not in await shown(client, schedule)
    async with loops(plane, 2, lambda: due_ms + LEASE_MS):
        last = await run(client, schedule)
    assert (last["dueTime"], last["jobId"]) == (due_ms, job["id"])
    assert await scheduled_jobs(client) == [job]


async def test_what_was_missed_is_run_once_or_skipped(plane: Plane) -> None:
    client = plane.client()
    await definition(client, "one")
    caught_up, skipped = [
        await created(client, missedRuns=missed) for missed in ("run-once", "skip")
    ]
    due_ms = caught_up["nextRunTime"]
    back_ms = due_ms + 3 * DAY_MS + 3_600_000
    async with loops(plane, 2, lambda: back_ms):
        last = await run(client, caught_up)
        passed_over = await run(client, skipped)
    [job] = await scheduled_jobs(client)
    assert last == {"dueTime": due_ms, "time": back_ms, "outcome": "started", "jobId": job["id"]}
    assert passed_over["outcome"] == "skipped"
    assert "jobId" not in passed_over
    for schedule in (caught_up, skipped):
        assert (await shown(client, schedule))["nextRunTime"] == due_ms + 4 * DAY_MS


async def test_a_run_leaves_out_what_workers_cannot_compile(plane: Plane) -> None:
    client = plane.client()
    good, bad = await definition(client, "good"), await definition(client, "bad")
    both = await created(client, properties={"segments": [good, bad]})
    only = await created(client, properties={"segments": [bad]})
    loaded = await plane.store.load(plane.tenant)
    await plane.store.report_failures(plane.tenant, loaded.tag, {bad: "it is too large"})
    await firing_of(plane).round(both["nextRunTime"])
    [job] = await scheduled_jobs(client)
    assert [segment["segmentId"] for segment in job["segments"]] == [good]
    assert job["properties"]["scheduleId"] == both["id"]
    last = await run(client, only)
    assert last["outcome"] == "failed"
    assert "none of the audiences" in last["reason"]


async def test_a_full_queue_is_429_to_a_trigger_and_makes_a_firing_wait(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.service.kept_jobs.MOST_UNFINISHED", 1)
    client = plane.client()
    await started(client, await definition(client, "one"))
    schedule = await created(client)
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": schedule["id"]})
    assert "not finished yet" in refusal(answer, 429, "SEG-JOBS-BUSY-429")
    assert answer.headers["retry-after"] == "1"
    due_ms, firing = schedule["nextRunTime"], firing_of(plane)
    await firing.round(due_ms)
    assert await scheduled_jobs(client) == []
    assert "lastRun" not in await shown(client, schedule)
    await done(plane, 3)
    await firing.round(due_ms + LEASE_MS)
    [job] = await scheduled_jobs(client)
    assert (await run(client, schedule))["jobId"] == job["id"]


async def test_a_trigger_without_a_definition_is_refused(plane: Plane) -> None:
    client = plane.client()
    schedule = await created(client)
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": schedule["id"]})
    assert "no published definition" in refusal(answer, 400, "SEG-JOB-INVALID-400")


def export_of(segment_id: str, **changed: Any) -> Json:
    """Return the type and properties of a schedule of exports."""
    properties = {
        **{"schema": {"name": "_xdm.context.profile"}, "fields": "person.name"},
        "filter": {"segments": [{"segmentId": segment_id}]},
        "destination": {"datasetId": "members"},
    }
    return {"type": "export", "properties": properties | changed}


async def exports_of(client: httpx.AsyncClient) -> list[Json]:
    records: list[Json] = (await client.get("/data/core/ups/export/jobs")).json()["records"]
    return records


async def test_a_due_schedule_of_exports_starts_one_export_of_what_it_says(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    schedule = await created(client, **export_of(one))
    due_ms = schedule["nextRunTime"]
    async with loops(plane, 3, lambda: due_ms + 200):
        last = await run(client, schedule)
    [job] = await exports_of(client)
    assert (last["dueTime"], last["jobId"]) == (due_ms, str(job["id"]))
    assert (job["source"], job["requestId"]) == ("scheduler", f"{schedule['id']}-{due_ms}")
    assert job["properties"]["scheduleId"] == schedule["id"]
    assert job["destination"]["datasetId"] == "members"
    assert job["fields"] == "person.name"
    assert [each["segmentId"] for each in job["filter"]["segments"]] == [one]
    assert (await shown(client, schedule))["nextRunTime"] == due_ms + DAY_MS
    assert await scheduled_jobs(client) == []
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": schedule["id"]})
    assert answer.status_code == 200, answer.text
    assert len(await exports_of(client)) == 2


async def test_missed_exports_are_run_once_or_skipped(plane: Plane) -> None:
    client = plane.client()
    asked = export_of(await definition(client, "one"))
    caught_up, skipped = [
        await created(client, **asked, missedRuns=missed) for missed in ("run-once", "skip")
    ]
    await firing_of(plane).round(caught_up["nextRunTime"] + 3 * DAY_MS + 3_600_000)
    [job] = await exports_of(client)
    assert job["properties"]["scheduleId"] == caught_up["id"]
    assert (await run(client, skipped))["outcome"] == "skipped"


async def test_a_process_that_dies_after_the_evaluation_starts_each_job_once(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    asked = export_of(one, evaluationInfo={"segmentation": True})
    schedule = await created(client, **asked)
    due_ms = schedule["nextRunTime"]
    with pytest.raises(asyncio.CancelledError):
        await firing_of(plane, export_kind=_DiesBetween).round(due_ms)
    [before] = await scheduled_jobs(client)
    assert await exports_of(client) == []
    for _ in range(2):
        await firing_of(plane).round(due_ms + LEASE_MS)
    [job] = await exports_of(client)
    assert [each["id"] for each in await scheduled_jobs(client)] == [before["id"]]
    assert job["computeGatewayJobId"]["pushJob"] == before["id"]
    assert before["properties"]["scheduleId"] == schedule["id"]


async def test_an_export_of_what_is_gone_is_a_failed_run_that_names_it(plane: Plane) -> None:
    client = plane.client()
    one, two = await definition(client, "one"), await definition(client, "two")
    segments = [{"segmentId": one}, {"segmentId": two}]
    schedule = await created(client, **export_of(one, filter={"segments": segments}))
    assert (await client.delete(f"/data/core/ups/segment/definitions/{two}")).status_code == 200
    await firing_of(plane).round(schedule["nextRunTime"])
    last = await run(client, schedule)
    assert last["outcome"] == "failed"
    assert two in last["reason"]
    assert await exports_of(client) == []
