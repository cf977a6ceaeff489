"""`/export/jobs`: export jobs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import (
    BASE_PATH,
    TOO_MANY_JOBS,
    job_problems,
    only_parameters,
    request_id_of,
    tenant_of,
)
from app.adapters.http.definitions import MAX_LIMIT
from app.adapters.http.errors import json_response
from app.adapters.http.export_answers import CancelledExport, Export, ExportList
from app.adapters.http.export_schemas import ExportBody
from app.domain.model import JsonObject, Tenant
from app.service.export_document import export_document
from app.service.export_query import (
    ExportPage,
    ExportQuery,
    cursor_text,
    parse_cursor,
    parse_export_status,
)
from app.service.exports import Exports
from app.service.jobs import JobCall

_COLLECTION = "/export/jobs"
_ITEM = f"{_COLLECTION}/{{exportJobId}}"

ExportId = Annotated[str, Path(alias="exportJobId", description="Number of the export job.")]


def exports_router(exports: Exports) -> APIRouter:
    """Return the routes of export jobs."""
    problems = job_problems("What is asked for cannot be exported.")
    router = APIRouter(prefix=BASE_PATH, tags=["Export jobs"], responses=problems)
    _add_collection(router, exports)
    _add_item(router, exports)
    return router


def _add_collection(router: APIRouter, exports: Exports) -> None:
    # The links of lists have a slash at the end of the path, as the API reference shows them.
    @router.get(f"{_COLLECTION}/", include_in_schema=False)
    @router.get(_COLLECTION, responses={200: {"model": ExportList}})
    async def list_export_jobs(request: Request, query: ListQuery) -> Response:
        """List the exports of the sandbox, newest first."""
        tenant = tenant_of(request)
        return json_response(_list_document(tenant, query, await exports.find(tenant, query)))

    @router.post(_COLLECTION, responses={200: {"model": Export}, **TOO_MANY_JOBS})
    async def create_export_job(
        request: Request,
        body: ExportBody,
        profile_instance: Annotated[
            str, Header(alias="x-profile-instance-id", max_length=128, description="Echoed.")
        ] = "ups",
    ) -> Response:
        """Export profiles to the topic, and to a data set where one is named."""
        tenant = tenant_of(request)
        call = JobCall(request_id=request_id_of(request), profile_instance_id=profile_instance)
        job = await exports.create(tenant, body.request(), call)
        location = {"X-Location": f"{_COLLECTION}/{job.number}"}
        return json_response(export_document(tenant, job), headers=location)


def _add_item(router: APIRouter, exports: Exports) -> None:
    @router.get(_ITEM, responses={200: {"model": Export}})
    async def get_export_job(request: Request, job_id: ExportId) -> Response:
        """Return one export as it stands."""
        tenant = tenant_of(request)
        return json_response(export_document(tenant, await exports.get(tenant, job_id)))

    @router.delete(_ITEM, responses={200: {"model": CancelledExport}})
    async def cancel_export_job(request: Request, job_id: ExportId) -> Response:
        """Cancel an export that has not ended; it is `FAILED` once no worker is at it."""
        await exports.cancel(tenant_of(request), job_id)
        text = f"export job {job_id} is marked for cancelling"
        return json_response({"status": True, "message": text})


def _list_query(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = 100,
    offset: Annotated[str, Query(description="`pageOffset` of the page before.")] = "",
    status: Annotated[str, Query(description="Only exports in this status.")] = "",
) -> ExportQuery:
    only_parameters(request, ("limit", "offset", "status"))
    return ExportQuery(limit, parse_cursor(offset), parse_export_status(status))


def _list_document(tenant: Tenant, query: ExportQuery, page: ExportPage) -> JsonObject:
    records = [export_document(tenant, job) for job in page.items]
    last = cursor_text(page.items[-1]) if page.items else ""
    return {
        "records": records,
        "page": {
            "sortField": "createdTime",
            "sort": "desc",
            "pageOffset": last,
            "pageSize": len(records),
        },
        "link": {"next": _next_href(query, last) if page.has_more else ""},
    }


def _next_href(query: ExportQuery, last: str) -> str:
    parameters: list[tuple[str, Any]] = [("limit", query.limit), ("offset", last)]
    if query.status:
        parameters.append(("status", query.status))
    return f"{_COLLECTION}/?{urlencode(parameters)}"


ListQuery = Annotated[ExportQuery, Depends(_list_query)]
