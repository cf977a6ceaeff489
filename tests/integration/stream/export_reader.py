"""Readers of what an export made, which check all they read: its topic and its data sets."""

from __future__ import annotations

import json
from collections import defaultdict
from hashlib import sha256
from typing import Any

import pyarrow.parquet as pq
from jsonschema import Draft202012Validator

from app.adapters.kafka.asyncapi import schema

SCHEMAS = {
    name: Draft202012Validator(schema(f"export-{name}"))
    for name in ("partition-start", "profile", "partition-end", "job-end")
}


async def told(bus, job_id):
    """Return what the topic tells of a job, checked as a reader would check it."""
    records = await bus.read(bus.topics.exports)
    mine = [(one, json.loads(one.value)) for one in records if one.key == job_id.encode()]
    for _, value in mine:
        assert list(SCHEMAS[value["type"]].iter_errors(value)) == []
    ends = [value for _, value in mine if value["type"] == "job-end"]
    runs = defaultdict(list)
    for record, value in mine:
        if value["type"] != "job-end":
            assert record.partition == value["partition"]
            runs[value["partition"], value["run"]].append((record.value, value))
    return ends, runs


async def whole(bus, job_id):
    """Return the profiles of an export that ended, after checking that nothing is missing."""
    (end,), runs = await told(bus, job_id)
    assert len(end["partitions"]) == bus.partitions
    found = []
    for one in end["partitions"]:
        found += checked(runs[one["partition"], one["run"]], one)
    assert len(found) == end["records"]
    assert len({value["profileId"] for value in found}) == end["profiles"]
    return found


def checked(run, totals):
    """Check numbers, count and checksum of one partition; return its profiles."""
    values = [value for _, value in run]
    assert [value["type"] for value in (values[0], values[-1])] == [
        "partition-start",
        "partition-end",
    ]
    assert [value["number"] for value in values] == list(range(len(values)))
    digest = bytes(32)
    for raw, _ in run[1:-1]:
        digest = sha256(digest + raw).digest()
    end = values[-1]
    assert end["checksum"] == totals["checksum"] == digest.hex()
    assert end["records"] == totals["records"] == len(values) - 2
    assert end["inputOffsets"] == totals["inputOffsets"]
    first, last = end["inputOffsets"]["first"], end["inputOffsets"]["last"]
    offsets = [value["inputOffset"] for value in values[1:-1]]
    assert offsets == sorted(offsets)
    assert all(first <= offset <= last for offset in offsets)
    return values[1:-1]


def ids(profiles):
    return sorted(value["profileId"] for value in profiles)


def segments(*names_, **more):
    return {"segments": [{"segmentId": name, **more} for name in names_]}


def rows_of(fs, folder):
    """Return the rows of a batch after checking them against its manifest."""
    manifest = json.loads(fs.cat(f"{folder}/_manifest.json"))
    rows = []
    for one in manifest["files"]:
        data = fs.cat(f"{folder}/{one['name']}")
        assert (len(data), sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
        with fs.open(f"{folder}/{one['name']}") as file:
            part = pq.read_table(file).to_pylist()
        assert len(part) == one["rows"]
        rows += part
    assert manifest["rows"] == len(rows)
    names_ = {name.rpartition("/")[2] for name in fs.ls(folder, detail=False)}
    assert names_ == {"_manifest.json", *(one["name"] for one in manifest["files"])}
    return manifest, rows


def as_record(row):
    """Return of a row what a record of the topic has of it."""
    events = row["eventList"]
    return {
        **{name: row[name] for name in ("profileId", "partition", "number", "part", "parts")},
        "inputOffset": row["inputOffset"],
        "segments": [one["segmentId"] for one in row["segments"]],
        "profile": json.loads(row["profile"]),
        "eventList": None if events is None else [json.loads(one) for one in events],
    }


def as_row(record):
    return {
        "eventList": None,
        **{
            name: value
            for name, value in record.items()
            if name not in ("type", "jobId", "orgId", "sandboxName", "run")
        },
        "segments": [one["segmentId"] for one in record["segments"]],
    }


def in_order(rows):
    return sorted(rows, key=lambda one: (one["partition"], one["number"]))


def rows_in_duckdb(folder):
    """Return the rows of a batch as another reader of Parquet sees them."""
    import duckdb  # noisy at the end of the process: only where it is used

    found: Any = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/*.parquet')")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
