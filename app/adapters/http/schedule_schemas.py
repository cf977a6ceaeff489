"""Bodies of the routes of schedules, with the JSON names of the API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from app.adapters.http.audience_schemas import NextLink
from app.adapters.http.export_schemas import ASKED, ExportBody
from app.adapters.http.schemas import Body, Line, Name, Sandbox
from app.domain.export_requests import ExportRequest
from app.domain.quartz_parser import MAX_CRON_CHARACTERS
from app.domain.schedules import (
    ALL_SEGMENTS,
    BATCH_SEGMENTATION,
    EXPORT,
    INACTIVE,
    RUN_ONCE,
    MissedRuns,
    ScheduleState,
)
from app.service.schedules import ScheduleChange, ScheduleInput

MAX_SEGMENTS = 10_000
_STATES = ("active", "inactive")
_MISSED = ("run-once", "skip")

_CRON = (
    "Quartz cron in UTC: seconds, minutes, hours, day of month, month, day of week, perhaps year."
)
_MISSED_RUNS = (
    "Extension: what becomes of runs that were due while the service was away: `run-once` starts"
    " one job for all of them, `skip` none."
)
_NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "type": BATCH_SEGMENTATION,
    "properties": {"segments": [ALL_SEGMENTS]},
    "schedule": "0 15 2 * * ?",
    "state": INACTIVE,
}
_NIGHTLY_EXPORT: dict[str, Any] = {
    **_NIGHTLY,
    "name": "members",
    "type": EXPORT,
    "properties": ASKED,
}
_ID = "3e6f0a52-7c1b-4d38-9e64-0f1a2b3c4d5e"
_SHOWN: dict[str, Any] = {
    "id": _ID,
    "imsOrgId": "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "sandbox": {
        "sandboxId": "9c1e0d4b-5a2f-4e63-8b70-1d2c3b4a5f60",
        "sandboxName": "prod",
        "type": "production",
        "default": True,
    },
    **_NIGHTLY,
    "frequency": "daily",
    "createEpoch": 1_700_000_000,
    "updateEpoch": 1_700_000_900,
    "missedRuns": RUN_ONCE,
}

SegmentIds = Annotated[list[Line], Field(max_length=MAX_SEGMENTS)]
Cron = Annotated[str, Field(max_length=MAX_CRON_CHARACTERS, description=_CRON)]


class ScheduleProperties(Body):
    """What a run evaluates."""

    segments: SegmentIds = Field(
        description="Ids of segment definitions, or `*` alone for all that there are at a run."
    )


class _ScheduleFields(Body):
    """What all schedules have."""

    name: Name
    # Named apart from the module's own word; the reference calls the expression `schedule`.
    cron: Cron | None = Field(
        default=None, alias="schedule", description=f"{_CRON} Absent: some time between 2 and 3."
    )
    state: ScheduleState = INACTIVE
    missed_runs: MissedRuns = Field(default=RUN_ONCE, description=_MISSED_RUNS)

    def _input(
        self, kind: str, segments: tuple[str, ...], export: ExportRequest | None
    ) -> ScheduleInput:
        return ScheduleInput(
            name=self.name,
            type=kind,
            segments=segments,
            cron=self.cron,
            state=self.state,
            missed_runs=self.missed_runs,
            export=export,
        )


class SegmentScheduleBody(_ScheduleFields):
    """A schedule of segment jobs."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NIGHTLY]})

    type: str = Field(json_schema_extra={"enum": [BATCH_SEGMENTATION]})
    properties: ScheduleProperties

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != BATCH_SEGMENTATION:
            raise ValueError(f"{value!r} is no type of job; send {BATCH_SEGMENTATION} or {EXPORT}")
        return value

    def to_input(self) -> ScheduleInput:
        """Return what the use cases take."""
        segments = tuple(dict.fromkeys(self.properties.segments))
        return self._input(BATCH_SEGMENTATION, segments, None)


class ExportScheduleBody(_ScheduleFields):
    """A schedule of exports."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NIGHTLY_EXPORT]})

    type: Literal["export"]
    properties: ExportBody = Field(description="What `POST /export/jobs` takes.")

    def to_input(self) -> ScheduleInput:
        """Return what the use cases take."""
        return self._input(EXPORT, (), self.properties.request())


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return "~export" if kind == EXPORT else "~segments"


ScheduleBody = Annotated[
    Annotated[SegmentScheduleBody, Tag("~segments")]
    | Annotated[ExportScheduleBody, Tag("~export")],
    Discriminator(_kind),
]


class SchedulePatchOperation(Body):
    """One operation of JSON Patch; both set what is there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"op": "add", "path": "/state", "value": "active"}]}
    )

    op: Literal["add", "replace"]
    path: Literal["/state", "/schedule", "/missedRuns"]
    value: str = Field(min_length=1, max_length=MAX_CRON_CHARACTERS)

    @model_validator(mode="after")
    def _fits(self) -> SchedulePatchOperation:
        allowed = {"/state": _STATES, "/missedRuns": _MISSED}.get(self.path)
        if allowed is not None and self.value not in allowed:
            raise ValueError(f"{self.path} cannot be {self.value!r}; send {' or '.join(allowed)}")
        return self


def change_of(operations: list[SchedulePatchOperation]) -> ScheduleChange:
    """Return what operations set; of several with one path the last counts."""
    values: dict[str, Any] = {operation.path: operation.value for operation in operations}
    return ScheduleChange(
        cron=values.get("/schedule"),
        state=values.get("/state"),
        missed_runs=values.get("/missedRuns"),
    )


class ScheduleReference(Body):
    """A schedule by id."""

    id: Line


class ScheduleSegments(ScheduleReference):
    """Audiences to add to a schedule, or to remove from it."""

    segments: SegmentIds = Field(min_length=1)


class SegmentList(Body):
    """Audiences to look up."""

    segments: SegmentIds = Field(min_length=1)


class LastRun(Body):
    """What became of the run that was due last."""

    due_time: int = Field(description="Epoch milliseconds.")
    time: int = Field(description="When it was dealt with; epoch milliseconds.")
    outcome: str = Field(description="`started`, `skipped` or `failed`.")
    job_id: str | None = None
    reason: str | None = Field(default=None, description="Why no job was started.")


class ScheduleAnswer(_ScheduleFields):
    """A stored schedule."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    type: str = Field(description=f"`{BATCH_SEGMENTATION}` or `{EXPORT}`.")
    properties: ScheduleProperties | ExportBody
    id: str
    ims_org_id: str
    sandbox: Sandbox
    frequency: str = Field(description="`daily`, `weekly`, `monthly` or `yearly`.")
    create_epoch: int = Field(description="Epoch seconds.")
    update_epoch: int = Field(description="Epoch seconds.")
    next_run_time: int | None = Field(
        default=None, description="Extension: epoch milliseconds; absent while there is none."
    )
    last_run: LastRun | None = Field(default=None, description="Extension.")


class SchedulePage(Body):
    """Where a page is in its list."""

    total_count: int
    page_size: int = Field(description="Schedules on this page.")
    next: str | None = Field(default=None, description="`start` of the next page, if there is one.")


class ScheduleList(Body):
    """One page of schedules."""

    children: list[ScheduleAnswer]
    page: SchedulePage = Field(alias="_page")
    links: NextLink = Field(alias="_links")


class SegmentCount(Body):
    """How many audiences a schedule names."""

    previous: int
    current: int
    diff: int


class SegmentsAdded(Body):
    """What became of the audiences to add."""

    added: list[str]
    existing: list[str] = Field(description="In the schedule before.")
    invalid: list[str] = Field(description="No published audience.")
    segment_count: SegmentCount


class SegmentsRemoved(Body):
    """What became of the audiences to remove."""

    removed: list[str]
    existing: list[str] = Field(description="Audiences that were not in the schedule.")
    invalid: list[str] = Field(description="Neither in the schedule nor an audience.")
    segment_count: SegmentCount


class ScheduleName(Body):
    """A schedule in short."""

    name: str
    cron: str = Field(alias="schedule")
    frequency: str


class AudienceMap(Body):
    """Which schedules evaluate audiences."""

    audience_map: dict[str, list[str]]
    schedules: dict[str, ScheduleName]
