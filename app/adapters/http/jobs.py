"""`/segment/jobs`: segment jobs."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import (
    BASE_PATH,
    MAX_START,
    TOO_MANY_JOBS,
    job_problems,
    request_id_of,
    tenant_of,
)
from app.adapters.http.definitions import MAX_LIMIT
from app.adapters.http.errors import Fault, json_response, problem_document, problem_response
from app.adapters.http.job_schemas import Job, JobBody, JobBulkGetAnswer, JobBulkGetBody, JobList
from app.domain.errors import UserError
from app.domain.model import JsonObject, Tenant
from app.service.definition_query import parse_sort
from app.service.job_document import job_document
from app.service.job_query import (
    JOB_SORT_FIELDS,
    JobPage,
    JobQuery,
    parse_job_property,
    parse_status,
)
from app.service.jobs import JobCall, Jobs

_COLLECTION = "/segment/jobs"
_ITEM = f"{_COLLECTION}/{{segmentJobId}}"

JobId = Annotated[str, Path(alias="segmentJobId", description="Id of the segment job.")]


def jobs_router(jobs: Jobs) -> APIRouter:
    """Return the routes of segment jobs."""
    problems = job_problems("The request is malformed.")
    router = APIRouter(prefix=BASE_PATH, tags=["Segment jobs"], responses=problems)
    _add_collection(router, jobs)
    _add_item(router, jobs)
    return router


def _add_collection(router: APIRouter, jobs: Jobs) -> None:
    @router.get(_COLLECTION, responses={200: {"model": JobList}})
    async def list_segment_jobs(request: Request, query: ListQuery) -> Response:
        """List the jobs of the sandbox, newest first unless `sort` says otherwise."""
        tenant = tenant_of(request)
        return json_response(_list_document(tenant, query, await jobs.find(tenant, query)))

    @router.post(_COLLECTION, responses={200: {"model": Job}, **TOO_MANY_JOBS})
    async def create_segment_job(
        request: Request,
        body: JobBody,
        profile_instance: Annotated[
            str, Header(alias="x-profile-instance-id", max_length=128, description="Echoed.")
        ] = "ups",
    ) -> Response:
        """Start a job over the definitions named, or over all that are published (`*`)."""
        tenant = tenant_of(request)
        call = JobCall(request_id=request_id_of(request), profile_instance_id=profile_instance)
        job = await jobs.create(tenant, body.segment_ids, call)
        return json_response(job_document(tenant, job))

    # Before the routes with an id: `bulk-get` would be one.
    @router.post(
        f"{_COLLECTION}/bulk-get", status_code=207, responses={207: {"model": JobBulkGetAnswer}}
    )
    async def bulk_get_segment_jobs(request: Request, body: JobBulkGetBody) -> Response:
        """Look up to 100 jobs up; 404 when none of them exists."""
        tenant = tenant_of(request)
        ids = list(dict.fromkeys(reference.id for reference in body.ids))
        found = await jobs.get_many(tenant, ids)
        shown = {job_id: job_document(tenant, job) for job_id, job in found.items()}
        return _bulk_answer(request_id_of(request), ids, shown)


def _add_item(router: APIRouter, jobs: Jobs) -> None:
    @router.get(_ITEM, responses={200: {"model": Job}})
    async def get_segment_job(request: Request, job_id: JobId) -> Response:
        """Return one job as it stands."""
        tenant = tenant_of(request)
        return json_response(job_document(tenant, await jobs.get(tenant, job_id)))

    @router.delete(_ITEM, status_code=204)
    async def cancel_segment_job(request: Request, job_id: JobId) -> Response:
        """Cancel a job that has not ended; it is `CANCELLING` until no worker is at it."""
        await jobs.cancel(tenant_of(request), job_id)
        return Response(status_code=204)


def _list_query(
    start: Annotated[int, Query(ge=0, le=MAX_START, description="Page to start from, from 0.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = 100,
    status: Annotated[str, Query(description="Only jobs in this status.")] = "",
    sort: Annotated[
        str | None, Query(description="`field:asc` or `field:desc`, joined by commas.")
    ] = None,
    property: Annotated[
        list[str] | None,
        Query(description="`path==value` or `array~key==value`; all of them if several."),
    ] = None,
    snapshot: Annotated[
        str | None,
        Query(alias="snapshot.name", description="Leave it out: jobs evaluate no snapshots."),
    ] = None,
) -> JobQuery:
    if snapshot is not None:
        text = "snapshot.name: no job evaluates a snapshot in this version; leave it out"
        raise UserError(text, code="invalid-parameter")
    return JobQuery(
        start=start,
        limit=limit,
        order=parse_sort(sort, JOB_SORT_FIELDS),
        status=parse_status(status),
        properties=tuple(parse_job_property(text) for text in property or ()),
    )


def _list_document(tenant: Tenant, query: JobQuery, page: JobPage) -> JsonObject:
    children = [job_document(tenant, job) for job in page.items]
    link: JsonObject = {}
    if query.offset + query.limit < page.total:
        link["href"] = _next_href(query)
    return {
        "_page": {"totalCount": page.total, "pageSize": len(children)},
        "children": children,
        "_links": {"next": link},
    }


def _next_href(query: JobQuery) -> str:
    parameters: list[tuple[str, Any]] = [("start", query.start + 1), ("limit", query.limit)]
    parameters.append(("sort", ",".join(f"{key.field}:{key.direction}" for key in query.order)))
    if query.status:
        parameters.append(("status", query.status))
    parameters += [("property", f"{path}=={value}") for path, value in query.properties]
    return f"@{_COLLECTION}?{urlencode(parameters, safe=':,')}"


def _bulk_answer(request_id: str, ids: list[str], found: dict[str, JsonObject]) -> Response:
    if not found:
        text = f"none of these segment jobs exists: {', '.join(ids)}"
        return problem_response(request_id, "jobs-not-found", [Fault("jobs-not-found", text)])
    code = "job-not-found"
    results = {
        one: found[one]
        if one in found
        else problem_document(request_id, code, [Fault(code, f"there is no segment job {one!r}")])
        for one in ids
    }
    return json_response({"results": results}, 207)


ListQuery = Annotated[JobQuery, Depends(_list_query)]
