"""Bodies of `/audiences/bulk-patch-metric`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.adapters.http.problem_schemas import ProblemEntry
from app.adapters.http.schemas import MAX_IDS, MAX_NUMBER, Body, Line, StrictBody
from app.domain.audience_metrics import MetricKind
from app.service.audience_metrics import ToldMetrics

_TOLD: dict[str, Any] = {
    "jobId": "job-77",
    "jobType": "AO",
    "resources": [
        {
            "audienceId": "9f1d6c52-77aa-4f0e-9d4b-2f6f3a4f9a10",
            "namespace": "AEPSegments",
            "operations": [
                {"op": "add", "path": "/metrics/data", "value": {"totalProfiles": 900}},
                {"op": "add", "path": "/recordMetrics/data", "value": {"recordCount": 1200}},
            ],
        }
    ],
}


class ProfileCount(StrictBody):
    """Of profiles."""

    total_profiles: int = Field(ge=0, le=MAX_NUMBER)


class RecordCount(StrictBody):
    """Of records."""

    record_count: int = Field(ge=0, le=MAX_NUMBER)


class ProfileMetric(StrictBody):
    """How many profiles are in the audience."""

    op: Literal["add"]
    path: Literal["/metrics/data"]
    value: ProfileCount


class RecordMetric(StrictBody):
    """How many records the audience has."""

    op: Literal["add"]
    path: Literal["/recordMetrics/data"]
    value: RecordCount


class MetricResource(StrictBody):
    """What is told of one audience."""

    audience_id: Line = Field(description="The `audienceId` of the audience, not its `id`.")
    namespace: Line
    operations: list[Annotated[ProfileMetric | RecordMetric, Field(discriminator="path")]] = Field(
        min_length=1, max_length=10
    )

    def told(self) -> ToldMetrics:
        """Return what the use case takes; of several of one kind the last counts."""
        counts: dict[MetricKind, int] = {}
        for one in self.operations:
            if isinstance(one, ProfileMetric):
                counts["metrics"] = one.value.total_profiles
            else:
                counts["recordMetrics"] = one.value.record_count
        return ToldMetrics(self.audience_id, self.namespace, counts)


class MetricBody(StrictBody):
    """What a job has counted of audiences."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TOLD]})

    job_id: Line
    job_type: Literal["export", "AO"]
    resources: list[MetricResource] = Field(min_length=1, max_length=MAX_IDS)


class ToldResource(Body):
    """What became of one row."""

    audience_id: str
    namespace: str
    status: int = Field(description="200, or 404 where there is no such audience.")
    errors: dict[str, list[ProblemEntry]] | None = None


class MetricAnswer(Body):
    """What became of each row, in the order given."""

    resources: list[ToldResource]
