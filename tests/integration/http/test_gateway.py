"""What every request passes, whatever its route."""

from __future__ import annotations

import re

import httpx
import pytest

from app.adapters.http.gateway import MAX_BODY_BYTES
from app.engine.profile import ProfileState
from app.engine.tables import Detail, DetailTable
from tests.integration.http.harness import DEFINITIONS, Plane, definition_body

pytestmark = pytest.mark.redis

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("left_out", "status", "code"),
    [
        ("authorization", 403, "403010"),
        ("x_api_key", 403, "403000"),
        ("x_gw_ims_org_id", 400, "400003"),
    ],
)
@pytest.mark.parametrize("path", [DEFINITIONS, "/profiles/p/membership", "/nowhere"])
async def test_a_gateway_error_has_two_fields(
    plane: Plane, left_out: str, status: int, code: str, path: str
) -> None:
    answer = await plane.client(**{left_out: None}).get(path)
    assert answer.status_code == status
    assert answer.json() == {"error_code": code, "message": answer.json()["message"]}
    assert answer.headers["x-request-id"]


async def test_nobody_is_told_about_the_body_before_the_token(plane: Plane) -> None:
    answer = await plane.client(authorization=None).post(DEFINITIONS, content=b"{")
    assert answer.json()["error_code"] == "403010"


async def test_an_unknown_sandbox_is_403(plane: Plane) -> None:
    answer = await plane.client(x_sandbox_name="nope").get(DEFINITIONS)
    assert (answer.status_code, answer.json()["status"]) == (403, 403)
    missing = await plane.client(x_sandbox_name=None).get(DEFINITIONS)
    assert missing.status_code == 400


async def test_a_request_id_is_echoed_or_made(client: httpx.AsyncClient) -> None:
    given = await client.get("/livez", headers={"x-request-id": "trace-17"})
    assert given.headers["x-request-id"] == "trace-17"
    made = (await client.get("/livez")).headers["x-request-id"]
    assert len(made) == 32
    assert made.isalnum()
    odd = await client.get("/livez", headers={"x-request-id": "a b" * 100})
    assert len(odd.headers["x-request-id"]) == 32


@pytest.mark.parametrize("kind", [None, "text/plain", "application/jsonp"])
async def test_a_body_must_be_declared_as_json(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await client.post(DEFINITIONS, content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["type"] == "/placeholder/type/uri"
    assert answer.json()["title"] == "BadRequestError"


async def test_a_charset_is_no_other_content_type(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await client.post(DEFINITIONS, content=b"[]", headers=headers)
    assert answer.json()["type"].endswith("SEG-INVALID-BODY-400")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"name": NaN}', b'"\\ud800"', b"[" * 5000])
async def test_what_is_no_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(DEFINITIONS, content=body, headers=JSON)
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["title"]


async def test_large_bodies_are_413_declared_or_not(client: httpx.AsyncClient) -> None:
    large = b" " * (MAX_BODY_BYTES + 1)
    assert (await client.post(DEFINITIONS, content=large, headers=JSON)).status_code == 413

    async def parts():
        for _ in range(MAX_BODY_BYTES // 65_536 + 1):
            yield b" " * 65_536

    assert (await client.post(DEFINITIONS, content=parts(), headers=JSON)).status_code == 413


async def test_unknown_paths_and_methods_are_told_apart(client: httpx.AsyncClient) -> None:
    nowhere = await client.get("/data/core/ups/segment/definition")
    assert (nowhere.status_code, nowhere.json()["status"]) == (404, 404)
    put = await client.put(f"{DEFINITIONS}/x", json={})
    assert put.status_code == 405
    assert put.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    bulk = await client.put(f"{DEFINITIONS}/bulk-get", json={})
    assert "POST" in bulk.headers["allow"]


async def test_head_is_get_without_its_body(client: httpx.AsyncClient) -> None:
    got, head = await client.get(DEFINITIONS), await client.head(DEFINITIONS)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_options_tells_methods_and_nothing_about_origins(client: httpx.AsyncClient) -> None:
    answer = await client.options(DEFINITIONS, headers={"origin": "https://example.org"})
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await client.options("/nowhere")).status_code == 404


async def test_a_defect_is_500_without_its_details(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(plane.store, "page", broken)
    answer = await plane.client().get(DEFINITIONS)
    assert answer.status_code == 500
    assert answer.json()["type"].endswith("SEG-INTERNAL-500")
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_health_and_metrics_are_open(plane: Plane) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=plane.application), base_url="http://test"
    ) as anyone:
        assert (await anyone.get("/livez")).json() == {"status": "live"}
        assert (await anyone.get("/readyz")).status_code == 200
        await plane.client().get(f"{DEFINITIONS}/none")
        metrics = (await anyone.get("/metrics")).text
        label = f'route="{DEFINITIONS}/{{segmentId}}",status="404"'
        assert f'segmentation_http_requests_total{{method="GET",{label}}} 1.0' in metrics


async def test_the_openapi_document_has_examples_and_security(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert schemas["DefinitionBody"]["examples"][0]["name"]
    assert set(document["components"]["securitySchemes"]) == {
        "bearer",
        "x-api-key",
        "x-gw-ims-org-id",
        "x-sandbox-name",
    }
    assert document["paths"]["/livez"]["get"]["security"] == []
    assert "HTTPValidationError" not in str(document["paths"])
    create = document["paths"][DEFINITIONS]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "DefinitionBody"
    )


async def test_the_membership_of_a_profile(plane: Plane) -> None:
    client = plane.client()
    ids = []
    for name in ("in", "out", "gone"):
        created = await client.post(DEFINITIONS, json=definition_body(name))
        ids.append(created.json()["id"])
    details = {ordinal: Detail(1_767_607_200_000 + ordinal, 1) for ordinal in range(3)}
    state = ProfileState(members=b"\x01", details=DetailTable(details), created=True)
    await plane.put_profile("p/1 ø", state)
    assert len((await client.get("/profiles/p%2F1%20%C3%B8/membership")).json()) == 2
    await client.delete(f"{DEFINITIONS}/{ids[2]}")
    answer = await client.get("/profiles/p%2F1%20%C3%B8/membership")
    assert answer.status_code == 200
    assert answer.json() == {
        "profileId": "p/1 ø",
        "segmentMembership": {
            "ups": {
                ids[0]: {"lastQualificationTime": "2026-01-05T10:00:00Z", "status": "realized"},
                ids[1]: {
                    "lastQualificationTime": "2026-01-05T10:00:00.001Z",
                    "status": "exited",
                },
            }
        },
    }


async def test_a_profile_that_is_not_there_is_404(plane: Plane) -> None:
    path = "/profiles/p1/membership"
    assert (await plane.client().get(path)).status_code == 404
    await plane.put_profile("p1", ProfileState(created=False, deleted_ms=1))
    assert (await plane.client().get(path)).status_code == 404
    await plane.put_profile("p1", ProfileState(created=True))
    assert (await plane.client().get(path)).status_code == 200
    assert (await plane.client(x_sandbox_name="dev").get(path)).status_code == 404
    assert (await plane.other_client().get(path)).status_code == 404


async def test_the_document_can_be_read_as_a_page_without_a_network(plane: Plane) -> None:
    open_client = plane.client(**dict.fromkeys(plane.headers()))
    page = await open_client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 2
    for link in links:
        assert link.startswith("/"), "an asset of another server"
        assert (await open_client.get(link)).status_code == 200
    assert "/openapi.json" in page.text


@pytest.mark.parametrize("path", ["/data/core/ups/audiences/bulk-get", f"{DEFINITIONS}/bulk-get"])
async def test_a_fixed_word_is_not_an_id(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.delete(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


async def test_a_method_is_refused_before_its_body(client: httpx.AsyncClient) -> None:
    answer = await client.put(DEFINITIONS, content=b"{")
    assert answer.status_code == 405


@pytest.mark.parametrize("given", ["page", "start"])
async def test_a_place_beyond_all_lists_is_refused(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get(DEFINITIONS, params={given: 10**22})
    assert answer.status_code == 400
    assert given in answer.json()["title"]
