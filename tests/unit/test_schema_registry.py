"""The registry of schemas: files, what cannot be used, two tenants."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.adapters.schemas.registry import SchemaRegistry
from app.adapters.schemas.sources import FileSource
from app.domain.model import Tenant

ONE, TWO = Tenant("org", "prod"), Tenant("org", "dev")
AGE = {"properties": {"age": {"type": "integer"}}}


def entry(sandbox: str, **schemas: Any) -> dict[str, Any]:
    return {"orgId": "org", "sandboxes": [sandbox], **schemas}


def fields(registry: SchemaRegistry, tenant: Tenant) -> set[str] | None:
    shape = registry.of(tenant).schemas.profile
    return None if shape is None else shape.names


class Folder:
    """A registry of files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registry = SchemaRegistry(FileSource(path / "schemas.json"), 0.05)

    def write(self, *entries: dict[str, Any]) -> None:
        (self.path / "schemas.json").write_text(json.dumps({"schemas": entries}))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_a_tenant_sees_its_own_schemas(folder: Folder) -> None:
    (folder.path / "event.json").write_text(json.dumps({"properties": {"total": {}}}))
    folder.write(entry("prod", profile=AGE, event="event.json"))
    await folder.registry.refresh()

    assert fields(folder.registry, ONE) == {"age"}
    event = folder.registry.of(ONE).schemas.event
    assert event is not None
    assert event.names == {"total"}
    assert fields(folder.registry, TWO) is None
    assert folder.registry.of(TWO).problem == folder.registry.of(ONE).problem == ""


async def test_what_changes_is_taken_over_while_it_runs(folder: Folder) -> None:
    folder.write(entry("prod", profile=AGE))
    async with folder.registry.running(), asyncio.timeout(10):
        assert fields(folder.registry, ONE) == {"age"}
        folder.write(entry("dev", profile=AGE))
        while fields(folder.registry, TWO) is None:
            await asyncio.sleep(0.01)
        assert fields(folder.registry, ONE) is None


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "is no JSON"),
        ('{"schemas": [{"orgId": "org"}]}', "it is not"),
        ('{"schemas": [{"orgId": "org", "sandboxes": ["prod"], "profil": {}}]}', "it is not"),
        ("[]", "it is not"),
    ],
)
async def test_a_registry_that_cannot_be_used_leaves_what_there_was(
    folder: Folder, content: str, part: str
) -> None:
    folder.write(entry("prod", profile=AGE))
    await folder.registry.refresh()
    (folder.path / "schemas.json").write_text(content)
    with capture_logs() as logged:
        await folder.registry.refresh()
        await folder.registry.refresh()

    assert fields(folder.registry, ONE) == {"age"}
    assert part in folder.registry.of(ONE).problem
    # Told once.
    assert [one["event"] for one in logged] == ["schemas-unusable"]
    folder.write(entry("prod", profile=AGE))
    await folder.registry.refresh()
    assert folder.registry.of(ONE).problem == ""


@pytest.mark.parametrize("broken", [{"type": "strng"}, "missing.json", 5, {"$ref": "#/nowhere"}])
async def test_one_bad_schema_concerns_its_tenant_alone(folder: Folder, broken: Any) -> None:
    folder.write(entry("prod", profile=AGE), entry("dev", profile=AGE))
    await folder.registry.refresh()
    folder.write(entry("prod", profile=broken), entry("dev", profile={"properties": {"b": {}}}))
    with capture_logs() as logged:
        await folder.registry.refresh()

    assert fields(folder.registry, ONE) == {"age"}
    assert folder.registry.of(ONE).problem
    assert (fields(folder.registry, TWO), folder.registry.of(TWO).problem) == ({"b"}, "")
    assert [(one["event"], one["sandbox"]) for one in logged if one["log_level"] == "error"] == [
        ("schema-unusable", "prod")
    ]


async def test_schemas_that_were_never_read_are_said_to_be_missing(tmp_path: Path) -> None:
    registry = SchemaRegistry(FileSource(tmp_path / "none.json"), 60)
    await registry.refresh()
    assert "none.json cannot be read" in registry.of(ONE).problem
