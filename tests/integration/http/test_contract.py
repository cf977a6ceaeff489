"""Answers against the published OpenAPI document of the API that this one is compatible with."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator

from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    Plane,
    add,
    audience_body,
    created_audience,
    definition_body,
    in_segment,
)
from tests.integration.http.test_exports_api import BODY, export_done
from tests.integration.http.test_jobs_api import done, started
from tests.integration.http.test_previews_api import done as preview_done
from tests.integration.http.test_previews_api import share

pytestmark = pytest.mark.redis

Json = dict[str, Any]
COLLECTION = "/segment/definitions"
ITEM = f"{COLLECTION}/{{SEGMENT_ID}}"
BULK = f"{COLLECTION}/bulk-get"
CONVERSION = "/segment/conversion"
SEARCH = "/search"
JOBS = "/segment/jobs"
SCHEDULES = "/config/schedules"
EXPORTS = "/export/jobs"
PREVIEW = "/preview"
ESTIMATE = "/estimate"
SERVED = (COLLECTION, CONVERSION, SEARCH, "/audiences", JOBS, SCHEDULES, EXPORTS, PREVIEW, ESTIMATE)
BASE = DEFINITIONS.removesuffix(COLLECTION)
ONE: Json = {"$ref": "#/components/schemas/SegmentDefinition"}

AUDIENCE: Json = {"$ref": "#/components/schemas/PlatformGeneratedAudience"}

# Where the document is plainly wrong, what the guides of the same API show instead.
SLIPS: dict[tuple[str, str, int], Json] = {
    # It says 201 for changes; every guide says 200.
    ("patch", "/audiences/{AUDIENCE_ID}", 200): AUDIENCE,
    ("put", "/audiences/{AUDIENCE_ID}", 200): AUDIENCE,
    # An item is one of two schemas without required fields, so that it is always both; and `start`
    # and `next` are integers, where every guide has texts.
    ("get", "/audiences", 200): {
        "type": "object",
        "required": ["children", "_page", "_links"],
        "properties": {
            "children": {"type": "array", "items": AUDIENCE},
            "_page": {
                "type": "object",
                "required": ["totalCount", "totalPages", "sortField", "sort", "pageSize", "limit"],
                "properties": {
                    "totalCount": {"type": "integer"},
                    "totalPages": {"type": "integer"},
                    "sortField": {"type": "string"},
                    "sort": {"enum": ["asc", "desc"]},
                    "pageSize": {"type": "integer"},
                    "limit": {"type": "integer"},
                    "start": {"type": "string", "pattern": "^[0-9]+$"},
                    "next": {"type": "string", "pattern": "^[0-9]+$"},
                },
                "additionalProperties": False,
            },
            "_links": {"$ref": "#/components/schemas/AudiencesList/properties/_links"},
        },
        "additionalProperties": False,
    },
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
    # It says a whole definition; the guide shows what it is about, and what has become of it.
    ("post", CONVERSION, 200): {
        "type": "object",
        "required": ["imsOrgId", "sandbox", "expression"],
        "properties": {
            "imsOrgId": {"type": "string"},
            "sandbox": {"type": "object"},
            "description": {"type": "string"},
            "expression": {"$ref": "#/components/schemas/SegmentDefinition/properties/expression"},
        },
        "additionalProperties": False,
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

PARAMETERS = {
    "{SEGMENT_ID}": "{segmentId}",
    "{AUDIENCE_ID}": "{audienceId}",
    "{SEGMENT_JOB_ID}": "{segmentJobId}",
    "{SCHEDULE_ID}": "{scheduleId}",
    "{EXPORT_JOB_ID}": "{exportJobId}",
    "{PREVIEW_ID}": "{previewId}",
    "{ESTIMATE_ID}": "{previewId}",
}

# Fields that the document's schemas lack, of definitions and of audiences.
GUIDES_ONLY = {
    *("sandbox", "baselineTime", "lastModifiedBy"),
    # Of external audiences.
    *("dependents", "dependencies", "ttlInDays", "audienceMeta", "_etag"),
}
SEARCH_VERSION = "x-ups-search-version"
EXTENSIONS = {
    "version",
    "evaluationState",
    "evaluation",
    "estimatedStateBytes",
    "evaluationStateReason",
    "evaluationProgress",
    "warnings",
}
# The same of schedules: what samples of the guides show, and what is ours.
SCHEDULES_ONLY = {"imsOrgId", "sandbox", "frequency", "missedRuns", "nextRunTime", "lastRun"}

# Problem types of the document that nothing here can lead to.
NOT_HERE = {
    "UPAPI-113740-403",  # every organisation may use audiences
    "UPAPI-113752-403",  # labels are kept; nobody's access is decided by them
    "UPAPI-113751-500",
}


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
    schema = SLIPS.get((method, path, status))
    if schema is None:
        schema = answers[str(status)]["content"]["application/json"]["schema"]
    return {**schema, "components": {"schemas": published["components"]["schemas"]}}


def check(published: Json, answer: httpx.Response, method: str, path: str, status: int) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    Draft4Validator(schema_of(published, method, path, status)).validate(body)
    return body


def only_documented_fields(
    published: Json, definition: Json, schema: str = "SegmentDefinition"
) -> None:
    documented = set(published["components"]["schemas"][schema]["properties"])
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
    for form in ("pql/text", "pql/json"):
        sent = {**examples[form]["value"], "name": form}
        accepted = await client.post(DEFINITIONS, json=sent)
        check(published, accepted, "post", COLLECTION, 200)
        assert {name: accepted.json()[name] for name in sent if name != "payloadSchema"} == {
            name: value for name, value in sent.items() if name != "payloadSchema"
        }


async def test_a_conversion_has_the_published_shape(
    published: Json, client: httpx.AsyncClient
) -> None:
    request = published["paths"][COLLECTION]["post"]["requestBody"]
    examples = request["content"]["application/json"]["examples"]
    for form, other in (("pql/text", "pql/json"), ("pql/json", "pql/text")):
        sent = examples[form]["value"]
        answer = await client.post(f"{BASE}{CONVERSION}", json=sent)
        found = check(published, answer, "post", CONVERSION, 200)
        only_documented_fields(published, found)
        assert found["expression"]["format"] == other
        assert found["description"] == sent["description"]


async def test_every_published_operation_and_parameter_is_served(
    published: Json, client: httpx.AsyncClient
) -> None:
    ours = (await client.get("/openapi.json")).json()["paths"]
    for path, operations in published["paths"].items():
        if not path.startswith(SERVED):
            continue
        ours_of = path
        for theirs, our in PARAMETERS.items():
            ours_of = ours_of.replace(theirs, our)
        served = ours[BASE + ours_of]
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


async def test_every_answer_about_audiences_has_the_published_shape(
    published: Json, client: httpx.AsyncClient
) -> None:
    shape, item = "PlatformGeneratedAudience", "/audiences/{AUDIENCE_ID}"
    created = await client.post(AUDIENCES, json=audience_body("contract", labels=["core/C1"]))
    one = check(published, created, "post", "/audiences", 201)
    # What samples show and the schema does not forbid is there as well.
    assert set(published["components"]["schemas"][shape]["properties"]) <= set(one)
    path = f"{AUDIENCES}/{one['id']}"
    listed = check(published, await client.get(AUDIENCES), "get", "/audiences", 200)
    answers = [
        one,
        listed["children"][0],
        check(published, await client.get(path), "get", item, 200),
        check(published, await client.patch(path, json=[add("/name", "x")]), "patch", item, 200),
        check(published, await client.put(path, json=one), "put", item, 200),
    ]
    asked = {"ids": [{"id": one["id"]}]}
    bulk, found = "/audiences/bulk-get", await client.post(f"{AUDIENCES}/bulk-get", json=asked)
    answers += check(published, found, "post", bulk, 207)["results"].values()
    for answer in answers:
        only_documented_fields(published, answer, shape)
    assert (await client.delete(path)).status_code == 204


async def test_the_published_examples_of_audiences_are_taken(
    published: Json, client: httpx.AsyncClient
) -> None:
    examples = published["components"]["examples"]
    sent = examples["CreatePlatformAudienceRequestBody"]["value"]
    created = await client.post(AUDIENCES, json=sent)
    one = check(published, created, "post", "/audiences", 201)
    assert {name: one[name] for name in sent} == sent
    path = f"{AUDIENCES}/{one['id']}"

    patch = published["paths"]["/audiences/{AUDIENCE_ID}"]["patch"]["requestBody"]
    (operations,) = patch["content"]["application/json"]["examples"].values()
    assert (await client.patch(path, json=operations["value"])).status_code == 200
    replacement = examples["UpdateAudiencePQL"]["value"] | {"audienceId": one["id"]}
    replaced = await client.put(path, json=replacement)
    assert {name: replaced.json()[name] for name in replacement} == replacement

    # Those of external audiences name a dataset, of which nothing is known here.
    asked = examples["CreateExternalAudienceRequestBody"]["value"]
    refused = await client.post(AUDIENCES, json=asked)
    assert refused.json()["type"].endswith("UPLIB-101554-503")
    made = await client.post(AUDIENCES, json={**asked, "datasetId": None})
    assert made.status_code == 201, made.text
    external = made.json()
    only_documented_fields(published, external, "ExternallyGeneratedAudience")
    written = {name: one for name, one in asked.items() if name not in ("datasetId", "lifecycle")}
    assert {name: external[name] for name in written} == written
    renamed = {**examples["UpdateAudienceName"]["value"], "datasetId": None}
    replaced = await client.put(f"{AUDIENCES}/{external['id']}", json=renamed)
    assert replaced.status_code == 200, replaced.text
    del renamed["datasetId"]
    assert {name: replaced.json()[name] for name in renamed} == renamed


async def test_every_answer_about_jobs_has_the_published_shape(
    published: Json, plane: Plane
) -> None:
    client, path = plane.client(), f"{BASE}{JOBS}"
    item, bulk = f"{JOBS}/{{SEGMENT_JOB_ID}}", f"{JOBS}/bulk-get"
    one = (await client.post(DEFINITIONS, json=definition_body("counted"))).json()["id"]
    created = await client.post(path, json=[{"segmentId": one}])
    job = check(published, created, "post", JOBS, 200)
    await done(plane, 3)
    ended = check(published, await client.get(f"{path}/{job['id']}"), "get", item, 200)
    listed = check(published, await client.get(path), "get", JOBS, 200)
    asked = {"ids": [{"id": job["id"]}]}
    found = check(published, await client.post(f"{path}/bulk-get", json=asked), "post", bulk, 207)
    shape = published["components"]["schemas"]["SegmentJob"]["properties"]
    for answer in (job, ended, *listed["children"], *found["results"].values()):
        only_documented_fields(published, answer, "SegmentJob")
        # A model is named in the schema and in no sample; the others are there when they apply.
        assert set(shape) - set(answer) == {"modelName", "errors", "properties"}
    assert set(ended["metrics"]) == set(shape["metrics"]["properties"])
    await started(client, one)
    waiting = (await started(client, one))["id"]
    assert (await client.delete(f"{path}/{waiting}")).status_code == 204


async def test_the_published_example_of_a_job_is_taken(
    published: Json, client: httpx.AsyncClient
) -> None:
    request = published["paths"][JOBS]["post"]["requestBody"]["content"]["application/json"]
    one = (await client.post(DEFINITIONS, json=definition_body("counted"))).json()["id"]
    sent = json.loads(
        json.dumps(request["example"]).replace(request["example"][0]["segmentId"], one)
    )
    answer = await client.post(f"{BASE}{JOBS}", json=sent)
    assert answer.json()["segments"][0]["segmentId"] == one


async def test_every_answer_about_schedules_has_the_published_shape(
    published: Json, plane: Plane
) -> None:
    client, path = plane.client(), f"{BASE}{SCHEDULES}"
    item = f"{SCHEDULES}/{{SCHEDULE_ID}}"
    one = (await client.post(DEFINITIONS, json=definition_body("counted"))).json()["id"]
    body = {
        "name": "nightly",
        "type": "batch_segmentation",
        "properties": {"segments": [one]},
        "schedule": "0 15 2 * * ?",
    }
    shapes = published["components"]["schemas"]
    Draft4Validator(shapes["ScheduleCreate"]).validate(body)
    created = check(published, await client.post(path, json=body), "post", SCHEDULES, 200)
    patch = published["paths"][item]["patch"]["requestBody"]["content"]["application/json"]
    for example in patch["examples"].values():
        answer = await client.patch(f"{path}/{created['id']}", json=example["value"])
        assert (answer.status_code, answer.content) == (204, b"")
    answer = await client.post(f"{path}/trigger", json={"id": created["id"]})
    assert (answer.status_code, answer.content) == (200, b"")
    shown = check(published, await client.get(f"{path}/{created['id']}"), "get", item, 200)
    await client.post(path, json=body | {"properties": {"segments": ["*"]}})
    asked = {"limit": 1}
    listed = check(published, await client.get(path, params=asked), "get", SCHEDULES, 200)
    documented = set(shapes["Schedule"]["properties"])
    for found in (created, shown, *listed["children"]):
        assert documented <= set(found) <= documented | SCHEDULES_ONLY
    assert set(listed) == {"_page", "children", "_links"}
    assert set(listed["_page"]) == set(shapes["SchedulesPage"]["properties"])
    assert (shown["state"], shown["schedule"]) == ("active", "0 0 2 * * ?")

    # The published job of a schedule, which no other one shows.
    job_path = f"{BASE}{JOBS}/{shown['lastRun']['jobId']}"
    job = check(published, await client.get(job_path), "get", f"{JOBS}/{{SEGMENT_JOB_ID}}", 200)
    assert (job["source"], job["properties"]["scheduleId"]) == ("scheduler", created["id"])
    assert set(job["properties"]) == {"scheduleId", "runId"}
    assert job["requestId"] == f"{created['id']}-{shown['lastRun']['dueTime']}"

    await schedule_audiences(client, path, created["id"], one)
    assert (await client.delete(f"{path}/{created['id']}")).status_code == 204
    assert (await client.get(f"{path}/{created['id']}")).status_code == 404


async def schedule_audiences(client: httpx.AsyncClient, path: str, schedule: str, one: str) -> None:
    """Call what is in the guides of flexible schedules alone."""
    counts = {"previous", "current", "diff"}
    for call, changed in (("add-audiences", "added"), ("remove-audiences", "removed")):
        sent = {"id": schedule, "segments": [one, "x"]}
        answer = (await client.post(f"{path}/{call}", json=sent)).json()
        assert set(answer) == {changed, "existing", "invalid", "segmentCount"}
        assert set(answer["segmentCount"]) == counts
        assert answer["invalid"] == ["x"]
    found = (await client.post(f"{path}/audience-map", json={"segments": [one]})).json()
    assert set(found) == {"audienceMap", "schedules"}
    assert schedule not in found["audienceMap"][one]
    for short in found["schedules"].values():
        assert set(short) == {"name", "schedule", "frequency"}


async def test_every_answer_about_exports_has_the_published_shape(
    published: Json, plane: Plane
) -> None:
    client, path = plane.client(), f"{BASE}{EXPORTS}"
    item = f"{EXPORTS}/{{EXPORT_JOB_ID}}"
    one = (await client.post(DEFINITIONS, json=definition_body("exported"))).json()["id"]
    asked = {
        **BODY,
        "fields": "identities.id,personalEmail.address",
        "filter": {"segments": [{"segmentId": one, "segmentNs": "ups"}]},
        "additionalFields": {"eventList": {"fields": "_id"}},
        "destination": {"datasetId": "members"},
    }
    created = await client.post(path, json=asked)
    shape = published["components"]["schemas"]["ExportJobResponse"]
    # The document has no answer to a creation; a job it is for sure.
    Draft4Validator({**shape, "components": published["components"]}).validate(created.json())
    job = created.json()
    await export_done(plane, 3)
    ended = check(published, await client.get(f"{path}/{job['id']}"), "get", item, 200)
    listed = check(published, await client.get(path), "get", EXPORTS, 200)
    for answer in (job, ended, *listed["records"]):
        # Guides alone have the first; the other is ours.
        assert set(answer) - {"evaluationInfo", "source"} == set(shape["properties"])
    assert set(ended["metrics"]) >= set(shape["properties"]["metrics"]["properties"])
    waiting = (await client.post(path, json=asked)).json()["id"]
    check(published, await client.delete(f"{path}/{waiting}"), "delete", item, 200)


async def test_every_answer_about_previews_has_the_published_shape(
    published: Json, plane: Plane
) -> None:
    client, schemas = plane.client(), published["components"]["schemas"]
    asked = schemas["CreatePreviewRequest"]["properties"]
    sent = {name: one["example"] for name, one in asked.items()}
    created = await client.post(f"{BASE}{PREVIEW}", json=sent)
    one = check(published, created, "post", PREVIEW, 201)
    assert set(one) == set(schemas["PreviewQueryResponse"]["properties"])
    assert created.headers["X-Location"].endswith(one["previewId"])
    await preview_done(plane, one, ["p-1"], share(1))
    item = f"{PREVIEW}/{{PREVIEW_ID}}"
    path = f"{BASE}{PREVIEW}/{one['previewId']}"
    shown = check(published, await client.get(path), "get", item, 200)
    # The guides' `links` stands where the document has `link`.
    assert set(shown) == {"results", "state", "links", "page"}
    assert set(shown["results"][0]["p-1"]) == {"_href", "endCustomerIds"}
    answer = await client.get(f"{BASE}{ESTIMATE}/{one['previewId']}")
    estimated = check(published, answer, "get", f"{ESTIMATE}/{{ESTIMATE_ID}}", 200)
    extensions = {"profilesSkipped", "confidenceLimits"}
    assert set(estimated) == set(schemas["EstimateResponse"]["properties"]) | extensions
    check(published, await client.delete(path), "delete", item, 200)
    for call in (client.get(path), client.delete(path), client.get(str(answer.url))):
        assert (await call).status_code == 404


def problem_types(published: Json) -> dict[str, int]:
    """Return the problem types that the document shows for audiences, with their status."""
    found = {}
    for path, operations in published["paths"].items():
        if path.startswith("/audiences"):
            for operation in operations.values():
                for answer in operation["responses"].values():
                    for example in (
                        answer["content"]["application/json"].get("examples", {}).values()
                    ):
                        shown = json.dumps(example)
                        for name in re.findall(r"errors/(UP[A-Z]+-\d+-\d+)", shown):
                            found[name] = int(next(iter(example["value"]["errors"])))
    return found


async def test_refusals_have_the_published_types(
    published: Json, client: httpx.AsyncClient
) -> None:
    used = (await created_audience(client, "used"))["id"]
    await created_audience(client, "user", in_segment(used))
    path = f"{AUDIENCES}/{used}"
    answers = [
        await client.post(AUDIENCES, json=audience_body("x", lifecycleState="deleted")),
        await client.patch(path, json=[add("/lifecycleState", "deleted")]),
        await client.put(path, json=audience_body("x", namespace="AAM")),
        await client.post(AUDIENCES, json={}),
        await client.post(AUDIENCES, json={"type": "ExternalSegment", "datasetId": "d"}),
        await client.get(f"{AUDIENCES}/none"),
        await client.delete(path),
        await client.post(f"{AUDIENCES}/bulk-get", json={"ids": []}),
        await client.post(f"{AUDIENCES}/bulk-get", json={"ids": [{"id": "none"}]}),
    ]
    seen = {answer.json()["type"].rpartition("/")[2]: answer.status_code for answer in answers}
    shown = problem_types(published)
    assert {name: shown[name] for name in shown if name not in NOT_HERE} == seen
    assert set(shown) >= NOT_HERE
    for answer in answers:
        assert set(answer.json()) == {"requestId", "errors", "type", "title", "status"}
