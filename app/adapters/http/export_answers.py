"""Answers of the routes of export jobs; the models are for OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from app.adapters.http.export_schemas import ASKED
from app.adapters.http.job_schemas import Duration, JobProblem
from app.adapters.http.schemas import Body, JobProgress, SchemaClass
from app.domain.model import JsonObject

_EXPORT: JsonObject = {
    "id": 4102,
    "jobType": "BATCH",
    **{name: value for name, value in ASKED.items() if name != "destination"},
    "destination": {
        "datasetId": "members",
        "segmentPerBatch": False,
        "batchId": "e52a1b88-3d4c-4f69-8b12-8899aa1122bb",
    },
    "mergePolicy": {"id": "c0d7a1f2-1b2c-4d3e-8f90-112233445566", "version": 1},
    "imsOrgId": "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "status": "SUCCEEDED",
    "profileInstanceId": "ups",
    "requestId": "rQ7bWd2KcX5mUe8sYh1LpT9nFo4JzA6v",
    "errors": [],
    "metrics": {
        "totalTime": {
            "startTimeInMs": 1_700_001_000_000,
            "endTimeInMs": 1_700_001_300_000,
            "totalTimeInMs": 300_000,
        },
        "totalExportedProfileCounter": 730,
        "exportedProfileByNamespaceCounter": {"email": 610, "crmid": 700},
    },
    "computeGatewayJobId": {"exportJob": "f63b2c99-4e5d-4a7a-9c23-99aabb2233cc", "pushJob": ""},
    "creationTime": 1_700_001_000_000,
    "updateTime": 1_700_001_300_000,
    "source": "api",
}


class Batch(Body):
    """The batch of one segment."""

    segment_id: str
    segment_ns: str
    status: list[str]
    batch_id: str


class ExportDestination(Body):
    """Where the export is."""

    dataset_id: str | None = None
    segment_per_batch: bool
    batch_id: str | None = None
    batches: list[Batch] | None = None


class ExportMetrics(Body):
    """What was exported; the counters are there once the export succeeded."""

    total_time: Duration
    profile_export_time: Duration | None = None
    dataset_write_time: Duration | None = Field(default=None, alias="aCPDatasetWriteTime")
    total_exported_profile_counter: int | None = None
    exported_profile_by_namespace_counter: dict[str, int] | None = None


class Export(Body):
    """An export job."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXPORT]})

    id: int = Field(description="1, 2, 3, … in the sandbox, counted with segment jobs.")
    job_type: str = Field(description="`BATCH`.")
    destination: ExportDestination
    fields: str | None = None
    schema_class: SchemaClass = Field(alias="schema")
    ims_org_id: str
    status: str = Field(description="`NEW`, `PROCESSING`, `SUCCEEDED`, `FAILED`.")
    filter: dict[str, Any]
    additional_fields: dict[str, Any] | None = None
    merge_policy: dict[str, Any]
    evaluation_info: dict[str, bool]
    profile_instance_id: str
    request_id: str
    errors: list[JobProblem]
    metrics: ExportMetrics
    compute_gateway_job_id: dict[str, str] = Field(
        description="`pushJob`: id of the segment job that runs before, if any."
    )
    creation_time: int = Field(description="Epoch milliseconds.")
    update_time: int = Field(description="Epoch milliseconds.")
    progress: JobProgress | None = Field(
        default=None, description="Extension: while it is being done."
    )
    source: str = Field(description="Extension: `api`, or `scheduler`.")
    properties: dict[str, str] | None = Field(
        default=None, description="Extension: `scheduleId` and `runId` of a scheduled export."
    )


class ExportPageInfo(Body):
    """What leads to the next page."""

    sort_field: str
    sort: str
    page_offset: str
    page_size: int


class ExportList(Body):
    """One page of export jobs."""

    records: list[Export]
    page: ExportPageInfo
    link: dict[str, str]


class CancelledExport(Body):
    """What a cancellation is answered with."""

    status: bool
    message: str
