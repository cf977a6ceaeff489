"""`/preview` and `/estimate` against a real Redis, with a worker played by the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.adapters.http.definitions import now_ms
from app.adapters.redis.preview_source import RedisPreviewSource
from app.domain.previews import PreviewLimits, PreviewMatch, Share
from tests.integration.http.harness import (
    DEFINITIONS,
    PREVIEW_LIMITS,
    Plane,
    created_audience,
    definition_body,
    in_segment,
    refusal,
    running_plane,
)
from tests.integration.http.stored_profiles import store_profile
from tests.services import Names

pytestmark = pytest.mark.redis

BASE = "/data/core/ups"
PREVIEW = f"{BASE}/preview"
ESTIMATE = f"{BASE}/estimate"
Json = dict[str, Any]
PARTITIONS = 2


async def begun(client: httpx.AsyncClient, text: str = "person.age > 30", **more: Any) -> Json:
    answer = await client.post(PREVIEW, json={"predicateExpression": text, **more})
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


def share(matched: int, read: int = 100, total: int = 100, **more: Any) -> Share:
    given: Json = {"clock_ms": 5, "wanted": read, "by_namespace": {"Email": matched}, **more}
    return Share(total=total, read=read, matched=matched, cursor=None, **given)


async def done(plane: Plane, created: Json, names: list[str], *shares: Share) -> None:
    """Do a preview as workers would; all names are found by the first partition."""
    source = RedisPreviewSource(plane.redis, plane.prefix, len(shares))
    tasks = {one.query_id: one for one in (await source.tasks(now_ms()))[plane.tenant]}
    query_id = tasks[created["previewQueryId"]].query_id
    matches = [PreviewMatch(name, (f"{name}-related",)) for name in names]
    for partition, after in enumerate(shares):
        found = matches if partition == 0 else []
        said = await source.report(plane.tenant, query_id, partition, None, after, found)
        assert said == "ok"


async def test_a_preview_is_answered_as_new_and_can_be_looked_up(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        PREVIEW,
        json={
            "predicateExpression": "person.age > 30",
            "predicateType": "pql/text",
            "predicateModel": "_xdm.context.profile",
            "graphType": "pdg",
        },
    )
    created = answer.json()
    assert answer.status_code == 201
    assert created == {
        "state": "NEW",
        "previewQueryId": created["previewQueryId"],
        "previewQueryStatus": "NEW",
        "previewId": created["previewId"],
        "previewExecutionId": 0,
    }
    path = f"{PREVIEW}/{created['previewId']}"
    assert answer.headers["X-Location"] == path
    shown = (await client.get(path)).json()
    assert (shown["results"], shown["state"]) == ([], "NEW")
    assert shown["page"] == {"offset": 0, "size": 0}
    estimate = (await client.get(f"{ESTIMATE}/{created['previewId']}")).json()
    assert (estimate["state"], estimate["estimatedSize"]) == ("RUNNING", 0)


async def test_the_policy_of_a_definition_holds_unless_another_is_sent(plane: Plane) -> None:
    bodies: tuple[Json, ...] = (
        {},
        {"dataGovernancePolicy": {}},
        {"dataGovernancePolicy": {"excludeOptOut": False}},
    )
    client = plane.client()
    created = [(await begun(client, **body))["previewQueryId"] for body in bodies]
    source = RedisPreviewSource(plane.redis, plane.prefix, PARTITIONS)
    tasks = {one.query_id: one for one in (await source.tasks(now_ms()))[plane.tenant]}
    assert [tasks[one].excludes_opt_out for one in created] == [True, True, False]


async def test_results_are_read_page_by_page_through_their_links(plane: Plane) -> None:
    client = plane.client()
    created = await begun(client, graphType="pdg")
    path = f"{PREVIEW}/{created['previewId']}"
    names = [f"p/{number} ø" for number in range(25)]
    await done(plane, created, names, share(25), share(0))
    pages, link = [], f"{path}?limit=10"
    while link:
        pages.append((await client.get(link)).json())
        link = pages[-1]["links"]["next"]
    assert [page["page"] for page in pages] == [
        {"offset": 0, "size": 10},
        {"offset": 10, "size": 10},
        {"offset": 20, "size": 5},
    ]
    found: Json = {}
    for page in pages:
        for result in page["results"]:
            found |= result
    assert sorted(found) == sorted(names)
    assert pages[0]["links"]["prev"] == ""
    assert (await client.get(pages[1]["links"]["prev"])).json() == pages[0]
    assert (await client.get(pages[2]["links"]["_self"])).json() == pages[2]
    assert len((await client.get(path)).json()["results"]) == 25
    beyond = (await client.get(f"{path}?offset=500")).json()
    assert (beyond["results"], beyond["links"]["next"]) == ([], "")
    one = found[names[3]]
    assert list(one["endCustomerIds"]) == [f"{names[3]}-related"]
    # The links lead to the profile.
    await store_profile(plane, names[3], {"person": {"age": 31}})
    assert (await client.get(one["_href"])).json()[names[3]]["entityId"] == names[3]


async def test_an_estimate_is_made_of_what_was_counted(plane: Plane) -> None:
    client = plane.client()
    created = await begun(client)
    path = f"{ESTIMATE}/{created['previewId']}"
    await done(plane, created, [], share(25, 100, 1_000), share(15, 99, 1_000, skipped=1))
    estimate = (await client.get(path)).json()
    size = round(250 + 15 / 99 * 1_000)
    limits = estimate.pop("confidenceLimits")
    assert limits["lower"] < size < limits["upper"]
    assert estimate == {
        "estimatedSize": size,
        "numRowsToRead": 199,
        "totalRows": 2_000,
        "profilesReadSoFar": 199,
        "profilesMatchedSoFar": 40,
        "profilesSkipped": 1,
        "estimatedNamespaceDistribution": [{"namespaceId": "Email", "profilesMatchedSoFar": 40}],
        "state": "RESULT_READY",
        "standardError": 54,
        "error": {
            "description": "1 profiles could not be evaluated; the log of the workers says why",
            "traceback": "",
        },
        "confidenceInterval": "95%",
        "_links": {
            "preview": f"{PREVIEW}/segmentation/execution/0"
            f"?previewQueryId={created['previewQueryId']}"
        },
    }


async def test_a_preview_that_failed_says_why(plane: Plane) -> None:
    client = plane.client()
    created = await begun(client)
    source = RedisPreviewSource(plane.redis, plane.prefix)
    await source.fail(plane.tenant, created["previewQueryId"], "told to fail")
    estimate = (await client.get(f"{ESTIMATE}/{created['previewId']}")).json()
    assert (estimate["state"], estimate["error"]["description"]) == ("FAILED", "told to fail")
    assert (await client.get(f"{PREVIEW}/{created['previewId']}")).json()["state"] == "FAILED"
    assert await source.tasks(now_ms()) == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "predicateExpression: Field required"),
        ({"predicateExpression": "a = 1", "predicateType": "sql"}, "'sql' is not a type"),
        ({"predicateExpression": "a = 1", "predicateModel": "_xdm.x"}, "'_xdm.x' is not evaluated"),
        ({"predicateExpression": "a = 1", "graphType": "all"}, "'none' or 'pdg'"),
        ({"predicateExpression": "a = 1", "mergePolicyId": "x"}, "mergePolicyId: Extra inputs"),
    ],
)
async def test_a_body_that_cannot_be_served_is_refused(
    client: httpx.AsyncClient, body: Json, said: str
) -> None:
    answer = await client.post(PREVIEW, json=body)
    assert said in refusal(answer, 400, "SEG-INVALID-BODY-400")


async def test_wrong_pql_is_refused_with_its_position(client: httpx.AsyncClient) -> None:
    answer = await client.post(PREVIEW, json={"predicateExpression": "person.age\n == 3"})
    refusal(answer, 400, "SEG-INVALID-DEFINITION-400")
    (problem,) = answer.json()["errors"]["400"][1:]
    assert (problem["line"], problem["column"]) == (2, 3)
    assert problem["hint"]


async def test_in_segment_asks_only_what_is_evaluated(plane: Plane) -> None:
    client = plane.client()
    segment_id = (await client.post(DEFINITIONS, json=definition_body("one"))).json()["id"]
    await begun(client, in_segment(segment_id))
    source = RedisPreviewSource(plane.redis, plane.prefix)
    (task,) = (await source.tasks(now_ms()))[plane.tenant]
    stored = await plane.store.get(plane.tenant, [segment_id])
    assert task.ordinals == {segment_id: stored[segment_id].ordinal}
    draft = (await created_audience(client, "draft", lifecycleState="draft"))["id"]
    for asked in (draft, "unknown"):
        answer = await client.post(PREVIEW, json={"predicateExpression": in_segment(asked)})
        refusal(answer, 400, "SEG-INVALID-DEFINITION-400")


async def test_what_is_not_there_is_404_for_everybody_else(plane: Plane) -> None:
    client = plane.client()
    preview_id = (await begun(client))["previewId"]
    for other in (plane.other_client(), plane.client(x_sandbox_name="dev")):
        for path in (f"{PREVIEW}/{preview_id}", f"{ESTIMATE}/{preview_id}"):
            refusal(await other.get(path), 404, "SEG-PREVIEW-NOT-FOUND-404")
        refusal(await other.delete(f"{PREVIEW}/{preview_id}"), 404, "SEG-PREVIEW-NOT-FOUND-404")
    for unknown in ("none", "MDphcHAtMTpxMTow", preview_id[:-2]):
        refusal(await client.get(f"{PREVIEW}/{unknown}"), 404, "SEG-PREVIEW-NOT-FOUND-404")
    assert (await client.get(f"{PREVIEW}/{preview_id}=")).status_code == 200


async def test_deletion_answers_as_published_and_once(plane: Plane) -> None:
    client = plane.client()
    path = f"{PREVIEW}/{(await begun(client))['previewId']}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.json()) == (200, {"status": True, "message": "KILLED"})
    refusal(await client.delete(path), 404, "SEG-PREVIEW-NOT-FOUND-404")
    refusal(await client.get(path), 404, "SEG-PREVIEW-NOT-FOUND-404")
    left = [key async for key in plane.redis.scan_iter(f"{plane.prefix}*preview*")]
    assert left == [f"{plane.prefix}:preview-tenants".encode()]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("start=1", "start"),
    ],
)
async def test_odd_parameters_are_refused(
    client: httpx.AsyncClient, query: str, named: str
) -> None:
    path = f"{PREVIEW}/{(await begun(client))['previewId']}"
    answer = await client.get(f"{path}?{query}")
    assert named in refusal(answer, 400, "SEG-INVALID-PARAMETER-400")


async def test_too_many_are_refused_until_some_end(plane: Plane) -> None:
    client = plane.client()
    created = [await begun(client) for _ in range(PREVIEW_LIMITS.running)]
    answer = await client.post(PREVIEW, json={"predicateExpression": "a = 1"})
    assert "not finished yet" in refusal(answer, 429, "SEG-PREVIEWS-BUSY-429")
    assert answer.headers["Retry-After"]
    await begun(plane.client(x_sandbox_name="dev"))
    await done(plane, created[0], [], share(0), share(0))
    await begun(client)


async def test_too_many_kept_are_refused(redis: Redis, names: Names, tmp_path: Path) -> None:
    limits = PreviewLimits(running=5, stored=1)
    async with running_plane(
        redis, names.redis_key_prefix, names.org_id, tmp_path, preview_limits=limits
    ) as plane:
        client = plane.client()
        created = await begun(client)
        await done(plane, created, ["p-1"], share(1), share(0))
        answer = await client.post(PREVIEW, json={"predicateExpression": "a = 1"})
        assert "previews of this sandbox are kept" in refusal(answer, 429, "SEG-PREVIEWS-BUSY-429")
        await client.delete(f"{PREVIEW}/{created['previewId']}")
        await begun(client)
