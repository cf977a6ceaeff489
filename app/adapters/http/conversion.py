"""`/segment/conversion`: PQL text to a JSON tree, and back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from app.adapters.http.context import BASE_PATH, PROBLEMS, only_parameters, tenant_of
from app.adapters.http.errors import json_response
from app.adapters.http.schemas import (
    MAX_NUMBER,
    PROFILE_SCHEMA,
    Body,
    DefinitionBody,
    Expression,
    Sandbox,
)
from app.domain.errors import Conflict
from app.domain.model import JsonObject
from app.service.definition_document import expression_document, sandbox_object
from app.service.definitions import Definitions
from app.service.expression_forms import JSON_FORMAT, converted

CONVERSION_PATH = "/segment/conversion"

_SENT: JsonObject = {
    "name": "Oslo residents",
    "description": "Lives in Oslo",
    "expression": {"type": "PQL", "format": "pql/text", "value": 'homeAddress.city = "Oslo"'},
    "schema": {"name": PROFILE_SCHEMA},
}
_CONVERTED: JsonObject = {
    "imsOrgId": "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "sandbox": {
        "sandboxId": "0b6c1d52-77aa-4f0e-9d4b-2f6f3a4f9a10",
        "sandboxName": "prod",
        "type": "production",
        "default": True,
    },
    "description": "Lives in Oslo",
    "expression": {
        "type": "PQL",
        "format": JSON_FORMAT,
        "value": (
            '{"nodeType":"fnApply","fnName":"=","params":['
            '{"nodeType":"fieldLookup","fieldName":"city","object":'
            '{"nodeType":"fieldLookup","fieldName":"homeAddress","object":'
            '{"nodeType":"parameterReference","position":1}}},'
            '{"nodeType":"literal","literalType":"String","value":"Oslo"}]}'
        ),
    },
}
_BACK: JsonObject = {**_SENT, "expression": _CONVERTED["expression"]}
_STATUSES: dict[int | str, dict[str, Any]] = {
    **{status: PROBLEMS[status] for status in (400, 403, 413, 503)},
    409: {**PROBLEMS[409], "description": "There is a definition with this id."},
}


class ConversionBody(DefinitionBody):
    """A definition of which the expression is converted; nothing is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SENT, _BACK]})

    id: str | None = Field(default=None, description="That of no definition, if it is sent.")
    ttl_in_days: int | None = Field(
        default=None,
        ge=0,
        le=MAX_NUMBER,
        description="Sent back; has no meaning, as in earlier versions.",
    )


class Converted(Body):
    """The expression in its other form."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONVERTED]})

    ims_org_id: str
    sandbox: Sandbox
    description: str | None = Field(default=None, description="As it was sent, if it was.")
    expression: Expression
    ttl_in_days: int | None = Field(default=None, description="As it was sent, if it was.")


def conversion_router(definitions: Definitions) -> APIRouter:
    """Return the route of the conversion."""
    router = APIRouter(prefix=BASE_PATH, tags=["Segment definitions"], responses=_STATUSES)

    @router.post(CONVERSION_PATH, responses={200: {"model": Converted}})
    async def convert_definition(request: Request, body: ConversionBody) -> Response:
        """Convert PQL text to a JSON tree, or a tree to text; what it is, is seen by itself."""
        only_parameters(request, ())
        tenant = tenant_of(request)
        if body.id is not None and await definitions.audiences(tenant, [body.id]):
            text = f"there is a segment definition {body.id!r} already; leave out the id"
            raise Conflict(text, code="definition-exists")
        other, value = converted(body.expression.value, body.expression.format)
        sent = body.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        answer: JsonObject = {
            "imsOrgId": tenant.org_id,
            "sandbox": sandbox_object(tenant),
            "expression": expression_document(other, value),
            **{name: sent[name] for name in ("description", "ttlInDays") if name in sent},
        }
        return json_response(answer)

    return router
