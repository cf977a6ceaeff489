"""Bodies of the routes of segment jobs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, RootModel, model_validator

from app.adapters.http.schemas import (
    MAX_IDS,
    Body,
    Expression,
    JobProgress,
    Line,
    Reference,
    Sandbox,
    SchemaClass,
)

MAX_SEGMENTS = 1_500
"""Definitions that one job may name; a job over more is asked for with `*`."""

EVERYTHING = "*"

_IDS = ["5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901", "6c2e0b3f-4081-4d1c-9f7e-c3b8e2d50a12"]
_LISTED: list[Any] = [{"segmentId": one} for one in _IDS]
_WHOLE: dict[str, Any] = {
    "schema": {"name": "_xdm.context.profile"},
    "segments": [{"segmentId": EVERYTHING}],
}
_POLICY = "c0d7a1f2-1b2c-4d3e-8f90-112233445566"
_JOB: dict[str, Any] = {
    "id": "d41f0a77-2c3b-4e58-9a01-7788990011aa",
    "imsOrgId": "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "sandbox": {
        "sandboxId": "0b6c1d52-77aa-4f0e-9d4b-2f6f3a4f9a10",
        "sandboxName": "prod",
        "type": "production",
        "default": True,
    },
    "profileInstanceId": "ups",
    "source": "api",
    "status": "SUCCEEDED",
    "batchId": "e52a1b88-3d4c-4f69-8b12-8899aa1122bb",
    "computeJobId": 5021,
    "computeGatewayJobId": "f63b2c99-4e5d-4a7a-9c23-99aabb2233cc",
    "segments": [
        {
            "segmentId": _IDS[0],
            "segment": {
                "id": _IDS[0],
                "version": 1,
                "expression": {
                    "type": "PQL",
                    "format": "pql/text",
                    "value": 'homeAddress.city = "Oslo"',
                },
                "mergePolicyId": _POLICY,
                "mergePolicy": {"id": _POLICY, "version": 1},
            },
        }
    ],
    "metrics": {
        "totalTime": {
            "startTimeInMs": 1_700_001_000_000,
            "endTimeInMs": 1_700_001_300_000,
            "totalTimeInMs": 300_000,
        },
        "profileSegmentationTime": {
            "startTimeInMs": 1_700_001_100_000,
            "endTimeInMs": 1_700_001_300_000,
            "totalTimeInMs": 200_000,
        },
        "totalProfiles": 52_000,
        "totalProfilesByMergePolicy": {_POLICY: 52_000},
        "segmentedProfileCounter": {_IDS[0]: 730},
        "segmentedProfileByNamespaceCounter": {_IDS[0]: {"email": 610, "crmid": 700}},
        "segmentedProfileByStatusCounter": {_IDS[0]: {"realized": 730, "exited": 44}},
    },
    "requestId": "rQ7bWd2KcX5mUe8sYh1LpT9nFo4JzA6v",
    "schema": {"name": "_xdm.context.profile"},
    "_links": {
        "cancel": {
            "href": "/segment/jobs/d41f0a77-2c3b-4e58-9a01-7788990011aa",
            "method": "DELETE",
        },
        "checkStatus": {
            "href": "/segment/jobs/d41f0a77-2c3b-4e58-9a01-7788990011aa",
            "method": "GET",
        },
    },
    "creationTime": 1_700_001_000_000,
    "updateTime": 1_700_001_300_000,
    "updateEpoch": 1_700_001_300,
}


class SegmentReference(Body):
    """A definition by id; `*` for all that are published."""

    segment_id: Line


class WholeJob(Body):
    """A job as an object: definitions by id, or one `*` for all of them."""

    schema_class: SchemaClass | None = Field(default=None, alias="schema")
    segments: list[SegmentReference]


class JobBody(RootModel[Annotated[list[SegmentReference], Field()] | WholeJob]):
    """What to evaluate: a list of definitions, or an object with such a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LISTED, _WHOLE]})

    @model_validator(mode="after")
    def _bounded(self) -> JobBody:
        ids = self._ids()
        if not 1 <= len(ids) <= MAX_SEGMENTS:
            raise ValueError(
                f"{len(ids)} definitions are named; name 1 to {MAX_SEGMENTS}, or one"
                f' {{"segmentId": "{EVERYTHING}"}} for all'
            )
        if EVERYTHING in ids and len(ids) > 1:
            raise ValueError(f"{EVERYTHING} stands for all definitions; name it alone")
        return self

    def _ids(self) -> list[str]:
        root = self.root
        references = root.segments if isinstance(root, WholeJob) else root
        return [one.segment_id for one in references]

    @property
    def segment_ids(self) -> list[str] | None:
        """Ids of the definitions; None for all."""
        ids = self._ids()
        return None if ids == [EVERYTHING] else ids


class JobBulkGetBody(Body):
    """Jobs to look up."""

    ids: list[Reference] = Field(min_length=1, max_length=MAX_IDS)


class MergePolicy(Body):
    """A merge policy."""

    id: str
    version: int


class SegmentSnapshot(Body):
    """A definition as it was when the job was started."""

    id: str
    version: int
    expression: Expression
    merge_policy_id: str
    merge_policy: MergePolicy


class JobSegmentInfo(Body):
    """What a job evaluates; without `segment` for `*`."""

    segment_id: str
    segment: SegmentSnapshot | None = None


class Duration(Body):
    """Epoch milliseconds, and the milliseconds between; only the start while it lasts."""

    start_time_in_ms: int | None = None
    end_time_in_ms: int | None = None
    total_time_in_ms: int | None = None


class JobMetrics(Body):
    """What was counted; the counters are there once the job succeeded."""

    total_time: Duration = Field(description="From creation to the end.")
    profile_segmentation_time: Duration = Field(description="From the job's turn to the end.")
    total_profiles: int | None = None
    total_profiles_by_merge_policy: dict[str, int] | None = None
    segmented_profile_counter: dict[str, int] | None = Field(
        default=None, description="Members by definition."
    )
    segmented_profile_by_namespace_counter: dict[str, dict[str, int]] | None = Field(
        default=None, description="Members with an identity, by definition and namespace."
    )
    segmented_profile_by_status_counter: dict[str, dict[str, int]] | None = Field(
        default=None,
        description="`realized`: members; `exited`: members once, not now; by definition.",
    )


class JobProblem(Body):
    """Why a job failed, or what it could not do."""

    code: str
    msg: str
    call_stack: str


class Job(Body):
    """A segment job."""

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB]})

    id: str
    ims_org_id: str
    sandbox: Sandbox
    profile_instance_id: str
    source: str = Field(description="`api` or `scheduler`.")
    status: str = Field(
        description="`NEW`, `QUEUED`, `PROCESSING`, `CANCELLING`, `CANCELLED`, `FAILED`,"
        " `SUCCEEDED`."
    )
    batch_id: str
    compute_job_id: int = Field(description="1, 2, 3, … in the sandbox.")
    compute_gateway_job_id: str
    segments: list[JobSegmentInfo]
    metrics: JobMetrics
    errors: list[JobProblem] | None = None
    request_id: str
    schema_class: SchemaClass = Field(alias="schema")
    properties: dict[str, str] | None = Field(
        default=None, description="`scheduleId` and `runId` of a scheduled job."
    )
    progress: JobProgress | None = Field(
        default=None, description="Extension: while it is being done."
    )
    links: dict[str, dict[str, str]] = Field(alias="_links")
    creation_time: int = Field(description="Epoch milliseconds.")
    update_time: int = Field(description="Epoch milliseconds.")
    update_epoch: int = Field(description="Epoch seconds.")


class JobPageInfo(Body):
    """How many jobs there are, and how many are on this page."""

    total_count: int
    page_size: int


class JobList(Body):
    """One page of segment jobs."""

    page: JobPageInfo = Field(alias="_page")
    children: list[Job]
    links: dict[str, Any] = Field(alias="_links")


class JobBulkGetAnswer(Body):
    """Jobs by id; a problem document in place of one that does not exist."""

    results: dict[str, Any]
