"""`/segment/definitions`: segment definitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import (
    BASE_PATH,
    MAX_START,
    PROBLEMS,
    caller_of,
    request_id_of,
    tenant_of,
)
from app.adapters.http.errors import (
    Fault,
    json_response,
    position_fields,
    problem_document,
    problem_response,
)
from app.adapters.http.schemas import (
    BulkGetAnswer,
    BulkGetBody,
    CheckedExpression,
    Definition,
    DefinitionBody,
    DefinitionList,
    ExpressionBody,
    Message,
    VersionList,
)
from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError
from app.domain.model import JsonObject, Tenant
from app.service.definition_document import definition_document, evaluation_fields
from app.service.definition_query import DefinitionPage, DefinitionQuery, parse_sort
from app.service.definitions import Definitions, Written
from app.service.evaluation_report import report_fields, report_of
from app.service.expressions import ExpressionProblem

MAX_LIMIT = 1_000
_COLLECTION = "/segment/definitions"

SegmentId = Annotated[str, Path(alias="segmentId", description="Id of the segment definition.")]


def now_ms() -> int:
    """Return the wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def shown(tenant: Tenant, definition: StoredDefinition) -> JsonObject:
    """Return a definition as the API shows it: also how and how far it is evaluated."""
    document = definition_document(tenant, definition)
    reported = report_fields(report_of(definition.expression))
    return document | evaluation_fields(definition) | reported


def definitions_router(definitions: Definitions) -> APIRouter:
    """Return the routes of segment definitions."""
    router = APIRouter(prefix=BASE_PATH, tags=["Segment definitions"], responses=PROBLEMS)
    _add_collection(router, definitions)
    _add_item(router, definitions)
    return router


def _add_collection(router: APIRouter, definitions: Definitions) -> None:
    @router.get(_COLLECTION, responses={200: {"model": DefinitionList}})
    async def list_definitions(request: Request, query: ListQuery) -> Response:
        """List the definitions of the sandbox, newest first unless `sort` says otherwise."""
        tenant = tenant_of(request)
        page = await definitions.find(tenant, query)
        # What was not looked at before is parsed: a long page would keep the others waiting.
        return json_response(await asyncio.to_thread(_list_document, tenant, query, page))

    @router.post(_COLLECTION, responses={200: {"model": Definition}})
    async def create_definition(request: Request, body: DefinitionBody) -> Response:
        """Create a definition; evaluation begins within seconds."""
        tenant = tenant_of(request)
        given = body.to_input(caller_of(request))
        written = await definitions.create(tenant, given, now_ms())
        return _written(tenant, written)

    # Before the routes with an id: `check` and `bulk-get` would be one.
    @router.post(f"{_COLLECTION}/check", responses={200: {"model": CheckedExpression}})
    async def check_expression(request: Request, body: ExpressionBody) -> Response:
        """Say what would become of a new definition, storing nothing. An extension.

        Refused as a definition would be.
        """
        given = body.expression
        accepted = await definitions.check(tenant_of(request), given.value, given.format)
        found = {
            **report_fields(accepted.report),
            "segments": list(accepted.segment_ids),
            "warnings": [_warning(warning) for warning in accepted.warnings],
        }
        return json_response(found)

    @router.post(
        f"{_COLLECTION}/bulk-get", status_code=207, responses={207: {"model": BulkGetAnswer}}
    )
    async def bulk_get_definitions(request: Request, body: BulkGetBody) -> Response:
        """Look up to 100 definitions up; 404 when none of them exists."""
        tenant = tenant_of(request)
        ids = list(dict.fromkeys(reference.id for reference in body.ids))
        found = await definitions.get_many(tenant, ids)
        request_id = request_id_of(request)
        return await asyncio.to_thread(_bulk_answer, request_id, tenant, ids, found)


def _add_item(router: APIRouter, definitions: Definitions) -> None:
    item = f"{_COLLECTION}/{{segmentId}}"

    @router.get(item, responses={200: {"model": Definition}})
    async def get_definition(request: Request, segment_id: SegmentId) -> Response:
        """Return one definition."""
        tenant = tenant_of(request)
        return json_response(shown(tenant, await definitions.get(tenant, segment_id)))

    @router.patch(item, responses={200: {"model": Definition}})
    async def overwrite_definition(
        request: Request, segment_id: SegmentId, body: DefinitionBody
    ) -> Response:
        """Overwrite a definition; a new version only if what is evaluated changes."""
        tenant = tenant_of(request)
        given = body.to_input(caller_of(request))
        return _written(tenant, await definitions.overwrite(tenant, segment_id, given, now_ms()))

    @router.delete(item, responses={200: {"model": Message}})
    async def delete_definition(request: Request, segment_id: SegmentId) -> Response:
        """Remove a definition that no other one uses."""
        removed = await definitions.delete(tenant_of(request), segment_id)
        message = f"Segment definition {removed.segment_id} was removed."
        return json_response({"status": True, "message": message})

    @router.get(f"{item}/versions", responses={200: {"model": VersionList}})
    async def list_versions(request: Request, segment_id: SegmentId) -> Response:
        """Return all versions of a definition, oldest first. An extension."""
        tenant = tenant_of(request)
        kept = await definitions.versions(tenant, segment_id)
        documents = [definition_document(tenant, definition) for definition in kept]
        return json_response({"versions": documents})


def warning_fields(written: Written) -> JsonObject:
    """Return what the author should know, an extension, as fields of an answer."""
    if not written.warnings:
        return {}
    return {"warnings": [_warning(warning) for warning in written.warnings]}


def _warning(warning: ExpressionProblem) -> JsonObject:
    said = {"code": warning.code, "message": warning.message}
    return said | position_fields(warning)


def _written(tenant: Tenant, written: Written) -> Response:
    document = shown(tenant, written.definition) | warning_fields(written)
    location = f"{BASE_PATH}{_COLLECTION}/{written.definition.segment_id}"
    return json_response(document, headers={"X-Location": location})


def _list_query(
    start: Annotated[
        int, Query(ge=0, le=MAX_START, description="Rows to skip in the order of the list.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = 100,
    page: Annotated[int, Query(ge=0, le=MAX_START, description="Page to return, from 0.")] = 0,
    sort: Annotated[
        str | None, Query(description="`field:asc` or `field:desc`, joined by commas.")
    ] = None,
    batch: Annotated[bool | None, Query(alias="evaluationInfo.batch.enabled")] = None,
    continuous: Annotated[bool | None, Query(alias="evaluationInfo.continuous.enabled")] = None,
    synchronous: Annotated[bool | None, Query(alias="evaluationInfo.synchronous.enabled")] = None,
) -> DefinitionQuery:
    if start and page:
        text = "start and page are both given; send the one or the other"
        raise UserError(text, code="invalid-parameter")
    asked = {"batch": batch, "continuous": continuous, "synchronous": synchronous}
    return DefinitionQuery(
        offset=start or page * limit,
        limit=limit,
        order=parse_sort(sort),
        methods=tuple((name, wanted) for name, wanted in asked.items() if wanted is not None),
    )


def _list_document(tenant: Tenant, query: DefinitionQuery, page: DefinitionPage) -> JsonObject:
    segments = []
    for definition in page.items:
        document = shown(tenant, definition)
        document["baselineTime"] = definition.version_ms // 1000
        segments.append(document)
    return {
        "segments": segments,
        "page": {
            "totalCount": page.total,
            "totalPages": -(-page.total // query.limit),
            "sortField": query.order[0].field,
            "sort": "desc" if query.order[0].descending else "asc",
            "pageSize": len(segments),
            "limit": query.limit,
        },
        "link": _link(query, page),
    }


def _link(query: DefinitionQuery, page: DefinitionPage) -> JsonObject:
    following = query.offset + query.limit
    if following >= page.total:
        return {}
    parameters: dict[str, Any] = {"start": following, "limit": query.limit}
    parameters["sort"] = ",".join(
        f"{key.field}:{'desc' if key.descending else 'asc'}" for key in query.order
    )
    parameters |= {
        f"evaluationInfo.{name}.enabled": str(wanted).lower() for name, wanted in query.methods
    }
    return {"next": {"href": f"@{_COLLECTION}?{urlencode(parameters, safe=':,')}"}}


def _bulk_answer(
    request_id: str, tenant: Tenant, ids: Sequence[str], found: dict[str, StoredDefinition]
) -> Response:
    faults = {
        one: [Fault("definition-not-found", f"there is no segment definition {one!r}")]
        for one in ids
        if one not in found
    }
    if not found:
        text = f"none of these segment definitions exists: {', '.join(ids)}"
        code = "definitions-not-found"
        return problem_response(request_id, code, [Fault(code, text)])
    results = {
        one: problem_document(request_id, "definition-not-found", faults[one])
        if one in faults
        else shown(tenant, found[one])
        for one in ids
    }
    return json_response({"results": results}, 207)


ListQuery = Annotated[DefinitionQuery, Depends(_list_query)]
