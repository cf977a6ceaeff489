"""What the lifecycle of an audience does to its evaluation: HTTP and Redis, up to the engine."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from app.adapters.redis.definition_outbox import RedisDefinitionOutbox
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.domain.limits import EngineLimits
from app.domain.model import MembershipChange, ProfileKey
from app.engine.catalogue import compile_catalogue
from app.service.restoration import restore_definitions
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
from tests.property.engine_model import BASE_MS, TENANT, Store, make_update

pytestmark = pytest.mark.redis

INVALID = "UPAPI-113434-400"
KEY = ProfileKey(TENANT, "p")


async def move(client: httpx.AsyncClient, audience_id: str, state: str) -> httpx.Response:
    return await client.patch(f"{AUDIENCES}/{audience_id}", json=[add("/lifecycleState", state)])


async def moved(client: httpx.AsyncClient, audience_id: str, state: str) -> None:
    answer = await move(client, audience_id, state)
    assert answer.status_code == 200, answer.text
    assert answer.json()["lifecycleState"] == state


class Partition:
    """A partition's engine that works by what the control plane has stored."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.store = Store([], EngineLimits(), 10)
        self.number = 0

    async def touch(self, **attributes: object) -> list[MembershipChange]:
        """Take the definitions over, then one update of the profile."""
        loaded = await self.plane.store.load(self.plane.tenant)
        catalogue = compile_catalogue(loaded, EngineLimits(), self.store.catalogue)
        assert not catalogue.failures
        self.store.catalogue = catalogue
        self.store.engine.set_catalogue(TENANT, catalogue)
        self.number += 1
        at_ms = BASE_MS + self.number
        update = make_update(KEY, self.number, at_ms, attributes=dict(attributes))
        return self.store.apply([update], at_ms).changes


def brief(changes: list[MembershipChange]) -> list[tuple[str, str, int, str]]:
    return [(one.segment_id, one.status, one.sequence, one.cause.kind) for one in changes]


async def test_deactivating_takes_members_out_and_publishing_brings_them_back(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    partition = Partition(plane)
    one = (await created_audience(client, "adults", "age > 30"))["id"]
    two = (await created_audience(client, "others", "age > 0"))["id"]
    assert len(await partition.touch(age=40)) == 2

    await moved(client, one, "inactive")
    assert brief(await partition.touch(visits=1)) == [(one, "exited", 2, "definition")]
    assert await partition.touch(age=20) == []
    assert await partition.touch(age=50) == []

    await moved(client, one, "published")
    assert brief(await partition.touch(visits=2)) == [(one, "realized", 3, "backfill")]
    assert partition.store.members(KEY) == {one, two}


async def test_a_draft_is_evaluated_when_it_is_published(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    partition = Partition(plane)
    tag = await plane.store.tag(plane.tenant)
    one = await created_audience(client, "adults", "age > 30", lifecycleState="draft")
    assert one["evaluationState"] == "OFF"
    assert await plane.store.tag(plane.tenant) == tag
    assert await partition.touch(age=40) == []
    await moved(client, one["id"], "published")
    assert brief(await partition.touch(visits=1)) == [(one["id"], "realized", 1, "backfill")]


async def test_the_progress_of_an_evaluation_is_shown_wherever_an_audience_is(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    one = (await created_audience(client, "adults"))["id"]
    assert "evaluationProgress" not in (await client.get(f"{AUDIENCES}/{one}")).json()
    tag = await plane.store.tag(plane.tenant)
    await plane.store.report_backfill(plane.tenant, tag, 0, 2, 0.5)
    filtered = await client.get(AUDIENCES, params={"property": "evaluationProgress.percent==25"})
    found = await client.post(f"{AUDIENCES}/bulk-get", json={"ids": [{"id": one}]})
    edited = await client.patch(f"{AUDIENCES}/{one}", json=[add("/description", "older than 30")])
    shown = [
        (await client.get(f"{AUDIENCES}/{one}")).json(),
        (await client.get(f"{DEFINITIONS}/{one}")).json(),
        (await client.get(AUDIENCES)).json()["children"][0],
        filtered.json()["children"][0],
        found.json()["results"][one],
        edited.json(),
    ]
    progress = {"partitionsDone": 0, "partitions": 2, "percent": 25}
    for document in shown:
        assert document["evaluationState"] == "BACKFILLING"
        assert document["evaluationProgress"] == progress
    for partition in range(2):
        await plane.store.report_backfill(plane.tenant, tag, partition, 2, 1.0)
    live = (await client.get(f"{AUDIENCES}/{one}")).json()
    assert live["evaluationState"] == "LIVE"
    assert "evaluationProgress" not in live


async def test_an_inactive_audience_edited_and_deleted_leaves_nothing(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    partition = Partition(plane)
    one = (await created_audience(client, "adults", "age > 30"))["id"]
    await partition.touch(age=40)
    item = f"{AUDIENCES}/{one}"
    both = [add("/lifecycleState", "inactive"), add("/expression/value", "age > 20")]
    assert (await client.patch(item, json=both)).json()["evaluationState"] == "REMOVING"
    assert (await client.patch(item, json=[add("/expression/value", "age > 10")])).json()[
        "version"
    ] == 3
    assert (await client.delete(item)).status_code == 204
    assert brief(await partition.touch(visits=1)) == [(one, "exited", 2, "definition")]
    await created_audience(client, "adults", "age > 30")
    assert len(await partition.touch(visits=2)) == 1


async def test_a_change_that_is_refused_does_not_touch_the_evaluated_set(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    one = (await created_audience(client, "on"))["id"]
    before = await plane.store.load(plane.tenant)
    refusal(await move(client, one, "draft"), 400, INVALID)
    assert await plane.store.load(plane.tenant) == before


@pytest.mark.parametrize(
    ("born", "wanted", "taken"),
    [
        ("draft", "draft", True),
        ("draft", "published", True),
        ("draft", "inactive", False),
        ("published", "draft", False),
        ("published", "published", True),
        ("published", "inactive", True),
        ("inactive", "draft", False),
        ("inactive", "published", True),
        ("inactive", "inactive", True),
    ],
)
async def test_the_steps_of_the_lifecycle(
    client: httpx.AsyncClient, born: str, wanted: str, taken: bool
) -> None:
    one = await created_audience(client, "a", lifecycleState=born)
    item = f"{AUDIENCES}/{one['id']}"
    by_put = await client.put(item, json=audience_body("a", lifecycleState=wanted))
    if taken:
        assert (by_put.status_code, by_put.json()["lifecycleState"]) == (200, wanted)
    else:
        assert f"{born} cannot become {wanted}" in refusal(by_put, 400, INVALID)
        refusal(await move(client, one["id"], wanted), 400, INVALID)
        assert (await client.get(item)).json() == one
    assert (await client.delete(item)).status_code == 204


async def test_what_others_ask_stays_published(client: httpx.AsyncClient) -> None:
    used = (await created_audience(client, "used"))["id"]
    user = (await created_audience(client, "user", in_segment(used)))["id"]
    drafted = await created_audience(client, "draft", in_segment(used), lifecycleState="draft")
    text = refusal(await move(client, used, "inactive"), 400, INVALID)
    assert user in text
    assert drafted["id"] in text
    assert (await client.delete(f"{AUDIENCES}/{drafted['id']}")).status_code == 204
    await moved(client, user, "inactive")
    await moved(client, used, "inactive")
    # The inactive one still refers to it.
    refusal(await client.delete(f"{AUDIENCES}/{used}"), 400, "UPAPI-113631-403")
    assert used in refusal(await move(client, user, "published"), 400, INVALID)
    await moved(client, used, "published")
    await moved(client, user, "published")


async def test_nothing_published_is_built_on_what_is_not(client: httpx.AsyncClient) -> None:
    draft = (await created_audience(client, "draft", lifecycleState="draft"))["id"]
    off = (await created_audience(client, "off", lifecycleState="inactive"))["id"]
    for asked in (draft, off):
        answer = await client.post(AUDIENCES, json=audience_body("x", in_segment(asked)))
        assert asked in refusal(answer, 400, INVALID)
        older = await client.post(DEFINITIONS, json=definition_body("x", in_segment(asked)))
        assert asked in refusal(older, 400, "SEG-INVALID-DEFINITION-400")
    on_draft = await created_audience(client, "d", in_segment(draft), lifecycleState="draft")
    on_off = audience_body("o", in_segment(off), lifecycleState="draft")
    assert off in refusal(await client.post(AUDIENCES, json=on_off), 400, INVALID)
    assert draft in refusal(await move(client, on_draft["id"], "published"), 400, INVALID)
    await moved(client, draft, "published")
    await moved(client, on_draft["id"], "published")


async def test_memberships_of_inactive_audiences_keep_their_names(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    on = (await created_audience(client, "on"))["id"]
    off = (await created_audience(client, "off"))["id"]
    await created_audience(client, "draft", lifecycleState="draft")
    await moved(client, off, "inactive")
    assert await plane.store.segment_ids(plane.tenant) == {0: on, 1: off}


async def test_the_topic_carries_what_an_audience_is_restored_from(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    off = await created_audience(
        client, "off", lifecycleState="inactive", labels=["a"], overridePerformanceWarnings=True
    )
    tree = {"type": "PQL", "format": "pql/json", "value": '{"nodeType":"literal","value":true}'}
    body = audience_body("draft", lifecycleState="draft") | {"expression": tree}
    draft = (await client.post(AUDIENCES, json=body)).json()
    assert draft["expression"] == tree
    outbox = RedisDefinitionOutbox(plane.redis, plane.prefix)
    records = await outbox.read(plane.tenant, 10)
    values = [json.loads(record.value or b"") for record in records]
    lost = RedisDefinitionStore(plane.redis, f"{plane.prefix}-restored")
    assert await restore_definitions(lost, plane.tenant, values) == 2
    restored, kept = await lost.all(plane.tenant), await plane.store.all(plane.tenant)
    # Ordinals are given out anew.
    assert {one.segment_id: replace(one, ordinal=0) for one in restored} == {
        one.segment_id: replace(one, ordinal=0) for one in kept
    }
    assert {one.segment_id for one in kept} == {off["id"], draft["id"]}
    (stub,) = (await lost.load(plane.tenant)).removed
    assert (stub.segment_id, stub.is_inactive) == (off["id"], True)
