"""`…/explain` of a real Redis: why a profile is in a segment, or not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.adapters.http.explanation_example import EXAMPLE
from app.adapters.http.explanation_schemas import ExplanationAnswer
from app.domain.external import SUCCESS, Run
from app.engine.tables import Detail, DetailTable
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    created_audience,
    definition_body,
    in_segment,
    refusal,
)
from tests.integration.http.stored_profiles import CLOCK_MS, SECOND, everything, store_profile

pytestmark = pytest.mark.redis

DAY = 86_400 * SECOND
EVENTS = [
    {"at": 8 * DAY, "eventType": "buy", "_id": "e-1"},
    {"at": 6 * DAY, "eventType": "buy", "_id": "e-2"},
    {"at": 5 * DAY, "eventType": "view", "_id": "e-3"},
]
TEXT = (
    'person.age >= 18 and xEvent[eventType = "buy" and timestamp occurs <= 7 days before now]'
    ".count() >= 2"
)
SHOWN = 'age > 17 and xEvent[eventType = "buy" and timestamp occurs <= 7 days before now]'


async def created(client: httpx.AsyncClient, name: str, text: str) -> str:
    answer = await client.post(DEFINITIONS, json=definition_body(name, text))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def explained(client: httpx.AsyncClient, segment_id: str, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/profiles/p-1/segments/{segment_id}/explain{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    ExplanationAnswer.model_validate(found)
    return found


async def test_an_explanation_says_why_until_when_and_what_is_missing(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    segment_id = await created(client, "Buyers", SHOWN)
    stored: dict[str, Any] = {
        "members": b"\x01",
        "details": DetailTable({0: Detail(CLOCK_MS - 6 * DAY, 1)}),
        "tag": await plane.store.tag(plane.tenant),
    }
    await store_profile(plane, "p-1", {"age": 30}, EVENTS, **stored)
    before = await everything(plane)

    found = await explained(client, segment_id)

    assert await everything(plane) == before
    assert found == EXAMPLE | {"segmentId": segment_id}


async def test_the_stored_membership_is_compared(plane: Plane, client: httpx.AsyncClient) -> None:
    segment_id = await created(client, "adults", "person.age >= 18")
    details = DetailTable({0: Detail(CLOCK_MS - SECOND, 3)})
    stored: dict[str, Any] = {"members": b"\x01", "details": details}
    await store_profile(plane, "p-1", {"person": {"age": 30}}, **stored)
    found = await explained(client, segment_id)
    assert found["membership"] == {
        "status": "realized",
        "lastQualificationTime": "2026-01-05T09:59:59Z",
        "sequence": 3,
    }
    assert found["agreement"] == {"agrees": True, "reasons": []}
    assert (found["evaluatedVersion"], found["evaluationState"]) == (None, "BACKFILLING")

    await store_profile(plane, "p-1", {"person": {"age": 3}}, **stored)
    reasons = (await explained(client, segment_id))["agreement"]["reasons"]
    assert "BACKFILLING" in reasons[0]
    assert "behind the wall clock" in reasons[1]
    tag = await plane.store.tag(plane.tenant)
    await store_profile(plane, "p-1", {"person": {"age": 30}}, tag=tag, **stored)
    assert (await explained(client, segment_id))["evaluatedVersion"] == 1


async def test_another_instant_is_honest_about_what_is_not_kept(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    segment_id = await created(client, "Buyers", TEXT)
    await store_profile(plane, "p-1", {"person": {"age": 30}}, EVENTS)

    past = await explained(client, segment_id, "?at=2025-12-30T10:00:00Z&limit=1")
    assert (past["qualifies"], past["evaluatedAt"]) == (True, "2025-12-30T10:00:00Z")
    assert [event["id"] for event in past["events"][0]["events"]] == ["e-2"]
    assert past["events"][0]["count"] == 2
    assert past["agreement"]["agrees"] is None
    assert "attributes" in past["notes"][0]
    assert "retention" in past["notes"][1]
    end = await explained(client, segment_id, "?at=253402300799999")
    assert (end["qualifies"], end["nextChange"]["at"]) == (False, None)
    # An event that came later was not there.
    earlier = await explained(client, segment_id, f"?at={CLOCK_MS - 7 * DAY}")
    assert (earlier["qualifies"], earlier["eventCount"]) == (False, 1)


async def test_what_is_not_evaluated_is_explained_as_well(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    member = await created(client, "member", "person.age >= 18")
    draft = await created_audience(client, "draft", in_segment(member), lifecycleState="draft")
    await store_profile(plane, "p-1", {"person": {"age": 30}}, members=b"\x01")

    found = await explained(client, draft["id"])

    assert (found["qualifies"], found["lifecycleState"]) == (True, "draft")
    assert found["agreement"]["agrees"] is True or found["agreement"]["agrees"] is None
    assert "draft" in found["agreement"]["reasons"][0]
    (other,) = found["segments"]
    assert other["isMember"] is True
    assert (await client.get(other["href"])).json()["segmentId"] == member
    assert found["toFlip"]["alternatives"][0]["needs"][0]["segmentId"] == member
    assert any("inSegment" in note for note in found["notes"])


async def test_an_external_audience_tells_its_import_and_its_end(
    plane: Plane, client: httpx.AsyncClient
) -> None:
    body = {
        "type": "ExternalSegment",
        "name": "uploaded",
        "namespace": "CustomerAudienceUpload",
        "originName": "CUSTOM_UPLOAD",
        "audienceId": "up-1",
    }
    answer = await client.post(AUDIENCES, json=body)
    assert answer.status_code == 201, answer.text
    segment_id = answer.json()["id"]
    until_ms = CLOCK_MS + 30 * DAY
    run = Run(
        run_id="run-1",
        segment_id=segment_id,
        author="crm",
        is_first=True,
        from_s=0,
        to_s=None,
        until_ms=until_ms,
        created_ms=CLOCK_MS,
        updated_ms=CLOCK_MS,
        status=SUCCESS,
    )
    assert await plane.imports.begin_run(plane.tenant, run)
    details = DetailTable({0: Detail(CLOCK_MS, 1)})
    state: dict[str, Any] = {"members": b"\x01", "details": details, "external": {0: until_ms}}
    await store_profile(plane, "p-1", **state)

    found = await explained(client, segment_id)

    assert found["qualifies"] is True
    assert found["external"]["run"]["runId"] == "run-1"
    assert found["membership"]["validUntil"] == found["external"]["validUntil"]
    assert found["nextChange"] == {"at": "2026-02-04T10:00:00Z", "qualifies": False}
    assert found["agreement"]["agrees"] is True
    assert "tree" not in found
    asking = await created(client, "asking", in_segment(segment_id))
    assert (await explained(client, asking))["nextChange"] == found["nextChange"]


async def test_what_cannot_be_explained_is_refused(
    plane: Plane, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment_id = await created(client, "adults", "person.age >= 18")
    path = f"/profiles/p-1/segments/{segment_id}/explain"
    refusal(await client.get(path), 404, "SEG-PROFILE-NOT-FOUND-404")
    await store_profile(plane, "p-1", {"person": {"age": 30}})
    unknown = await client.get("/profiles/p-1/segments/none/explain")
    assert "'none'" in refusal(unknown, 404, "SEG-DEFINITION-NOT-FOUND-404")
    stranger = await plane.other_client().get(path)
    refusal(stranger, 404, "SEG-PROFILE-NOT-FOUND-404")
    assert (await plane.client(x_sandbox_name="dev").get(path)).status_code == 404
    for query, told in (
        ("at=yesterday", "2026-01-05T10:00:00Z"),
        ("limit=-1", "limit"),
        ("start=1", "start is no parameter"),
    ):
        answer = await client.get(f"{path}?{query}")
        assert told in refusal(answer, 400, "SEG-INVALID-PARAMETER-400")
    # The same tree for each pair of events: more than a request may take.
    text = "(exists A from xEvent, B from xEvent where A.n + B.n > 9000)"
    monkeypatch.setattr("app.engine.explain.TREE_EVALUATIONS", 1_000)
    costly = await created(client, "costly", text)
    await store_profile(plane, "p-1", events=[{"at": at, "n": 1} for at in range(30)])
    answer = await client.get(f"/profiles/p-1/segments/{costly}/explain")
    assert "too many evaluations" in refusal(answer, 422, "SEG-CANNOT-EXPLAIN-422")


async def test_a_profile_id_may_have_slashes(plane: Plane, client: httpx.AsyncClient) -> None:
    segment_id = await created(client, "adults", "person.age >= 18")
    await store_profile(plane, "a/segments/b", {"person": {"age": 30}})

    answer = await client.get(f"/profiles/a/segments/b/segments/{segment_id}/explain")

    assert answer.json()["profileId"] == "a/segments/b"
    assert answer.json()["qualifies"] is True


async def test_the_openapi_document_shows_an_explanation(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/profiles/{profileId}/segments/{segmentId}/explain"]["get"]
    assert set(operation["responses"]) == {"200", "400", "401", "403", "404", "422", "503"}
    (example,) = document["components"]["schemas"]["ExplanationAnswer"]["examples"]
    ExplanationAnswer.model_validate(example)


async def test_an_opt_out_decides(plane: Plane, client: httpx.AsyncClient) -> None:
    segment_id = await created(client, "adults", "person.age >= 18")
    out = [{"optOutType": "general_opt_out", "optOutValue": "out"}]
    await store_profile(plane, "p-1", {"person": {"age": 30}, "privacyOptOuts": out})

    found = await explained(client, segment_id)

    assert found["qualifies"] is False
    (written, added) = found["tree"]["children"]
    assert (written["deciding"], added["deciding"]) == (False, True)
    assert "privacyOptOuts" in added["text"]
    assert (added["start"], added["line"]) == (0, 0)
