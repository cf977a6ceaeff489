"""Records of the `export-results` topic (docs/topics.md), as bytes.

Every partition of the profiles begins and ends what it exports with a record of its own; one
partition tells the end of the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from app.domain.exports import ExportCounts
from app.domain.jobs import JobTask
from app.domain.model import JsonObject, Tenant


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Where a record comes from: job, partition and pass over the partition."""

    tenant: Tenant
    task: JobTask
    partition: int
    run: int

    def head(self, kind: str) -> JsonObject:
        """Return what all records of a partition begin with."""
        return {
            "type": kind,
            "jobId": self.task.job_id,
            "orgId": self.tenant.org_id,
            "sandboxName": self.tenant.sandbox_name,
            "partition": self.partition,
            "run": self.run,
        }


def next_checksum(checksum: str, record: bytes) -> str:
    """Return the checksum of some records and one more: SHA-256 of the last one and the record."""
    return sha256(bytes.fromhex(checksum) + record).hexdigest()


def partition_start(source: ExportSource, offset: int) -> bytes:
    """Return the first record of a partition; `offset` is the next one of its input."""
    export = source.task.export
    assert export is not None
    segments = [
        {
            "segmentNs": one.namespace,
            "segmentId": one.segment_id,
            "status": one.statuses,
            **({"batchId": one.batch_id} if one.batch_id else {}),
        }
        for one in export.segments
    ]
    return orjson.dumps(
        {
            **source.head("partition-start"),
            "number": 0,
            "inputOffset": offset,
            "batchId": export.batch_id,
            "segments": segments,
        }
    )


def partition_end(source: ExportSource, counts: ExportCounts) -> bytes:
    """Return the last record of a partition."""
    head = {**source.head("partition-end"), "number": counts.records + 1}
    return orjson.dumps({**head, **_totals(counts)})


def job_end(tenant: Tenant, task: JobTask, reports: Mapping[int, ExportCounts]) -> bytes:
    """Return the record that ends a job: the totals, and which run of each partition counts."""
    total = ExportCounts()
    for one in reports.values():
        total.add(one)
    partitions = partition_totals(reports)
    return orjson.dumps(
        {
            "type": "job-end",
            "jobId": task.job_id,
            "orgId": tenant.org_id,
            "sandboxName": tenant.sandbox_name,
            "records": total.records,
            "profiles": total.exported,
            "skipped": total.skipped,
            "partitions": partitions,
        }
    )


def partition_totals(reports: Mapping[int, ExportCounts]) -> list[JsonObject]:
    """Return for each partition what its run had."""
    return [
        {"partition": at, "run": one.run, **_totals(one)} for at, one in sorted(reports.items())
    ]


def _totals(counts: ExportCounts) -> dict[str, Any]:
    return {
        "records": counts.records,
        "profiles": counts.exported,
        "skipped": counts.skipped,
        "checksum": counts.checksum,
        "inputOffsets": {"first": counts.first_offset, "last": counts.last_offset},
    }
