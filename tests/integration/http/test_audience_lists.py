"""Lists of audiences, walked to the end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    created_audience,
    definition_body,
    in_segment,
    refusal,
)

pytestmark = pytest.mark.redis


async def page_of(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(AUDIENCES, params=parameters)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def names_of(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
    return [one["name"] for one in (await page_of(client, **parameters))["children"]]


async def test_an_empty_list_is_one_page(client: httpx.AsyncClient) -> None:
    assert await page_of(client) == {
        "children": [],
        "_page": {
            "totalCount": 0,
            "totalPages": 0,
            "sortField": "creationTime",
            "sort": "desc",
            "pageSize": 0,
            "limit": 100,
            "start": "0",
        },
        "_links": {"next": {}},
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_every_way_through_the_pages_gives_every_audience_once(
    client: httpx.AsyncClient, limit: int
) -> None:
    names = [f"audience {number}" for number in range(7)]
    for name in names:
        await created_audience(client, name, description="Some & more")
    await created_audience(client, "else")
    wanted = {"sort": "name:asc", "limit": limit, "description": "some & MORE"}

    page, by_start = await page_of(client, **wanted), []
    sizes = []
    while True:
        by_start += [one["name"] for one in page["children"]]
        sizes.append(page["_page"]["pageSize"])
        assert page["_page"]["totalCount"] == 7
        assert page["_page"]["totalPages"] == -(-7 // limit)
        if "next" not in page["_page"]:
            break
        page = await page_of(client, start=page["_page"]["next"], **wanted)
    assert by_start == names
    assert all(size == limit for size in sizes[:-1])
    assert page["_links"] == {"next": {}}

    page, by_link = await page_of(client, **wanted), []
    while True:
        by_link += [one["name"] for one in page["children"]]
        href = page["_links"]["next"].get("href")
        if href is None:
            break
        assert href.startswith("@/audiences?start=")
        assert "totalCount=7" in href
        page = (await client.get(AUDIENCES + href.removeprefix("@/audiences"))).json()
    assert by_link == names


async def test_pages_of_an_unsorted_list_follow_each_other(client: httpx.AsyncClient) -> None:
    made = [(await created_audience(client, f"a{number}"))["id"] for number in range(5)]
    found = []
    for start in range(3):
        page = await page_of(client, start=start, limit=2)
        found += [one["id"] for one in page["children"]]
        assert page["_page"]["start"] == str(start)
    assert sorted(found) == sorted(made)
    beyond = await page_of(client, start=3, limit=2)
    assert (beyond["children"], beyond["_links"]) == ([], {"next": {}})


async def test_the_list_shows_what_get_shows(client: httpx.AsyncClient) -> None:
    one = await created_audience(client, "one", labels=["core/C1"])
    await created_audience(client, "two", in_segment(one["id"]))
    for listed in (await page_of(client))["children"]:
        assert (await client.get(f"{AUDIENCES}/{listed['id']}")).json() == listed


async def test_definitions_of_the_older_endpoint_are_listed(client: httpx.AsyncClient) -> None:
    await client.post(DEFINITIONS, json=definition_body("old"))
    await created_audience(client, "draft", lifecycleState="draft")
    await created_audience(client, "off", lifecycleState="inactive")
    assert sorted(await names_of(client)) == ["draft", "old"]
    older = (await client.get(DEFINITIONS)).json()["segments"]
    assert sorted(one["name"] for one in older) == ["draft", "off", "old"]


async def test_filters_join(client: httpx.AsyncClient) -> None:
    first = await created_audience(client, "Winter buyers", description="Bought", labels=["a"])
    await created_audience(client, "winter visitors", description="Came", labels=["a", "b"])
    off = await created_audience(client, "Winter past", lifecycleState="inactive")
    by_name = {"sort": "name:asc"}
    assert await names_of(client, name="WINTER", **by_name) == ["Winter buyers", "winter visitors"]
    assert await names_of(client, name="winter", description="BOUGHT") == ["Winter buyers"]
    assert await names_of(client, property=f"audienceId=={first['id']}") == ["Winter buyers"]
    assert await names_of(client, property=f"audienceId=={off['id']}") == ["Winter past"]
    assert await names_of(client, property="lifecycleState==inactive") == ["Winter past"]
    assert await names_of(client, property=["labels==a", "labels==b"]) == ["winter visitors"]
    assert await names_of(client, property="name==winter") == []
    assert len(await names_of(client, entityType="_xdm.context.profile")) == 2
    assert await names_of(client, entityType="_xdm.context.account") == []


async def test_lists_sort_by_update(client: httpx.AsyncClient) -> None:
    first = await created_audience(client, "first")
    await created_audience(client, "second")
    operation = [{"op": "add", "path": "/description", "value": "later"}]
    patched = await client.patch(f"{AUDIENCES}/{first['id']}", json=operation)
    assert patched.json()["updateTime"] >= first["updateTime"]
    page = await page_of(client, sort="updateTime:desc,name:asc")
    assert page["children"][0]["name"] == "first"
    assert (page["_page"]["sortField"], page["_page"]["sort"]) == ("updateTime", "desc")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "start=-1",
        "sort=colour:asc",
        "sort=name:up",
        "property=name",
        "property=colour==red",
        "withMetrics=perhaps",
    ],
)
async def test_bad_parameters_are_400(client: httpx.AsyncClient, query: str) -> None:
    refusal(await client.get(f"{AUDIENCES}?{query}"), 400, "SEG-INVALID-PARAMETER-400")


async def test_a_stranger_is_refused_as_everywhere(plane: Plane) -> None:
    stranger = plane.client(x_sandbox_name="unknown")
    refusal(await stranger.get(AUDIENCES), 403, "SEG-SANDBOX-UNKNOWN-403")
    answer = await plane.client(authorization=None).get(AUDIENCES)
    assert answer.json()["error_code"] == "403010"
