"""Bodies of the API as pydantic models, with the JSON names of the API reference.

Requests are lenient as the reference is: fields that only the server sets may be sent back and are
not looked at. Answers are built by `app.service.definition_document`; their models are for OpenAPI.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from app.domain.definitions import EvaluationMethods
from app.pql.limits import MAX_JSON_CHARACTERS
from app.service.definition_input import DefinitionInput
from app.service.expression_forms import FORMATS

PROFILE_SCHEMA = "_xdm.context.profile"
MAX_IDS = 100
MAX_NUMBER = 2**53
"""Largest whole number that is sent back or stored as it came: any reader of JSON has it exact."""


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Prose = Annotated[str, StringConstraints(max_length=10_000)]

_OSLO: dict[str, Any] = {
    "name": "Oslo residents",
    "description": "Lives in Oslo",
    "expression": {"type": "PQL", "format": "pql/text", "value": 'homeAddress.city = "Oslo"'},
    "schema": {"name": PROFILE_SCHEMA},
    "evaluationInfo": {
        "batch": {"enabled": False},
        "continuous": {"enabled": True},
        "synchronous": {"enabled": False},
    },
}
_OSLO_STORED: dict[str, Any] = {
    "id": "5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901",
    **_OSLO,
    "profileInstanceId": "ups",
    "imsOrgId": "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "sandbox": {
        "sandboxId": "0b6c1d52-77aa-4f0e-9d4b-2f6f3a4f9a10",
        "sandboxName": "prod",
        "type": "production",
        "default": True,
    },
    "mergePolicyId": "c0d7a1f2-1b2c-4d3e-8f90-112233445566",
    "dataGovernancePolicy": {"excludeOptOut": True},
    "creationTime": 1_700_000_000_000,
    "updateEpoch": 1_700_000_100,
    "updateTime": 1_700_000_100_000,
    "version": 1,
    "evaluationState": "BACKFILLING",
    "evaluation": "incremental",
    "estimatedStateBytes": 0,
}


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Body(BaseModel):
    """Anything with JSON names; what is not known is not looked at."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", strict=True
    )

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: Any) -> Any:
        """Take 5.0 for 5, as JSON does, where the types are strict otherwise."""
        if not isinstance(given, dict):
            return given
        return {name: _integral(value) for name, value in given.items()}


class StrictBody(Body):
    """A body in which every field is looked at: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Enabled(Body):
    """One evaluation method."""

    enabled: bool = False


class EvaluationInfo(Body):
    """Requested evaluation methods; kept as information, every definition is evaluated live."""

    batch: Enabled = Enabled()
    continuous: Enabled = Enabled()
    synchronous: Enabled = Enabled()


def _as_text(value: Any) -> Any:
    """Return the text of a tree that was sent as the object that it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


TreeOrText = Annotated[
    str,
    BeforeValidator(_as_text),
    StringConstraints(max_length=MAX_JSON_CHARACTERS),
    # The same for requests and answers, so that the document has one schema of expressions.
    WithJsonSchema(
        {"anyOf": [{"type": "string", "maxLength": MAX_JSON_CHARACTERS}, {"type": "object"}]}
    ),
]
"""An expression: a text, or the tree as an object, which is as good as its text."""


class Expression(Body):
    """The rule: PQL as text, or as a JSON tree."""

    type: str = Field(description="`PQL`.", json_schema_extra={"pattern": "^[Pp][Qq][Ll]$"})
    format: str = Field(
        description="`pql/text`, or `pql/json`.", json_schema_extra={"enum": list(FORMATS)}
    )
    value: TreeOrText = Field(
        description="PQL text, or the tree as JSON in a text; the tree itself is taken too."
    )

    @field_validator("type")
    @classmethod
    def _pql_only(cls, value: str) -> str:
        if value.upper() != "PQL":
            raise ValueError(f"{value!r} cannot be evaluated here; send PQL")
        return "PQL"

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in FORMATS:
            formats = " or ".join(FORMATS)
            raise ValueError(f"{value!r} is not a format of PQL; send {formats}")
        return value


class SchemaClass(Body):
    """The class of record that a definition is about, by name or id."""

    name: Line = Field(
        description=f"`{PROFILE_SCHEMA}`.", json_schema_extra={"enum": [PROFILE_SCHEMA]}
    )

    @field_validator("name")
    @classmethod
    def _profile_only(cls, value: str) -> str:
        if value != PROFILE_SCHEMA:
            raise ValueError(f"{value!r} is not evaluated here; send {PROFILE_SCHEMA}")
        return value


class Governance(Body):
    """Which profiles a definition leaves out."""

    exclude_opt_out: bool = Field(
        default=True, description="Profiles with a general opt-out are no members."
    )


class DefinitionBody(Body):
    """What a client may say of a segment definition; PATCH overwrites all of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OSLO]})

    name: Name = Field(description="Unique in the sandbox.")
    description: Prose = ""
    expression: Expression
    schema_class: SchemaClass = Field(alias="schema")
    evaluation_info: EvaluationInfo | None = Field(
        default=None, description="Absent means batch. Information only."
    )
    merge_policy_id: Line | None = None
    profile_instance_id: Line = "ups"
    data_governance_policy: Governance | None = Field(
        default=None, description="Absent means `excludeOptOut`."
    )
    payload_schema: str | None = Field(
        default=None, description="Accepted as clients send it; has no meaning."
    )

    def to_input(self, author: str) -> DefinitionInput:
        """Return what the use cases take."""
        policy = self.data_governance_policy or Governance()
        info = self.evaluation_info or EvaluationInfo(batch=Enabled(enabled=True))
        return DefinitionInput(
            name=self.name,
            description=self.description,
            expression=self.expression.value,
            expression_format=self.expression.format,
            schema_name=self.schema_class.name,
            methods=EvaluationMethods(
                batch=info.batch.enabled,
                continuous=info.continuous.enabled,
                synchronous=info.synchronous.enabled,
            ),
            merge_policy_id=self.merge_policy_id,
            profile_instance_id=self.profile_instance_id,
            exclude_opt_out=policy.exclude_opt_out,
            author=author,
        )


class Reference(Body):
    """An object by id."""

    id: Line


class BulkGetBody(Body):
    """Definitions to look up."""

    ids: list[Reference] = Field(min_length=1, max_length=MAX_IDS)


class Sandbox(Body):
    """A sandbox; the id is stable."""

    sandbox_id: str
    sandbox_name: str
    type: str
    default: bool


class Warning(Body):
    """Something true that the author of an expression may not have meant."""

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    pointer: str | None = Field(default=None, description="JSON pointer, in a tree.")
    length: int | None = None
    excerpt: str = ""
    hint: str = ""


class ExpressionBody(Body):
    """An expression to check."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"expression": _OSLO["expression"]}]})

    expression: Expression


class CheckedExpression(Body):
    """What would become of a definition."""

    evaluation: str = Field(description="As of a definition.")
    estimated_state_bytes: int = Field(description="As of a definition.")
    segments: list[str] = Field(
        description="Ids that it names with `inSegment` or `segmentMembership`."
    )
    warnings: list[Warning]


class Progress(Body):
    """How far the profiles have been brought to a definition."""

    partitions_done: int = Field(description="Partitions of which all profiles are.")
    partitions: int
    percent: int = Field(description="Of all profiles.")


class JobProgress(Body):
    """How far a job is that is being done."""

    partitions_done: int = Field(description="Partitions of which all profiles were looked at.")
    partitions: int
    percent: int = Field(description="Of all profiles, below 100 until the last partition is done.")
    profiles: int = Field(description="Looked at so far.")


class Definition(DefinitionBody):
    """A stored segment definition."""

    model_config = ConfigDict(json_schema_extra={"examples": [_OSLO_STORED]})

    id: str
    ims_org_id: str
    sandbox: Sandbox
    data_governance_policy: Governance
    creation_time: int = Field(description="Epoch milliseconds.")
    update_time: int = Field(description="Epoch milliseconds.")
    update_epoch: int = Field(description="Epoch seconds.")
    baseline_time: int | None = Field(
        default=None, description="Lists only: epoch seconds at which this version was made."
    )
    version: int = Field(description="Extension: grows when what is evaluated changes.")
    evaluation_state: str = Field(
        description="Extension: `BACKFILLING`, `LIVE`, `FAILED`, `REMOVING` or `OFF`."
    )
    evaluation_state_reason: str | None = Field(
        default=None, description="Extension: why the state is `FAILED`."
    )
    evaluation_progress: Progress | None = Field(
        default=None,
        description="Extension: while `BACKFILLING`, as soon as a worker has reported.",
    )
    evaluation: str | None = Field(
        default=None,
        description="Extension: `incremental`, or `history` where kept events are read again.",
    )
    estimated_state_bytes: int | None = Field(
        default=None,
        description="Extension: of the state of a profile with 100 events that all match.",
    )
    warnings: list[Warning] | None = Field(
        default=None, description="Extension: create and PATCH only, when there are any."
    )


class PageInfo(Body):
    """Where a page is in its list."""

    total_count: int
    total_pages: int
    sort_field: str
    sort: str
    page_size: int = Field(description="Rows on this page.")
    limit: int


class Link(Body):
    """Where to read on."""

    href: str


class Links(Body):
    """Empty when there is nothing further."""

    next: Link | None = None


class DefinitionList(Body):
    """One page of segment definitions."""

    segments: list[Definition]
    page: PageInfo
    link: Links


class VersionList(Body):
    """Extension: the kept versions of one definition, oldest first."""

    versions: list[Definition]


class Message(Body):
    """The outcome of a deletion."""

    status: bool
    message: str


class BulkGetAnswer(Body):
    """Definitions by id; a problem document in place of one that does not exist."""

    results: dict[str, Any]
