"""`/access/entities`, in the forms of the public guide of profile access."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.domain.model import Tenant
from app.engine.tables import Detail, DetailTable
from app.service.definition_document import default_merge_policy_id
from tests.integration.http.harness import (
    DEFINITIONS,
    OTHER_ORG,
    Plane,
    definition_body,
    refusal,
)
from tests.integration.http.stored_profiles import CLOCK_MS, SECOND, everything, store_profile

pytestmark = pytest.mark.redis

PATH = "/data/core/ups/access/entities"
PROFILE = "_xdm.context.profile"
EVENT = "_xdm.context.experienceevent"
IDENTITY_MAP = {
    "Email": [{"id": "ada@example.com", "primary": True}, {"id": "a@example.com"}],
    "CRMID": [{"id": "p-1"}],
    "Gone": None,
}
ADA = {
    "person": {"name": {"firstName": "Ada", "lastName": "L"}, "age": 36},
    "workEmail": {"address": "ada@example.com"},
    "identityMap": IDENTITY_MAP,
}
EVENTS = [
    {"at": 30 * SECOND, "_id": "e-1", "eventType": "view", "web": {"page": "a", "hits": 1}},
    {"at": 20 * SECOND, "eventType": "buy", "web": {"page": "b", "hits": 2}},
    {"at": 10 * SECOND, "_id": "e-3", "eventType": "view", "web": {"page": "c", "hits": 3}},
]


def events_query(**more: Any) -> dict[str, Any]:
    """Return the query for the events of `p-1`; underscores for what Python cannot name."""
    return {
        "schema.name": EVENT,
        "relatedSchema.name": PROFILE,
        "relatedEntityId": "p-1",
        **more,
    }


def profile_query(**more: Any) -> dict[str, Any]:
    return {"schema.name": PROFILE, "entityId": "p-1", **more}


@pytest.fixture
async def ada(plane: Plane) -> None:
    await store_profile(plane, "p-1", ADA, EVENTS)


async def test_a_profile_is_returned_by_its_id(plane: Plane, client: httpx.AsyncClient) -> None:
    created = await client.post(DEFINITIONS, json=definition_body("in"))
    segment_id = created.json()["id"]
    external = {"AAM": {"1": {"status": "realized"}}}
    details = DetailTable({0: Detail(CLOCK_MS, 1)})
    attributes = {**ADA, "segmentMembership": external}
    await store_profile(plane, "p-1", attributes, EVENTS, details=details)
    before = await everything(plane)

    answer = await client.get(PATH, params=profile_query())

    assert answer.status_code == 200, answer.text
    ours = {segment_id: {"lastQualificationTime": "2026-01-05T10:00:00Z", "status": "exited"}}
    assert answer.json() == {
        "p-1": {
            "entityId": "p-1",
            "mergePolicy": {"id": default_merge_policy_id(plane.tenant)},
            "sources": [],
            "entity": {
                **ADA,
                "identities": [
                    {
                        "id": "ada@example.com",
                        "namespace": {"code": "Email"},
                        "primary": True,
                    },
                    {"id": "a@example.com", "namespace": {"code": "Email"}},
                    {"id": "p-1", "namespace": {"code": "CRMID"}},
                ],
                "segmentMembership": {**external, "ups": ours},
            },
            "lastModifiedAt": "2026-01-05T10:00:00Z",
        }
    }
    assert await everything(plane) == before


async def test_fields_are_picked_as_in_the_guide(ada: None, client: httpx.AsyncClient) -> None:
    query = profile_query(fields="identities,person.name,workEmail,absent")

    answer = await client.get(PATH, params=query)

    entity = answer.json()["p-1"]["entity"]
    assert set(entity) == {"identities", "person", "workEmail"}
    assert entity["person"] == {"name": ADA["person"]["name"]}  # type: ignore[index]


LOOKUPS = [
    ("p-1", "CRMID", 200),
    ("p-1", "crmid", 200),
    ("p-1", "Email", 404),
    ("p-1", "Gone", 404),
    ("p-1", "Unknown", 404),
    ("ada@example.com", "Email", 404),  # an identity of p-1, but no profile id
    ("ada@example.com", None, 404),
    ("bare", None, 200),
    ("bare", "CRMID", 404),
    ("odd", "CRMID", 404),
    ("odd", None, 200),
]


async def test_a_namespace_asks_that_the_profile_has_its_id_there(
    ada: None, plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "bare")
    await store_profile(plane, "odd", {"identityMap": {"CRMID": "x", "E": [1]}})
    for profile_id, namespace, status in LOOKUPS:
        given = {} if namespace is None else {"entityIdNS": namespace}

        answer = await client.get(PATH, params=profile_query(entityId=profile_id, **given))

        assert answer.status_code == status, (profile_id, namespace, answer.text)
        if status == 404:
            assert profile_id in refusal(answer, 404, "SEG-PROFILE-NOT-FOUND-404")


async def test_events_are_returned_oldest_first(ada: None, client: httpx.AsyncClient) -> None:
    answer = await client.get(PATH, params=events_query(fields="web,eventType", limit=2))

    assert answer.status_code == 200, answer.text
    found = answer.json()
    following = found["_page"]["next"]
    assert found["children"] == [
        {
            "relatedEntityId": "p-1",
            "entityId": "e-1",
            "timestamp": CLOCK_MS - 30 * SECOND,
            "entity": {"web": {"page": "a", "hits": 1}, "eventType": "view"},
        },
        {
            "relatedEntityId": "p-1",
            "entityId": found["children"][1]["entityId"],
            "timestamp": CLOCK_MS - 20 * SECOND,
            "entity": {"web": {"page": "b", "hits": 2}, "eventType": "buy"},
        },
    ]
    assert found["_page"] == {
        "orderby": "timestamp",
        "start": found["_page"]["start"],
        "count": 2,
        "next": following,
    }
    # An event without an id of its own is called by its place.
    assert found["_page"]["start"] < found["children"][1]["entityId"] < following
    href = found["_links"]["next"]["href"]
    assert href.startswith(f"/entities?start={following}&orderby=timestamp&schema.name={EVENT}&")

    last = (await client.get(f"/data/core/ups/access{href}")).json()

    assert [child["entityId"] for child in last["children"]] == ["e-3"]
    assert last["children"][0]["entity"] == {"web": {"page": "c", "hits": 3}, "eventType": "view"}
    assert last["_page"] == {"orderby": "timestamp", "start": following, "count": 1, "next": ""}
    assert last["_links"] == {"next": {"href": ""}}


async def pages(client: httpx.AsyncClient, query: dict[str, Any]) -> list[list[str]]:
    """Follow the links; return the pages visited on each."""
    found = (await client.get(PATH, params=query)).json()
    read = [[child["entity"]["web"]["page"] for child in found["children"]]]
    while href := found["_links"]["next"]["href"]:
        found = (await client.get(f"/data/core/ups/access{href}")).json()
        read.append([child["entity"]["web"]["page"] for child in found["children"]])
    return read


READS: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({}, [["a", "b", "c"]]),
    ({"orderby": "-timestamp"}, [["c", "b", "a"]]),
    ({"orderBy": "+timestamp"}, [["a", "b", "c"]]),
    ({"orderby": " timestamp"}, [["a", "b", "c"]]),  # an unencoded plus sign
    ({"orderby": "-timestamp", "limit": 1}, [["c"], ["b"], ["a"]]),
    ({"startTime": CLOCK_MS - 20 * SECOND}, [["b", "c"]]),
    ({"endTime": CLOCK_MS - 20 * SECOND}, [["a"]]),
    (
        {
            "startTime": CLOCK_MS - 25 * SECOND,
            "endTime": CLOCK_MS - 9 * SECOND,
            "limit": 1,
            "fields": "web.page",
        },
        [["b"], ["c"]],
    ),
    ({"property": "eventType=view", "limit": 1}, [["a"], ["c"]]),
    ({"property": ["web.hits>1", 'web.page!="c"']}, [["b"]]),
    ({"relatedEntityIdNS": "crmid", "limit": 2}, [["a", "b"], ["c"]]),
    ({"withCA": "false"}, [["a", "b", "c"]]),
]


async def test_events_are_filtered_ordered_and_paged(ada: None, client: httpx.AsyncClient) -> None:
    for query, read in READS:
        assert await pages(client, events_query(**query)) == read, query


async def test_two_tenants_do_not_see_each_others_entities(ada: None, plane: Plane) -> None:
    await store_profile(plane, "p-1", {"of": "two"}, tenant=Tenant(OTHER_ORG, "prod"))
    other, sandbox = plane.other_client(), plane.client(x_sandbox_name="dev")

    found = (await other.get(PATH, params=profile_query())).json()

    assert found["p-1"]["entity"] == {"of": "two", "segmentMembership": {"ups": {}}}
    assert (await other.get(PATH, params=events_query())).json()["children"] == []
    for query in (profile_query(), events_query()):
        refusal(await sandbox.get(PATH, params=query), 404, "SEG-PROFILE-NOT-FOUND-404")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"entityId": "p-1"}, "schema.name is missing"),
    ({"schema.name": "_xdm.context.account", "entityId": "p-1"}, "schema.name is '_xdm"),
    ({"schema.name": PROFILE}, "entityId is missing"),
    ({"schema.name": PROFILE, "entityId": ""}, "entityId is missing"),
    (profile_query(entityIdNS=""), "entityIdNS is empty"),
    (profile_query(fields=""), "fields has ''"),
    (profile_query(fields="a,,b"), "fields has ''"),
    (profile_query(mergePolicyId="m"), "mergePolicyId"),
    (profile_query(withCA="true"), "withCA"),
    (profile_query(graph="x"), "graph is no parameter"),
    (profile_query(limit=1), "limit is no parameter"),
    (profile_query(startTime=1), "startTime is no parameter"),
    (profile_query(entityId=["p-1", "p-2"]), "entityId is given twice"),
    ({"schema.name": EVENT, "relatedEntityId": "p-1"}, "relatedSchema.name is missing"),
    (events_query(**{"relatedSchema.name": EVENT}), "relatedSchema.name is"),
    (events_query(relatedEntityId=None), "relatedEntityId is missing"),
    (events_query(entityId="e-1"), "entityId is no parameter"),
    (events_query(limit=0), "limit"),
    (events_query(limit=1_001), "limit"),
    (events_query(startTime="x"), "startTime"),
    (events_query(orderby="name"), "orderby is 'name'"),
    (events_query(orderby="timestamp", orderBy="timestamp"), "orderby and orderBy"),
    (events_query(start="x"), "start is 'x'"),
    (events_query(property="x"), "property is 'x'"),
    (events_query(property=["a=1"] * 4), "property is given 4 times"),
]


async def test_what_cannot_be_served_is_refused(ada: None, client: httpx.AsyncClient) -> None:
    for query, told in REFUSED:
        given = {name: value for name, value in query.items() if value is not None}

        answer = await client.get(PATH, params=given)

        assert told in refusal(answer, 400, "SEG-INVALID-PARAMETER-400"), query


async def test_the_merge_policy_of_the_sandbox_may_be_named(
    ada: None, plane: Plane, client: httpx.AsyncClient
) -> None:
    query = profile_query(mergePolicyId=default_merge_policy_id(plane.tenant))

    assert (await client.get(PATH, params=query)).status_code == 200


async def test_several_profiles_are_returned_by_post(
    ada: None, plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-2", {"person": {"age": 1}})
    asked = [
        {"entityId": "p-1", "entityIdNS": {"code": "CRMID"}},
        {"entityId": "p-2", "entityIdNS": {"code": "CRMID"}},
        {"entityId": "p-3"},
    ]
    body = {"schema": {"name": PROFILE}, "fields": ["person.age"], "identities": asked}

    answer = await client.post(PATH, json=body)

    nothing = {"sources": [""], "entity": {}, "lastModifiedAt": "1970-01-01T00:00:00Z"}
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "p-1": {
            "requestedIdentity": asked[0],
            "entityId": "p-1",
            "mergePolicy": {"id": default_merge_policy_id(plane.tenant)},
            "sources": [],
            "entity": {"person": {"age": 36}},
            "lastModifiedAt": "2026-01-05T09:59:50Z",
        },
        # It is there, but not with this identity.
        "p-2": {"requestedIdentity": asked[1], "entityId": "p-2", **nothing},
        "p-3": {"requestedIdentity": asked[2], "entityId": "p-3", **nothing},
    }


async def test_the_events_of_several_profiles_are_paged_one_by_one(
    ada: None, plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-2", events=[{"at": 15 * SECOND, "_id": "other"}])
    body = {
        "schema": {"name": EVENT},
        "relatedSchema": {"name": PROFILE},
        "identities": [
            {"relatedEntityId": "p-1", "relatedEntityIdNS": {"code": "CRMID"}},
            {"relatedEntityId": "p-2"},
            {"relatedEntityId": "p-3"},
        ],
        "fields": ["_id"],
        "timeFilter": {"startTime": CLOCK_MS - 30 * SECOND, "endTime": CLOCK_MS},
        "limit": 2,
        "orderby": "-timestamp",
    }

    answer = await client.post(PATH, json=body)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {name: one["_page"]["count"] for name, one in found.items()} == {
        "p-1": 2,
        "p-2": 1,
        "p-3": 0,
    }
    assert found["p-2"]["children"][0]["entityId"] == "other"
    assert found["p-2"]["_links"] == found["p-3"]["_links"] == {"next": {"href": ""}}
    link = found["p-1"]["_links"]["next"]
    assert link["href"] == "/entities"
    assert link["payload"]["timeFilter"] == body["timeFilter"]

    rest = (await client.post(PATH, json=link["payload"])).json()

    assert list(rest) == ["p-1"]
    assert [child["entityId"] for child in rest["p-1"]["children"]] == ["e-1"]
    assert rest["p-1"]["children"][0]["entity"] == {"_id": "e-1"}
    assert rest["p-1"]["_links"] == {"next": {"href": ""}}


async def test_none_of_several_profiles_is_404(client: httpx.AsyncClient) -> None:
    body = {"schema": {"name": PROFILE}, "identities": [{"entityId": "x"}, {"entityId": "y"}]}

    told = refusal(await client.post(PATH, json=body), 404, "SEG-PROFILE-NOT-FOUND-404")

    assert "'x', 'y'" in told


def asking(*identities: dict[str, Any], schema: str = PROFILE, **more: Any) -> dict[str, Any]:
    return {"schema": {"name": schema}, "identities": list(identities), **more}


def asking_events(*identities: dict[str, Any], **more: Any) -> dict[str, Any]:
    return asking(*identities, schema=EVENT, relatedSchema={"name": PROFILE}, **more)


ONE = {"entityId": "p-1"}
RELATED = {"relatedEntityId": "p-1"}


REFUSED_BODIES: list[tuple[Any, str]] = [
    ([], "the body"),
    ({"identities": [ONE]}, "schema"),
    (asking(), "identities"),
    (asking(*[ONE] * 101), "identities"),
    (asking(ONE, ONE), "'p-1' is asked for twice"),
    (asking(ONE, graph=1), "graph"),
    (asking({"entityId": "p-1", "x": 1}), "identities.0.x"),
    (asking({"entityId": ""}), "identities.0.entityId"),
    (asking({}), "identities.0.entityId is missing"),
    (asking({"entityId": "p-1", "entityIdNS": "CRMID"}), "identities.0.entityIdNS"),
    (asking(RELATED), "entityId and entityIdNS only"),
    (asking({**ONE, "start": "0" * 16}), "entityId and entityIdNS only"),
    (asking(ONE, schema="_xdm.context.account"), "schema.name is '_xdm"),
    (asking(ONE, relatedSchema={"name": PROFILE}), "relatedSchema is about events"),
    (asking(ONE, timeFilter={"startTime": 1}), "timeFilter is about events"),
    (asking(ONE, limit=10), "limit is about events"),
    (asking(ONE, orderby="-timestamp"), "orderby is about events"),
    (asking(ONE, mergePolicyId="m"), "mergePolicyId"),
    (asking(ONE, withCA=True), "withCA"),
    (asking(ONE, fields=["a..b"]), "fields has 'a..b'"),
    (asking(RELATED, schema=EVENT), "relatedSchema.name is missing"),
    (asking_events(ONE), "relatedEntityId and relatedEntityIdNS and start only"),
    (asking_events({**RELATED, "start": "x"}), "start is 'x'"),
    (asking_events(RELATED, limit=1_001), "limit"),
    (asking_events(RELATED, timeFilter={"startTime": "x"}), "timeFilter.startTime"),
    (asking_events(RELATED, timeFilter={"from": 1}), "timeFilter.from"),
    (asking_events(RELATED, orderby="x"), "orderby is 'x'"),
    (
        asking_events(*({"relatedEntityId": f"p-{number}"} for number in range(11))),
        "more than 10,000 events",
    ),
]


async def test_a_body_that_cannot_be_served_is_refused(
    ada: None, client: httpx.AsyncClient
) -> None:
    for body, told in REFUSED_BODIES:
        answer = await client.post(PATH, json=body)

        assert answer.status_code == 400, (body, answer.text)
        messages = [entry["message"] for entry in answer.json()["errors"]["400"]]
        assert told in "\n".join(messages), body


async def test_only_reading_is_served(ada: None, client: httpx.AsyncClient) -> None:
    answer = await client.delete(PATH, params=profile_query())

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_query_beside_a_body_is_refused(ada: None, client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=asking(ONE), params={"limit": 1})

    assert "limit is no parameter" in refusal(answer, 400, "SEG-INVALID-PARAMETER-400")


async def test_the_openapi_document_has_all_parameters_and_examples_that_work(
    ada: None, plane: Plane, client: httpx.AsyncClient
) -> None:
    document = (await client.get("/openapi.json")).json()
    operations = document["paths"][PATH]
    # Those of the guide, and the other spelling that it has for one.
    assert {one["name"] for one in operations["get"]["parameters"]} == {
        "schema.name",
        "relatedSchema.name",
        "entityId",
        "entityIdNS",
        "relatedEntityId",
        "relatedEntityIdNS",
        "fields",
        "mergePolicyId",
        "startTime",
        "endTime",
        "limit",
        "orderby",
        "orderBy",
        "start",
        "property",
        "withCA",
    }
    schemas = document["components"]["schemas"]
    assert all(schemas[name]["examples"] for name in ("ProfileEntities", "EventList", "EventLists"))
    for body in schemas["EntitiesBody"]["examples"]:
        answer = await client.post(PATH, json=body)
        assert answer.status_code == 200, answer.text
