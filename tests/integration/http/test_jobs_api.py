"""`/segment/jobs` against a real Redis, with a worker played by the test."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.adapters.redis.job_source import RedisJobSource
from app.domain.jobs import JobCounts, JobError, SegmentCount
from tests.integration.http.harness import (
    DEFINITIONS,
    Plane,
    created_audience,
    definition_body,
    in_segment,
    refusal,
)

pytestmark = pytest.mark.redis

JOBS = "/data/core/ups/segment/jobs"
NOW = 4_000_000_000_000
Json = dict[str, Any]


async def definition(client: httpx.AsyncClient, name: str) -> str:
    answer = await client.post(DEFINITIONS, json=definition_body(name))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def started(client: httpx.AsyncClient, *ids: str) -> Json:
    answer = await client.post(JOBS, json=[{"segmentId": one} for one in ids])
    assert answer.status_code == 200, answer.text
    job: Json = answer.json()
    return job


async def done(plane: Plane, realized: int, partitions: int = 2) -> str:
    """Do the job whose turn it is; return its id."""
    source = RedisJobSource(plane.redis, plane.prefix)
    task, _ = (await source.tasks(NOW))[plane.tenant]
    for partition in range(partitions):
        counts = JobCounts([SegmentCount(realized, 1, {"email": 1}) for _ in task.segments], 9)
        await source.report(plane.tenant, task.job_id, partition, counts, NOW)
    assert await source.complete(plane.tenant, task, partitions, NOW)
    return task.job_id


async def status_of(client: httpx.AsyncClient, job_id: str) -> str:
    return str((await client.get(f"{JOBS}/{job_id}")).json()["status"])


async def test_a_job_is_answered_as_new_and_can_be_looked_up(client: httpx.AsyncClient) -> None:
    one, two = await definition(client, "one"), await definition(client, "two")
    headers = {"x-request-id": "r-1", "x-profile-instance-id": "mine"}
    sent = [{"segmentId": two}, {"segmentId": one}]
    job = (await client.post(JOBS, json=sent, headers=headers)).json()
    assert job["status"] == "NEW"
    assert (job["source"], job["requestId"], job["profileInstanceId"]) == ("api", "r-1", "mine")
    assert [segment["segmentId"] for segment in job["segments"]] == [two, one]
    assert job["segments"][0]["segment"]["expression"]["value"] == "person.age > 30"
    assert job["metrics"] == {
        "totalTime": {"startTimeInMs": job["creationTime"]},
        "profileSegmentationTime": {},
    }
    assert job["_links"]["cancel"] == {"href": f"/segment/jobs/{job['id']}", "method": "DELETE"}
    assert (await client.get(f"{JOBS}/{job['id']}")).json() == job
    assert (await started(client, one))["computeJobId"] == job["computeJobId"] + 1


async def test_a_whole_job_has_every_published_definition(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    await created_audience(client, "draft", lifecycleState="draft")
    schema = {"schema": {"name": "_xdm.context.profile"}}
    for body in ({**schema, "segments": [{"segmentId": "*"}]}, [{"segmentId": "*"}]):
        job = (await client.post(JOBS, json=body)).json()
        assert job["segments"] == [{"segmentId": "*"}]
        assert await done(plane, 3) == job["id"]
        metrics = (await client.get(f"{JOBS}/{job['id']}")).json()["metrics"]
        assert metrics["totalProfiles"] == 18
        assert metrics["segmentedProfileCounter"] == {one: 6}
        assert metrics["segmentedProfileByStatusCounter"] == {one: {"realized": 6, "exited": 2}}
        assert metrics["segmentedProfileByNamespaceCounter"] == {one: {"email": 2}}
        assert list(metrics["totalProfilesByMergePolicy"].values()) == [18]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        [{"id": "x"}],
        [{"segmentId": "*"}, {"segmentId": "x"}],
        {"segments": []},
        {"schema": {"name": "other"}, "segments": [{"segmentId": "*"}]},
        [{"segmentId": str(n)} for n in range(1_501)],
    ],
)
async def test_a_body_of_another_form_is_refused(client: httpx.AsyncClient, body: Any) -> None:
    refusal(await client.post(JOBS, json=body), 400, "SEG-INVALID-BODY-400")


async def test_what_cannot_be_evaluated_is_refused(plane: Plane) -> None:
    client = plane.client()
    text = refusal(await client.post(JOBS, json=[{"segmentId": "*"}]), 400, "SEG-JOB-INVALID-400")
    assert "no published definition" in text
    draft = (await created_audience(client, "draft", lifecycleState="draft"))["id"]
    text = refusal(await client.post(JOBS, json=[{"segmentId": draft}]), 400, "SEG-JOB-INVALID-400")
    assert "is draft" in text
    theirs = await definition(plane.other_client(), "theirs")
    text = refusal(
        await client.post(JOBS, json=[{"segmentId": theirs}]), 400, "SEG-JOB-INVALID-400"
    )
    assert theirs in text


async def test_states_and_cancelling(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    first, second, third = [(await started(client, one))["id"] for _ in range(3)]
    source = RedisJobSource(plane.redis, plane.prefix)
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    assert task.job_id == first
    assert [await status_of(client, job) for job in (first, second)] == ["PROCESSING", "QUEUED"]

    for job in (first, second):
        answer = await client.delete(f"{JOBS}/{job}")
        assert (answer.status_code, answer.content) == (204, b"")
    # Nobody is at the second one.
    assert [await status_of(client, job) for job in (first, second)] == ["CANCELLING", "CANCELLED"]
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    assert (task.job_id, await status_of(client, first)) == (third, "CANCELLED")
    assert (await client.delete(f"{JOBS}/{first}")).status_code == 204
    # What comes late of a job that was cancelled counts for nothing.
    assert await source.report(plane.tenant, first, 0, JobCounts.zero(1), NOW) == 0

    error = JobError("definition-changed", "why")
    assert await source.fail(plane.tenant, third, error, NOW)
    assert not await source.fail(plane.tenant, third, error, NOW)
    failed = (await client.get(f"{JOBS}/{third}")).json()
    assert failed["errors"] == [{"code": "definition-changed", "msg": "why", "callStack": ""}]
    refusal(await client.delete(f"{JOBS}/{third}"), 409, "SEG-JOB-ENDED-409")
    refusal(await client.delete(f"{JOBS}/none"), 404, "SEG-JOB-NOT-FOUND-404")
    assert await source.tasks(NOW) == {}


async def test_a_job_knows_what_its_definitions_ask_at_any_depth(plane: Plane) -> None:
    client = plane.client()
    base = await definition(client, "base")
    middle = await asking(client, "middle", base)
    job = await started(client, await asking(client, "top", middle))
    (task, _) = (await RedisJobSource(plane.redis, plane.prefix).tasks(NOW))[plane.tenant]
    assert task.asked == ((middle, 1), (base, 1))
    assert len(job["segments"]) == len(task.segments) == 1


async def asking(client: httpx.AsyncClient, name: str, asked: str) -> str:
    answer = await client.post(DEFINITIONS, json=definition_body(name, in_segment(asked)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def test_only_the_first_report_of_a_partition_counts(plane: Plane) -> None:
    client = plane.client()
    job = await started(client, await definition(client, "one"))
    source = RedisJobSource(plane.redis, plane.prefix)
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    once, again = JobCounts([SegmentCount(1)], 1), JobCounts([SegmentCount(5)], 5)
    for counts in (once, again):
        assert await source.report(plane.tenant, job["id"], 0, counts, NOW) == 1
    assert not await source.complete(plane.tenant, task, 2, NOW)
    assert await source.report(plane.tenant, job["id"], 1, once, NOW) == 2
    assert (await source.tasks(NOW))[plane.tenant] == (task, 2)
    assert await source.complete(plane.tenant, task, 2, NOW)
    assert not await source.complete(plane.tenant, task, 2, NOW)
    assert (await client.get(f"{JOBS}/{job['id']}")).json()["metrics"]["totalProfiles"] == 2


async def test_lists(plane: Plane) -> None:
    client = plane.client()
    one, two = await definition(client, "one"), await definition(client, "two")
    ids = [(await started(client, one if n % 2 else two))["id"] for n in range(5)]
    await done(plane, 1)

    async def listed(**parameters: Any) -> list[str]:
        answer = await client.get(JOBS, params={"sort": "computeJobId:asc", **parameters})
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["children"]]

    assert await listed() == ids
    assert await listed(status="SUCCEEDED") == ids[:1]
    assert await listed(property=f"segments~segmentId=={one}") == [ids[1], ids[3]]
    assert await listed(property=["source==api", f"id=={ids[2]}"]) == [ids[2]]
    assert await listed(sort="computeJobId:desc", limit=2) == ids[:2:-1]
    assert sorted(await listed(sort="")) == sorted(ids)

    seen: list[str] = []
    path = f"{JOBS}?limit=2&sort=computeJobId:asc&property=source==api"
    while path:
        page = (await client.get(path)).json()
        assert page["_page"] == {"totalCount": 5, "pageSize": len(page["children"])}
        seen += [job["id"] for job in page["children"]]
        following = page["_links"]["next"]
        path = following and following["href"].replace("@/segment/jobs", JOBS)
    assert seen == ids


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "DONE"},
        {"sort": "name"},
        {"property": "segments"},
        {"property": "nothing==1"},
        {"snapshot.name": "x"},
        {"start": -1},
        {"limit": 0},
    ],
)
async def test_a_parameter_that_cannot_be_is_refused(
    client: httpx.AsyncClient, parameters: Json
) -> None:
    answer = await client.get(JOBS, params=parameters)
    refusal(answer, 400, "SEG-INVALID-PARAMETER-400")


async def test_bulk_get(client: httpx.AsyncClient) -> None:
    job = await started(client, await definition(client, "one"))
    path = f"{JOBS}/bulk-get"
    answer = await client.post(path, json={"ids": [{"id": job["id"]}, {"id": "none"}]})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert results[job["id"]] == job
    assert results["none"]["status"] == 404
    answer = await client.post(path, json={"ids": [{"id": "none"}]})
    refusal(answer, 404, "SEG-JOBS-NOT-FOUND-404")
    refusal(await client.post(path, json={"ids": []}), 400, "SEG-INVALID-BODY-400")


async def test_tenants_see_nothing_of_each_other(plane: Plane) -> None:
    mine, other = plane.client(), plane.other_client()
    job = await started(mine, await definition(mine, "one"))
    dev = plane.client(x_sandbox_name="dev")
    for stranger in (other, dev):
        assert (await stranger.get(JOBS)).json()["children"] == []
        for call in (stranger.get, stranger.delete):
            refusal(await call(f"{JOBS}/{job['id']}"), 404, "SEG-JOB-NOT-FOUND-404")
    source = RedisJobSource(plane.redis, plane.prefix)
    assert list(await source.tasks(NOW)) == [plane.tenant]


async def test_too_many_jobs_are_refused_until_some_have_ended(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    for _ in range(100):
        await started(client, one)
    answer = await client.post(JOBS, json=[{"segmentId": one}])
    refusal(answer, 429, "SEG-JOBS-BUSY-429")
    assert answer.headers["retry-after"]
    await done(plane, 0)
    await started(client, one)


async def test_what_has_ended_is_kept_for_the_time_that_is_set(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    old = (await started(client, one))["id"]
    await done(plane, 0)
    young = (await started(client, one))["id"]
    await plane.jobs.forget(plane.tenant, NOW)
    assert await status_of(client, old) == "SUCCEEDED"
    await plane.jobs.forget(plane.tenant, NOW + 1)
    refusal(await client.get(f"{JOBS}/{old}"), 404, "SEG-JOB-NOT-FOUND-404")
    assert [job["id"] for job in (await client.get(JOBS)).json()["children"]] == [young]
