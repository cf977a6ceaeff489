"""Schemas over HTTP, and what the API makes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from redis.asyncio import Redis

from app.adapters.schemas import sources
from app.adapters.schemas.registry import SchemaRegistry
from app.adapters.schemas.sources import UrlSource
from app.domain.model import Tenant
from tests.integration.http.harness import DEFINITIONS, definition_body, running_plane
from tests.services import Names

pytestmark = pytest.mark.redis

ONE = Tenant("org", "prod")
AGE = {"properties": {"age": {"type": "integer"}}}


def fields(registry: SchemaRegistry, tenant: Tenant) -> set[str] | None:
    shape = registry.of(tenant).schemas.profile
    return None if shape is None else shape.names


def entry(org_id: str, profile: Any) -> dict[str, Any]:
    return {"orgId": org_id, "sandboxes": ["prod"], "profile": profile}


class Server(BaseHTTPRequestHandler):
    """Answers documents to those who have the token."""

    documents: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        found = self.documents.get(self.path)
        allowed = self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if found and allowed else 404 if allowed else 401)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


async def test_schemas_come_over_http(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server}/registry/schemas.json"
    listed = {"schemas": [entry("org", "profile.json")]}
    Server.documents = {
        "/registry/schemas.json": json.dumps(listed).encode(),
        "/registry/profile.json": json.dumps(AGE).encode(),
    }
    registry = SchemaRegistry(UrlSource(url, "secret"), 60)
    await registry.refresh()
    assert (fields(registry, ONE), registry.of(ONE).problem) == ({"age"}, "")

    nobody = SchemaRegistry(UrlSource(url), 60)
    await nobody.refresh()
    assert nobody.of(ONE).problem == f"{url} answers with status 401"

    # The token is for this server alone.
    listed = {"schemas": [entry("org", "http://127.0.0.1:1/profile.json")]}
    Server.documents["/registry/schemas.json"] = json.dumps(listed).encode()
    await registry.refresh()
    assert "is not at the server" in registry.of(ONE).problem
    assert fields(registry, ONE) == {"age"}

    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    await registry.refresh()
    assert "more than 10 bytes" in registry.of(ONE).problem

    away = SchemaRegistry(UrlSource("http://127.0.0.1:1/schemas.json"), 60)
    await away.refresh()
    assert "cannot be read: ConnectError" in away.of(ONE).problem


async def test_definitions_of_a_tenant_are_held_to_its_schema(
    server: str, redis: Redis, names: Names, tmp_path: Path
) -> None:
    url = f"{server}/schemas.json"
    registry = SchemaRegistry(UrlSource(url, "secret"), 60)
    async with running_plane(
        redis, names.redis_key_prefix, names.org_id, tmp_path, schemas=registry
    ) as plane:
        client, other = plane.client(), plane.other_client()
        early = await client.post(DEFINITIONS, json=definition_body("Early", "aeg > 3"))
        Server.documents = {
            "/schemas.json": json.dumps({"schemas": [entry(names.org_id, AGE)]}).encode()
        }
        await registry.refresh()
        refused = await client.post(DEFINITIONS, json=definition_body("Late", "aeg > 3"))
        previewed = await client.post(
            "/data/core/ups/preview", json={"predicateExpression": "aeg > 3", "graphType": "none"}
        )
        elsewhere = await other.post(DEFINITIONS, json=definition_body("Other", "aeg > 3"))
        fine = await client.post(DEFINITIONS, json=definition_body("Fine", "age > 3"))
        renamed = await client.patch(
            f"{DEFINITIONS}/{early.json()['id']}", json=definition_body("Renamed", "aeg > 3")
        )

    assert [one["code"] for one in early.json()["warnings"]] == ["schema-unavailable"]
    for answer in (refused, previewed):
        assert answer.status_code == 400
        (problem,) = answer.json()["errors"]["400"][1:]
        assert problem["code"] == "SEG-UNKNOWN-FIELD-400"
        assert problem["excerpt"] == "aeg > 3\n^^^"
        assert problem["hint"] == "did you mean age?"
    for answer in (elsewhere, fine, renamed):
        assert answer.status_code == 200
        assert "warnings" not in answer.json()
