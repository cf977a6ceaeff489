"""Answers against the published OpenAPI document of the API that this one is compatible with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator

from tests.integration.http.harness import DEFINITIONS, Plane, definition_body

pytestmark = pytest.mark.redis

Json = dict[str, Any]
COLLECTION = "/segment/definitions"
ITEM = f"{COLLECTION}/{{SEGMENT_ID}}"
BULK = f"{COLLECTION}/bulk-get"
SEARCH = "/search"
SERVED = (COLLECTION, SEARCH)
BASE = DEFINITIONS.removesuffix(COLLECTION)
ONE: Json = {"$ref": "#/components/schemas/SegmentDefinition"}

# Where the document is plainly wrong, what the guides of the same API show instead.
SLIPS: dict[tuple[str, str, int], Json] = {
    # It points at a single definition; every guide shows the list.
    ("get", COLLECTION, 200): {
        "type": "object",
        "required": ["segments", "page", "link"],
        "properties": {
            "segments": {"type": "array", "items": ONE},
            "page": {
                "type": "object",
                "required": ["totalCount", "totalPages", "sortField", "sort", "pageSize", "limit"],
                "properties": {
                    "totalCount": {"type": "integer"},
                    "totalPages": {"type": "integer"},
                    "sortField": {"type": "string"},
                    "sort": {"enum": ["asc", "desc"]},
                    "pageSize": {"type": "integer"},
                    "limit": {"type": "integer"},
                },
            },
            "link": {"type": "object"},
        },
    },
    # Its properties are the two ids of its example.
    ("post", BULK, 207): {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "object", "additionalProperties": ONE}},
    },
}

# The schemas of search, corrected to what the document's own examples and the guides show.
SEARCH_SLIPS: dict[str, Json] = {
    "SearchNamespaceObject": {
        "namespace": {"type": "string"},
        "displayName": {"type": "string"},
        "count": {"type": "integer"},
    },
    "SearchNamespaceList": {"totalCount": {"type": "integer"}},
    "SearchEntityObject": {"sourceId": {"type": "string"}},
}

# Fields that the document's schema of a definition lacks.
GUIDES_ONLY = {"sandbox", "baselineTime"}
SEARCH_VERSION = "x-ups-search-version"
EXTENSIONS = {"version", "evaluationState", "evaluationStateReason", "warnings"}


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Json:
    document: Json = yaml.safe_load((shared_data / "segmentation-openapi.yaml").read_text())
    for name, properties in SEARCH_SLIPS.items():
        document["components"]["schemas"][name]["properties"].update(properties)
    return document


def schema_of(published: Json, method: str, path: str, status: int) -> Json:
    """Return the JSON Schema of one answer, with what it refers to."""
    answers = {
        str(key): value for key, value in published["paths"][path][method]["responses"].items()
    }
    documented = answers[str(status)]["content"]["application/json"]["schema"]
    schema = SLIPS.get((method, path, status), documented)
    return {**schema, "components": {"schemas": published["components"]["schemas"]}}


def check(published: Json, answer: httpx.Response, method: str, path: str, status: int) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    Draft4Validator(schema_of(published, method, path, status)).validate(body)
    return body


def only_documented_fields(published: Json, definition: Json) -> None:
    documented = set(published["components"]["schemas"]["SegmentDefinition"]["properties"])
    assert set(definition) <= documented | GUIDES_ONLY | EXTENSIONS


async def test_every_answer_has_the_published_shape(
    published: Json, client: httpx.AsyncClient
) -> None:
    body = definition_body("contract", evaluationInfo={"batch": {"enabled": True}})
    created = await client.post(DEFINITIONS, json=body)
    one = check(published, created, "post", COLLECTION, 200)
    only_documented_fields(published, one)
    path = f"{DEFINITIONS}/{one['id']}"
    check(published, await client.get(path), "get", ITEM, 200)
    check(published, await client.patch(path, json=one), "patch", ITEM, 200)
    listed = check(published, await client.get(DEFINITIONS), "get", COLLECTION, 200)
    only_documented_fields(published, listed["segments"][0])
    asked = {"ids": [{"id": one["id"]}]}
    found = check(
        published, await client.post(f"{DEFINITIONS}/bulk-get", json=asked), "post", BULK, 207
    )
    only_documented_fields(published, found["results"][one["id"]])
    check(published, await client.delete(path), "delete", ITEM, 200)


async def test_search_answers_have_the_published_shape_and_all_its_fields(
    published: Json, plane: Plane
) -> None:
    client = plane.client()
    created = await client.post(DEFINITIONS, json=definition_body("found", description="d"))
    await plane.keeper.refresh()
    asked = {"namespace": "AEPSegments", "entityId": created.json()["id"], "s": "name:found"}
    schema = {"schema.name": "_xdm.context.segmentdefinition"}
    calls: dict[str, Json] = {
        "namespaces": {**schema, "s": asked["s"]},
        "entities": {"schemaClass": schema["schema.name"], **asked, "entityId": "root"},
        "taxonomy": {**schema, **asked},
    }
    for name, parameters in calls.items():
        path = f"{SEARCH}/{name}"
        answer = await client.get(
            f"{BASE}{path}", params=parameters, headers={SEARCH_VERSION: "1.0"}
        )
        body = check(published, answer, "get", path, 200)
        documented = published["components"]["schemas"]
        of_list = schema_of(published, "get", path, 200)["$ref"].rpartition("/")[2]
        properties = documented[of_list]["properties"]
        assert set(body) == set(properties)
        of_item = properties[name]["items"]["$ref"].rpartition("/")[2]
        assert set(body[name][0]) == set(documented[of_item]["properties"])
        if "page" in body:
            of_page = properties["page"]["$ref"].rpartition("/")[2]
            assert set(body["page"]) == set(documented[of_page]["properties"])


async def test_documented_headers_of_answers_are_sent(
    published: Json, client: httpx.AsyncClient
) -> None:
    created = await client.post(DEFINITIONS, json=definition_body("headers"))
    path = f"{DEFINITIONS}/{created.json()['id']}"
    patched = await client.patch(path, json=definition_body("headers"))
    for answer, method, template in ((created, "post", COLLECTION), (patched, "patch", ITEM)):
        responses = published["paths"][template][method]["responses"]
        documented = next(value for key, value in responses.items() if str(key) == "200")
        for header in documented["headers"]:
            assert answer.headers[header].endswith(created.json()["id"])


async def test_the_published_example_is_accepted(
    published: Json, client: httpx.AsyncClient
) -> None:
    request = published["paths"][COLLECTION]["post"]["requestBody"]
    examples = request["content"]["application/json"]["examples"]
    accepted = await client.post(DEFINITIONS, json=examples["pql/text"]["value"])
    check(published, accepted, "post", COLLECTION, 200)
    sent = examples["pql/text"]["value"]
    assert {name: accepted.json()[name] for name in sent if name != "payloadSchema"} == {
        name: value for name, value in sent.items() if name != "payloadSchema"
    }
    # The JSON form is converted by a later version; until then it is refused, saying so.
    refused = await client.post(DEFINITIONS, json=examples["pql/json"]["value"])
    assert refused.status_code == 400
    assert "pql/text" in refused.text


async def test_every_published_operation_and_parameter_is_served(
    published: Json, client: httpx.AsyncClient
) -> None:
    ours = (await client.get("/openapi.json")).json()["paths"]
    for path, operations in published["paths"].items():
        if not path.startswith(SERVED):
            continue
        served = ours[BASE + path.replace("SEGMENT_ID", "segmentId")]
        for method, operation in operations.items():
            names = {one["name"] for one in served[method].get("parameters", [])}
            for parameter in operation.get("parameters", []):
                if parameter.get("in") == "query" or parameter.get("name") == SEARCH_VERSION:
                    assert parameter["name"] in names, (method, path)


async def test_documented_refusals_have_their_status(plane: Plane) -> None:
    client, stranger = plane.client(), plane.client(x_sandbox_name="unknown")
    await client.post(DEFINITIONS, json=definition_body("taken"))
    calls = {
        400: client.post(DEFINITIONS, json={"name": "x"}),
        403: stranger.get(DEFINITIONS),
        404: client.get(f"{DEFINITIONS}/none"),
        422: client.post(DEFINITIONS, json=definition_body("taken")),
    }
    answers = await asyncio.gather(*calls.values())
    assert [answer.status_code for answer in answers] == list(calls)
    for answer in answers:
        body = answer.json()
        assert set(body) == {"requestId", "errors", "type", "title", "status"}
        assert body["errors"][str(body["status"])][0]["message"] == body["title"]
        assert json.dumps(body["errors"]).count("code") >= 1
