"""Answers of `/data/core/ais` as pydantic models; they are for OpenAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.adapters.http.ingestion_schemas import FieldBody, SourceBody
from app.adapters.http.schemas import Body


class Submitted(Body):
    """An operation that was begun."""

    operation_id: str
    operation_details: dict[str, Any]


class OperationAnswer(Submitted):
    """An operation as it stands."""

    status: Literal["PROCESSING", "SUCCESS", "FAILED"]
    audience_name: str
    audience_id: str | None = Field(default=None, description="Once it is there.")
    reason: str | None = Field(default=None, description="Extension: why it failed.")
    created_by: str
    created_at: int = Field(description="Epoch seconds.")
    updated_by: str
    updated_at: int = Field(description="Epoch seconds.")


class Ingested(Body):
    """An external audience."""

    audience_id: str
    audience_name: str
    description: str
    fields_: list[FieldBody] = Field(alias="fields")
    source_spec: SourceBody | None = None
    ttl_in_days: int
    labels: list[str]
    audience_type: str
    origin_name: str
    created_by: str
    created_at: int = Field(description="Epoch seconds.")
    updated_by: str
    updated_at: int = Field(description="Epoch seconds.")


class StartedRun(Body):
    """A run that was begun."""

    audience_name: str
    audience_id: str
    run_id: str
    differential_ingestion: bool = Field(description="False until a run has succeeded.")
    data_filter_start_time: int
    data_filter_end_time: int | None = None
    created_at: int = Field(description="Epoch seconds.")
    created_by: str


class ListedRun(StartedRun):
    """A run as it stands."""

    status: Literal["PROCESSING", "SUCCESS", "FAILED"]
    updated_at: int = Field(description="Extension: epoch seconds.")
    reason: str | None = Field(default=None, description="Extension: why it failed.")


class Stage(Body):
    """A part of a run."""

    stage: Literal["DATASET_INGEST", "PROFILE_STORE_INGEST"]
    status: Literal["PROCESSING", "SUCCESS", "FAILED"]
    flow_run_id: str


class ShownRun(ListedRun):
    """A run with what became of its rows; `rows`, `files` and `problems` are extensions."""

    details: list[Stage]
    rows: dict[str, int]
    files: dict[str, int]
    problems: list[str] = Field(description="Of the first rows that were not taken.")


class RunList(Body):
    """The runs of an audience, newest first."""

    runs: list[ListedRun]


class MetadataAnswer(Body):
    """An audience that was made."""

    id: str
    name: str
    audience_id: str
