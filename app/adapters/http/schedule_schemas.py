"""Bodies of the routes of schedules, with the JSON names of the API reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from app.adapters.http.audience_schemas import NextLink
from app.adapters.http.schemas import Body, Line, Name, Sandbox
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

SegmentIds = Annotated[list[Line], Field(max_length=MAX_SEGMENTS)]
Cron = Annotated[str, Field(max_length=MAX_CRON_CHARACTERS, description=_CRON)]


class ScheduleProperties(Body):
    """What a run evaluates."""

    segments: SegmentIds = Field(
        description="Ids of segment definitions, or `*` alone for all that there are at a run."
    )


class ScheduleBody(Body):
    """What a client may say of a schedule."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NIGHTLY]})

    name: Name
    type: str = Field(description=f"`{BATCH_SEGMENTATION}`.")
    properties: ScheduleProperties
    # Named apart from the module's own word; the reference calls the expression `schedule`.
    cron: Cron | None = Field(
        default=None, alias="schedule", description=f"{_CRON} Absent: some time between 2 and 3."
    )
    state: ScheduleState = INACTIVE
    missed_runs: MissedRuns = Field(default=RUN_ONCE, description=_MISSED_RUNS)

    @field_validator("type")
    @classmethod
    def _segmentation_only(cls, value: str) -> str:
        if value == EXPORT:
            raise ValueError(f"this version runs no export jobs; send {BATCH_SEGMENTATION}")
        if value != BATCH_SEGMENTATION:
            raise ValueError(f"{value!r} is no type of job; send {BATCH_SEGMENTATION}")
        return value

    def to_input(self) -> ScheduleInput:
        """Return what the use cases take."""
        return ScheduleInput(
            name=self.name,
            type=self.type,
            segments=tuple(dict.fromkeys(self.properties.segments)),
            cron=self.cron,
            state=self.state,
            missed_runs=self.missed_runs,
        )


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


class ScheduleAnswer(ScheduleBody):
    """A stored schedule."""

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
