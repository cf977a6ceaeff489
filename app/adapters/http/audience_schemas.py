"""Bodies of `/audiences` as pydantic models, with the JSON names of the API reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from app.adapters.http.schemas import (
    MAX_IDS,
    PROFILE_SCHEMA,
    Body,
    Definition,
    DefinitionBody,
    EvaluationInfo,
    Expression,
    Line,
    Link,
    Progress,
    Prose,
    Reference,
    Sandbox,
    SchemaClass,
)
from app.domain.definitions import EvaluationMethods, StoredDefinition
from app.domain.errors import UserError
from app.domain.model import JsonObject, Tenant
from app.service.audience_document import ORIGIN, TYPE, audience_document, check_made_here
from app.service.definition_input import DefinitionInput
from app.service.external_document import EXTERNAL_TYPE
from app.service.json_patch import Addition
from app.service.lifecycle import REFUSED, lifecycle_of

MAX_LABELS = 100
_UNUSED_INSTANCE = "AEPSegments"
"""Sent by samples of the API reference, which get `ups` back."""

Labels = Annotated[list[Line], Field(max_length=MAX_LABELS)]
_LIFECYCLE = "`draft`, `published` or `inactive`; only what is published is evaluated."

_WINTER: JsonObject = {
    "name": "Winter buyers",
    "description": "Bought in winter",
    "type": TYPE,
    "expression": {"type": "PQL", "format": "pql/text", "value": 'homeAddress.city = "Oslo"'},
    "schema": {"name": PROFILE_SCHEMA},
    "labels": ["core/C1"],
}
_WINTER_STORED = audience_document(
    Tenant("0A1B2C3D4E5F60718293A4B5@AdobeOrg", "prod"),
    StoredDefinition(
        segment_id="5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901",
        ordinal=0,
        version=1,
        name="Winter buyers",
        description="Bought in winter",
        expression='homeAddress.city = "Oslo"',
        schema_name=PROFILE_SCHEMA,
        methods=EvaluationMethods(),
        merge_policy_id="c0d7a1f2-1b2c-4d3e-8f90-112233445566",
        profile_instance_id="ups",
        uses=(),
        created_ms=1_700_000_000_000,
        updated_ms=1_700_000_100_000,
        version_ms=1_700_000_000_000,
        labels=("core/C1",),
        created_by="crm",
        modified_by="crm",
    ),
    (),
)


class AudienceBody(DefinitionBody):
    """What a client may say of an audience."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WINTER]})

    type: str = Field(default=TYPE, description=f"`{TYPE}`.")
    labels: Labels = Field(default=[], description="Usage and access labels.")
    lifecycle_state: str | None = Field(
        default=None, description=f"{_LIFECYCLE} Absent means published."
    )
    override_performance_warnings: bool = False

    @model_validator(mode="before")
    @classmethod
    def _made_here(cls, given: Any) -> Any:
        # Before the fields: an external audience has no expression, which is not its fault.
        if isinstance(given, Mapping):
            check_made_here(given)
        return given

    @field_validator("profile_instance_id")
    @classmethod
    def _instance(cls, value: str) -> str:
        return "ups" if value == _UNUSED_INSTANCE else value

    def to_input(self, author: str) -> DefinitionInput:
        """Return what the use cases take.

        Raises:
            UserError: `audience-invalid`: the lifecycle state is none.
        """
        state = self.lifecycle_state
        return replace(
            super().to_input(author),
            lifecycle=None if state is None else lifecycle_of(state),
            labels=tuple(self.labels),
            override_performance_warnings=self.override_performance_warnings,
        )


class AudienceReplacement(Body):
    """A whole audience; what PUT does not have to say stays as it is."""

    audience_id: str | None = Field(default=None, description="As the `id` in the path.")
    name: str
    description: Prose = ""
    type: str = TYPE
    namespace: str | None = Field(default=None, description="Immutable.")
    labels: Labels = Field(default=[])
    profile_instance_id: Line = "ups"
    expression: Expression | None = Field(default=None, description="Absent: as it is.")
    schema_class: SchemaClass | None = Field(
        default=None, alias="schema", description="Absent: as it is."
    )
    evaluation_info: EvaluationInfo | None = Field(default=None, description="Absent: as it is.")
    merge_policy_id: Line | None = Field(default=None, description="Absent: as it is.")
    lifecycle_state: str | None = Field(default=None, description=f"{_LIFECYCLE} Absent: as it is.")
    override_performance_warnings: bool | None = Field(
        default=None, description="Absent: as it is."
    )

    @model_validator(mode="before")
    @classmethod
    def _made_here(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            check_made_here(given)
        return given

    def over(self, segment_id: str, kept: JsonObject) -> JsonObject:
        """Return what the audience becomes.

        Args:
            segment_id: Of the audience.
            kept: Its editable fields as they are.

        Raises:
            UserError: `audience-invalid`: the body is of another audience.
        """
        if self.audience_id not in (None, segment_id):
            raise UserError(
                f"audienceId is {self.audience_id!r}, but that of this audience is {segment_id!r}"
                " and never changes",
                code=REFUSED,
            )
        return kept | self.model_dump(by_alias=True, exclude_none=True)


class PatchOperation(Body):
    """One operation of JSON Patch; `add` also sets what is there already."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"op": "add", "path": "/lifecycleState", "value": "inactive"}]
        }
    )

    op: str = Field(description="`add`.")
    path: str = Field(description="JSON pointer, such as `/expression`.")
    value: Any

    def to_addition(self) -> Addition:
        """Return what the use cases take.

        Raises:
            UserError: `audience-invalid`: another operation.
        """
        if self.op != "add":
            text = f"op {self.op!r} is not taken; send add, which also sets what is there already"
            raise UserError(text, code=REFUSED)
        return Addition(self.path, self.value)


class AudienceBulkGetBody(Body):
    """Audiences to look up, 1 to 100."""

    # Counted by the route, which has a code of its own for it.
    ids: list[Reference] = Field(json_schema_extra={"minItems": 1, "maxItems": MAX_IDS})


class Told(Body):
    """What another system has counted, see `bulk-patch-metric`."""

    type: str
    job_id: str
    id: str
    data: dict[str, int]
    create_epoch: int = Field(description="Epoch seconds.")
    update_epoch: int = Field(description="Epoch seconds.")


class Audience(Definition):
    """A segment definition seen as an audience."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WINTER_STORED]})

    audience_id: str = Field(description="Equals `id`.")
    is_system: bool
    create_epoch: int = Field(description="Epoch seconds.")
    etag: str = Field(alias="_etag", description="Changes with every write; has its own quotes.")
    dependents: list[str] = Field(description="Ids of the audiences that ask this one.")
    dependencies: list[str] = Field(description="Ids of the audiences that this one asks.")
    defined_on: list[dict[str, str]]
    type: str = Field(description=f"`{TYPE}`.")
    origin_name: str = Field(description=f"`{ORIGIN}`.")
    override_performance_warnings: bool
    created_by: str | None = None
    last_modified_by: str | None = None
    lifecycle_state: str = Field(description=_LIFECYCLE)
    labels: list[str]
    namespace: str
    metrics: Told | None = None
    record_metrics: Told | None = None


class ExternalSegment(Body):
    """An audience that is made elsewhere; it has no expression."""

    id: str
    audience_id: str = Field(description="The client's id.")
    ims_org_id: str
    sandbox: Sandbox
    name: str
    description: str
    type: str = Field(description=f"`{EXTERNAL_TYPE}`.")
    namespace: str
    origin_name: str
    is_system: bool
    creation_time: int = Field(description="Epoch milliseconds.")
    create_epoch: int = Field(description="Epoch seconds.")
    update_time: int = Field(description="Epoch milliseconds.")
    update_epoch: int = Field(description="Epoch seconds.")
    etag: str = Field(alias="_etag", description="Changes with every write; has its own quotes.")
    dependents: list[str] = Field(description="Ids of the audiences that ask this one.")
    dependencies: list[str] = Field(description="Always empty.")
    created_by: str | None = None
    last_modified_by: str | None = None
    lifecycle_state: str = Field(description=_LIFECYCLE)
    labels: list[str]
    ttl_in_days: int = Field(description="A membership ends so long after it was last told.")
    linked_audience_ref: dict[str, Any] | None = None
    audience_meta: dict[str, Any] | None = None
    version: int
    evaluation_state: str
    evaluation_progress: Progress | None = None
    metrics: Told | None = None
    record_metrics: Told | None = None


class AudiencePage(Body):
    """Where a page is in its list; `start` and `next` are texts, as in the guides."""

    total_count: int
    total_pages: int
    sort_field: str
    sort: str
    page_size: int = Field(description="Rows on this page.")
    limit: int
    start: str
    next: str | None = Field(default=None, description="`start` of the next page, if there is one.")


class NextLink(Body):
    """`next` is empty when there is nothing further."""

    next: Link | dict[str, str]


class AudienceList(Body):
    """One page of audiences."""

    children: list[Audience | ExternalSegment]
    page: AudiencePage = Field(alias="_page")
    links: NextLink = Field(alias="_links")


def audience_input(document: JsonObject, author: str) -> DefinitionInput:
    """Return what the use cases take from a whole audience as JSON.

    Raises:
        RequestValidationError: A field has the wrong shape.
        UserError: As `AudienceBody.to_input`.
    """
    try:
        return AudienceBody.model_validate(document).to_input(author)
    except ValidationError as error:
        problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(problems) from None
