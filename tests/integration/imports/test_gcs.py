"""Files of Google Cloud Storage, from an emulator; what is said where its package is missing."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.adapters.imports.connections import GCS_PACKAGE, read_connections
from app.adapters.imports.sources import FileSources
from app.domain.errors import ConfigurationError
from app.domain.external import ImportSource, SourceFile
from app.domain.model import Tenant
from app.service.import_sources import SourceProblem

TENANT = Tenant("org@AdobeOrg", "prod")


def written(folder, **options):
    entry = {
        "id": "one",
        "cloudType": "GCS",
        "root": "bucket/exports",
        "orgId": TENANT.org_id,
        "sandboxes": [TENANT.sandbox_name],
        "options": options,
    }
    path = folder / "connections.json"
    path.write_text(json.dumps({"connections": [entry]}))
    return path


def test_what_has_to_be_installed_is_said_at_the_start(tmp_path, monkeypatch):
    # As Python knows a package that is not installed.
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    path = written(tmp_path, token="s3cret")
    with pytest.raises(ConfigurationError) as refused:
        read_connections(path)
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert "connection one cannot be used" in refused.value.message
    assert f'pip install "{GCS_PACKAGE}"' in refused.value.message
    assert project["optional-dependencies"]["gcs"] == [GCS_PACKAGE]
    assert "s3cret" not in refused.value.message


@pytest.fixture
def endpoint(monkeypatch):
    """URL of a store with an empty bucket."""
    # It is read on import. The kind of a bucket is asked of Google itself, by gRPC.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    port = server._api._httpd.server_address[1]
    yield f"http://127.0.0.1:{port}"
    server.stop()


def upload(endpoint, files):
    import gcsfs

    store = gcsfs.GCSFileSystem(
        endpoint_url=endpoint, token="anon", project="test", skip_instance_cache=True
    )
    for path, data in files.items():
        store.pipe_file(f"bucket/{path}", data)


@pytest.mark.loopback
async def test_files_of_every_format_in_a_folder(endpoint, tmp_path):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"id": ["e"]}), parquet)
    files = {
        "exports/in/a.csv": b"id\na\nb\n",
        "exports/in/deep/b.csv.gz": gzip.compress(b"id\nc\n"),
        "exports/in/d.parquet": parquet.getvalue(),
        "exports/other.csv": b"id\nx\n",
    }
    await asyncio.to_thread(upload, endpoint, files)
    options = {"endpoint_url": endpoint, "token": "anon", "project": "test"}
    sources = FileSources(None, read_connections(written(tmp_path, **options)))

    async def rows(source, file):
        async with sources.open(TENANT, source, file, ["id"]) as opened:
            taken: Any = await opened.take(100)
            return [row["id"] for row in taken]

    folder = ImportSource("in", "folder", "GCS", connection_id="one")
    found = await sources.files(TENANT, folder)
    assert {one.file.path: await rows(folder, one.file) for one in found} == {
        "in/a.csv": ["a", "b"],
        "in/d.parquet": ["e"],
        "in/deep/b.csv.gz": ["c"],
    }
    one = ImportSource("other.csv", "file", "GCS", connection_id="one")
    (found_one,) = await sources.files(TENANT, one)
    await asyncio.to_thread(upload, endpoint, {"exports/other.csv": b"id\ny\nz\n"})
    with pytest.raises(SourceProblem, match="has changed since"):
        await rows(one, SourceFile(found_one.file.path, found_one.file.stamp))
    with pytest.raises(SourceProblem, match=r"there is no file none\.csv"):
        await sources.files(TENANT, ImportSource("none.csv", "file", "GCS", connection_id="one"))
