"""`/segment/definitions` in this process, on a real Redis."""

from __future__ import annotations

import asyncio
import json
import uuid
from importlib.resources import files
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.adapters.http.definitions import now_ms
from app.adapters.redis.definition_outbox import RedisDefinitionOutbox
from tests.integration.http.harness import DEFINITIONS, Plane, definition_body, in_segment

pytestmark = pytest.mark.redis


async def created(client: httpx.AsyncClient, name: str, *args: Any, **more: Any) -> dict[str, Any]:
    answer = await client.post(DEFINITIONS, json=definition_body(name, *args, **more))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def faults(answer: httpx.Response) -> list[dict[str, Any]]:
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["requestId"] == answer.headers["x-request-id"]
    assert list(body["errors"]) == [str(answer.status_code)]
    listed: list[dict[str, Any]] = body["errors"][str(answer.status_code)]
    return listed


async def test_a_window_beyond_the_retention_is_accepted_with_a_warning(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    window = "xEvent[timestamp occurs <= {} days before now].count() > 0"
    longer = await created(client, "Long", window.format(31))
    await created(client, "Kept", window.format(30))
    again = await client.get(f"{DEFINITIONS}/{longer['id']}")

    (warning,) = longer["warnings"]
    assert warning["code"] == "beyond-retention"
    assert "SEG_RETENTION_DAYS" in warning["hint"]
    assert (warning["line"], warning["column"]) == (1, 8)
    assert "warnings" not in again.json()


async def test_a_created_definition_reads_back_whole(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    answer = await client.post(
        DEFINITIONS,
        json=definition_body(
            "Adults",
            description="Over 30",
            evaluationInfo={"continuous": {"enabled": True}},
            payloadSchema="string",
        ),
    )
    body = answer.json()
    assert answer.headers["x-location"] == f"{DEFINITIONS}/{body['id']}"
    assert list(body) == [
        "id",
        "schema",
        "profileInstanceId",
        "imsOrgId",
        "sandbox",
        "name",
        "description",
        "expression",
        "mergePolicyId",
        "evaluationInfo",
        "dataGovernancePolicy",
        "creationTime",
        "updateEpoch",
        "updateTime",
        "version",
        "evaluationState",
        "evaluation",
        "estimatedStateBytes",
    ]
    assert uuid.UUID(body["id"]).version == 4
    assert body["imsOrgId"] == plane.org_id
    assert body["evaluationInfo"] == {
        "batch": {"enabled": False},
        "continuous": {"enabled": True},
        "synchronous": {"enabled": False},
    }
    assert body["updateEpoch"] == body["updateTime"] // 1000
    assert (body["version"], body["evaluationState"]) == (1, "BACKFILLING")
    again = await client.get(f"{DEFINITIONS}/{body['id']}")
    assert (again.status_code, again.json()) == (200, body)


async def test_without_evaluation_info_a_definition_is_batch(client: httpx.AsyncClient) -> None:
    body = await created(client, "plain")
    assert body["evaluationInfo"]["batch"] == {"enabled": True}


async def test_the_sandbox_object_tells_sandboxes_apart(plane: Plane) -> None:
    production = (await created(plane.client(), "a"))["sandbox"]
    development = (await created(plane.client(x_sandbox_name="dev"), "a"))["sandbox"]
    assert (production["type"], production["default"]) == ("production", True)
    assert (development["type"], development["default"]) == ("development", False)
    assert production["sandboxId"] != development["sandboxId"]
    assert (await created(plane.client(), "b"))["sandbox"] == production


async def test_a_taken_name_is_422_and_names_the_owner(client: httpx.AsyncClient) -> None:
    first = await created(client, "same")
    answer = await client.post(DEFINITIONS, json=definition_body("same", "a = 1"))
    assert answer.status_code == 422
    assert first["id"] in faults(answer)[0]["message"]


async def test_of_concurrent_creates_with_one_name_one_wins(client: httpx.AsyncClient) -> None:
    calls = [client.post(DEFINITIONS, json=definition_body("raced")) for _ in range(12)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*calls))
    assert statuses == [200] + [422] * 11
    assert (await client.get(DEFINITIONS)).json()["page"]["totalCount"] == 1


async def test_concurrent_creates_get_ordinals_of_their_own(plane: Plane) -> None:
    client = plane.client()
    await asyncio.gather(*(created(client, f"d{number}") for number in range(20)))
    loaded = await plane.store.load(plane.tenant)
    assert sorted(one.ordinal for one in loaded.definitions) == list(range(20))
    assert loaded.tag.startswith("20-")


async def test_every_problem_of_an_expression_is_told_with_its_place(
    client: httpx.AsyncClient,
) -> None:
    value = 'foo(1) and\n  inSegment("missing") and bar(2)'
    answer = await client.post(DEFINITIONS, json=definition_body("bad", value))
    assert answer.status_code == 400
    problems = faults(answer)[1:]
    assert [(one["line"], one["column"] > 0) for one in problems] == [
        (1, True),
        (2, True),
        (2, True),
    ]
    assert "missing" in problems[1]["message"]


async def test_a_syntax_error_has_line_and_column(client: httpx.AsyncClient) -> None:
    answer = await client.post(DEFINITIONS, json=definition_body("bad", "a = 1 and\n  = 2"))
    assert answer.status_code == 400
    assert (faults(answer)[1]["line"], faults(answer)[1]["column"]) == (2, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"schema": {"name": "_xdm.context.account"}}, "_xdm.context.profile"),
        ({"expression": {"type": "ARL", "format": "pql/text", "value": "a"}}, "PQL"),
        ({"expression": {"type": "PQL", "format": "sql", "value": "a"}}, "pql/text or pql/json"),
        ({"expression": {"type": "PQL", "format": "pql/text"}}, "expression.value"),
        ({"expression": "a = 1"}, "expression"),
    ],
)
async def test_a_body_of_the_wrong_shape_is_refused_naming_the_field(
    client: httpx.AsyncClient, change: dict[str, Any], told: str
) -> None:
    answer = await client.post(DEFINITIONS, json=definition_body("shape") | change)
    assert answer.status_code == 400
    assert any(told in fault["message"] for fault in faults(answer))


async def test_patch_makes_a_version_only_if_evaluation_changes(client: httpx.AsyncClient) -> None:
    first = await created(client, "versions", "a = 1 and b = 2", description="x")
    path = f"{DEFINITIONS}/{first['id']}"
    same = await client.patch(path, json=definition_body("renamed", "(a = 1)\n and b=2"))
    assert (same.status_code, same.json()["version"]) == (200, 1)
    assert same.json()["description"] == ""
    assert same.headers["x-location"] == path
    other = (await client.patch(path, json=definition_body("renamed", "a = 1"))).json()
    assert (other["version"], other["creationTime"]) == (2, first["creationTime"])
    kept = (await client.get(f"{path}/versions")).json()["versions"]
    assert [(one["version"], one["expression"]["value"]) for one in kept] == [
        (1, "(a = 1)\n and b=2"),
        (2, "a = 1"),
    ]


async def test_patch_sent_back_whole_changes_nothing_the_server_owns(
    client: httpx.AsyncClient,
) -> None:
    first = await created(client, "echo")
    sent = first | {"id": "another", "creationTime": 0, "updateTime": 0, "version": 99}
    body = (await client.patch(f"{DEFINITIONS}/{first['id']}", json=sent)).json()
    assert {**body, "updateTime": 0, "updateEpoch": 0} == {
        **first,
        "updateTime": 0,
        "updateEpoch": 0,
    }


async def test_who_opted_out_is_left_out_unless_the_policy_says_otherwise(
    client: httpx.AsyncClient,
) -> None:
    async def patched(**more: Any) -> tuple[int, bool]:
        body = (await client.patch(path, json=definition_body("policy", **more))).json()
        return body["version"], body["dataGovernancePolicy"]["excludeOptOut"]

    first = await created(client, "policy")
    path = f"{DEFINITIONS}/{first['id']}"
    assert first["dataGovernancePolicy"] == {"excludeOptOut": True}
    assert await patched(dataGovernancePolicy={"excludeOptOut": False}) == (2, False)
    assert await patched(dataGovernancePolicy={"excludeOptOut": False}) == (2, False)
    assert await patched() == (3, True)


async def test_a_freed_name_can_be_taken(client: httpx.AsyncClient) -> None:
    first = await created(client, "old")
    await client.patch(f"{DEFINITIONS}/{first['id']}", json=definition_body("new"))
    second = await created(client, "old")
    assert (await client.delete(f"{DEFINITIONS}/{second['id']}")).status_code == 200
    await created(client, "old")


async def test_patch_to_a_taken_name_is_422(client: httpx.AsyncClient) -> None:
    await created(client, "one")
    two = await created(client, "two")
    answer = await client.patch(f"{DEFINITIONS}/{two['id']}", json=definition_body("one"))
    assert answer.status_code == 422


async def test_a_cycle_is_refused_naming_it(client: httpx.AsyncClient) -> None:
    a = await created(client, "A")
    b = await created(client, "B", in_segment(a["id"]))
    c = await created(client, "C", f"x = 1 or {in_segment(b['id'])}")
    answer = await client.patch(
        f"{DEFINITIONS}/{a['id']}", json=definition_body("A", in_segment(c["id"]))
    )
    assert answer.status_code == 400
    text = faults(answer)[1]["message"]
    assert text.index("'A'") < text.index("'C'") < text.index("'B'") < text.rindex("'A'")
    stored = f'segmentMembership.get("ups").get("{a["id"]}").status = "exited"'
    for rule in (in_segment(a["id"]), stored):
        itself = await client.patch(f"{DEFINITIONS}/{a['id']}", json=definition_body("A", rule))
        assert itself.status_code == 400
        assert faults(itself)[1]["code"] == "SEG-SEGMENT-CYCLE-400"


async def test_concurrent_patches_cannot_make_a_cycle(client: httpx.AsyncClient) -> None:
    for number in range(5):
        a = await created(client, f"A{number}")
        b = await created(client, f"B{number}")
        answers = await asyncio.gather(
            client.patch(
                f"{DEFINITIONS}/{a['id']}",
                json=definition_body(f"A{number}", in_segment(b["id"])),
            ),
            client.patch(
                f"{DEFINITIONS}/{b['id']}",
                json=definition_body(f"B{number}", in_segment(a["id"])),
            ),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]


async def test_a_used_definition_cannot_be_deleted(client: httpx.AsyncClient) -> None:
    used = await created(client, "used")
    user = await created(client, "user", in_segment(used["id"]))
    answer = await client.delete(f"{DEFINITIONS}/{used['id']}")
    assert answer.status_code == 409
    assert user["id"] in faults(answer)[0]["message"]
    assert (await client.delete(f"{DEFINITIONS}/{user['id']}")).status_code == 200
    gone = await client.delete(f"{DEFINITIONS}/{used['id']}")
    assert (gone.status_code, set(gone.json())) == (200, {"status", "message"})
    assert (await client.get(f"{DEFINITIONS}/{used['id']}")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_id_is_404(client: httpx.AsyncClient, method: str) -> None:
    body = definition_body("unknown") if method == "PATCH" else None
    answer = await client.request(method, f"{DEFINITIONS}/none", json=body)
    assert answer.status_code == 404
    assert faults(answer)[0]["code"] == "SEG-DEFINITION-NOT-FOUND-404"


async def names_of(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"{DEFINITIONS}?{query}")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["segments"]]


async def next_millisecond() -> None:
    before = now_ms()
    while now_ms() == before:
        await asyncio.sleep(0)


async def test_lists_page_and_sort(client: httpx.AsyncClient) -> None:
    empty = (await client.get(DEFINITIONS)).json()
    assert (empty["segments"], empty["link"]) == ([], {})
    ids = {}
    for name in ("c", "a", "b"):
        ids[name] = (await created(client, name))["id"]
        await next_millisecond()  # creation times of their own
    assert await names_of(client, "") == ["b", "a", "c"]
    assert await names_of(client, "sort=creationTime:asc&limit=2") == ["c", "a"]
    assert await names_of(client, "limit=2&page=1") == ["c"]
    assert await names_of(client, "limit=2&start=1") == ["a", "c"]
    assert await names_of(client, "sort=name:desc") == ["c", "b", "a"]
    assert await names_of(client, "sort=id:asc") == [
        name for name, _ in sorted(ids.items(), key=lambda item: item[1])
    ]
    page = (await client.get(f"{DEFINITIONS}?limit=2")).json()
    assert page["page"] == {
        "totalCount": 3,
        "totalPages": 2,
        "sortField": "creationTime",
        "sort": "desc",
        "pageSize": 2,
        "limit": 2,
    }
    assert all("baselineTime" in one for one in page["segments"])
    link = page["link"]["next"]["href"].removeprefix("@/segment/definitions")
    following = (await client.get(DEFINITIONS + link)).json()
    assert [one["name"] for one in following["segments"]] == ["c"]
    assert following["link"] == {}


async def test_lists_filter_by_evaluation_method(client: httpx.AsyncClient) -> None:
    await created(client, "batch")
    both = {"batch": {"enabled": True}, "continuous": {"enabled": True}}
    await created(client, "both", evaluationInfo=both)
    assert await names_of(client, "evaluationInfo.continuous.enabled=true") == ["both"]
    assert await names_of(client, "evaluationInfo.continuous.enabled=false") == ["batch"]
    assert sorted(await names_of(client, "evaluationInfo.batch.enabled=true")) == ["batch", "both"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "start=-1",
        "page=-1",
        "sort=size:asc",
        "sort=name:up",
        "start=1&page=1",
        "evaluationInfo.batch.enabled=maybe",
    ],
)
async def test_bad_parameters_are_400(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{DEFINITIONS}?{query}")
    assert answer.status_code == 400
    assert faults(answer)[0]["code"] == "SEG-INVALID-PARAMETER-400"


async def test_bulk_get_mixes_definitions_and_errors(client: httpx.AsyncClient) -> None:
    one = await created(client, "bulk")
    path = f"{DEFINITIONS}/bulk-get"
    answer = await client.post(path, json={"ids": [{"id": "none"}, {"id": one["id"]}]})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert list(results) == ["none", one["id"]]
    assert results[one["id"]] == one
    assert results["none"]["status"] == 404
    assert (await client.post(path, json={"ids": [{"id": "none"}]})).status_code == 404
    assert (await client.post(path, json={"ids": []})).status_code == 400
    many = {"ids": [{"id": str(number)} for number in range(101)]}
    assert (await client.post(path, json=many)).status_code == 400


async def test_tenants_do_not_see_each_other(plane: Plane) -> None:
    client = plane.client()
    one = await created(client, "mine")
    for stranger in (plane.client(x_sandbox_name="dev"), plane.other_client()):
        path = f"{DEFINITIONS}/{one['id']}"
        assert (await stranger.get(DEFINITIONS)).json()["segments"] == []
        assert (await stranger.get(path)).status_code == 404
        assert (await stranger.get(f"{path}/versions")).status_code == 404
        assert (await stranger.delete(path)).status_code == 404
        changed = await stranger.patch(path, json=definition_body("mine"))
        assert changed.status_code == 404
        bulk = await stranger.post(f"{DEFINITIONS}/bulk-get", json={"ids": [{"id": one["id"]}]})
        assert bulk.status_code == 404
        refers = definition_body("refers", in_segment(one["id"]))
        assert (await stranger.post(DEFINITIONS, json=refers)).status_code == 400
        await created(stranger, "mine")
    assert (await client.get(f"{DEFINITIONS}/{one['id']}")).json() == one


async def test_redis_away_is_503_and_not_ready(plane: Plane) -> None:
    client = plane.client()
    assert (await client.get("/readyz")).status_code == 200
    pool = plane.redis.connection_pool
    kept = pool.connection_kwargs.copy()
    await plane.redis.connection_pool.disconnect()
    pool.connection_kwargs["port"] = 1
    pool._available_connections.clear()
    answer = await client.get(DEFINITIONS)
    assert (answer.status_code, faults(answer)[0]["code"]) == (503, "SEG-UNAVAILABLE-503")
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert (await client.get("/livez")).status_code == 200
    pool.connection_kwargs.update(kept)
    pool._available_connections.clear()
    assert (await client.get("/readyz")).json() == {"status": "ready", "checks": {"redis": "ok"}}


async def test_what_the_topic_will_carry_has_its_published_schema(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    document = await created(client, "published", evaluationInfo={"batch": {"enabled": True}})
    await client.delete(f"{DEFINITIONS}/{document['id']}")
    outbox = RedisDefinitionOutbox(plane.redis, plane.prefix)
    assert await outbox.waiting() == [plane.tenant]
    record, tombstone = await outbox.read(plane.tenant, 10)
    schema = files("app.adapters.kafka.schemas").joinpath("definition.json").read_text()
    value = json.loads(record.value or b"")
    Draft202012Validator(json.loads(schema)).validate(value)
    of_audience = {
        "lifecycleState": "published",
        "labels": [],
        "overridePerformanceWarnings": False,
        "createdBy": "one",
        "lastModifiedBy": "one",
    }
    assert value == {name: (document | of_audience)[name] for name in value}
    assert of_audience.keys() <= value.keys()
    assert record.key == tombstone.key == f"{plane.org_id}/prod/{document['id']}"
    assert tombstone.value is None


async def test_an_expression_is_checked_without_being_stored(client: httpx.AsyncClient) -> None:
    async def check(text: str) -> httpx.Response:
        body = {"expression": {"type": "PQL", "format": "pql/text", "value": text}}
        return await client.post(f"{DEFINITIONS}/check", json=body)

    asked = await created(client, "Asked")
    good = await check(
        f"{in_segment(asked['id'])} and xEvent[timestamp occurs <= 31 days before now].count() > 5"
    )
    bad = await check('foo(1) and inSegment("missing") and a ==')
    listed = (await client.get(DEFINITIONS)).json()["segments"]

    assert good.status_code == 200
    said = good.json()
    assert (said["evaluation"], said["segments"]) == ("incremental", [asked["id"]])
    assert 0 < said["estimatedStateBytes"] < 1_000
    assert [one["code"] for one in said["warnings"]] == ["beyond-retention"]
    assert said["warnings"][0]["excerpt"].endswith("^" * 30)
    assert bad.status_code == 400
    _, unknown, unread = faults(bad)
    assert (unknown["message"], unknown["length"]) == ("unknown function foo", 6)
    assert unread["column"] == 40
    # What is stored tells the same, with the definition.
    assert [(one["id"], one["evaluation"], one["estimatedStateBytes"]) for one in listed] == [
        (asked["id"], "incremental", 0)
    ]
