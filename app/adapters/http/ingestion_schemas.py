"""Bodies of `/data/core/ais` as pydantic models, with the JSON names of the API reference.

Strict: a field that is not known is refused, since what is not looked at here would be missed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from app.adapters.http.schemas import Line, Name, Prose, StrictBody
from app.domain.definitions import StoredDefinition
from app.domain.external import (
    CUSTOM_UPLOAD,
    DEFAULT_NAMESPACE,
    DEFAULT_TTL_DAYS,
    ExternalAudience,
    FieldType,
    ImportField,
    ImportSource,
)
from app.domain.model import JsonObject
from app.service.external_document import (
    AUDIENCE_TYPE,
    field_document,
    source_document,
)
from app.service.external_input import ExternalInput

MOST_FIELDS = 500
_MOST_LABELS = 100
_LAST_S = 1 << 36
_CODES = "AAID AdCloud CORE ECID Email Email_LC_SHA256 GAID IDFA MWID Phone TNTID WAID"
_STANDARD = {name.casefold(): name for name in _CODES.split()}
"""Identity namespaces whose case is set right (API reference: `email` becomes `Email`)."""

Labels = Annotated[list[Line], Field(max_length=_MOST_LABELS)]
Days = Annotated[int, Field(ge=1, le=90)]
Namespace = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Seconds = Annotated[
    int, Field(ge=0, lt=_LAST_S, strict=True, description="Epoch seconds, not milliseconds.")
]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class FieldBody(StrictBody):
    """A column of the source."""

    name: Line
    type: FieldType
    identity_ns: Namespace | None = Field(
        default=None, description="On the one column that names the profile."
    )
    labels: Labels = Field(default=[])

    def to_field(self) -> ImportField:
        """Return what the use cases take."""
        namespace = self.identity_ns or ""
        namespace = _STANDARD.get(namespace.casefold(), namespace)
        return ImportField(self.name, self.type, namespace, tuple(self.labels))


class ParamsBody(StrictBody):
    """Where the rows are."""

    path: Path = Field(description="Below the root of the landing zone or the connection.")
    type: Literal["file", "folder"]
    source_type: Literal["Cloud Storage"] = "Cloud Storage"
    cloud_type: Literal["S3", "DLZ", "GCS", "SFTP"] = Field(
        default="DLZ", description="`DLZ`: the landing zone of this service."
    )
    base_connection_id: Line | None = Field(
        default=None, description="A configured connection; for all but `DLZ`."
    )

    @model_validator(mode="after")
    def _connected(self) -> ParamsBody:
        if (self.cloud_type == "DLZ") != (self.base_connection_id is None):
            raise ValueError(
                "baseConnectionId is required for S3, GCS and SFTP, and belongs to no DLZ"
            )
        return self

    def to_source(self) -> ImportSource:
        """Return what the use cases take."""
        return ImportSource(
            self.path, self.type, self.cloud_type, self.source_type, self.base_connection_id or ""
        )


class SourceBody(StrictBody):
    """Where the rows are."""

    params: ParamsBody


def _days(value: Any) -> Any:
    # A sample of the API reference sends text.
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}", value) else value


class ExternalBody(StrictBody):
    """An external audience to make."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Loyalty file",
                    "fields": [
                        {"name": "member", "type": "string", "identityNs": "Email"},
                        {"name": "points", "type": "integer"},
                    ],
                    "sourceSpec": {
                        "params": {"path": "loyalty/today.csv", "type": "file", "cloudType": "DLZ"}
                    },
                    "ttlInDays": 30,
                    "originName": CUSTOM_UPLOAD,
                }
            ]
        }
    )

    name: Name = Field(description="Unique in the sandbox.")
    description: Prose = ""
    custom_audience_id: Line | None = None
    fields_: list[FieldBody] = Field(alias="fields", min_length=1, max_length=MOST_FIELDS)
    source_spec: SourceBody
    ttl_in_days: Days = DEFAULT_TTL_DAYS
    audience_type: Literal["people"] = "people"
    origin_name: Literal["CUSTOM_UPLOAD"]
    namespace: Namespace = DEFAULT_NAMESPACE
    labels: Labels = Field(default=[])
    tags: Labels = Field(default=[])

    @field_validator("ttl_in_days", mode="before")
    @classmethod
    def _whole_days(cls, value: Any) -> Any:
        return _days(value)

    @field_validator("fields_")
    @classmethod
    def _one_identity(cls, value: list[FieldBody]) -> list[FieldBody]:
        return checked_fields(value)

    def to_input(self, author: str) -> ExternalInput:
        """Return what the use cases take."""
        return ExternalInput(
            name=self.name,
            description=self.description,
            labels=tuple(self.labels),
            author=author,
            external=ExternalAudience(
                namespace=self.namespace,
                audience_id=self.custom_audience_id or "",
                origin_name=self.origin_name,
                fields=tuple(one.to_field() for one in self.fields_),
                source=self.source_spec.params.to_source(),
                ttl_days=self.ttl_in_days,
                tags=tuple(self.tags),
            ),
        )

    def echo(self, given: ExternalInput) -> JsonObject:
        """Return the request as it was understood."""
        external = given.external
        assert external.source is not None
        document: JsonObject = {"name": given.name, "description": given.description}
        if self.custom_audience_id is not None:
            document["customAudienceId"] = self.custom_audience_id
        return document | {
            "fields": [field_document(one) for one in external.fields],
            "sourceSpec": source_document(external.source),
            "ttlInDays": external.ttl_days,
            "audienceType": AUDIENCE_TYPE,
            "originName": external.origin_name,
            "namespace": external.namespace,
            "labels": list(given.labels),
            "tags": list(external.tags),
        }


def checked_fields(value: list[FieldBody]) -> list[FieldBody]:
    """Refuse columns of which not exactly one names the profile, or that are there twice."""
    names = [one.name for one in value]
    if len(set(names)) != len(names):
        raise ValueError("a column is listed twice")
    identities = [one for one in value if one.identity_ns]
    if len(identities) != 1:
        raise ValueError(f"{len(identities)} columns have an identityNs; exactly one must")
    if identities[0].type not in ("string", "integer", "long"):
        raise ValueError("the column with the identityNs must be a string, integer or long")
    return value


class ExternalPatch(StrictBody):
    """What to change of an external audience; a field that is given is replaced."""

    description: Prose | None = None
    labels: Labels | None = None
    fields_: list[FieldBody] | None = Field(default=None, alias="fields", max_length=MOST_FIELDS)
    ttl_in_days: Days | None = Field(default=None, description="From the next run on.")

    @field_validator("ttl_in_days", mode="before")
    @classmethod
    def _whole_days(cls, value: Any) -> Any:
        return _days(value)

    def over(self, previous: StoredDefinition, author: str) -> ExternalInput:
        """Return what the audience becomes: of its columns only those listed change.

        Raises:
            ValueError: There would be another number of identity columns than one.
        """
        external = previous.external
        assert external is not None
        given = ExternalInput(
            name=previous.name,
            description=previous.description if self.description is None else self.description,
            labels=previous.labels if self.labels is None else tuple(self.labels),
            author=author,
            external=external,
        )
        if self.ttl_in_days is not None:
            external = replace(external, ttl_days=self.ttl_in_days)
        if self.fields_ is not None:
            columns = {one.name: one for one in external.fields}
            columns |= {one.name: one.to_field() for one in self.fields_}
            rows = [FieldBody.model_validate(_body_of(one)) for one in columns.values()]
            checked_fields(rows)
            external = replace(external, fields=tuple(one.to_field() for one in rows))
        return replace(given, external=external)


def _body_of(one: ImportField) -> JsonObject:
    return field_document(one)


class RunBody(StrictBody):
    """Which files of the source to take: those last changed in this time, both ends included."""

    data_filter_start_time: Seconds
    data_filter_end_time: Seconds | None = None

    @model_validator(mode="after")
    def _in_order(self) -> RunBody:
        end = self.data_filter_end_time
        if end is not None and end < self.data_filter_start_time:
            raise ValueError("dataFilterEndTime is before dataFilterStartTime")
        return self


class MetadataBody(StrictBody):
    """An audience whose members another service tells."""

    name: Name
    description: Prose = ""
    audience_id: Line
    namespace: Namespace
    origin_name: Line = CUSTOM_UPLOAD

    def to_input(self, author: str) -> ExternalInput:
        """Return what the use cases take."""
        return ExternalInput(
            name=self.name,
            description=self.description,
            author=author,
            external=ExternalAudience(
                namespace=self.namespace,
                audience_id=self.audience_id,
                origin_name=self.origin_name,
            ),
        )
