"""`/config/schedules`: recurring segment jobs and exports."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import BASE_PATH, MAX_START, PROBLEMS, TOO_MANY_JOBS, tenant_of
from app.adapters.http.definitions import MAX_LIMIT, now_ms
from app.adapters.http.errors import json_response
from app.adapters.http.problem_schemas import Problem
from app.adapters.http.schedule_schemas import (
    AudienceMap,
    ScheduleAnswer,
    ScheduleBody,
    ScheduleList,
    SchedulePatchOperation,
    ScheduleReference,
    ScheduleSegments,
    SegmentList,
    SegmentsAdded,
    SegmentsRemoved,
    change_of,
)
from app.domain.model import JsonObject
from app.service.schedule_document import frequency_of, schedule_document
from app.service.schedule_segments import SegmentsChanged
from app.service.schedules import Schedules

_COLLECTION = "/config/schedules"
_ITEM = f"{_COLLECTION}/{{scheduleId}}"

ScheduleId = Annotated[str, Path(alias="scheduleId", description="Id of the schedule.")]
Start = Annotated[int, Query(ge=0, le=MAX_START, description="Page to return, from 0.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Schedules on a page.")]
Operations = Annotated[list[SchedulePatchOperation], Body(min_length=1)]


def schedules_router(schedules: Schedules) -> APIRouter:
    """Return the routes of schedules."""
    problems: dict[int | str, dict[str, Any]] = {
        status: shown for status, shown in PROBLEMS.items() if status not in (409, 422)
    }
    refused = "The request is malformed, or the schedule is refused."
    problems[400] = {"model": Problem, "description": refused}
    problems[429] = {"model": Problem, "description": "Too many write the schedule; try again."}
    router = APIRouter(prefix=BASE_PATH, tags=["Schedules"], responses=problems)
    _add_collection(router, schedules)
    _add_segments(router, schedules)
    _add_item(router, schedules)
    return router


def _add_collection(router: APIRouter, schedules: Schedules) -> None:
    @router.get(_COLLECTION, responses={200: {"model": ScheduleList}})
    async def list_schedules(request: Request, start: Start = 0, limit: Limit = 100) -> Response:
        """List the schedules of the sandbox, newest first."""
        tenant = tenant_of(request)
        total, found = await schedules.page(tenant, start, limit)
        page: JsonObject = {"totalCount": total, "pageSize": len(found)}
        link: JsonObject = {}
        if (start + 1) * limit < total:
            page["next"] = str(start + 1)
            parameters = urlencode({"start": start + 1, "limit": limit})
            link["href"] = f"@{_COLLECTION}?{parameters}"
        children = [schedule_document(tenant, one) for one in found]
        return json_response({"_page": page, "children": children, "_links": {"next": link}})

    @router.post(_COLLECTION, responses={200: {"model": ScheduleAnswer}, 409: PROBLEMS[409]})
    async def create_schedule(request: Request, body: ScheduleBody) -> Response:
        """Create a schedule; it runs only while it is active."""
        tenant = tenant_of(request)
        created = await schedules.create(tenant, body.to_input(), now_ms())
        return json_response(schedule_document(tenant, created))


def _add_segments(router: APIRouter, schedules: Schedules) -> None:
    # Before the routes with an id: each of these words would be one.
    @router.post(f"{_COLLECTION}/add-audiences", responses={200: {"model": SegmentsAdded}})
    async def add_audiences(request: Request, body: ScheduleSegments) -> Response:
        """Add audiences to a schedule that names its own."""
        changed = await schedules.change_segments(
            tenant_of(request), body.id, body.segments, now_ms(), adding=True
        )
        return json_response({"added": changed.changed, **_rest(changed)})

    @router.post(f"{_COLLECTION}/remove-audiences", responses={200: {"model": SegmentsRemoved}})
    async def remove_audiences(request: Request, body: ScheduleSegments) -> Response:
        """Remove audiences from a schedule that names its own."""
        changed = await schedules.change_segments(
            tenant_of(request), body.id, body.segments, now_ms(), adding=False
        )
        return json_response({"removed": changed.changed, **_rest(changed)})

    @router.post(f"{_COLLECTION}/audience-map", responses={200: {"model": AudienceMap}})
    async def audience_map(request: Request, body: SegmentList) -> Response:
        """Look up which schedules evaluate audiences."""
        found = await schedules.schedules_of(tenant_of(request), body.segments)
        named = {one.schedule_id: one for row in found.values() for one in row}
        return json_response(
            {
                "audienceMap": {
                    segment_id: [one.schedule_id for one in row]
                    for segment_id, row in found.items()
                },
                "schedules": {
                    one.schedule_id: {
                        "name": one.name,
                        "schedule": one.cron,
                        "frequency": frequency_of(one),
                    }
                    for one in named.values()
                },
            }
        )

    @router.post(
        f"{_COLLECTION}/trigger",
        response_class=Response,
        responses={
            200: {"description": "Started; no body."},
            409: PROBLEMS[409],
            **TOO_MANY_JOBS,
        },
    )
    async def trigger_schedule(request: Request, body: ScheduleReference) -> Response:
        """Start the job of a schedule now, be it active or not."""
        await schedules.trigger(tenant_of(request), body.id, now_ms())
        return Response(status_code=200)


def _add_item(router: APIRouter, schedules: Schedules) -> None:
    @router.get(_ITEM, responses={200: {"model": ScheduleAnswer}})
    async def get_schedule(request: Request, schedule_id: ScheduleId) -> Response:
        """Return one schedule, with its next and last run."""
        tenant = tenant_of(request)
        return json_response(schedule_document(tenant, await schedules.get(tenant, schedule_id)))

    @router.patch(_ITEM, status_code=204)
    async def patch_schedule(
        request: Request, schedule_id: ScheduleId, operations: Operations
    ) -> Response:
        """Change state or expression, all operations or none; in force at once."""
        change = change_of(operations)
        await schedules.change(tenant_of(request), schedule_id, change, now_ms())
        return Response(status_code=204)

    @router.delete(_ITEM, status_code=204)
    async def delete_schedule(request: Request, schedule_id: ScheduleId) -> Response:
        """Remove a schedule; jobs that it started go on."""
        await schedules.delete(tenant_of(request), schedule_id)
        return Response(status_code=204)


def _rest(changed: SegmentsChanged) -> JsonObject:
    previous, current = len(changed.before), len(changed.after)
    return {
        "existing": changed.existing,
        "invalid": changed.invalid,
        "segmentCount": {
            "previous": previous,
            "current": current,
            "diff": current - previous,
        },
    }
