"""Segment jobs as the API shows them: API reference, segment jobs."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.job_reach import JobReach
from app.domain.jobs import JobCounts, JobError, JobSegment, StoredJob
from app.domain.model import JsonObject, Tenant
from app.service.definition_document import sandbox_object

_SCHEMA = "_xdm.context.profile"
_PATH = "/segment/jobs"
_MERGE_POLICY_VERSION = 1


def job_document(tenant: Tenant, job: StoredJob) -> JsonObject:
    """Return a job as it stands; `progress` is an extension."""
    asked = job.asked
    href = f"{_PATH}/{job.job_id}"
    document: JsonObject = {
        "id": job.job_id,
        "imsOrgId": tenant.org_id,
        "sandbox": sandbox_object(tenant),
        "profileInstanceId": asked.profile_instance_id,
        "source": asked.source,
        "status": job.status,
        "batchId": asked.batch_id,
        "computeJobId": job.number,
        "computeGatewayJobId": asked.gateway_job_id,
        "segments": _segments(job),
        "metrics": _metrics(job),
        "requestId": asked.request_id,
        "schema": {"name": _SCHEMA},
        "_links": {
            "cancel": {"href": href, "method": "DELETE"},
            "checkStatus": {"href": href, "method": "GET"},
        },
        "creationTime": asked.created_ms,
        "updateTime": job.updated_ms,
        "updateEpoch": job.updated_ms // 1000,
    }
    if job.errors:
        document["errors"] = error_list(job.errors)
    if job.reach is not None:
        document["progress"] = progress_object(job.reach)
    if asked.schedule is not None:
        document["properties"] = schedule_properties(asked.schedule)
    return document


def progress_object(reach: JobReach) -> JsonObject:
    """Return how far a job is that is being done."""
    return {
        "partitionsDone": reach.partitions_done,
        "partitions": reach.partitions,
        "percent": reach.percent,
        "profiles": reach.profiles,
    }


def schedule_properties(schedule: tuple[str, str]) -> JsonObject:
    """Return which run of which schedule started a job."""
    schedule_id, run_id = schedule
    return {"scheduleId": schedule_id, "runId": run_id}


def error_list(errors: Iterable[JobError]) -> list[JsonObject]:
    """Return why a job failed, or what it could not do."""
    return [{"code": error.code, "msg": error.message, "callStack": ""} for error in errors]


def _segments(job: StoredJob) -> list[JsonObject]:
    if job.asked.is_whole:
        return [{"segmentId": "*"}]
    return [_segment(one) for one in job.asked.task.segments]


def _segment(segment: JobSegment) -> JsonObject:
    return {
        "segmentId": segment.segment_id,
        "segment": {
            "id": segment.segment_id,
            "version": segment.version,
            "expression": {"type": "PQL", "format": "pql/text", "value": segment.expression},
            "mergePolicyId": segment.merge_policy_id,
            "mergePolicy": {"id": segment.merge_policy_id, "version": _MERGE_POLICY_VERSION},
        },
    }


def _metrics(job: StoredJob) -> JsonObject:
    found: JsonObject = {
        "totalTime": time_triple(job.asked.created_ms, job.ended_ms),
        "profileSegmentationTime": {},
    }
    if job.ended_ms and job.started_ms:
        found["profileSegmentationTime"] = time_triple(job.started_ms, job.ended_ms)
    if isinstance(job.counts, JobCounts):
        found |= _counters(job.asked.task.segments, job.counts)
    return found


def time_triple(start_ms: int, end_ms: int) -> JsonObject:
    """Return start, end and the time between, in ms; only the start while there is no end."""
    if not end_ms:
        return {"startTimeInMs": start_ms}
    return {
        "startTimeInMs": start_ms,
        "endTimeInMs": end_ms,
        "totalTimeInMs": end_ms - start_ms,
    }


def _counters(segments: Iterable[JobSegment], counts: JobCounts) -> JsonObject:
    rows = list(zip(segments, counts.segments, strict=True))
    return {
        "totalProfiles": counts.total,
        # Whatever the policy merges, every profile is evaluated for its definitions.
        "totalProfilesByMergePolicy": {one.merge_policy_id: counts.total for one, _ in rows},
        "segmentedProfileCounter": {one.segment_id: row.realized for one, row in rows},
        "segmentedProfileByNamespaceCounter": {
            one.segment_id: row.by_namespace for one, row in rows
        },
        "segmentedProfileByStatusCounter": {
            one.segment_id: {"realized": row.realized, "exited": row.exited} for one, row in rows
        },
    }
