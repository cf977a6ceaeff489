"""`/data/core/ais` and external audiences at `/audiences`, without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.adapters.imports.connections import Connection
from app.adapters.imports.sources import FileSources
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    add,
    created_audience,
    definition_body,
    in_segment,
    refusal,
    running_plane,
)
from tests.integration.stream.harness import eventually
from tests.services import Names

pytestmark = pytest.mark.redis

AIS = "/data/core/ais"
ONES = f"{AIS}/external-audience"
BAD = "100910-400"
INVALID = "UPAPI-113434-400"
VERSION = "application/vnd.adobe.external.audiences+json; version=2"
FIELDS = [{"name": "member", "type": "string", "identityNs": "email"}]


def body(**more: Any) -> dict[str, Any]:
    return {
        "name": "loyal",
        "fields": FIELDS,
        "sourceSpec": {"params": {"path": "m.csv", "type": "file", "cloudType": "DLZ"}},
        "originName": "CUSTOM_UPLOAD",
        **more,
    }


def params(**more: Any) -> dict[str, Any]:
    return {"sourceSpec": {"params": {"path": "m.csv", "type": "file", **more}}}


@pytest.fixture
async def plane(redis: Redis, names: Names, tmp_path: Path) -> AsyncIterator[Plane]:
    folder = tmp_path / "zone" / names.org_id / "prod"
    folder.mkdir(parents=True)
    (folder / "m.csv").write_text("member\na\n")
    store = Connection("S3", "bucket", names.org_id, frozenset({"dev"}), {"secret": "s3cret"})
    sources = FileSources(tmp_path / "zone", {"of-dev": store})
    async with running_plane(
        redis, names.redis_key_prefix, names.org_id, tmp_path, sources=sources
    ) as running:
        yield running


async def made(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    """Ask for an audience; return its operation once that has ended."""
    answer = await client.post(f"{ONES}/", json=body(**more))
    assert answer.status_code == 202, answer.text
    path = f"{ONES}/operations/{answer.json()['operationId']}"

    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(path)).json()
        return found if found["status"] != "PROCESSING" else None

    found: dict[str, Any] = await eventually(ended)
    return found


async def test_an_operation_makes_an_audience(plane: Plane) -> None:
    client = plane.client()
    more = {"ttlInDays": "7", "labels": ["core/C1"], "customAudienceId": "file-7"}
    answer = await client.post(ONES, json=body(**more))
    details = answer.json()["operationDetails"]
    assert answer.status_code == 202
    assert details["ttlInDays"] == 7
    assert details["fields"][0]["identityNs"] == "Email"
    path = f"{AIS}/external-audiences/operations/{answer.json()['operationId']}"
    waiting = (await client.get(path)).json()
    assert (waiting["status"], "audienceId" in waiting) == ("PROCESSING", False)
    refusal(await plane.other_client().get(path), 404, "100940-404")

    async with plane.importer.running():

        async def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = (await client.get(path)).json()
            return found if found["status"] != "PROCESSING" else None

        operation = await eventually(ended)
    assert operation["status"] == "SUCCESS"
    assert operation["operationDetails"] == details
    assert (operation["createdBy"], operation["audienceName"]) == ("one", "loyal")
    assert 0 <= operation["updatedAt"] - operation["createdAt"] < 60
    audience = (await client.get(f"{AUDIENCES}/{operation['audienceId']}")).json()
    assert {
        "audienceId": "file-7",
        "type": "ExternalSegment",
        "originName": "CUSTOM_UPLOAD",
        "namespace": "CustomerAudienceUpload",
        "lifecycleState": "published",
        "labels": ["core/C1"],
        "dependencies": [],
        "evaluationState": "BACKFILLING",
    }.items() <= audience.items()
    assert not {"expression", "schema", "mergePolicyId", "definedOn"} & set(audience)


async def test_operations_that_fail_say_why(plane: Plane) -> None:
    client = plane.client()
    async with plane.importer.running():
        gone = await made(client, **params(path="none.csv"))
        assert (gone["status"], gone["reason"]) == ("FAILED", "there is no file none.csv")
        kind = await made(client, **params(path="m.csv", type="folder"))
        assert "is not a folder" in kind["reason"]
        assert (await made(client))["status"] == "SUCCESS"
        taken = await client.post(f"{ONES}/", json=body())
        assert "loyal" in refusal(taken, 409, "100950-409")


STRICT: list[tuple[dict[str, Any], str]] = [
    ({"surprise": 1}, "surprise"),
    ({"originName": "OTHER"}, "originName"),
    ({"originName": None}, "originName"),
    ({"name": " "}, "name"),
    ({"ttlInDays": 0}, "ttlInDays"),
    ({"ttlInDays": "91"}, "ttlInDays"),
    ({"audienceType": "accounts"}, "audienceType"),
    ({"fields": []}, "fields"),
    ({"fields": [{"name": "a", "type": "string"}]}, "0 columns have an identityNs"),
    ({"fields": [*FIELDS, *FIELDS]}, "listed twice"),
    ({"fields": [{"name": "a", "type": "text", "identityNs": "x"}]}, "fields.0.type"),
    ({"fields": [{"name": "a", "type": "date", "identityNs": "x"}]}, "must be a string"),
    (params(cloudType="S3"), "baseConnectionId"),
    (params(cloudType="DLZ", baseConnectionId="x"), "baseConnectionId"),
    (params(cloudType="FTP"), "cloudType"),
    (params(sourceType="Local"), "sourceType"),
    ({"namespace": "AEPSegments"}, "namespace"),
]
ELSEWHERE = [
    params(path="../other/m.csv"),
    params(path="/"),
    params(cloudType="S3", baseConnectionId="unknown"),
    # That of another sandbox of the same organisation.
    params(cloudType="S3", baseConnectionId="of-dev"),
    params(cloudType="SFTP", baseConnectionId="of-dev"),
]


async def test_bodies_are_strict(client: httpx.AsyncClient) -> None:
    for more, told in STRICT:
        sent = {name: one for name, one in (body() | more).items() if one is not None}
        assert told in refusal(await client.post(f"{ONES}/", json=sent), 400, BAD)


async def test_a_place_that_is_not_the_tenants_is_refused(client: httpx.AsyncClient) -> None:
    for more in ELSEWHERE:
        answer = await client.post(f"{ONES}/", json=body(**more))
        refusal(answer, 422, "100960-422")
        assert "s3cret" not in answer.text


async def test_without_a_landing_zone_its_setting_is_named(
    redis: Redis, names: Names, tmp_path: Path
) -> None:
    async with running_plane(redis, names.redis_key_prefix, names.org_id, tmp_path) as plane:
        answer = await plane.client().post(f"{ONES}/", json=body())
        assert "SEG_IMPORT_ROOT" in refusal(answer, 422, "100960-422")


async def test_who_may_not_call_gets_the_codes_of_ingestion(plane: Plane) -> None:
    path = f"{ONES}/x/runs"
    for changed, status, code in (
        ({"authorization": None}, 401, "100920-401"),
        ({"x_api_key": None}, 401, "100920-401"),
        ({"x_gw_ims_org_id": None}, 401, "100920-401"),
        ({"x_sandbox_name": None}, 401, "100920-401"),
        ({"authorization": "Bearer no"}, 400, "100911-400"),
        ({"x_gw_ims_org_id": "a b"}, 401, "100921-401"),
        ({"x_gw_ims_org_id": "x@AdobeOrg"}, 401, "100922-401"),
        ({"x_api_key": "no"}, 401, "100922-401"),
        ({"x_sandbox_name": "no"}, 401, "100922-401"),
    ):
        answer = await plane.client(**changed).get(path)
        refusal(answer, status, code)
    refusal(await plane.client().get(f"{AIS}/nothing"), 404, "100940-404")
    refusal(await plane.client().get(path), 404, "100940-404")


async def test_metadata_alone_needs_flag_and_version(client: httpx.AsyncClient) -> None:
    sent = {"name": "vip", "audienceId": "vip-1", "namespace": "AAM"}
    path = f"{AIS}/audiences"
    flag, accept = {"createAudienceMetaOnly": "true"}, {"accept": VERSION}
    refusal(await client.post(path, json=sent, headers=accept), 400, BAD)
    refusal(await client.post(path, json=sent, params=flag), 400, BAD)
    answer = await client.post(path, json=sent, params=flag, headers=accept)
    assert answer.status_code == 200
    one = answer.json()
    assert one == {"id": one["id"], "name": "vip", "audienceId": "vip-1"}
    again = await client.post(path, json={**sent, "name": "b"}, params=flag, headers=accept)
    assert "vip-1" in refusal(again, 409, "100950-409")
    run = await client.post(f"{ONES}/{one['id']}/runs", json={"dataFilterStartTime": 0})
    assert "no source" in refusal(run, 422, "100960-422")


async def test_patch_changes_what_it_names(plane: Plane) -> None:
    client = plane.client()
    async with plane.importer.running():
        one = (await made(client))["audienceId"]
    path = f"{ONES}/{one}"
    changes = {"description": "d", "labels": ["core/C2"], "ttlInDays": 90}
    new = {"name": "points", "type": "integer"}
    answer = await client.patch(path, json={**changes, "fields": [new]})
    assert answer.status_code == 200, answer.text
    assert changes.items() <= answer.json().items()
    assert [field["name"] for field in answer.json()["fields"]] == ["member", "points"]
    assert answer.json()["audienceId"] == one
    assert set(answer.json()) == {
        *("audienceId", "audienceName", "description", "fields", "sourceSpec", "ttlInDays"),
        *("labels", "audienceType", "originName", "createdBy", "createdAt", "updatedBy"),
        "updatedAt",
    }
    for wrong in ({"ttlInDays": 91}, {"name": "x"}, {"fields": [{**new, "identityNs": "x"}]}):
        refusal(await client.patch(path, json=wrong), 400, BAD)
    refusal(await client.patch(f"{ONES}/none", json={}), 404, "100940-404")
    own = (await created_audience(client, "made here"))["id"]
    refusal(await client.patch(f"{ONES}/{own}", json={}), 404, "100940-404")
    refusal(await client.delete(f"{ONES}/{own}"), 404, "100940-404")
    refusal(await plane.other_client().delete(path), 404, "100940-404")


async def test_runs_are_one_at_a_time_and_their_times_epoch_seconds(plane: Plane) -> None:
    client = plane.client()
    async with plane.importer.running():
        one = (await made(client))["audienceId"]
    path = f"{ONES}/{one}/runs"
    for wrong in (
        {},
        {"dataFilterStartTime": 1_700_000_000_000},
        {"dataFilterStartTime": "5"},
        {"dataFilterStartTime": 5, "dataFilterEndTime": 4},
        {"dataFilterStartTime": 5, "more": 1},
    ):
        refusal(await client.post(path, json=wrong), 400, BAD)
    answer = await client.post(path, json={"dataFilterStartTime": 5, "dataFilterEndTime": 9})
    run = answer.json()
    assert {
        "audienceName": "loyal",
        "audienceId": one,
        "differentialIngestion": False,
        "dataFilterStartTime": 5,
        "dataFilterEndTime": 9,
        "createdBy": "one",
    }.items() <= run.items()
    assert "in progress" in refusal(
        await client.post(path, json={"dataFilterStartTime": 5}), 422, "100960-422"
    )
    # No worker has heard of the audience: nothing can be told it yet.
    async with plane.importer.running():
        shown = (await client.get(f"{path}/{run['runId']}")).json()
        assert shown["status"] == "PROCESSING"
    refusal(await client.get(f"{path}/none"), 404, "100940-404")
    assert (await client.delete(f"{ONES}/{one}")).status_code == 204
    assert await plane.imports.waiting() == []


async def test_external_audiences_are_audiences_and_no_definitions(plane: Plane) -> None:
    client = plane.client()
    sent = {
        "audienceId": "a-1",
        "name": "outside",
        "namespace": "aam",
        "type": "ExternalSegment",
        "audienceMeta": {"segmentStatus": "ACTIVE"},
        "linkedAudienceRef": {"flowId": "f"},
    }
    answer = await client.post(AUDIENCES, json=sent)
    assert answer.status_code == 201, answer.text
    one = answer.json()
    assert sent.items() <= one.items()
    path = f"{AUDIENCES}/{one['id']}"
    listed = (await client.get(AUDIENCES, params={"property": "audienceId==a-1"})).json()
    assert [row["id"] for row in listed["children"]] == [one["id"]]
    bulk = await client.post(f"{AUDIENCES}/bulk-get", json={"ids": [{"id": one["id"]}]})
    assert bulk.json()["results"][one["id"]] == one

    asking = await client.post(DEFINITIONS, json=definition_body("ask", in_segment(one["id"])))
    assert asking.status_code == 200, asking.text
    assert (await client.get(path)).json()["dependents"] == [asking.json()["id"]]
    assert "ask" in refusal(await client.delete(path), 400, "UPAPI-113631-403")
    for answer in (
        await client.get(f"{DEFINITIONS}/{one['id']}"),
        await client.patch(f"{DEFINITIONS}/{one['id']}", json=definition_body("x")),
        await client.delete(f"{DEFINITIONS}/{one['id']}"),
    ):
        refusal(answer, 404, "SEG-DEFINITION-NOT-FOUND-404")
    found = (await client.get(DEFINITIONS)).json()
    assert [row["name"] for row in found["segments"]] == ["ask"]
    assert found["page"]["totalCount"] == 1
    jobs = "/data/core/ups/segment/jobs"
    job = await client.post(jobs, json=[{"segmentId": one["id"]}])
    assert job.status_code == 400

    patched = await client.patch(path, json=[add("/name", "renamed"), add("/ttlInDays", 9)])
    assert (patched.json()["name"], patched.json()["ttlInDays"]) == ("renamed", 9)
    replaced = await client.put(path, json={"name": "again", "type": "ExternalSegment"})
    assert (replaced.json()["name"], replaced.json()["audienceMeta"]) == (
        "again",
        sent["audienceMeta"],
    )
    await plane.keeper.refresh()
    search = "/data/core/ups/search/namespaces"
    schema = {"schema.name": "_xdm.context.segmentdefinition"}
    names = (await client.get(search, params=schema)).json()["namespaces"]
    assert {row["namespace"]: row["count"] for row in names} == {"AEPSegments": 1, "aam": 1}


async def test_what_an_external_audience_cannot_be(client: httpx.AsyncClient) -> None:
    sent = {"audienceId": "a", "name": "outside", "type": "ExternalSegment"}
    data_set = await client.post(AUDIENCES, json={**sent, "datasetId": "d-1"})
    assert "d-1" in refusal(data_set, 400, "UPLIB-101554-503")
    for more, code in (
        ({"expression": {"value": "a = 1"}}, INVALID),
        ({"namespace": "AEPSegments"}, INVALID),
        ({"lifecycleState": "deleted"}, INVALID),
        ({"originName": "X"}, "UPLIB-101206-500"),
        ({"audienceId": None}, "UPLIB-101206-500"),
    ):
        refusal(await client.post(AUDIENCES, json={**sent, **more}), 400, code)
    one = (await client.post(AUDIENCES, json=sent)).json()
    path = f"{AUDIENCES}/{one['id']}"
    own = await created_audience(client, "made here")
    for answer in (
        await client.patch(path, json=[add("/namespace", "x")]),
        await client.patch(path, json=[add("/expression", {})]),
        await client.put(path, json={**sent, "namespace": "other"}),
        await client.put(path, json=own),
        await client.put(f"{AUDIENCES}/{own['id']}", json=sent),
        await client.put(path, json={**sent, "audienceId": "b"}),
        await client.post(AUDIENCES, json={**sent, "name": "b"}),
    ):
        refusal(answer, 400, INVALID)
    off = await client.patch(path, json=[add("/lifecycleState", "inactive")])
    assert off.json()["evaluationState"] == "REMOVING"
    on = await client.patch(path, json=[add("/lifecycleState", "published")])
    assert on.json()["evaluationState"] == "BACKFILLING"


async def test_work_of_which_nothing_is_stored_is_forgotten(plane: Plane) -> None:
    client = plane.client()
    answer = await client.post(f"{ONES}/", json=body())
    key = plane.imports._keys.external(plane.tenant, "operations")
    await plane.redis.hdel(key, answer.json()["operationId"])

    async def nothing_waits() -> bool:
        return await plane.imports.waiting() == []

    async with plane.importer.running():
        await eventually(nothing_waits)
