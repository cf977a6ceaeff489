"""Sizes of audiences that other systems tell."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.adapters.redis.metric_store import RedisMetricStore
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    OTHER_ORG,
    Plane,
    created_audience,
    refusal,
)

pytestmark = pytest.mark.redis

CALL = f"{AUDIENCES}/bulk-patch-metric"


def row(audience_id: str, profiles: int, namespace: str = "AEPSegments") -> dict[str, Any]:
    operation = {"op": "add", "path": "/metrics/data", "value": {"totalProfiles": profiles}}
    return {"audienceId": audience_id, "namespace": namespace, "operations": [operation]}


async def tell(client: httpx.AsyncClient, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    sent = {"jobId": "job-77", "jobType": "AO", "resources": rows}
    answer = await client.post(CALL, json=sent)
    assert answer.status_code == 207, answer.text
    found: list[dict[str, Any]] = answer.json()["resources"]
    return found


async def listed(client: httpx.AsyncClient, **query: str) -> dict[str, dict[str, Any]]:
    answer = await client.get(AUDIENCES, params=query)
    return {one["id"]: one for one in answer.json()["children"]}


async def test_what_is_told_is_listed_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    one = (await created_audience(client, "told"))["id"]
    other = (await created_audience(client, "not told"))["id"]
    records = {"op": "add", "path": "/recordMetrics/data", "value": {"recordCount": 1200}}
    told = row(one, 900)
    told["operations"].append(records)
    assert await tell(client, told) == [
        {"audienceId": one, "namespace": "AEPSegments", "status": 200}
    ]
    found = await listed(client, withMetrics="true")
    metrics = found[one]["metrics"]
    assert metrics["data"] == {"totalProfiles": 900}
    assert (metrics["jobId"], metrics["type"]) == ("job-77", "AO")
    assert found[one]["recordMetrics"]["data"] == {"recordCount": 1200}
    assert "metrics" not in found[other]
    assert "metrics" not in (await listed(client))[one]
    await tell(client, row(one, 901))
    again = (await listed(client, withMetrics="true"))[one]
    assert again["metrics"]["data"] == {"totalProfiles": 901}
    assert again["metrics"]["createEpoch"] == metrics["createEpoch"]
    assert again["recordMetrics"]["data"] == {"recordCount": 1200}


async def test_a_row_without_its_audience_fails_alone(client: httpx.AsyncClient) -> None:
    one = (await created_audience(client, "told"))["id"]
    first, second, third = await tell(
        client, row("nobody", 1), row(one, 2), row(one, 3, "AAMTraits")
    )
    assert (first["status"], second["status"], third["status"]) == (404, 200, 404)
    assert "nobody" in first["errors"]["404"][0]["message"]
    found = await listed(client, withMetrics="true")
    assert found[one]["metrics"]["data"] == {"totalProfiles": 2}


@pytest.mark.parametrize("removed_at", [AUDIENCES, DEFINITIONS])
async def test_what_is_told_goes_with_its_audience(
    client: httpx.AsyncClient, plane: Plane, removed_at: str
) -> None:
    one = (await created_audience(client, "told"))["id"]
    await tell(client, row(one, 900))
    store = RedisMetricStore(plane.redis, plane.prefix)
    known = await store.get(plane.tenant, [one])
    assert known
    assert (await client.delete(f"{removed_at}/{one}")).is_success
    await store.put(plane.tenant, known)  # told by a job that was at it meanwhile
    assert await store.get(plane.tenant, [one]) == {}
    keys = [key async for key in plane.redis.scan_iter(f"{plane.prefix}:*audience-metrics")]
    assert keys == []


async def test_tenants_do_not_meet(client: httpx.AsyncClient, plane: Plane) -> None:
    one = (await created_audience(client, "told"))["id"]
    stranger = plane.client(
        authorization="Bearer token-2", x_api_key="key-2", x_gw_ims_org_id=OTHER_ORG
    )
    (answer,) = await tell(stranger, row(one, 5))
    assert answer["status"] == 404
    assert "metrics" not in (await listed(client, withMetrics="true"))[one]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"jobType": "other"}, "jobType"),
        ({"resources": []}, "resources"),
        ({"resources": [row("a", -1)]}, "totalProfiles"),
        ({"resources": [row("a", 1) | {"operations": []}]}, "operations"),
        ({"resources": [row("a", 1) | {"id": "x"}]}, "id"),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_a_bad_body_is_told_where(
    client: httpx.AsyncClient, change: dict[str, Any], named: str
) -> None:
    sent = {"jobId": "job-77", "jobType": "AO", "resources": [row("a", 1)], **change}
    assert named in refusal(await client.post(CALL, json=sent), 400, "UPLIB-101206-500")


async def test_a_whole_number_may_be_written_with_a_point(client: httpx.AsyncClient) -> None:
    one = (await created_audience(client, "told"))["id"]
    told = row(one, 0)
    told["operations"][0]["value"] = {"totalProfiles": 900.0}
    assert (await tell(client, told))[0]["status"] == 200
    found = await listed(client, withMetrics="true")
    assert found[one]["metrics"]["data"] == {"totalProfiles": 900}
