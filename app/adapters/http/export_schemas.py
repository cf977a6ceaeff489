"""Bodies of the routes of export jobs.

Unlike other bodies these are strict: a filter that is not known would export too much.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from app.adapters.http.job_schemas import MAX_SEGMENTS
from app.adapters.http.schemas import MAX_NUMBER, Line, SchemaClass, StrictBody
from app.domain.errors import UserError
from app.domain.export_requests import AskedSegment, ExportRequest
from app.domain.exports import EventSelection
from app.domain.model import SEGMENT_NAMESPACE, JsonObject, Status
from app.pql.calendar import parse_timestamp
from app.service.entity_fields import parse_fields

_ID = "5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901"
ASKED: JsonObject = {
    "fields": "personalEmail.address,person.name",
    "filter": {
        "segments": [{"segmentId": _ID, "segmentNs": "ups", "status": ["realized"]}],
        "segmentQualificationTime": {
            "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-02-01T00:00:00Z",
        },
        "fromIngestTimestamp": "2026-01-01T00:00:00Z",
        "emptyProfiles": False,
    },
    "additionalFields": {
        "eventList": {
            "fields": "_id,timestamp",
            "filter": {"fromIngestTimestamp": "2026-01-01T00:00:00Z"},
        }
    },
    "destination": {"datasetId": "members", "segmentPerBatch": False},
    "schema": {"name": "_xdm.context.profile"},
    "evaluationInfo": {"segmentation": True},
}
"""An example of a body."""


def _checked_instant(value: Any) -> str:
    moment = None
    if isinstance(value, str) and len(value) > 10:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if moment is None or moment.tzinfo is None or parse_timestamp(value) is None:
        raise ValueError("write an instant with its time zone, such as 2026-01-31T10:00:00Z")
    return str(value)


def _checked_fields(value: str) -> str:
    try:
        parse_fields(_names(value))
    except UserError as error:
        raise ValueError(error.message) from error
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _checked_status(value: Any) -> Any:
    # What older clients call a member that stays one.
    return "realized" if value == "existing" else value


Instant = Annotated[
    str,
    BeforeValidator(_checked_instant),
    Field(description="RFC 3339, with a time zone.", examples=["2026-01-31T10:00:00Z"]),
]
FieldList = Annotated[
    str,
    AfterValidator(_checked_fields),
    Field(min_length=1, max_length=10_000, description="Dotted paths with commas between."),
]
SegmentStatus = Annotated[Literal["realized", "exited"], BeforeValidator(_checked_status)]


class ExportedSegment(StrictBody):
    """A segment whose members are exported."""

    segment_id: Line
    segment_ns: Line = Field(
        default=SEGMENT_NAMESPACE,
        description="`ups` for definitions; else the namespace in which producers write"
        " memberships into profile records.",
    )
    status: list[SegmentStatus] = Field(
        default=["realized"],
        min_length=1,
        description="`realized`: members; `exited`: members once, not now. `existing` is"
        " taken for `realized`.",
    )


class QualificationTime(StrictBody):
    """When profiles entered or left a segment, both instants included."""

    start_time: Instant | None = None
    end_time: Instant | None = None

    @model_validator(mode="after")
    def _ordered(self) -> QualificationTime:
        first, last = _ms(self.start_time), _ms(self.end_time)
        if first is not None and last is not None and first > last:
            raise ValueError("startTime is after endTime")
        return self


class ExportFilter(StrictBody):
    """Which profiles are exported; all that have more than events without it."""

    segments: list[ExportedSegment] | None = Field(
        default=None, min_length=1, max_length=MAX_SEGMENTS, description="Members of any of them."
    )
    segment_qualification_time: QualificationTime | None = None
    from_ingest_timestamp: Instant | None = Field(
        default=None, description="Only profiles that were updated later."
    )
    empty_profiles: bool = Field(
        default=False, strict=True, description="Also profiles that have nothing but events."
    )


class EventFilter(StrictBody):
    """When events were applied."""

    from_ingest_timestamp: Instant | None = Field(default=None, description="Only later ones.")
    to_ingest_timestamp: Instant | None = Field(default=None, description="None after this.")


class ExportedEvents(StrictBody):
    """The kept events of each profile."""

    fields: FieldList | None = None
    filter: EventFilter | None = None


class AdditionalFields(StrictBody):
    """What is exported beside the profile record."""

    event_list: ExportedEvents | None = None


class Destination(StrictBody):
    """A data set; without it the topic alone is written."""

    dataset_id: Line = Field(description="One of those that SEG_DATASETS names.")
    segment_per_batch: bool = Field(
        default=False, strict=True, description="A batch for each segment."
    )


class ExportMergePolicy(StrictBody):
    """The policy that governs what is exported."""

    id: Line
    version: int | None = Field(default=None, ge=-MAX_NUMBER, le=MAX_NUMBER)


class ExportEvaluation(StrictBody):
    """Whether a segment job runs first."""

    segmentation: bool = Field(default=False, strict=True)


class ExportBody(StrictBody):
    """What to export."""

    model_config = ConfigDict(json_schema_extra={"examples": [ASKED]})

    schema_class: SchemaClass = Field(alias="schema")
    fields: FieldList | None = None
    merge_policy: ExportMergePolicy | None = None
    filter: ExportFilter | None = None
    additional_fields: AdditionalFields | None = None
    destination: Destination | None = None
    evaluation_info: ExportEvaluation | None = None

    def request(self) -> ExportRequest:
        """Return what is asked for."""
        given = self.filter or ExportFilter()
        time = given.segment_qualification_time or QualificationTime()
        policy, destination = self.merge_policy, self.destination
        evaluation = self.evaluation_info or ExportEvaluation()
        return ExportRequest(
            segments=tuple(
                AskedSegment(one.segment_id, one.segment_ns, _statuses(one.status))
                for one in given.segments or ()
            ),
            from_ms=_ms(time.start_time),
            until_ms=_ms(time.end_time),
            updated_after_ms=_ms(given.from_ingest_timestamp),
            with_empty=given.empty_profiles,
            fields=_paths(self.fields),
            events=self._events(),
            dataset_id=destination.dataset_id if destination else "",
            per_segment=destination is not None and destination.segment_per_batch,
            merge_policy=(policy.id, policy.version or 0) if policy else ("", 0),
            evaluates=evaluation.segmentation,
            shown=self._shown(),
        )

    def _events(self) -> EventSelection | None:
        asked = self.additional_fields.event_list if self.additional_fields else None
        if asked is None:
            return None
        given = asked.filter or EventFilter()
        first, last = _ms(given.from_ingest_timestamp), _ms(given.to_ingest_timestamp)
        return EventSelection(_paths(asked.fields), first, last)

    def _shown(self) -> JsonObject:
        shown = self.model_dump(
            by_alias=True, exclude_none=True, exclude={"destination", "merge_policy"}
        )
        return {"filter": {}, "evaluationInfo": {"segmentation": False}, **shown}


def _statuses(given: list[Status]) -> tuple[Status, ...]:
    return tuple(dict.fromkeys(given))


def _paths(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(_names(text))


def _ms(text: str | None) -> int | None:
    return None if text is None else parse_timestamp(text)
