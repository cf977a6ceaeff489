"""`/profiles` of a real Redis: what is stored of a profile."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.domain.model import Tenant
from app.engine.tables import Detail, DetailTable
from tests.integration.http.harness import DEFINITIONS, OTHER_ORG, Plane, definition_body, refusal
from tests.integration.http.stored_profiles import CLOCK_MS, SECOND, everything, store_profile

pytestmark = pytest.mark.redis

EVENTS = [
    {"at": 30 * SECOND, "eventType": "view", "_id": "e-1", "timestamp": "2026-01-05T09:59:30Z"},
    {"at": 10 * SECOND, "eventType": "buy", "commerce": {"order": {"priceTotal": 99.5}}},
    {"at": 20 * SECOND, "eventType": "late", "timestamp": 1_767_607_180_000},
]


async def test_a_profile_is_shown_as_it_is_stored(plane: Plane, client: httpx.AsyncClient) -> None:
    created = await client.post(DEFINITIONS, json=definition_body("in"))
    segment_id = created.json()["id"]
    details = DetailTable({0: Detail(CLOCK_MS - 5 * SECOND, 1), 9: Detail(CLOCK_MS, 1)})
    await store_profile(
        plane, "p-1", {"city": "Oslo", "x": {"y": [1]}}, EVENTS, members=b"\x01", details=details
    )
    before = await everything(plane)

    answer = await client.get("/profiles/p-1")

    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "profileId": "p-1",
        "attributes": {"city": "Oslo", "x": {"y": [1]}},
        "segmentMembership": {
            "ups": {
                segment_id: {
                    "lastQualificationTime": "2026-01-05T09:59:55Z",
                    "status": "realized",
                }
            }
        },
        "events": [
            {
                "eventType": "buy",
                "commerce": {"order": {"priceTotal": 99.5}},
                "timestamp": "2026-01-05T09:59:50Z",
            },
            {"eventType": "late", "timestamp": "2026-01-05T09:59:40Z"},
            {"eventType": "view", "_id": "e-1", "timestamp": "2026-01-05T09:59:30Z"},
        ],
        "page": {
            "totalCount": 3,
            "totalPages": 1,
            "sortField": "timestamp",
            "sort": "desc",
            "pageSize": 3,
            "limit": 100,
        },
        "link": {},
        "eventCount": 3,
        # The membership of a segment that is gone is a change all the same.
        "lastModifiedAt": "2026-01-05T10:00:00Z",
        "clock": "2026-01-05T10:00:00Z",
    }
    assert await everything(plane) == before


async def test_a_profile_without_anything_has_everything_empty(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-1")

    found = (await client.get("/profiles/p-1")).json()

    assert (found["attributes"], found["events"], found["eventCount"]) == ({}, [], 0)
    assert (found["segmentMembership"], found["link"]) == ({"ups": {}}, {})
    assert found["lastModifiedAt"] is None
    assert found["page"]["totalPages"] == 0


async def read_all(client: httpx.AsyncClient, path: str) -> list[list[Any]]:
    pages = []
    while True:
        found = (await client.get(path)).json()
        pages.append([event["n"] for event in found["events"]])
        if not found["link"]:
            return pages
        path = found["link"]["next"]["href"]


PAGES = [
    ("limit=2", [[0, 1], [2, 3], [4]]),
    ("limit=2&sort=timestamp:asc", [[4, 3], [2, 1], [0]]),
    ("limit=2&sort=timestamp", [[4, 3], [2, 1], [0]]),
    ("limit=2&start=3", [[3, 4]]),
    ("limit=2&page=1", [[2, 3], [4]]),
    ("start=5", [[]]),
]


async def test_links_lead_through_all_events(plane: Plane, client: httpx.AsyncClient) -> None:
    events = [{"at": number * SECOND, "n": number} for number in range(5)]
    await store_profile(plane, "p/ø 1", events=events)
    for query, pages in PAGES:
        assert await read_all(client, f"/profiles/p%2F%C3%B8%201?{query}") == pages, query


async def test_events_past_the_retention_time_are_not_shown(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    day = 86_400 * SECOND
    await store_profile(plane, "p-1", events=[{"at": 30 * day, "n": 1}, {"at": 30 * day - 1}])

    found = (await client.get("/profiles/p-1")).json()

    assert (found["eventCount"], [event.get("n") for event in found["events"]]) == (1, [None])


async def test_a_profile_is_seen_by_its_tenant_alone(plane: Plane) -> None:
    await store_profile(plane, "p-1", {"of": "one"})
    await store_profile(plane, "p-1", {"of": "two"}, tenant=Tenant(OTHER_ORG, "prod"))

    answers = [await one.get("/profiles/p-1") for one in (plane.client(), plane.other_client())]

    assert [answer.json()["attributes"] for answer in answers] == [{"of": "one"}, {"of": "two"}]
    missing = await plane.client(x_sandbox_name="dev").get("/profiles/p-1")
    refusal(missing, 404, "SEG-PROFILE-NOT-FOUND-404")


async def test_a_deleted_profile_is_not_shown(plane: Plane, client: httpx.AsyncClient) -> None:
    await store_profile(plane, "p-1", created=False, deleted_ms=CLOCK_MS)

    assert "'p-1'" in refusal(await client.get("/profiles/p-1"), 404, "SEG-PROFILE-NOT-FOUND-404")


async def test_a_path_that_ends_like_another_route_is_an_id(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-1/updates", {"city": "Oslo"})

    found = (await client.get("/profiles/p-1/updates")).json()

    assert found["profileId"] == "p-1/updates"


REFUSED = [
    ("limit=0", "limit"),
    ("limit=1001", "limit"),
    ("start=-1", "start"),
    ("start=1&page=1", "start and page"),
    ("sort=name:asc", "timestamp:desc"),
    ("limit=1&limit=2", "limit is given twice"),
    ("offset=1", "offset is no parameter"),
]


async def test_parameters_that_cannot_be_served_are_refused(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    await store_profile(plane, "p-1")
    for query, told in REFUSED:
        answer = await client.get(f"/profiles/p-1?{query}")

        assert told in refusal(answer, 400, "SEG-INVALID-PARAMETER-400"), query


async def test_the_openapi_document_describes_profiles_with_examples(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    paths, schemas = document["paths"], document["components"]["schemas"]

    item = paths["/profiles/{profileId}"]
    assert set(item) == {"get", "delete"}
    assert set(item["get"]["responses"]) == {"200", "400", "401", "403", "404", "503"}
    assert set(item["delete"]["responses"]) == {"202", "400", "401", "403", "404", "503"}
    updates = paths["/profiles/{profileId}/updates"]["post"]
    assert set(updates["responses"]) == {"202", "400", "401", "403", "413", "503"}
    body = updates["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"one", "several", "envelope"}
    assert "$ref" not in str(body["schema"])
    for name in ("Profile", "ProfileMembership", "AcceptedUpdates", "AcceptedDeletion"):
        assert schemas[name]["examples"]
