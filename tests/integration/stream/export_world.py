"""A world with exports, and a reader of their topic that checks all it reads."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from functools import partial
from hashlib import sha256

from jsonschema import Draft202012Validator

from app.adapters.datasets.locations import Location, names_for
from app.adapters.datasets.store import FileDatasets
from app.adapters.http.export_schemas import ExportBody
from app.adapters.kafka.asyncapi import schema
from app.adapters.kafka.stream import StreamLimits
from app.adapters.redis.job_store import RedisJobStore
from app.service.export_document import export_document
from app.service.exports import Exports
from app.service.jobs import JobCall
from app.service.partition import PartitionEngine
from tests.integration.stream.test_jobs import JobWorld, now_ms

SCHEMAS = {
    name: Draft202012Validator(schema(f"export-{name}"))
    for name in ("partition-start", "profile", "partition-end", "job-end")
}


class ExportWorld(JobWorld):
    """A world with exports; `locations` are its data sets."""

    def __post_init__(self):
        super().__post_init__()
        self.locations: dict[str, Location] = {}
        self.exports = Exports(
            RedisJobStore(
                self.redis, self.names.redis_key_prefix, "export", partitions=self.partitions
            ),
            self.definitions,
            self.jobs,
            partial(names_for, self.locations),
            lambda: str(uuid.uuid4()),
            now_ms,
        )

    def working(self, *, slice_size=256, **options):
        worker = self.worker(
            source=self.definitions,
            engine=PartitionEngine,
            stream=StreamLimits(scan_profiles=slice_size),
        )
        worker._jobs._exports._files._datasets = FileDatasets(self.locations)
        return self.running(worker, **options)

    async def export(self, **body):
        given = {"schema": {"name": "_xdm.context.profile"}, **body}
        request = ExportBody.model_validate(given).request()
        job = await self.exports.create(self.tenant, request, JobCall())
        assert job.status == "NEW"
        return job.job_id

    async def job(self, job_id):
        if not job_id.isdigit():
            return await super().job(job_id)
        return export_document(self.tenant, await self.exports.get(self.tenant, job_id))

    async def told(self, job_id, partitions=None):
        """Return what the topic tells of a job, checked as a reader would check it."""
        records = await self.read(self.topics.exports)
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

    async def whole(self, job_id):
        """Return the profiles of an export that ended, after checking that nothing is missing."""
        (end,), runs = await self.told(job_id)
        assert len(end["partitions"]) == self.partitions
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


async def made(kafka, redis_server, partitions):
    world = ExportWorld(kafka.bootstrap, redis_server.url, partitions=partitions)
    await world.create_topics()
    return world
