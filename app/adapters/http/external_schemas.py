"""Bodies of `/audiences` for audiences that are made elsewhere.

Source: API reference, external body of `POST /audiences` and of PUT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from app.adapters.http.audience_schemas import AudienceBody, AudienceReplacement, Labels
from app.adapters.http.ingestion_schemas import Days, Namespace
from app.adapters.http.schemas import Body, Line, Name, Prose
from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError
from app.domain.external import CUSTOM_UPLOAD, DEFAULT_NAMESPACE, ExternalAudience
from app.domain.model import JsonObject
from app.service.external_document import EXTERNAL_TYPE
from app.service.external_input import ExternalInput
from app.service.lifecycle import REFUSED, lifecycle_of

TAG_MARK = "~"
"""What the name of a kind of body begins with: it is no field, so no message shows it."""

_ALSO = "ExternalAudience"
_ORIGINS = ("CUSTOM_UPLOAD", "AUDIENCE_ORCHESTRATION", "AUDIENCE_MANAGER", "AUDIENCE_MATCH")


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return "~external" if kind in (EXTERNAL_TYPE, _ALSO) else "~made-here"


class _External(Body):
    """What all bodies of external audiences have."""

    name: Name
    description: Prose = ""
    type: Literal["ExternalSegment", "ExternalAudience"] = "ExternalSegment"
    labels: Labels = Field(default=[])
    lifecycle_state: str | None = Field(default=None, description="Absent: published, or as it is.")
    linked_audience_ref: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_data_set(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            if given.get("datasetId") is not None:
                text = f"there is no catalogue here that would know dataset {given['datasetId']!r}"
                raise UserError(f"{text}: leave datasetId out", code="dataset-unknown")
            for name in ("expression", "schema", "evaluationInfo"):
                if given.get(name) is not None:
                    text = f"{name} does not belong to an external audience; leave it out"
                    raise UserError(text, code=REFUSED)
        return given


class ExternalAudienceBody(_External):
    """An audience whose members another service tells."""

    audience_id: Line = Field(description="The client's id.")
    namespace: Namespace = DEFAULT_NAMESPACE
    origin_name: str = Field(default=CUSTOM_UPLOAD, description=", ".join(_ORIGINS))
    ttl_in_days: Days = 30
    audience_meta: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _known_origin(self) -> ExternalAudienceBody:
        if self.origin_name not in _ORIGINS:
            raise ValueError(f"originName is none of {', '.join(_ORIGINS)}")
        return self

    def to_input(self, author: str) -> ExternalInput:
        """Return what the use cases take.

        Raises:
            UserError: `audience-invalid`: the lifecycle state is none.
        """
        state = self.lifecycle_state
        return ExternalInput(
            name=self.name,
            description=self.description,
            labels=tuple(self.labels),
            lifecycle=None if state is None else lifecycle_of(state),
            author=author,
            external=ExternalAudience(
                namespace=self.namespace,
                audience_id=self.audience_id,
                origin_name=self.origin_name,
                ttl_days=self.ttl_in_days,
                linked=self.linked_audience_ref,
                meta=self.audience_meta,
            ),
        )


class ExternalReplacement(_External):
    """A whole external audience; what PUT does not have to say stays as it is."""

    audience_id: Line | None = Field(default=None, description="Never changes.")
    namespace: Namespace | None = Field(default=None, description="Never changes.")

    def over(self, previous: StoredDefinition, kept: JsonObject) -> JsonObject:
        """Return the editable fields of what the audience becomes.

        Raises:
            UserError: `audience-invalid`: id or namespace are others.
        """
        external = previous.external
        assert external is not None
        for name, given, own in (
            ("audienceId", self.audience_id, external.audience_id),
            ("namespace", self.namespace, external.namespace),
        ):
            if given not in (None, own):
                text = f"{name} is {given!r}, but that of this audience is {own!r}"
                raise UserError(f"{text} and never changes", code=REFUSED)
        chosen = {"name": self.name, "description": self.description, "labels": self.labels}
        further = {
            "lifecycleState": self.lifecycle_state,
            "linkedAudienceRef": self.linked_audience_ref,
        }
        return kept | chosen | {name: one for name, one in further.items() if one is not None}


class _Editable(_External):
    """The fields that JSON Patch leads into."""

    ttl_in_days: Days
    audience_meta: dict[str, Any] | None = None


def edited(document: JsonObject, previous: StoredDefinition, author: str) -> ExternalInput:
    """Return what an external audience becomes.

    Args:
        document: Its editable fields, changed.
        previous: As it is.
        author: Name of the caller.

    Raises:
        RequestValidationError: A field has the wrong shape.
        UserError: `audience-invalid`: the lifecycle state is none.
    """
    external = previous.external
    assert external is not None
    try:
        body = _Editable.model_validate(document)
    except ValidationError as error:
        problems = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(problems) from None
    state = body.lifecycle_state
    return ExternalInput(
        name=body.name,
        description=body.description,
        labels=tuple(body.labels),
        lifecycle=None if state is None else lifecycle_of(state),
        author=author,
        external=replace(
            external,
            ttl_days=body.ttl_in_days,
            linked=body.linked_audience_ref,
            meta=body.audience_meta,
        ),
    )


NewAudience = Annotated[
    Annotated[AudienceBody, Tag("~made-here")] | Annotated[ExternalAudienceBody, Tag("~external")],
    Discriminator(_kind),
]
ReplacedAudience = Annotated[
    Annotated[AudienceReplacement, Tag("~made-here")]
    | Annotated[ExternalReplacement, Tag("~external")],
    Discriminator(_kind),
]
