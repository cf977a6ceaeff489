"""Places of files: nothing outside of them, nothing of another tenant, no secret in a message."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from app.adapters.imports.connections import read_connections
from app.adapters.imports.sources import FileSources
from app.domain.errors import ConfigurationError
from app.domain.external import ImportSource, SourceFile
from app.domain.model import Tenant
from app.service.import_sources import SourceProblem

TENANT = Tenant("org@AdobeOrg", "prod")
ENTRY = {
    "id": "one",
    "cloudType": "S3",
    "root": "/bucket/prefix/",
    "orgId": TENANT.org_id,
    "sandboxes": ["prod"],
    "options": {"secret": "s3cret"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "zone" / TENANT.org_id / TENANT.sandbox_name
    folder.mkdir(parents=True)
    (tmp_path / "outside.csv").write_text("id\nx\n")
    return folder


@pytest.fixture
def sources(tmp_path: Path) -> FileSources:
    return FileSources(tmp_path / "zone")


def file_at(path: str) -> ImportSource:
    return ImportSource(path, "file", "DLZ")


def folder_at(path: str) -> ImportSource:
    return ImportSource(path, "folder", "DLZ")


async def rows(sources: FileSources, source: ImportSource, file: SourceFile) -> list[str]:
    async with sources.open(TENANT, source, file, ["id"]) as opened:
        return [str(dict(row)["id"]) for row in await opened.take(100)]  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["../x.csv", "a/../../x.csv", "a\\..\\x.csv", "/", "", "a\0.csv"])
def test_no_path_leads_out(sources: FileSources, path: str) -> None:
    with pytest.raises(SourceProblem, match="without"):
        sources.check(TENANT, file_at(path))


@pytest.mark.parametrize("tenant", [Tenant("..", "prod"), Tenant("org", "..")])
def test_no_name_of_a_tenant_leads_out(sources: FileSources, tenant: Tenant) -> None:
    with pytest.raises(SourceProblem, match="no folder"):
        sources.check(tenant, file_at("a.csv"))


async def test_links_are_followed_inside_only(
    sources: FileSources, folder: Path, tmp_path: Path
) -> None:
    (folder / "real.csv").write_text("id\na\n")
    (folder / "inside.csv").symlink_to(folder / "real.csv")
    (folder / "outside.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "up").symlink_to(tmp_path)
    other = tmp_path / "zone" / TENANT.org_id / "dev"
    other.mkdir()
    (other / "theirs.csv").write_text("id\nx\n")
    (folder / "theirs").symlink_to(other)

    (found,) = await sources.files(TENANT, file_at("inside.csv"))
    assert await rows(sources, file_at("inside.csv"), found.file) == ["a"]
    for path in ("outside.csv", "up/outside.csv", "theirs/theirs.csv"):
        with pytest.raises(SourceProblem, match="leads out of the landing zone"):
            await sources.files(TENANT, file_at(path))
    with pytest.raises(SourceProblem, match="leads out of the landing zone"):
        await sources.files(TENANT, folder_at("up"))
    # One that became a link after it was listed.
    (folder / "real.csv").unlink()
    (folder / "real.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(SourceProblem, match="leads out of the landing zone"):
        await rows(sources, file_at("real.csv"), SourceFile("real.csv", found.file.stamp))


async def test_a_file_that_changed_is_not_read(sources: FileSources, folder: Path) -> None:
    (folder / "m.csv").write_text("id\na\n")
    (found,) = await sources.files(TENANT, file_at("m.csv"))
    (folder / "m.csv").write_text("id\na\nb\n")
    with pytest.raises(SourceProblem, match="has changed since"):
        await rows(sources, file_at("m.csv"), found.file)


async def test_a_folder_lists_its_files_in_order(sources: FileSources, folder: Path) -> None:
    (folder / "in" / "b").mkdir(parents=True)
    (folder / "in" / "z.csv.gz").write_bytes(gzip.compress(b"id\nz\n"))
    (folder / "in" / "b" / "a.csv").write_text("id\na\n")
    (folder / "in" / "notes.txt").write_text("x")
    source = folder_at("/in/")
    found = await sources.files(TENANT, source)
    assert [(one.file.path, one.is_known) for one in found] == [
        ("in/b/a.csv", True),
        ("in/notes.txt", False),
        ("in/z.csv.gz", True),
    ]
    assert [await rows(sources, source, found[at].file) for at in (0, 2)] == [["a"], ["z"]]
    async with sources.open(TENANT, source, found[0].file, ["id"]) as opened:
        await opened.skip(5)
        assert await opened.take(1) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (file_at("none.csv"), "there is no file none.csv"),
        (folder_at("none"), "there is no folder none"),
        (file_at("sub"), "is not a file"),
        (folder_at("m.csv"), "is not a folder"),
        (file_at("m.txt"), "no known format"),
    ],
)
async def test_what_is_not_there_is_said(
    sources: FileSources, folder: Path, source: ImportSource, told: str
) -> None:
    (folder / "sub").mkdir()
    for name in ("m.csv", "m.txt"):
        (folder / name).write_text("id\n")
    with pytest.raises(SourceProblem, match=told):
        await sources.files(TENANT, source)


async def test_a_broken_archive_is_a_problem_of_the_source(
    sources: FileSources, folder: Path
) -> None:
    (folder / "m.csv.gz").write_bytes(gzip.compress(b"id\n" + b"a\n" * 10_000)[:-20])
    (found,) = await sources.files(TENANT, file_at("m.csv.gz"))
    with pytest.raises(SourceProblem, match="cannot be decoded"):
        async with sources.open(TENANT, file_at("m.csv.gz"), found.file, ["id"]) as opened:
            await opened.skip(20_000)


def connections(tmp_path: Path, *entries: object) -> Path:
    path = tmp_path / "connections.json"
    path.write_text(json.dumps({"connections": entries}))
    return path


def test_a_connection_is_open_to_its_sandboxes(tmp_path: Path) -> None:
    found = read_connections(connections(tmp_path, ENTRY))
    sources = FileSources(None, found)
    source = ImportSource("m.csv", "file", "S3", connection_id="one")
    sources.check(TENANT, source)
    assert found["one"].root == "bucket/prefix"
    assert "s3cret" not in repr(found)
    for tenant in (Tenant(TENANT.org_id, "dev"), Tenant("other@AdobeOrg", "prod")):
        with pytest.raises(SourceProblem, match="no S3 connection 'one' for this sandbox"):
            sources.check(tenant, source)


@pytest.mark.parametrize(
    "change",
    [{"cloudType": "DLZ"}, {"root": ""}, {"sandboxes": "prod"}, {"options": 7}, {"id": None}],
)
def test_a_file_of_connections_is_refused_without_its_secrets(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_connections(connections(tmp_path, ENTRY | change))
    assert "s3cret" not in refused.value.message
    assert "sandboxes" in refused.value.message
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_connections(tmp_path / "none.json")


async def test_what_a_store_says_is_not_repeated(tmp_path: Path) -> None:
    entry = {**ENTRY, "options": {"s3cret": "s3cret"}}
    sources = FileSources(None, read_connections(connections(tmp_path, entry)))
    source = ImportSource("m.csv", "file", "S3", connection_id="one")
    with pytest.raises(SourceProblem) as refused:
        await sources.files(TENANT, source)
    assert "s3cret" not in refused.value.message
    assert refused.value.__cause__ is None
