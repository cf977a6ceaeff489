"""Data sets of exports: what is in the files is what is on the topic."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from app.adapters.datasets.locations import Location
from tests.integration.stream.export_reader import (
    as_record,
    as_row,
    ids,
    in_order,
    rows_of,
    segments,
)
from tests.integration.stream.export_world import ExportWorld
from tests.integration.stream.harness import eventually
from tests.integration.stream.test_backfill import ADULT, BUYER, is_applied, names

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
WORLD = ExportWorld


async def shop(world):
    await world.people(30)
    await world.live(adult=ADULT, buyer=BUYER)
    await world.send(*[(n, {"event": {"_id": n, "eventType": "buy"}}) for n in names(4)])
    await eventually(lambda: is_applied(world, 34))


async def test_a_data_set_is_what_the_topic_has(world, tmp_path):
    world.locations["members"] = Location(f"file://{tmp_path}")
    destination = {"datasetId": "members"}
    async with world.working(slice_size=7):
        await shop(world)
        job = await world.ended(
            await world.export(
                filter=segments("adult"),
                destination=destination,
                additionalFields={"eventList": {}},
            )
        )
        assert job["status"] == "SUCCEEDED", job
        both = await world.ended(
            await world.export(
                filter=segments("adult", "buyer"),
                destination={**destination, "segmentPerBatch": True},
            )
        )
    fs = fsspec.filesystem("file")
    found = await world.whole(str(job["id"]))
    manifest, rows = rows_of(fs, f"{tmp_path}/{job['destination']['batchId']}")
    assert in_order(map(as_record, rows)) == in_order(map(as_row, found))
    assert manifest["jobId"] == str(job["id"])
    assert {one["records"] for one in manifest["partitions"]} == {
        one["rows"] for one in manifest["files"]
    }
    pattern = f"{tmp_path}/{job['destination']['batchId']}/*.parquet"
    import duckdb  # noisy at the end of the process: only where it is used

    text = f"SELECT count(*), sum((profile->>'$.age')::INT) FROM read_parquet('{pattern}')"
    found_there: Any = duckdb.sql(text)
    assert found_there.fetchall() == [(30, 30 * 40)]
    sizes = {}
    for batch in both["destination"]["batches"]:
        _, rows = rows_of(fs, f"{tmp_path}/{batch['batchId']}")
        sizes[batch["segmentId"]] = len(rows)
    assert sizes == {"adult": 30, "buyer": 4}
    assert len(await world.whole(str(both["id"]))) == 30
    assert not (tmp_path / "_staging").exists()


async def test_a_data_set_in_an_object_store(lone):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {
            "key": "k",
            "secret": "s",
            "endpoint_url": f"http://{host}:{port}",
            "client_kwargs": {"region_name": "eu-west-1"},
            "skip_instance_cache": True,
        }
        fs = fsspec.filesystem("s3", **options)
        # The stores of a process share their buckets.
        bucket = f"exports-{lone.names.id}"
        fs.mkdir(bucket)
        lone.locations["members"] = Location(f"s3://{bucket}/members", options)
        async with lone.working():
            await shop(lone)
            job = await lone.ended(
                await lone.export(filter=segments("buyer"), destination={"datasetId": "members"})
            )
        assert job["status"] == "SUCCEEDED", job
        fs.invalidate_cache()
        _, rows = rows_of(fs, f"{bucket}/members/{job['destination']['batchId']}")
        found = await lone.whole(str(job["id"]))
        assert in_order(map(as_record, rows)) == in_order(map(as_row, found))
        assert ids(found) == names(4)
        assert fs.find(f"{bucket}/members/_staging") == []
    finally:
        server.stop()


async def test_a_worker_that_dies_while_files_are_written(lone, tmp_path, monkeypatch):
    lone.locations["members"] = Location(str(tmp_path))

    async def silent(*_):
        return 0

    async with lone.working() as first:
        await shop(lone)
        monkeypatch.setattr(first._jobs._source, "report", silent)
        job_id = await lone.export(destination={"datasetId": "members"})
        await eventually(lambda: list(tmp_path.rglob("*.parquet")))
        # It goes without a chance to clean up.
        monkeypatch.setattr(first._jobs._exports._files, "_drop", lambda work: None)
    assert list(tmp_path.rglob("*.parquet"))
    async with lone.working():
        job = await lone.ended(job_id)
    assert job["status"] == "SUCCEEDED", job
    _, rows = rows_of(fsspec.filesystem("file"), f"{tmp_path}/{job['destination']['batchId']}")
    found = await lone.whole(job_id)
    assert in_order(map(as_record, rows)) == in_order(map(as_row, found))
    assert not (tmp_path / "_staging").exists()


async def test_a_data_set_that_cannot_be_written_fails_and_says_no_secret(lone, monkeypatch):
    monkeypatch.setattr("app.adapters.kafka.export_files._PAUSES_S", (0.01,))
    lone.locations["members"] = Location("s3://no-bucket/x", {"key": "k", "secret": "hidden-s"})

    def broken(self):
        raise PermissionError(13, "Permission denied", "hidden-s")

    monkeypatch.setattr(Location, "open", broken)
    async with lone.working():
        await shop(lone)
        job = await lone.ended(await lone.export(destination={"datasetId": "members"}))
    assert job["status"] == "FAILED"
    (error,) = job["errors"]
    assert error["code"] == "dataset-failed"
    assert "Permission denied" in error["msg"]
    assert "hidden" not in error["msg"]
