"""Export jobs as the API shows them: API reference, export jobs."""

from __future__ import annotations

from app.domain.exports import ExportCounts, ExportTask
from app.domain.jobs import JobError, StoredJob
from app.domain.model import JsonObject, Tenant
from app.service.export_query import SHOWN_STATUS
from app.service.job_document import (
    error_list,
    progress_object,
    schedule_properties,
    time_triple,
)

_CANCELLED = JobError("cancelled", "The export was cancelled; nothing of it is to be read.")


def export_document(tenant: Tenant, job: StoredJob) -> JsonObject:
    """Return an export as it stands; `source`, `progress`, `properties` are extensions."""
    asked = job.asked
    export, given = asked.task.export, asked.export
    assert export is not None
    assert given is not None
    errors = [_CANCELLED] if job.status == "CANCELLED" else list(job.errors)
    document = {
        "id": job.number,
        "jobType": "BATCH",
        "destination": _destination(export),
        **given.request,
        "imsOrgId": tenant.org_id,
        "status": SHOWN_STATUS[job.status],
        "profileInstanceId": asked.profile_instance_id,
        "requestId": asked.request_id,
        "errors": error_list(errors),
        "metrics": _metrics(job, has_files=bool(export.dataset_id)),
        "computeGatewayJobId": {"exportJob": asked.gateway_job_id, "pushJob": given.after},
        "creationTime": asked.created_ms,
        "updateTime": job.updated_ms,
        "source": asked.source,
    }
    if job.reach is not None:
        document["progress"] = progress_object(job.reach)
    if asked.schedule is not None:
        document["properties"] = schedule_properties(asked.schedule)
    return document


def _destination(export: ExportTask) -> JsonObject:
    found: JsonObject = {"segmentPerBatch": any(one.batch_id for one in export.segments)}
    if export.dataset_id:
        found["datasetId"] = export.dataset_id
    if not found["segmentPerBatch"]:
        found["batchId"] = export.batch_id
        return found
    found["batches"] = [
        {
            "segmentId": one.segment_id,
            "segmentNs": one.namespace,
            "status": one.statuses,
            "batchId": one.batch_id,
        }
        for one in export.segments
    ]
    return found


def _metrics(job: StoredJob, *, has_files: bool) -> JsonObject:
    found: JsonObject = {"totalTime": time_triple(job.asked.created_ms, job.ended_ms)}
    if job.started_ms:
        found["profileExportTime"] = time_triple(job.started_ms, job.closing_ms or job.ended_ms)
    if has_files and job.closing_ms:
        found["aCPDatasetWriteTime"] = time_triple(job.closing_ms, job.ended_ms)
    if isinstance(job.counts, ExportCounts):
        found["totalExportedProfileCounter"] = job.counts.exported
        found["exportedProfileByNamespaceCounter"] = job.counts.by_namespace
    return found
