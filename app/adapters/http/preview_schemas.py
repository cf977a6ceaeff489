"""Bodies of the routes of previews and estimates. Requests are strict."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from app.adapters.http.schemas import PROFILE_SCHEMA, Body, Governance, TreeOrText
from app.service.expression_forms import FORMATS, TEXT_FORMAT

_TYPES = {"PQL": TEXT_FORMAT, **{name: name for name in FORMATS}}
_MODELS = (PROFILE_SCHEMA, "xdm.model.profile")

_ASKED: dict[str, Any] = {
    "predicateExpression": 'homeAddress.city = "Oslo"',
    "predicateType": "pql/text",
    "predicateModel": PROFILE_SCHEMA,
    "graphType": "none",
}
_ID = "MDpzZWdtZW50YXRpb246OGExZTJmMzAtNWIxZC00YzBiLThlNmQtYjJhN2QxYzRmOTAxOjA"
_QUERY_ID = "8a1e2f30-5b1d-4c0b-8e6d-b2a7d1c4f901"
_CREATED: dict[str, Any] = {
    "state": "NEW",
    "previewQueryId": _QUERY_ID,
    "previewQueryStatus": "NEW",
    "previewId": _ID,
    "previewExecutionId": 0,
}
_PATH = f"/data/core/ups/preview/{_ID}"
_HREF = f"/data/core/ups/access/entities?schema.name={PROFILE_SCHEMA}&entityId="
_SHOWN: dict[str, Any] = {
    "results": [
        {"p-1": {"_href": f"{_HREF}p-1", "endCustomerIds": {"p-1a": {"_href": f"{_HREF}p-1a"}}}}
    ],
    "state": "RESULT_READY",
    "links": {"_self": f"{_PATH}?limit=1000&offset=0", "next": "", "prev": ""},
    "page": {"offset": 0, "size": 1},
}
_ESTIMATE: dict[str, Any] = {
    "estimatedSize": 4_120,
    "numRowsToRead": 10_000,
    "totalRows": 41_000,
    "profilesReadSoFar": 10_000,
    "profilesMatchedSoFar": 1_005,
    "profilesSkipped": 0,
    "estimatedNamespaceDistribution": [{"namespaceId": "Email", "profilesMatchedSoFar": 980}],
    "state": "RESULT_READY",
    "standardError": 107,
    "error": {"description": "", "traceback": ""},
    "confidenceInterval": "95%",
    "confidenceLimits": {"lower": 3_915, "upper": 4_335},
    "_links": {
        "preview": f"/data/core/ups/preview/segmentation/execution/0?previewQueryId={_QUERY_ID}"
    },
}


class PreviewBody(Body):
    """What is to be previewed."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        json_schema_extra={"examples": [_ASKED]},
    )

    predicate_expression: TreeOrText = Field(
        min_length=1, description="PQL text, or a tree as for `pql/json`."
    )
    predicate_type: str = Field(
        default=TEXT_FORMAT, description="`pql/text`, or `PQL` for it; `pql/json`."
    )
    predicate_model: str = Field(
        default=PROFILE_SCHEMA, description=f"`{PROFILE_SCHEMA}`, or `xdm.model.profile` for it."
    )
    graph_type: Literal["none", "pdg"] = Field(
        default="none",
        description="`pdg`: results name the other identities of a profile's identity map.",
    )
    data_governance_policy: Governance | None = Field(
        default=None, description="As of a definition; absent means `excludeOptOut`."
    )

    @field_validator("predicate_type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in _TYPES:
            types = " or ".join(FORMATS)
            raise ValueError(f"{value!r} is not a type of predicate; send {types}")
        return _TYPES[value]

    @field_validator("predicate_model")
    @classmethod
    def _profile_only(cls, value: str) -> str:
        if value not in _MODELS:
            raise ValueError(f"{value!r} is not evaluated here; send {PROFILE_SCHEMA}")
        return value


class PreviewCreated(Body):
    """A preview that has begun."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CREATED]})

    state: str = Field(description="`NEW`, `RUNNING`, `RESULT_READY`, `FAILED`.")
    preview_query_id: str
    preview_query_status: str
    preview_id: str = Field(description="Of the preview and of its estimate.")
    preview_execution_id: int


class PreviewPageInfo(Body):
    """Which results are on this page."""

    offset: int
    size: int


class PreviewShown(Body):
    """A page of a preview; there are results once it is `RESULT_READY`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    results: list[dict[str, Any]]
    state: str
    links: dict[str, str] = Field(description="`_self`, `next`, `prev`; empty for no such page.")
    page: PreviewPageInfo


class EstimatedNamespace(Body):
    """Matches with an identity in a namespace."""

    namespace_id: str
    profiles_matched_so_far: int


class EstimateError(Body):
    """What went wrong; empty texts for nothing."""

    description: str
    traceback: str


class ConfidenceLimits(Body):
    """The 95 % interval of the estimated size."""

    lower: int
    upper: int


class EstimateShown(Body):
    """How many profiles meet the predicate, as far as it is known."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ESTIMATE]})

    estimated_size: int
    num_rows_to_read: int = Field(description="Profiles to be looked at.")
    total_rows: int = Field(description="Profiles of the sandbox.")
    profiles_read_so_far: int
    profiles_matched_so_far: int
    profiles_skipped: int = Field(description="Those that could not be evaluated.")
    estimated_namespace_distribution: list[EstimatedNamespace]
    state: str = Field(description="`RUNNING`, `RESULT_READY`, `FAILED`.")
    standard_error: int = Field(description="Of `estimatedSize`, in profiles; 0 when exact.")
    error: EstimateError
    confidence_interval: str
    confidence_limits: ConfidenceLimits
    links: dict[str, str] = Field(alias="_links")
