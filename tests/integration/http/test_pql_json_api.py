"""Expressions as pql/json: definitions, audiences, previews, conversion."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from app.adapters.http.definitions import now_ms
from app.adapters.redis.definition_source import RedisDefinitionSource
from app.adapters.redis.preview_source import RedisPreviewSource
from app.domain.limits import EngineLimits
from app.engine.predicate import Predicate
from app.engine.profile import ProfileState
from app.engine.state_codec import encode
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    add,
    created_audience,
    definition_body,
    in_segment,
    refusal,
)

pytestmark = pytest.mark.redis

Json = dict[str, Any]
CONVERSION = "/data/core/ups/segment/conversion"
PREVIEW = "/data/core/ups/preview"
PROFILE: Json = {"nodeType": "parameterReference", "position": 1}
CITY: Json = {
    "nodeType": "fieldLookup",
    "fieldName": "city",
    "object": {"nodeType": "fieldLookup", "fieldName": "homeAddress", "object": PROFILE},
}
OSLO: Json = {
    "nodeType": "fnApply",
    "fnName": "=",
    "params": [CITY, {"nodeType": "literal", "literalType": "String", "value": "Oslo"}],
}
OSLO_TEXT = 'homeAddress.city = "Oslo"'


def as_json(value: Any) -> Json:
    return {"type": "PQL", "format": "pql/json", "value": value}


def body(name: str, value: Any, **more: Any) -> Json:
    return definition_body(name, **more) | {"expression": as_json(value)}


def faults(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 400, answer.text
    listed: list[Json] = answer.json()["errors"]["400"]
    return listed[1:]


async def live(plane: Plane) -> dict[str, str]:
    """Return the expressions that workers evaluate, by segment id."""
    found = await RedisDefinitionSource(plane.redis, plane.prefix).load(plane.tenant)
    return {one.segment_id: one.expression for one in found.definitions}


async def test_a_tree_is_kept_as_it_was_sent_and_evaluated_as_its_text(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    sent = json.dumps(OSLO, indent=2)
    answer = await client.post(DEFINITIONS, json=body("Oslo", sent))
    one = answer.json()

    assert one["expression"] == as_json(sent)
    assert (await client.get(f"{DEFINITIONS}/{one['id']}")).json()["expression"] == as_json(sent)
    assert await live(plane) == {one["id"]: OSLO_TEXT}
    predicate = Predicate(OSLO_TEXT, {}, EngineLimits())
    for city, holds in (("Oslo", True), ("Bergen", False)):
        attributes = json.dumps({"homeAddress": {"city": city}}).encode()
        state = encode(ProfileState(tag="", created=True, attributes_json=attributes))
        assert predicate.holds(state, None, now_ms()) is holds


async def test_a_tree_sent_as_an_object_is_kept_as_its_text(client: httpx.AsyncClient) -> None:
    one = (await client.post(DEFINITIONS, json=body("Oslo", OSLO))).json()

    assert one["expression"] == as_json(json.dumps(OSLO))


async def test_what_a_value_is_is_seen_by_itself(client: httpx.AsyncClient, plane: Plane) -> None:
    mislabelled = await client.post(DEFINITIONS, json=body("text", OSLO_TEXT))
    tree = await client.post(DEFINITIONS, json=definition_body("tree", json.dumps(OSLO)))

    assert mislabelled.json()["expression"] == as_json(OSLO_TEXT)
    assert tree.json()["expression"]["format"] == "pql/text"
    assert set((await live(plane)).values()) == {OSLO_TEXT}
    assert len(await live(plane)) == 2


async def test_the_same_in_the_other_form_is_no_new_version(client: httpx.AsyncClient) -> None:
    one = (await client.post(DEFINITIONS, json=definition_body("Oslo", OSLO_TEXT))).json()
    path = f"{DEFINITIONS}/{one['id']}"

    same = (await client.patch(path, json=body("Oslo", OSLO))).json()
    other = {**OSLO, "fnName": "!="}
    changed = (await client.patch(path, json=body("Oslo", other))).json()
    back = (await client.patch(path, json=definition_body("Oslo", OSLO_TEXT))).json()

    assert [found["version"] for found in (one, same, changed, back)] == [1, 1, 2, 3]
    assert same["expression"]["format"] == "pql/json"
    assert back["expression"]["format"] == "pql/text"


async def test_problems_of_a_tree_are_told_at_their_pointers(client: httpx.AsyncClient) -> None:
    unreadable = {"nodeType": "fnApply", "fnName": "and", "params": [{}, {"nodeType": "x"}]}
    unknown = {"nodeType": "fnApply", "fnName": "foo", "params": []}
    asked = {
        "nodeType": "fnApply",
        "fnName": "inSegment",
        "params": [{"nodeType": "literal", "literalType": "String", "value": "none"}],
    }
    unusable = {"nodeType": "fnApply", "fnName": "and", "params": [unknown, asked]}
    longer = {"nodeType": "fnApply", "fnName": "count", "params": [WINDOW]}

    found = faults(await client.post(DEFINITIONS, json=body("a", unreadable)))
    found += faults(await client.post(DEFINITIONS, json=body("a", unusable)))
    (warning,) = (await client.post(DEFINITIONS, json=body("a", longer))).json()["warnings"]

    assert [(one["code"], one["pointer"]) for one in found] == [
        ("SEG-JSON-MISSING-400", "/params/0"),
        ("SEG-JSON-NODE-400", "/params/1/nodeType"),
        ("SEG-UNKNOWN-FUNCTION-400", "/params/0"),
        ("SEG-UNKNOWN-SEGMENT-400", "/params/1/params/0/value"),
    ]
    assert all("line" not in one for one in (*found, warning))
    assert (warning["code"], warning["pointer"]) == ("beyond-retention", "/params/0/params/1")


def _text(value: str) -> Json:
    return {"nodeType": "literal", "value": value}


WINDOW: Json = {
    "nodeType": "fnApply",
    "fnName": "[]",
    "params": [
        {"nodeType": "fieldLookup", "fieldName": "xEvent", "object": PROFILE},
        {
            "nodeType": "fnApply",
            "fnName": "occurs",
            "params": [
                {"nodeType": "fieldLookup", "fieldName": "timestamp"},
                *(_text("<="), {"nodeType": "literal", "value": 31}, _text("day"), _text("before")),
                {"nodeType": "fnApply", "fnName": "now", "params": []},
            ],
        },
    ],
}


@pytest.mark.parametrize("value", ["{", '{"nodeType":', "[1]", "{}", {}, "[" * 9_000])
async def test_no_tree_is_no_more_than_a_refusal(client: httpx.AsyncClient, value: Any) -> None:
    assert faults(await client.post(DEFINITIONS, json=body("x", value)))


async def test_audiences_take_trees(client: httpx.AsyncClient, plane: Plane) -> None:
    asked = (await created_audience(client, "asked"))["id"]
    tree = {
        "nodeType": "fnApply",
        "fnName": "inSegment",
        "params": [{"nodeType": "literal", "value": asked}],
    }
    sent = {**body("a", tree), "type": "SegmentDefinition"}
    one = (await client.post(AUDIENCES, json=sent)).json()
    path = f"{AUDIENCES}/{one['id']}"

    assert one["dependencies"] == [asked]
    patched = await client.patch(path, json=[add("/expression", as_json(OSLO))])
    assert patched.json()["expression"] == as_json(json.dumps(OSLO))
    assert (await live(plane))[one["id"]] == OSLO_TEXT
    replaced = await client.put(path, json={**one, "expression": as_json(json.dumps(tree))})
    assert (await live(plane))[one["id"]] == in_segment(asked)
    assert replaced.json()["version"] == 3


async def test_previews_take_trees(client: httpx.AsyncClient, plane: Plane) -> None:
    for predicate in (OSLO, json.dumps(OSLO)):
        asked = {"predicateExpression": predicate, "predicateType": "pql/json"}
        assert (await client.post(PREVIEW, json=asked)).status_code == 201
    refused = {"predicateExpression": {"nodeType": "x"}, "predicateType": "pql/json"}

    (fault,) = faults(await client.post(PREVIEW, json=refused))

    assert fault["pointer"] == "/nodeType"
    tasks = await RedisPreviewSource(plane.redis, plane.prefix).tasks(now_ms())
    assert {task.expression for found in tasks.values() for task in found} == {OSLO_TEXT}


async def test_text_and_tree_are_converted_into_each_other(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    sent = definition_body("x", OSLO_TEXT, description="City", ttlInDays=30)
    there = await client.post(CONVERSION, json=sent)
    back = await client.post(CONVERSION, json={**sent, "expression": there.json()["expression"]})
    bare = await client.post(CONVERSION, json=definition_body("x", "a"))

    tree = there.json().pop("expression")
    assert (tree["format"], json.loads(tree["value"])) == ("pql/json", OSLO)
    assert " " not in tree["value"]
    assert back.json()["expression"] == sent["expression"]
    assert there.json().keys() == {"imsOrgId", "sandbox", "description", "expression", "ttlInDays"}
    assert (there.json()["description"], there.json()["ttlInDays"]) == ("City", 30)
    assert there.json()["imsOrgId"] == plane.org_id
    assert bare.json().keys() == {"imsOrgId", "sandbox", "expression"}
    assert (await client.get(DEFINITIONS)).json()["segments"] == []


async def test_what_is_not_evaluated_here_is_converted_all_the_same(
    client: httpx.AsyncClient,
) -> None:
    text = "let s = offer.rank.priority in @{x}.a + s"

    tree = (await client.post(CONVERSION, json=definition_body("x", text))).json()["expression"]
    back = await client.post(CONVERSION, json=definition_body("x") | {"expression": tree})

    assert json.loads(tree["value"])["extensions"] == "1"
    assert back.json()["expression"]["value"] == text


async def test_a_conversion_refuses_what_cannot_be_read(client: httpx.AsyncClient) -> None:
    (of_text,) = faults(await client.post(CONVERSION, json=definition_body("x", "a = ")))
    (of_tree,) = faults(await client.post(CONVERSION, json=body("x", {"nodeType": "x"})))
    endless = await client.post(CONVERSION, json=definition_body("x", "a", ttlInDays=10**30))
    nameless = await client.post(CONVERSION, json={"expression": as_json(OSLO)})

    assert (of_text["line"], of_text["column"]) == (1, 5)
    assert of_tree["pointer"] == "/nodeType"
    assert "ttlInDays" in refusal(endless, 400, "SEG-INVALID-BODY-400")
    assert "name: Field required" in refusal(nameless, 400, "SEG-INVALID-BODY-400")


async def test_a_conversion_with_the_id_of_a_definition_is_a_conflict_in_its_sandbox(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    one = (await client.post(DEFINITIONS, json=definition_body("x", OSLO_TEXT))).json()

    taken = await client.post(CONVERSION, json=one)
    free = await client.post(CONVERSION, json=one | {"id": "of-no-definition"})
    elsewhere = await plane.other_client().post(CONVERSION, json=one)

    assert one["id"] in refusal(taken, 409, "SEG-DEFINITION-EXISTS-409")
    assert free.status_code == elsewhere.status_code == 200


async def test_a_conversion_takes_any_content_type_but_needs_a_caller(
    client: httpx.AsyncClient, plane: Plane
) -> None:
    content = json.dumps(definition_body("x", "a"))

    plain = await client.post(CONVERSION, content=content, headers={"content-type": "text/plain"})
    broken = await client.post(CONVERSION, content="{", headers={"content-type": "text/plain"})
    stranger = await plane.client(authorization=None).post(CONVERSION, content=content)

    assert plain.status_code == 200
    assert "not JSON" in refusal(broken, 400, "SEG-INVALID-BODY-400")
    assert (stranger.status_code, stranger.json()["error_code"]) == (403, "403010")
