"""`/export/jobs` against a real Redis, with a worker played by the test."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.adapters.redis.job_source import RedisJobSource
from app.domain.exports import ExportCounts
from app.domain.jobs import JobError
from tests.integration.http.harness import Plane, refusal
from tests.integration.http.test_jobs_api import JOBS, NOW, definition

pytestmark = pytest.mark.redis

EXPORTS = "/data/core/ups/export/jobs"
BODY: dict[str, Any] = {"schema": {"name": "_xdm.context.profile"}}
Json = dict[str, Any]


async def exported(client: httpx.AsyncClient, **body: Any) -> Json:
    answer = await client.post(EXPORTS, json={**BODY, **body})
    assert answer.status_code == 200, answer.text
    job: Json = answer.json()
    assert answer.headers["x-location"] == f"/export/jobs/{job['id']}"
    return job


async def export_done(plane: Plane, exported_: int, partitions: int = 2) -> str:
    """Do the job whose turn it is, as workers would."""
    source = RedisJobSource(plane.redis, plane.prefix)
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    counts = ExportCounts(exported_, 0, exported_, exported_, {"email": 1})
    for partition in range(partitions):
        await source.report(plane.tenant, task.job_id, partition, counts, NOW)
    assert await source.close(plane.tenant, task.job_id, partitions, NOW)
    assert await source.complete(plane.tenant, task, partitions, NOW)
    return task.job_id


async def shown(client: httpx.AsyncClient, job: Json) -> Json:
    found: Json = (await client.get(f"{EXPORTS}/{job['id']}")).json()
    return found


async def test_an_export_is_answered_as_new_and_ends_with_counts(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    asked: Json = {
        "fields": "person.name, homeAddress.city",
        "filter": {
            "segments": [{"segmentId": one, "status": ["realized", "existing", "exited"]}],
            "segmentQualificationTime": {"startTime": "2026-01-01 00:00:00+00:00"},
        },
        "additionalFields": {
            "eventList": {"filter": {"toIngestTimestamp": "2026-02-01T00:00:00Z"}}
        },
    }
    answer = await client.post(
        EXPORTS,
        json={**BODY, **asked, "destination": {"datasetId": "members"}},
        headers={"x-request-id": "r-1", "x-profile-instance-id": "mine"},
    )
    job = answer.json()
    assert answer.status_code == 200, answer.text
    assert (job["status"], job["requestId"], job["profileInstanceId"]) == ("NEW", "r-1", "mine")
    assert isinstance(job["id"], int)
    assert job["metrics"] == {"totalTime": {"startTimeInMs": job["creationTime"]}}
    assert job["fields"] == asked["fields"]
    assert job["additionalFields"] == asked["additionalFields"]
    assert job["destination"].keys() == {"datasetId", "segmentPerBatch", "batchId"}
    source = RedisJobSource(plane.redis, plane.prefix)
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    export = task.export
    assert export is not None
    assert task.job_id == str(job["id"])
    assert export.fields == ("person.name", "homeAddress.city")
    assert export.segments[0].statuses == ("realized", "exited")
    assert (export.from_ms, export.dataset_id) == (1_767_225_600_000, "members")
    assert export.events is not None
    assert (await shown(client, job))["status"] == "PROCESSING"
    await export_done(plane, 3)
    ended = await shown(client, job)
    assert (ended["status"], ended["errors"]) == ("SUCCEEDED", [])
    metrics = ended["metrics"]
    assert metrics["totalExportedProfileCounter"] == 6
    assert metrics["exportedProfileByNamespaceCounter"] == {"email": 2}
    assert set(metrics) >= {"profileExportTime", "aCPDatasetWriteTime"}
    # A segment job that has the number as its id does not exist.
    refusal(await client.get(f"{JOBS}/{job['id']}"), 404, "SEG-JOB-NOT-FOUND-404")


async def test_each_segment_can_have_a_batch_of_its_own(plane: Plane) -> None:
    client = plane.client()
    ids = [await definition(client, name) for name in ("one", "two")]
    job = await exported(
        client,
        filter={"segments": [{"segmentId": one} for one in ids]},
        destination={"datasetId": "members", "segmentPerBatch": True},
    )
    batches = job["destination"]["batches"]
    assert [one["segmentId"] for one in batches] == ids
    assert len({one["batchId"] for one in batches}) == 2
    assert "batchId" not in job["destination"]


SEGMENT = {"segmentId": "x"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"schema": None}, "schema"),
        ({"schema": {"name": "other"}}, "schema.name"),
        ({"colour": 1}, "colour"),
        ({"mergePolicy": {"id": "x", "version": 1 << 64}}, "mergePolicy.version"),
        ({"filter": {"segment": []}}, "filter.segment"),
        ({"filter": {"segments": []}}, "filter.segments"),
        ({"filter": {"segments": [{}]}}, "segmentId"),
        ({"filter": {"segments": [{**SEGMENT, "status": ["gone"]}]}}, "status"),
        ({"filter": {"segments": [{**SEGMENT, "status": []}]}}, "status"),
        ({"filter": {"emptyProfiles": "yes"}}, "emptyProfiles"),
        ({"filter": {"fromIngestTimestamp": "2026-01-01"}}, "time zone"),
        ({"filter": {"fromIngestTimestamp": 5}}, "time zone"),
        (
            {
                "filter": {
                    "segmentQualificationTime": {
                        "startTime": "2026-02-01T00:00:00Z",
                        "endTime": "2026-01-01T00:00:00Z",
                    }
                }
            },
            "startTime is after endTime",
        ),
        ({"fields": "a..b"}, "dotted paths"),
        ({"additionalFields": {"eventList": {"fields": ""}}}, "eventList.fields"),
        ({"destination": {"segmentPerBatch": True}}, "datasetId"),
    ],
)
async def test_a_body_of_another_form_is_refused(
    client: httpx.AsyncClient, body: Json, told: str
) -> None:
    answer = await client.post(EXPORTS, json={**BODY, **body})
    assert told in refusal(answer, 400, "SEG-INVALID-BODY-400")


async def test_what_cannot_be_exported_is_refused(plane: Plane) -> None:
    client = plane.client()
    one = await definition(client, "one")
    theirs = await definition(plane.other_client(), "theirs")
    named = {"filter": {"segments": [{"segmentId": one}]}}
    cases: list[tuple[Json, str]] = [
        ({"destination": {"datasetId": "unknown"}}, "SEG_DATASETS names members"),
        ({"filter": {"segments": [{"segmentId": theirs}]}}, theirs),
        ({"filter": {"segments": [{"segmentId": one}] * 2}}, "twice"),
        ({"destination": {"datasetId": "members", "segmentPerBatch": True}}, "0 segments"),
        ({**named, "mergePolicy": {"id": "none"}}, "mergePolicy.id"),
        ({"mergePolicy": {"id": "none"}}, "mergePolicy.id"),
        (
            {
                "filter": {"segments": [{"segmentId": "x", "segmentNs": "lists"}]},
                "evaluationInfo": {"segmentation": True},
            },
            "other namespaces",
        ),
    ]
    for body, told in cases:
        answer = await client.post(EXPORTS, json={**BODY, **body})
        assert told in refusal(answer, 400, "SEG-JOB-INVALID-400")
    answer = await plane.other_client().post(
        EXPORTS, json={**BODY, "destination": {"datasetId": "members"}}
    )
    assert "none for this sandbox" in refusal(answer, 400, "SEG-JOB-INVALID-400")


async def test_states_and_cancelling(plane: Plane) -> None:
    client = plane.client()
    first, second, third, fourth = [await exported(client) for _ in range(4)]
    source = RedisJobSource(plane.redis, plane.prefix)
    assert (await source.tasks(NOW))[plane.tenant][0].job_id == str(first["id"])
    for job in (first, second):
        answer = await client.delete(f"{EXPORTS}/{job['id']}")
        assert answer.status_code == 200
        assert answer.json()["status"] is True
    waiting = await shown(client, second)
    assert (waiting["status"], waiting["errors"][0]["code"]) == ("FAILED", "cancelled")
    assert (await shown(client, first))["status"] == "PROCESSING"
    assert (await source.tasks(NOW))[plane.tenant][0].job_id == str(third["id"])
    assert (await shown(client, first))["status"] == "FAILED"

    counts = ExportCounts(1, 0, 1, 1)
    await source.report(plane.tenant, str(third["id"]), 0, counts, NOW)
    assert await source.close(plane.tenant, str(third["id"]), 2, NOW) is None
    await source.report(plane.tenant, str(third["id"]), 1, counts, NOW)
    reports = await source.close(plane.tenant, str(third["id"]), 2, NOW)
    assert reports == {0: counts, 1: counts}
    # Its end is being told.
    refusal(await client.delete(f"{EXPORTS}/{third['id']}"), 409, "SEG-JOB-ENDED-409")
    assert await export_done(plane, 1) == str(third["id"])
    (task, _) = (await source.tasks(NOW))[plane.tenant]
    assert await source.fail(plane.tenant, task.job_id, JobError("dataset-failed", "why"), NOW)
    failed = await shown(client, fourth)
    assert failed["errors"] == [{"code": "dataset-failed", "msg": "why", "callStack": ""}]
    refusal(await client.delete(f"{EXPORTS}/{fourth['id']}"), 409, "SEG-JOB-ENDED-409")
    for unknown in ("999", "none"):
        for call in (client.get, client.delete):
            answer = await call(f"{EXPORTS}/{unknown}")
            assert "export job" in refusal(answer, 404, "SEG-JOB-NOT-FOUND-404")


async def test_only_what_was_staged_is_left_over(plane: Plane) -> None:
    client = plane.client()
    staged = await exported(client, destination={"datasetId": "members"})
    await exported(client)
    source = RedisJobSource(plane.redis, plane.prefix)
    for _ in range(2):
        await source.tasks(NOW)
        (task, _) = (await source.tasks(NOW))[plane.tenant]
        await client.delete(f"{EXPORTS}/{task.job_id}")
        await source.tasks(NOW)
    key = plane.tenant, str(staged["id"])
    batch = staged["destination"]["batchId"]
    assert await source.leftovers() == {key: ("members", batch)}
    await source.forget_leftover(*key)
    assert await source.leftovers() == {}


async def test_lists(plane: Plane) -> None:
    client = plane.client()
    await definition(client, "one")
    jobs = [await exported(client) for _ in range(5)]
    await client.post(JOBS, json=[{"segmentId": "*"}])
    ids = [job["id"] for job in jobs]
    await export_done(plane, 1)
    seen: list[int] = []
    path = f"{EXPORTS}?limit=2"
    while path:
        page = (await client.get(path)).json()
        assert page["page"]["pageSize"] == len(page["records"])
        last = page["records"][-1]
        assert page["page"]["pageOffset"] == f"{last['creationTime']}_{last['id']}"
        assert (page["page"]["sortField"], page["page"]["sort"]) == ("createdTime", "desc")
        seen += [job["id"] for job in page["records"]]
        following = page["link"]["next"]
        assert following.startswith("/export/jobs/?") or not following
        path = following and following.replace("/export/jobs/", f"{EXPORTS}/")
    assert seen == ids[::-1]
    for status, expected in (("SUCCEEDED", ids[:1]), ("NEW", ids[:0:-1]), ("FAILED", [])):
        found = (await client.get(EXPORTS, params={"status": status})).json()["records"]
        assert [job["id"] for job in found] == expected
    (segment_job,) = (await client.get(JOBS)).json()["children"]
    assert segment_job["id"] not in ids
    for bad in ({"status": "DONE"}, {"offset": "x"}, {"limit": 0}, {"start": 1}):
        refusal(await client.get(EXPORTS, params=bad), 400, "SEG-INVALID-PARAMETER-400")


async def test_tenants_see_nothing_of_each_other(plane: Plane) -> None:
    job = await exported(plane.client())
    for stranger in (plane.other_client(), plane.client(x_sandbox_name="dev")):
        assert (await stranger.get(EXPORTS)).json()["records"] == []
        for call in (stranger.get, stranger.delete):
            refusal(await call(f"{EXPORTS}/{job['id']}"), 404, "SEG-JOB-NOT-FOUND-404")


async def test_an_evaluation_before_the_export_is_a_segment_job(plane: Plane) -> None:
    client = plane.client()
    answer = await client.post(EXPORTS, json={**BODY, "evaluationInfo": {"segmentation": True}})
    assert "no published definition" in refusal(answer, 400, "SEG-JOB-INVALID-400")
    await definition(client, "one")
    job = await exported(client, evaluationInfo={"segmentation": True})
    before = job["computeGatewayJobId"]["pushJob"]
    assert (await client.get(f"{JOBS}/{before}")).json()["segments"] == [{"segmentId": "*"}]
    source = RedisJobSource(plane.redis, plane.prefix)
    assert (await source.tasks(NOW))[plane.tenant][0].job_id == before
    await client.delete(f"{JOBS}/{before}")
    assert await source.tasks(NOW) == {}
    failed = await shown(client, job)
    assert (failed["status"], failed["errors"][0]["code"]) == ("FAILED", "evaluation-failed")
