"""The routes of schedules, as a client sees them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.adapters.redis.schedule_store import RedisScheduleStore
from app.domain.errors import Conflict
from app.service.schedules import Schedules
from tests.integration.http.harness import (
    AUDIENCES,
    Plane,
    add,
    audience_body,
    created_audience,
    refusal,
    running_plane,
)
from tests.integration.http.schedule_bench import RecordingStarter
from tests.services import Names

pytestmark = pytest.mark.redis

SCHEDULES = "/data/core/ups/config/schedules"
ABSENT = f"{SCHEDULES}/00000000-0000-0000-0000-000000000000"
INVALID = "SEG-SCHEDULE-INVALID-400"
BODY = "SEG-INVALID-BODY-400"
UNKNOWN = "SEG-SCHEDULE-NOT-FOUND-404"


@pytest.fixture
def starter() -> RecordingStarter:
    return RecordingStarter()


@pytest.fixture
async def plane(
    redis: Redis, names: Names, tmp_path: Path, starter: RecordingStarter
) -> AsyncIterator[Plane]:
    async with running_plane(
        redis, names.redis_key_prefix, names.org_id, tmp_path, starter=starter
    ) as running:
        yield running


def body(**changed: Any) -> dict[str, Any]:
    whole = {
        "name": "nightly",
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 15 2 * * ?",
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def export(**properties: Any) -> dict[str, Any]:
    """Return what makes a body one of a schedule of exports."""
    return {
        "type": "export",
        "properties": {"schema": {"name": "_xdm.context.profile"}, **properties},
    }


def segments(*ids: str, ns: str = "ups") -> dict[str, Any]:
    return {"segments": [{"segmentId": one, "segmentNs": ns} for one in ids]}


async def created(client: httpx.AsyncClient, **changed: Any) -> dict[str, Any]:
    answer = await client.post(SCHEDULES, json=body(**changed))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def shown(client: httpx.AsyncClient, schedule: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"{SCHEDULES}/{schedule['id']}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_a_schedule_is_created_inactive_and_shown(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    before = int(time.time())
    schedule = await created(client)
    assert schedule.pop("createEpoch") >= before
    assert schedule.pop("updateEpoch") >= before
    assert schedule["sandbox"]["sandboxName"] == "prod"
    assert {name: schedule[name] for name in schedule if name not in ("id", "sandbox")} == {
        "imsOrgId": plane.org_id,
        "name": "nightly",
        "state": "inactive",
        "type": "batch_segmentation",
        "schedule": "0 15 2 * * ?",
        "frequency": "daily",
        "properties": {"segments": ["*"]},
        "missedRuns": "run-once",
    }
    assert (await shown(client, schedule)).items() >= schedule.items()


async def test_an_active_one_shows_its_next_run(client: httpx.AsyncClient) -> None:
    schedule = await created(client, state="active", missedRuns="skip")
    now_ms = time.time() * 1000
    assert now_ms < schedule["nextRunTime"] < now_ms + 86_400_000
    assert schedule["missedRuns"] == "skip"
    path = f"{SCHEDULES}/{schedule['id']}"
    patch = [{"op": "replace", "path": "/schedule", "value": "0 0 0 1 1 ? 2098"}]
    assert (await client.patch(path, json=patch)).status_code == 204
    changed = await shown(client, schedule)
    assert (changed["nextRunTime"], changed["frequency"]) == (4039372800000, "yearly")
    assert (await client.patch(path, json=[add("/state", "inactive")])).status_code == 204
    assert "nextRunTime" not in await shown(client, schedule)
    both = [
        add("/state", "active"),
        add("/schedule", "0 0 0 2 1 ? 2098"),
        add("/missedRuns", "skip"),
    ]
    answer = await client.patch(path, json=both)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await shown(client, schedule))["nextRunTime"] == 4039372800000 + 86_400_000


async def test_without_an_expression_one_is_made_up(client: httpx.AsyncClient) -> None:
    schedule = await created(client, schedule=None)
    assert schedule["schedule"].startswith("0 ")
    assert schedule["schedule"].endswith(" 2 * * ?")
    assert schedule["frequency"] == "daily"


async def test_a_patch_needs_no_content_type(client: httpx.AsyncClient) -> None:
    schedule = await created(client)
    path, content = f"{SCHEDULES}/{schedule['id']}", json.dumps([add("/state", "active")])
    for headers in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = await client.patch(path, content=content, headers=headers)
        assert answer.status_code == 204, answer.text
    assert (await shown(client, schedule))["state"] == "active"
    assert (await client.post(SCHEDULES, content=json.dumps(body()))).status_code == 400


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"name": None}, BODY, "name"),
        ({"type": None}, BODY, "type"),
        ({"properties": None}, BODY, "properties"),
        ({"properties": {}}, BODY, "properties.segments"),
        ({"properties": {"segments": [7]}}, BODY, "properties.segments.0"),
        ({"type": "export"}, BODY, "properties.schema"),
        ({"type": "other"}, BODY, "'other' is no type of job; send batch_segmentation or export"),
        (export(filter={"segment": []}), BODY, "properties.filter.segment: "),
        (export(fields="a..b"), BODY, "properties.fields: "),
        (export(destination={"datasetId": "x"}), INVALID, "there is no data set 'x'"),
        (export(filter=segments("nothing")), INVALID, "no segment definition nothing"),
        (export(filter=segments("a", "a", ns="crm")), INVALID, "a segment is named twice"),
        (export(mergePolicy={"id": "mine"}), INVALID, "mergePolicy.id: 'mine' is not the policy"),
        ({"state": "paused"}, BODY, "state"),
        ({"missedRuns": "all"}, BODY, "missedRuns"),
        ({"schedule": "0 0 25 * * ?"}, INVALID, "hours: '25' is no value"),
        ({"schedule": "0 0 2 * *"}, INVALID, "expression: it has 5 fields"),
        ({"schedule": ""}, INVALID, "it has 0 fields"),
        ({"schedule": "0 0 2 30 2 ?"}, INVALID, "never fires"),
        ({"schedule": "0 0 2 1 1 ? 2020"}, INVALID, "never fires"),
        ({"schedule": "0 0 2,14 * * ?"}, INVALID, "it fires 2 times on a day"),
        ({"properties": {"segments": ["nothing"]}}, INVALID, "no published audience: nothing"),
        ({"properties": {"segments": ["*", "nothing"]}}, INVALID, "beside ids"),
    ],
)
async def test_a_bad_schedule_is_refused_with_the_reason(
    client: httpx.AsyncClient, changed: dict[str, Any], code: str, said: str
) -> None:
    answer = await client.post(SCHEDULES, json=body(**changed))
    assert said in refusal(answer, 400, code)
    assert (await client.get(SCHEDULES)).json()["_page"]["totalCount"] == 0


async def test_the_entry_of_an_expression_has_the_remedy(client: httpx.AsyncClient) -> None:
    answer = await client.post(SCHEDULES, json=body(schedule="61 0 2 ? * 0"))
    first, *entries = answer.json()["errors"]["400"]
    assert first["message"] == "the cron expression has 2 problems"
    assert [one["hint"] for one in entries] == [
        "write 0 to 59",
        "write 1 to 7 or SUN to SAT; Sunday is 1",
    ]


@pytest.mark.parametrize(
    ("patch", "code", "said"),
    [
        ([], BODY, "at least 1"),
        ({}, BODY, "list"),
        ([{"op": "remove", "path": "/state", "value": "active"}], BODY, "0.op"),
        ([{"op": "add", "path": "/name", "value": "x"}], BODY, "0.path"),
        ([{"op": "add", "path": "/state"}], BODY, "0.value"),
        ([{"op": "add", "path": "/state", "value": "on"}], BODY, "send active or inactive"),
        ([{"op": "add", "path": "/missedRuns", "value": "on"}], BODY, "send run-once or skip"),
        ([add("/state", "active"), add("/schedule", "0 0 2 L,1 * ?")], INVALID, "stand alone"),
        ([add("/state", "active"), add("/schedule", "0 0 2 30 2 ?")], INVALID, "never fires"),
    ],
)
async def test_a_bad_patch_changes_nothing(
    client: httpx.AsyncClient, patch: Any, code: str, said: str
) -> None:
    schedule = await created(client)
    answer = await client.patch(f"{SCHEDULES}/{schedule['id']}", json=patch)
    message = json.dumps(answer.json()) if code == INVALID else refusal(answer, 400, code)
    assert answer.status_code == 400
    assert said in message
    assert await shown(client, schedule) == schedule


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    segments = {"id": ABSENT.rpartition("/")[2], "segments": ["a"]}
    answers = [
        await client.get(ABSENT),
        await client.patch(ABSENT, json=[add("/state", "active")]),
        await client.delete(ABSENT),
        await client.post(f"{SCHEDULES}/add-audiences", json=segments),
        await client.post(f"{SCHEDULES}/remove-audiences", json=segments),
        await client.post(f"{SCHEDULES}/trigger", json=segments),
    ]
    for answer in answers:
        assert "there is no schedule" in refusal(answer, 404, UNKNOWN)


async def test_deleted_is_gone(client: httpx.AsyncClient) -> None:
    schedule = await created(client, state="active")
    path = f"{SCHEDULES}/{schedule['id']}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    refusal(await client.get(path), 404, UNKNOWN)
    refusal(await client.delete(path), 404, UNKNOWN)
    assert (await client.get(SCHEDULES)).json()["children"] == []


async def test_lists_are_paged_newest_first(client: httpx.AsyncClient) -> None:
    made = []
    for number in range(5):
        made.append((await created(client, name=f"n{number}"))["id"])
        await asyncio.sleep(0.002)  # the order is by the millisecond
    seen, start, links = [], "0", []
    while True:
        answer = await client.get(SCHEDULES, params={"start": start, "limit": 2})
        page = answer.json()
        seen += [one["id"] for one in page["children"]]
        links.append(page["_links"]["next"])
        assert page["_page"]["totalCount"] == 5
        assert page["_page"]["pageSize"] == len(page["children"])
        if "next" not in page["_page"]:
            break
        start = page["_page"]["next"]
    assert seen == made[::-1]
    assert links == [
        {"href": "@/config/schedules?start=1&limit=2"},
        {"href": "@/config/schedules?start=2&limit=2"},
        {},
    ]
    whole = (await client.get(SCHEDULES)).json()
    assert (len(whole["children"]), whole["_links"]) == (5, {"next": {}})
    beyond = (await client.get(SCHEDULES, params={"start": 9})).json()
    assert (beyond["children"], beyond["_links"]) == ([], {"next": {}})
    for bad in ({"limit": 0}, {"start": -1}, {"limit": "x"}, {"limit": 1001}):
        answer = await client.get(SCHEDULES, params=bad)
        assert next(iter(bad)) in refusal(answer, 400, "SEG-INVALID-PARAMETER-400")


async def test_audiences_are_added_and_removed(client: httpx.AsyncClient) -> None:
    a, b, c = [(await created_audience(client, name))["id"] for name in "abc"]
    draft = await client.post(AUDIENCES, json=audience_body("d", lifecycleState="draft"))
    d = draft.json()["id"]
    schedule = await created(client, properties={"segments": [a, a]})
    assert schedule["properties"]["segments"] == [a]
    answer = await client.post(
        f"{SCHEDULES}/add-audiences", json={"id": schedule["id"], "segments": [a, b, c, b, d, "x"]}
    )
    assert answer.status_code == 200
    assert answer.json() == {
        "added": [b, c],
        "existing": [a],
        "invalid": [d, "x"],
        "segmentCount": {"previous": 1, "current": 3, "diff": 2},
    }
    assert (await shown(client, schedule))["properties"]["segments"] == [a, b, c]
    answer = await client.post(
        f"{SCHEDULES}/remove-audiences", json={"id": schedule["id"], "segments": [b, a, "x"]}
    )
    assert answer.json() == {
        "removed": [b, a],
        "existing": [],
        "invalid": ["x"],
        "segmentCount": {"previous": 3, "current": 1, "diff": -2},
    }
    answer = await client.post(
        f"{SCHEDULES}/remove-audiences", json={"id": schedule["id"], "segments": [a]}
    )
    assert (answer.json()["removed"], answer.json()["existing"]) == ([], [a])
    assert (await shown(client, schedule))["properties"]["segments"] == [c]


async def test_many_add_to_one_schedule_at_once(client: httpx.AsyncClient) -> None:
    ids = [(await created_audience(client, f"n{n}"))["id"] for n in range(8)]
    schedule = await created(client, properties={"segments": []})
    calls = [
        client.post(f"{SCHEDULES}/add-audiences", json={"id": schedule["id"], "segments": [one]})
        for one in ids
    ]
    for answer in await asyncio.gather(*calls):
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["added"]) == 1
    assert sorted((await shown(client, schedule))["properties"]["segments"]) == sorted(ids)


async def test_one_for_all_audiences_has_none_added(client: httpx.AsyncClient) -> None:
    schedule = await created(client)
    for call in ("add-audiences", "remove-audiences"):
        answer = await client.post(
            f"{SCHEDULES}/{call}", json={"id": schedule["id"], "segments": ["a"]}
        )
        assert "is for all audiences" in refusal(answer, 400, INVALID)


async def test_the_map_tells_which_schedules_evaluate_an_audience(
    client: httpx.AsyncClient,
) -> None:
    a, b = [(await created_audience(client, name))["id"] for name in "ab"]
    one = await created(client, properties={"segments": [a]}, schedule="0 0 2 ? * MON")
    asked = {"segments": [a, b, "x"]}
    answer = await client.post(f"{SCHEDULES}/audience-map", json=asked)
    assert answer.json() == {
        "audienceMap": {a: [one["id"]], b: [], "x": []},
        "schedules": {
            one["id"]: {"name": "nightly", "schedule": "0 0 2 ? * MON", "frequency": "weekly"}
        },
    }
    whole = await created(client)
    found = (await client.post(f"{SCHEDULES}/audience-map", json=asked)).json()["audienceMap"]
    assert (found[b], found["x"]) == ([whole["id"]], [])
    assert set(found[a]) == {one["id"], whole["id"]}


async def test_a_trigger_starts_the_job_now(
    plane: Plane, client: httpx.AsyncClient, starter: RecordingStarter
) -> None:
    a = (await created_audience(client, "a"))["id"]
    schedule = await created(client, properties={"segments": [a]})
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": schedule["id"]})
    assert (answer.status_code, answer.content) == (200, b"")
    [(tenant, segments, origin)] = starter.calls
    assert (tenant, segments) == (plane.tenant, (a,))
    assert origin.startswith(f"schedule:{schedule['id']}:")
    run = (await shown(client, schedule))["lastRun"]
    assert (run["outcome"], run["jobId"]) == ("started", "job-1")
    assert run["dueTime"] == int(origin.rpartition(":")[2])


async def test_a_trigger_that_cannot_start_says_why(
    client: httpx.AsyncClient, starter: RecordingStarter
) -> None:
    empty = await created(client, properties={"segments": []})
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": empty["id"]})
    assert "none of the audiences" in refusal(answer, 400, INVALID)
    starter.error = Conflict("too many jobs in progress")
    schedule = await created(client)
    answer = await client.post(f"{SCHEDULES}/trigger", json={"id": schedule["id"]})
    assert "too many jobs" in refusal(answer, 409, "SEG-CONFLICT-409")
    assert "lastRun" not in await shown(client, schedule)


async def test_a_schedule_that_keeps_changing_is_429(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await created(client)

    async def lost(*_: Any) -> bool:
        return False

    async def other(self: Schedules, tenant: Any, schedule_id: str) -> Any:
        found = await self._store.get(tenant, schedule_id)
        reads.append(found)
        assert found is not None
        return replace(found, name=f"changed {len(reads)} times")

    reads: list[Any] = []
    monkeypatch.setattr(RedisScheduleStore, "put", lost)
    monkeypatch.setattr(Schedules, "get", other)
    answer = await client.patch(f"{SCHEDULES}/{schedule['id']}", json=[add("/state", "active")])
    assert "try again" in refusal(answer, 429, "SEG-SCHEDULE-BUSY-429")


async def test_tenants_do_not_see_each_other_s(plane: Plane, client: httpx.AsyncClient) -> None:
    schedule = await created(client)
    others = [plane.other_client(), plane.client(x_sandbox_name="dev")]
    for other in others:
        assert (await other.get(SCHEDULES)).json()["children"] == []
        path = f"{SCHEDULES}/{schedule['id']}"
        refusal(await other.get(path), 404, UNKNOWN)
        refusal(await other.patch(path, json=[add("/state", "active")]), 404, UNKNOWN)
        refusal(await other.delete(path), 404, UNKNOWN)
        asked = {"id": schedule["id"], "segments": ["a"]}
        for call in ("trigger", "add-audiences", "remove-audiences"):
            refusal(await other.post(f"{SCHEDULES}/{call}", json=asked), 404, UNKNOWN)
    assert await shown(client, schedule) == schedule


async def test_a_schedule_of_exports_is_shown_with_what_it_exports(
    client: httpx.AsyncClient,
) -> None:
    one = (await created_audience(client, name="one"))["id"]
    asked = export(
        destination={"datasetId": "members", "segmentPerBatch": True},
        filter=segments(one),
        evaluationInfo={"segmentation": True},
    )
    schedule = await created(client, **asked)
    assert schedule["type"] == "export"
    properties = schedule["properties"]
    for name in ("schema", "destination", "evaluationInfo"):
        assert properties[name] == asked["properties"][name]
    assert properties["filter"]["segments"] == [
        {"segmentId": one, "segmentNs": "ups", "status": ["realized"]}
    ]
    path = f"{SCHEDULES}/{schedule['id']}"
    assert (await client.patch(path, json=[add("/state", "active")])).status_code == 204
    found = await shown(client, schedule)
    assert (found["properties"], found["state"]) == (properties, "active")
    plain = await created(client, **export(filter=segments(one)))
    again = await client.post(SCHEDULES, json=body(**export(**plain["properties"])))
    assert again.json()["properties"] == plain["properties"]
    change = {"id": schedule["id"], "segments": [one]}
    answer = await client.post(f"{SCHEDULES}/add-audiences", json=change)
    assert "is of exports" in refusal(answer, 400, INVALID)
    answer = await client.post(f"{SCHEDULES}/audience-map", json={"segments": [one]})
    assert answer.json()["audienceMap"] == {one: [schedule["id"]]}
