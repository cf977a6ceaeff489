"""`/audiences` in this process, on a real Redis: every operation, what it answers and refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    add,
    audience_body,
    created_audience,
    definition_body,
    in_segment,
    refusal,
)

pytestmark = pytest.mark.redis

NOT_FOUND = "UPAPI-113430-404"
UNREADABLE = "UPLIB-101206-500"
INVALID = "UPAPI-113434-400"
OWNED = ("updateTime", "updateEpoch", "_etag")


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


async def test_a_created_audience_reads_back_whole(client: httpx.AsyncClient, plane: Plane) -> None:
    body = audience_body("Winter", description="Bought in winter", labels=["core/C1"])
    answer = await client.post(AUDIENCES, json=body)
    assert answer.status_code == 201
    one = answer.json()
    assert {name: one[name] for name in body} == body
    assert one["audienceId"] == one["id"]
    assert one["imsOrgId"] == plane.org_id
    assert one["createEpoch"] == one["creationTime"] // 1000
    assert one["evaluationInfo"]["batch"] == {"enabled": True}
    assert (one["dependents"], one["dependencies"]) == ([], [])
    assert (one["type"], one["namespace"]) == ("SegmentDefinition", "AEPSegments")
    assert one["originName"] == "REAL_TIME_CUSTOMER_PROFILE"
    assert (one["isSystem"], one["overridePerformanceWarnings"]) == (False, False)
    assert (one["createdBy"], one["lastModifiedBy"]) == ("one", "one")
    assert (one["lifecycleState"], one["evaluationState"]) == ("published", "BACKFILLING")
    assert (await client.get(f"{AUDIENCES}/{one['id']}")).json() == one


async def test_a_whole_audience_can_be_sent_back_as_a_new_one(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "first")
    copy = (await client.post(AUDIENCES, json=one | {"name": "copy"})).json()
    assert copy["id"] == copy["audienceId"] != one["id"]


async def test_warnings_are_told_to_the_author(client: httpx.AsyncClient) -> None:
    long = "xEvent[timestamp occurs <= 31 days before now].count() > 0"
    one = await created_audience(client, "long", long)
    assert one["warnings"][0]["code"] == "beyond-retention"
    assert "warnings" not in (await client.get(f"{AUDIENCES}/{one['id']}")).json()


async def test_the_instance_of_the_samples_becomes_ups(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "samples", profileInstanceId="AEPSegments")
    assert one["profileInstanceId"] == "ups"


async def test_both_endpoints_show_one_object(client: httpx.AsyncClient) -> None:
    definition = (await client.post(DEFINITIONS, json=definition_body("old"))).json()
    item, path = f"{AUDIENCES}/{definition['id']}", f"{DEFINITIONS}/{definition['id']}"
    seen = (await client.get(item)).json()
    assert {name: seen[name] for name in definition} == definition
    assert (seen["lifecycleState"], seen["labels"]) == ("published", [])

    changed = await client.patch(item, json=[add("/labels", ["a"]), add("/name", "new")])
    assert changed.status_code == 200
    assert (await client.get(path)).json()["name"] == "new"
    renamed = await client.patch(path, json=definition_body("newer", "a = 1"))
    assert renamed.json()["version"] == 2
    seen = (await client.get(item)).json()
    assert (seen["name"], seen["labels"], seen["version"]) == ("newer", ["a"], 2)

    audience = await created_audience(client, "made as audience", "b = 1")
    of_old = (await client.get(f"{DEFINITIONS}/{audience['id']}")).json()
    assert {name: audience[name] for name in of_old} == of_old
    put = await client.put(f"{AUDIENCES}/{audience['id']}", json=audience_body("put", "b = 2"))
    assert put.status_code == 200
    of_old = (await client.get(f"{DEFINITIONS}/{audience['id']}")).json()
    assert (of_old["name"], of_old["expression"]["value"]) == ("put", "b = 2")

    assert (await client.delete(f"{DEFINITIONS}/{audience['id']}")).status_code == 200
    assert (await client.get(f"{AUDIENCES}/{audience['id']}")).status_code == 404
    assert (await client.delete(item)).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_a_change_through_definitions_leaves_state_and_labels(
    client: httpx.AsyncClient,
) -> None:
    one = await created_audience(client, "kept", lifecycleState="draft", labels=["core/C1"])
    path = f"{DEFINITIONS}/{one['id']}"
    answer = await client.patch(path, json=definition_body("kept", "a = 9"))
    assert (answer.json()["version"], answer.json()["evaluationState"]) == (2, "OFF")
    seen = (await client.get(f"{AUDIENCES}/{one['id']}")).json()
    assert (seen["lifecycleState"], seen["labels"]) == ("draft", ["core/C1"])


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"name": None}, UNREADABLE, "name"),
        ({"expression": None}, UNREADABLE, "expression"),
        ({"schema": None}, UNREADABLE, "schema"),
        ({"labels": "core/C1"}, UNREADABLE, "labels"),
        ({"labels": [f"l{n}" for n in range(101)]}, UNREADABLE, "labels"),
        ({"schema": {"name": "_xdm.context.account"}}, UNREADABLE, "_xdm.context.profile"),
        ({"lifecycleState": "deleted"}, INVALID, "DELETE"),
        ({"lifecycleState": "archived"}, INVALID, "DELETE"),
        ({"lifecycleState": "active"}, INVALID, "draft, published, inactive"),
        ({"type": "ExternalSegment"}, INVALID, "expression does not belong to an external"),
        ({"type": "ExternalAudience", "expression": None}, INVALID, "schema does not belong"),
        ({"namespace": "AAM"}, INVALID, "AEPSegments"),
        ({"originName": "CUSTOM_UPLOAD"}, INVALID, "REAL_TIME_CUSTOMER_PROFILE"),
        ({"datasetId": "6254cf3c97f8e31b639fb14d"}, INVALID, "external"),
        ({"expression": {"type": "PQL", "format": "pql/text", "value": "a ="}}, INVALID, "1 probl"),
    ],
)
async def test_a_body_that_is_no_audience_made_here_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any], code: str, told: str
) -> None:
    answer = await client.post(AUDIENCES, json=audience_body("bad") | change)
    assert told in refusal(answer, 400, code)
    assert (await client.get(AUDIENCES)).json()["children"] == []


async def test_what_is_missing_is_told_outermost_first(client: httpx.AsyncClient) -> None:
    answer = await client.post(AUDIENCES, json={"description": "x"})
    refusal(answer, 400, UNREADABLE)
    chain = [one["message"] for one in answer.json()["errors"]["400"]]
    assert "cannot be read" in chain[0]
    assert [text.partition(":")[0] for text in chain[1:]] == ["name", "expression", "schema"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_body_that_is_not_json_is_unreadable(
    client: httpx.AsyncClient, method: str
) -> None:
    path = AUDIENCES if method == "POST" else f"{AUDIENCES}/some"
    headers = {"content-type": "application/json"}
    answer = await client.request(method, path, content=b"{", headers=headers)
    refusal(answer, 400, UNREADABLE)


async def test_every_problem_of_an_expression_follows_the_refusal(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(AUDIENCES, json=audience_body("bad", 'foo(1) and inSegment("no")'))
    refusal(answer, 400, INVALID)
    problems = answer.json()["errors"]["400"][1:]
    assert [(one["line"], one["column"] > 0) for one in problems] == [(1, True), (1, True)]


async def test_a_name_is_unique_over_both_endpoints_and_all_states(
    client: httpx.AsyncClient,
) -> None:
    one = await created_audience(client, "taken", lifecycleState="draft")
    two = await created_audience(client, "free")
    assert one["id"] in refusal(
        await client.post(AUDIENCES, json=audience_body("taken")), 400, INVALID
    )
    assert (await client.post(DEFINITIONS, json=definition_body("taken"))).status_code == 422
    path = f"{AUDIENCES}/{two['id']}"
    refusal(await client.patch(path, json=[add("/name", "taken")]), 400, INVALID)
    refusal(await client.put(path, json=audience_body("taken")), 400, INVALID)
    assert (await client.get(path)).json()["name"] == "free"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/name", "other"),
        ("/description", "other"),
        ("/labels", ["x", "y"]),
        ("/mergePolicyId", "00000000-0000-0000-0000-000000000001"),
        ("/profileInstanceId", "other"),
        ("/overridePerformanceWarnings", True),
        ("/lifecycleState", "inactive"),
        ("/expression", {"type": "PQL", "format": "pql/text", "value": "b = 2"}),
    ],
)
async def test_patch_changes_one_field(client: httpx.AsyncClient, path: str, value: Any) -> None:
    one = await created_audience(client, "patched", labels=["core/C1"])
    item = f"{AUDIENCES}/{one['id']}"
    answer = await client.patch(item, json=[add(path, value)])
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed[path[1:]] == value
    also = (*OWNED, path[1:], "version", "evaluationState")
    assert without(changed, *also) == without(one, *also)
    assert changed["_etag"] != one["_etag"]
    assert (await client.get(item)).json() == changed


async def test_patch_goes_into_objects_and_lists(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "deep", labels=["b"])
    operations = [
        add("/labels/-", "c"),
        add("/labels/0", "a"),
        add("/evaluationInfo/continuous/enabled", True),
        add("/expression/value", "a = 2"),
    ]
    changed = (await client.patch(f"{AUDIENCES}/{one['id']}", json=operations)).json()
    assert changed["labels"] == ["a", "b", "c"]
    assert changed["evaluationInfo"]["continuous"] == {"enabled": True}
    assert (changed["expression"]["value"], changed["version"]) == ("a = 2", 2)


@pytest.mark.parametrize(
    ("operation", "code", "told"),
    [
        ({"op": "replace", "path": "/name", "value": "x"}, INVALID, "add"),
        ({"op": "remove", "path": "/labels", "value": None}, INVALID, "add"),
        (add("/id", "x"), INVALID, "/id"),
        (add("/audienceId", "x"), INVALID, "/audienceId"),
        (add("/namespace", "AAM"), INVALID, "/namespace"),
        (add("/creationTime", 0), INVALID, "/creationTime"),
        (add("/labels/7", "x"), INVALID, "/labels/7"),
        (add("name", "x"), INVALID, "JSON pointer"),
        (add("/lifecycleState", "deleted"), INVALID, "DELETE"),
        (add("/lifecycleState", "draft"), INVALID, "cannot become draft"),
        (add("/lifecycleState", 1), UNREADABLE, "lifecycleState"),
        (add("/labels/-", 5), UNREADABLE, "labels.1"),
        (add("/name", ""), UNREADABLE, "name"),
        (add("/expression/value", "a ="), INVALID, "problem"),
        ({"op": "add", "path": "/name"}, UNREADABLE, "value"),
    ],
)
async def test_a_refused_patch_changes_nothing(
    client: httpx.AsyncClient, operation: dict[str, Any], code: str, told: str
) -> None:
    one = await created_audience(client, "whole", labels=["a"])
    item = f"{AUDIENCES}/{one['id']}"
    answer = await client.patch(item, json=[add("/description", "half"), operation])
    assert told in refusal(answer, 400, code)
    assert (await client.get(item)).json() == one


async def test_a_patch_is_a_list(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "listed")
    answer = await client.patch(f"{AUDIENCES}/{one['id']}", json=add("/name", "x"))
    refusal(answer, 400, UNREADABLE)


async def test_patches_of_different_fields_do_not_undo_each_other(
    client: httpx.AsyncClient,
) -> None:
    one = await created_audience(client, "raced")
    item = f"{AUDIENCES}/{one['id']}"
    calls = [client.patch(item, json=[add("/labels/-", f"l{n}")]) for n in range(10)]
    assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    labels = (await client.get(item)).json()["labels"]
    assert sorted(labels) == sorted(f"l{n}" for n in range(10))


async def test_put_replaces_and_keeps_what_it_has_no_place_for(client: httpx.AsyncClient) -> None:
    one = await created_audience(
        client,
        "before",
        description="d",
        labels=["a"],
        lifecycleState="draft",
        evaluationInfo={"continuous": {"enabled": True}},
        overridePerformanceWarnings=True,
        mergePolicyId="policy",
        profileInstanceId="other",
    )
    item = f"{AUDIENCES}/{one['id']}"
    answer = await client.put(item, json={"audienceId": one["id"], "name": "after"})
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    replaced = ("name", "description", "labels", "profileInstanceId")
    assert [changed[name] for name in replaced] == ["after", "", [], "ups"]
    assert without(changed, *replaced, *OWNED) == without(one, *replaced, *OWNED)
    whole = (await client.put(item, json=one)).json()
    assert without(whole, *OWNED) == without(one, *OWNED)


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"namespace": "AAM"}, INVALID, "never changes"),
        ({"type": "ExternalSegment"}, INVALID, "does not belong to an external"),
        ({"audienceId": "another"}, INVALID, "audienceId"),
        ({"lifecycleState": "deleted"}, INVALID, "DELETE"),
        ({"lifecycleState": "draft"}, INVALID, "cannot become draft"),
        ({"name": None}, UNREADABLE, "name"),
        ({"name": " "}, UNREADABLE, "name"),
        ({"labels": None}, UNREADABLE, "labels"),
        ({"expression": {"type": "PQL", "format": "sql", "value": "a"}}, UNREADABLE, "text"),
        ({"expression": {"type": "PQL", "format": "pql/json", "value": "{}"}}, INVALID, "nodeType"),
    ],
)
async def test_a_refused_put_changes_nothing(
    client: httpx.AsyncClient, change: dict[str, Any], code: str, told: str
) -> None:
    one = await created_audience(client, "whole")
    item = f"{AUDIENCES}/{one['id']}"
    assert told in refusal(await client.put(item, json=one | change), 400, code)
    assert (await client.get(item)).json() == one


async def test_who_changed_an_audience_last_is_told(plane: Plane) -> None:
    one = await created_audience(plane.client(), "shared")
    path = f"{DEFINITIONS}/{one['id']}"
    colleague = plane.client(authorization="Bearer token-3", x_api_key="key-3")
    await colleague.patch(path, json=definition_body("shared"))
    seen = (await plane.client().get(f"{AUDIENCES}/{one['id']}")).json()
    assert (seen["createdBy"], seen["lastModifiedBy"]) == ("one", "three")


async def test_delete_is_empty_and_names_who_is_in_the_way(client: httpx.AsyncClient) -> None:
    used = await created_audience(client, "used")
    user = await created_audience(client, "user", in_segment(used["id"]))
    item = f"{AUDIENCES}/{used['id']}"
    assert user["dependencies"] == [used["id"]]
    assert (await client.get(item)).json()["dependents"] == [user["id"]]
    text = refusal(await client.delete(item), 400, "UPAPI-113631-403")
    assert user["id"] in text
    assert "'user'" in text
    assert (await client.delete(f"{AUDIENCES}/{user['id']}")).status_code == 204
    gone = await client.delete(item)
    assert (gone.status_code, gone.content) == (204, b"")
    refusal(await client.delete(item), 404, NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GET", None),
        ("PATCH", [add("/name", "x")]),
        ("PUT", audience_body("x")),
        ("DELETE", None),
    ],
)
async def test_an_unknown_id_is_404(client: httpx.AsyncClient, method: str, body: Any) -> None:
    answer = await client.request(method, f"{AUDIENCES}/none", json=body)
    assert "none" in refusal(answer, 404, NOT_FOUND)


async def test_bulk_get_mixes_audiences_and_errors(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "on", lifecycleState="inactive")
    path = f"{AUDIENCES}/bulk-get"
    answer = await client.post(path, json={"ids": [{"id": "none"}, {"id": one["id"]}]})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert list(results) == ["none", one["id"]]
    assert results[one["id"]] == one
    missing = results["none"]
    assert missing["requestId"] == answer.headers["x-request-id"]
    assert missing["errors"]["404"][0]["code"] == 404

    none = await client.post(path, json={"ids": [{"id": "none"}, {"id": "nothing"}]})
    assert "none,nothing" in refusal(none, 404, "UPAPI-113000-404")
    for count in (0, 101):
        wrong = await client.post(path, json={"ids": [{"id": str(n)} for n in range(count)]})
        refusal(wrong, 400, "UPAPI-113015-400")
    many = {"ids": [{"id": one["id"]}, *({"id": str(n)} for n in range(99))]}
    assert len((await client.post(path, json=many)).json()["results"]) == 100
    refusal(await client.post(path, json={"ids": [{"audienceId": "x"}]}), 400, UNREADABLE)


async def test_tenants_do_not_see_each_other(plane: Plane) -> None:
    client = plane.client()
    one = await created_audience(client, "mine")
    item = f"{AUDIENCES}/{one['id']}"
    for stranger in (plane.client(x_sandbox_name="dev"), plane.other_client()):
        listed = (await stranger.get(AUDIENCES)).json()
        assert (listed["children"], listed["_page"]["totalCount"]) == ([], 0)
        filtered = await stranger.get(AUDIENCES, params={"property": f"id=={one['id']}"})
        assert filtered.json()["children"] == []
        refusal(await stranger.get(item), 404, NOT_FOUND)
        refusal(await stranger.patch(item, json=[add("/name", "x")]), 404, NOT_FOUND)
        refusal(await stranger.put(item, json=audience_body("x")), 404, NOT_FOUND)
        refusal(await stranger.delete(item), 404, NOT_FOUND)
        bulk = await stranger.post(f"{AUDIENCES}/bulk-get", json={"ids": [{"id": one["id"]}]})
        refusal(bulk, 404, "UPAPI-113000-404")
        refers = audience_body("refers", in_segment(one["id"]))
        refusal(await stranger.post(AUDIENCES, json=refers), 400, INVALID)
        await created_audience(stranger, "mine")
    assert (await client.get(item)).json() == one
