"""`/search` in this process, on a real Redis."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.adapters.redis.search_source import RedisSearchSource
from app.adapters.search.keeper import SearchKeeper
from app.domain.errors import Unavailable
from app.domain.model import Tenant
from tests.integration.http.harness import DEFINITIONS, Plane, definition_body

pytestmark = pytest.mark.redis

SEARCH = "/data/core/ups/search"
SCHEMA = {"schema.name": "_xdm.context.segmentdefinition"}
NAMESPACE = {**SCHEMA, "namespace": "AEPSegments"}
FRESH_SECONDS = 2.0
CALLS = {
    "namespaces": SCHEMA,
    "entities": NAMESPACE,
    "taxonomy": {**NAMESPACE, "entityId": "x"},
}


@pytest.fixture(autouse=True)
async def followed(plane: Plane) -> AsyncIterator[None]:
    async with plane.keeper.running():
        while await plane.keeper.problem():
            await asyncio.sleep(0.01)
        yield


async def created(client: httpx.AsyncClient, name: str, **more: Any) -> str:
    answer = await client.post(DEFINITIONS, json=definition_body(name, **more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def search(client: httpx.AsyncClient, path: str = "entities", **parameters: Any) -> Any:
    asked = CALLS[path] | {name.replace("schema_", "schema."): v for name, v in parameters.items()}
    answer = await client.get(f"{SEARCH}/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    return [one["name"] for one in (await search(client, **parameters))["entities"]]


async def becomes(look: Callable[[], Awaitable[object]], wanted: object) -> float:
    """Wait until `look` returns what is wanted, and return how many seconds that took."""
    started = time.monotonic()
    while (seen := await look()) != wanted:
        assert time.monotonic() - started < FRESH_SECONDS, (seen, wanted)
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def total(client: httpx.AsyncClient) -> object:
    return (await search(client))["page"]["totalCount"]


async def test_an_entity_has_all_its_fields(client: httpx.AsyncClient) -> None:
    segment_id = await created(client, "Oslo residents", description="Live in Oslo")
    await becomes(lambda: total(client), 1)
    assert await search(client, s="oslo") == {
        "entities": [
            {
                "id": segment_id,
                "base64EncodedSourceId": base64.b64encode(segment_id.encode()).decode(),
                "name": "Oslo residents",
                "parentFolderId": "root",
                "sourceId": segment_id,
                "isFolder": False,
                "description": "Live in Oslo",
            }
        ],
        "page": {"totalCount": 1, "totalPages": 1, "pageOffset": 0, "pageSize": 1},
        "status": {"message": "Success"},
    }


async def test_namespaces_are_counted(client: httpx.AsyncClient) -> None:
    empty = {"namespaces": [], "totalCount": 0, "status": {"message": "Success"}}
    assert await search(client, "namespaces") == empty
    await asyncio.gather(*(created(client, name) for name in ("Winter sale", "Winter", "Sale")))
    await becomes(lambda: total(client), 3)
    counted = await search(client, "namespaces", s="name:winter")
    assert counted == {
        "namespaces": [{"namespace": "AEPSegments", "displayName": "AEPSegments", "count": 2}],
        "totalCount": 1,
        "status": {"message": "Success"},
    }
    assert await search(client, "namespaces", s="spring") == empty


async def test_every_form_of_a_query_arrives(client: httpx.AsyncClient) -> None:
    await created(client, "Hotel near the airport", description="Blue umbrellas")
    await created(client, "Motel & more")
    await becomes(lambda: total(client), 2)
    forms = {
        "hotel AND airport": 1,
        "hotel OR motel": 2,
        "NOT hotel": 1,
        "mot*": 1,
        "?otel": 2,
        '"near the airport"': 1,
        '"hotel airport"~5': 1,
        "airprot~1": 1,
        "/[mh]otel/": 2,
        "segmentDescription:blue*": 1,
        "segmentName:AND\\ more OR more": 1,
    }
    for query, count in forms.items():
        assert len(await names(client, s=query)) == count, query


async def test_pages_add_up_to_everything_newest_first(client: httpx.AsyncClient) -> None:
    wanted = [f"Number {number}" for number in range(7)]
    for name in wanted:
        await created(client, name)
        await asyncio.sleep(0.002)  # each in a millisecond of its own
    await becomes(lambda: total(client), 7)
    pages = [await search(client, s="number", limit=3, page=page) for page in range(4)]
    assert [one["page"] for one in pages] == [
        {"totalCount": 7, "totalPages": 3, "pageOffset": page, "pageSize": size}
        for page, size in enumerate((3, 3, 1, 0))
    ]
    listed = [one["name"] for page in pages for one in page["entities"]]
    assert listed == wanted[::-1]
    assert await names(client) == listed
    assert await names(client, limit=2) == listed[:2]


async def test_a_page_has_at_most_fifty(client: httpx.AsyncClient) -> None:
    await asyncio.gather(*(created(client, f"n {number}") for number in range(51)))
    await becomes(lambda: total(client), 51)
    assert len(await names(client)) == 50
    assert len(await names(client, page=1)) == 1


async def test_a_folder_limits_the_search(client: httpx.AsyncClient) -> None:
    await created(client, "Anything")
    await becomes(lambda: total(client), 1)
    assert await names(client, entityId="root") == ["Anything"]
    astray = await search(client, entityId="nowhere")
    assert (astray["entities"], astray["page"]["totalCount"]) == ([], 0)
    assert "nowhere" in astray["status"]["message"]


async def test_the_taxonomy_of_a_definition(client: httpx.AsyncClient) -> None:
    segment_id = await created(client, "Somewhere")
    await becomes(lambda: total(client), 1)
    assert await search(client, "taxonomy", entityId=segment_id) == {
        "taxonomy": [
            {
                "id": segment_id,
                "base64EncodedSourceId": base64.b64encode(segment_id.encode()).decode(),
                "name": "Somewhere",
                "parentFolderId": "root",
            }
        ],
        "status": {"message": "Success"},
    }
    unknown = await search(client, "taxonomy", entityId="nobody")
    assert unknown["taxonomy"] == []
    assert "nobody" in unknown["status"]["message"]


async def test_another_namespace_is_empty_and_says_so(client: httpx.AsyncClient) -> None:
    await created(client, "Something")
    await becomes(lambda: total(client), 1)
    other = await search(client, namespace="AAMTraits")
    assert (other["entities"], "AAMTraits" in other["status"]["message"]) == ([], True)
    other = await search(client, "taxonomy", namespace="AAMTraits", entityId="x")
    assert (other["taxonomy"], "AAMTraits" in other["status"]["message"]) == ([], True)


async def test_changes_are_found_within_two_seconds(client: httpx.AsyncClient) -> None:
    async def seen() -> tuple[list[str], list[str]]:
        return await names(client, s="fresh"), await names(client, s="segmentDescription:word")

    segment_id = await created(client, "Fresh")
    taken = [await becomes(seen, (["Fresh"], []))]
    path = f"{DEFINITIONS}/{segment_id}"
    # A new description alone leaves the tag that workers follow as it is.
    await client.patch(path, json=definition_body("Fresh", description="A word"))
    taken.append(await becomes(seen, (["Fresh"], ["Fresh"])))
    await client.patch(path, json=definition_body("Renamed"))
    taken.append(await becomes(seen, ([], [])))
    taken.append(await becomes(lambda: names(client, s="renamed"), ["Renamed"]))
    await client.delete(path)
    taken.append(await becomes(lambda: names(client), []))
    assert max(taken) < FRESH_SECONDS


async def test_a_lost_notification_is_made_up_for(plane: Plane, redis: Redis) -> None:
    class Deaf(RedisSearchSource):
        async def changed(self):
            await asyncio.Event().wait()
            yield plane.tenant

    client = plane.client()
    keeper = SearchKeeper([Deaf(redis, plane.prefix)])
    async with keeper.running():
        await created(client, "Unheard of")

        async def seen() -> list[str]:
            try:
                return [one.name for one in keeper.view(plane.tenant).documents]
            except Unavailable:
                return []

        await becomes(seen, ["Unheard of"])


async def test_two_tenants_find_nothing_of_each_other(plane: Plane) -> None:
    mine, sandbox, theirs = plane.client(), plane.client(x_sandbox_name="dev"), plane.other_client()
    ids = {}
    for client, name in ((mine, "Mine"), (sandbox, "Sandboxed"), (theirs, "Theirs")):
        ids[name] = await created(client, name, description="shared words")
    for client, own in ((mine, "Mine"), (sandbox, "Sandboxed"), (theirs, "Theirs")):
        await becomes(lambda client=client: names(client), [own])  # type: ignore[misc]
        for query in ("shared", "*", "NOT nothing", "/.*/", "*:*", "segmentId:*"):
            assert await names(client, s=query) == [own]
        counted = await search(client, "namespaces", s="shared")
        assert counted["namespaces"][0]["count"] == 1
        for name, segment_id in ids.items():
            found = await search(client, "taxonomy", entityId=segment_id)
            assert [one["name"] for one in found["taxonomy"]] == ([name] if name == own else [])
            assert await names(client, s=f"segmentId:{segment_id}") == (
                [name] if name == own else []
            )


async def test_a_new_process_finds_what_was_there_before(plane: Plane, redis: Redis) -> None:
    await created(plane.client(), "Old")
    keeper = SearchKeeper([RedisSearchSource(redis, plane.prefix)])
    await keeper.refresh()
    assert [one.name for one in keeper.view(plane.tenant).documents] == ["Old"]
    assert keeper.view(Tenant("nobody@AdobeOrg", "prod")).documents == ()


@pytest.mark.parametrize("path", CALLS)
async def test_the_search_version_may_be_left_out_but_not_be_another(
    client: httpx.AsyncClient, path: str
) -> None:
    url = f"{SEARCH}/{path}"
    for version, status in ((None, 200), ("1.0", 200), ("2.0", 400), ("", 400)):
        headers = {} if version is None else {"x-ups-search-version": version}
        answer = await client.get(url, params=CALLS[path], headers=headers)
        assert answer.status_code == status, version
    assert answer.json()["type"].endswith("SEG-INVALID-PARAMETER-400")


async def test_the_schema_has_two_names_for_entities(client: httpx.AsyncClient) -> None:
    schema = SCHEMA["schema.name"]

    async def status(**given: str) -> int:
        asked = {"namespace": "AEPSegments"} | {
            name.replace("_name", ".name"): value for name, value in given.items()
        }
        return (await client.get(f"{SEARCH}/entities", params=asked)).status_code

    assert await status(schemaClass=schema) == 200
    assert await status(schemaClass=schema, schema_name=schema) == 200
    assert await status(schemaClass=schema, schema_name="other") == 400
    assert await status(schemaClass="other", schema_name=schema) == 400
    assert await status() == 400


@pytest.mark.parametrize(
    ("path", "changed", "said"),
    [
        ("namespaces", {"schema.name": None}, "schema.name"),
        ("namespaces", {"schema.name": "_xdm.context.profile"}, "schema.name"),
        ("entities", {"schema.name": "other"}, "schema.name"),
        ("entities", {"namespace": None}, "namespace"),
        ("entities", {"namespace": ""}, "namespace"),
        ("entities", {"limit": "0"}, "limit"),
        ("entities", {"limit": "51"}, "limit"),
        ("entities", {"limit": "many"}, "limit"),
        ("entities", {"page": "-1"}, "page"),
        ("entities", {"entityId": ""}, "entityId"),
        ("taxonomy", {"schema.name": None}, "schema.name"),
        ("taxonomy", {"namespace": None}, "namespace"),
        ("taxonomy", {"entityId": None}, "entityId"),
    ],
)
async def test_wrong_parameters_are_400_and_named(
    client: httpx.AsyncClient, path: str, changed: dict[str, str | None], said: str
) -> None:
    asked = {name: value for name, value in (CALLS[path] | changed).items() if value is not None}
    answer = await client.get(f"{SEARCH}/{path}", params=asked)
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("SEG-INVALID-PARAMETER-400")
    assert said in answer.json()["title"]


@pytest.mark.parametrize("path", ["namespaces", "entities"])
@pytest.mark.parametrize(
    ("query", "line", "column"),
    [
        ("winter AND", 1, 8),
        ("(winter", 1, 1),
        ('winter "sale', 1, 8),
        ("winter\nOR nom:x", 2, 4),
        ("winter~9", 1, 8),
        ("a /[/", 1, 4),
        ("[a TO b]", 1, 1),
    ],
)
async def test_a_malformed_query_is_400_with_its_position(
    client: httpx.AsyncClient, path: str, query: str, line: int, column: int
) -> None:
    answer = await client.get(f"{SEARCH}/{path}", params={**CALLS[path], "s": query})
    assert answer.status_code == 400
    body = answer.json()
    assert body["type"].endswith("SEG-INVALID-QUERY-400")
    outer, inner = body["errors"]["400"]
    assert (outer["code"], inner["code"]) == ("SEG-INVALID-QUERY-400", "SEG-SYNTAX-400")
    assert (inner["line"], inner["column"]) == (line, column)
    assert inner["message"] in body["title"]


@pytest.mark.parametrize("path", CALLS)
async def test_search_needs_a_token_and_a_sandbox(plane: Plane, path: str) -> None:
    url = f"{SEARCH}/{path}"
    nobody = await plane.client(authorization=None).get(url, params=CALLS[path])
    assert (nobody.status_code, nobody.json()["error_code"]) == (403, "403010")
    astray = await plane.client(x_sandbox_name="nope").get(url, params=CALLS[path])
    assert astray.status_code == 403


@pytest.mark.parametrize("path", CALLS)
async def test_what_is_not_known_yet_is_503(
    plane: Plane, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(plane.keeper, "_seen_at", None)
    answer = await client.get(f"{SEARCH}/{path}", params=CALLS[path])
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"].endswith("SEG-UNAVAILABLE-503")
