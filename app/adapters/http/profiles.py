"""`/profiles`: what is stored of one profile, and updates of it without a Kafka client.

An extension: its paths have no base path. A profile id may contain slashes, which arrive decoded.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.context import MAX_START, PROBLEMS, only_parameters, tenant_of
from app.adapters.http.definitions import MAX_LIMIT, now_ms
from app.adapters.http.errors import json_response
from app.adapters.http.profile_schemas import (
    AcceptedDeletion,
    AcceptedUpdates,
    Profile,
    ProfileMembership,
    updates_body,
)
from app.domain.errors import UserError
from app.domain.model import JsonObject, ProfileKey
from app.domain.timestamps import iso_text
from app.service.event_query import EventRows, select_rows
from app.service.profile_updates import ProfileUpdates
from app.service.profile_view import ProfileView
from app.service.profiles import Profiles

_ITEM = "/profiles/{profileId:path}"
_SORTS = {"timestamp": False, "timestamp:asc": False, "timestamp:desc": True}

ProfileId = Annotated[str, Path(alias="profileId", description="Id of the profile.")]
_READING: dict[int | str, dict[str, Any]] = {
    status: PROBLEMS[status] for status in (400, 403, 404, 503)
}
_AWAY: dict[int | str, dict[str, Any]] = {
    503: PROBLEMS[503] | {"description": "Kafka or Redis does not answer; try again."}
}


def profiles_router(profiles: Profiles, updates: ProfileUpdates) -> APIRouter:
    """Return the routes of profiles."""
    router = APIRouter(tags=["Profiles"])
    # First: the path of a whole profile matches theirs too.
    _add_parts(router, profiles, updates)
    _add_item(router, profiles, updates)
    return router


def _add_parts(router: APIRouter, profiles: Profiles, updates: ProfileUpdates) -> None:
    @router.get(f"{_ITEM}/membership", responses={**_READING, 200: {"model": ProfileMembership}})
    async def get_membership(request: Request, profile_id: ProfileId) -> Response:
        """Return the stored segment memberships of a profile, as of its last evaluation."""
        stored = await profiles.membership(ProfileKey(tenant_of(request), profile_id))
        return json_response({"profileId": profile_id, "segmentMembership": stored})

    @router.post(
        f"{_ITEM}/updates",
        status_code=202,
        responses={
            **{status: PROBLEMS[status] for status in (400, 403, 413)},
            **_AWAY,
            202: {"model": AcceptedUpdates},
        },
        openapi_extra={"requestBody": updates_body()},
    )
    async def append_updates(request: Request, profile_id: ProfileId) -> Response:
        """Append updates of a profile to the input topic, in their order, if all of them are right.

        They are in Kafka when this answers, and applied soon after by the worker of the profile.
        """
        only_parameters(request, ())
        key = ProfileKey(tenant_of(request), profile_id)
        # Read by the decoder of the workers, not by the framework.
        body = orjson.loads(await request.body())
        accepted = await updates.accept(key, body, now_ms())
        listed = [{"eventId": one.event_id, **one.position._asdict()} for one in accepted]
        return json_response({"profileId": profile_id, "updates": listed}, 202)


def _add_item(router: APIRouter, profiles: Profiles, updates: ProfileUpdates) -> None:
    @router.get(_ITEM, responses={**_READING, 200: {"model": Profile}})
    async def get_profile(request: Request, profile_id: ProfileId, rows: Rows) -> Response:
        """Return what is stored of a profile, with one page of its kept events."""
        key = ProfileKey(tenant_of(request), profile_id)
        view = await profiles.view(key, with_events=True)
        return json_response(_document(view, rows))

    @router.delete(
        _ITEM, status_code=202, responses={**_READING, **_AWAY, 202: {"model": AcceptedDeletion}}
    )
    async def delete_profile(request: Request, profile_id: ProfileId) -> Response:
        """Append the deletion of a profile to the input topic.

        The worker of the profile then publishes its exits and erases it.
        """
        only_parameters(request, ())
        key = ProfileKey(tenant_of(request), profile_id)
        position = await updates.delete(key, now_ms())
        return json_response({"profileId": profile_id, **position._asdict()}, 202)


async def _rows(
    request: Request,
    start: Annotated[
        int, Query(ge=0, le=MAX_START, description="Events to skip in the order asked for.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Events on a page.")] = 100,
    page: Annotated[int, Query(ge=0, le=MAX_START, description="Page to return, from 0.")] = 0,
    sort: Annotated[
        str, Query(description="`timestamp:desc` (newest first) or `timestamp:asc`.")
    ] = "timestamp:desc",
) -> EventRows:
    only_parameters(request, ("start", "limit", "page", "sort"))
    if start and page:
        text = "start and page are both given; send the one or the other"
        raise UserError(text, code="invalid-parameter")
    if sort not in _SORTS:
        text = f"sort is {sort!r}; send timestamp:desc or timestamp:asc"
        raise UserError(text, code="invalid-parameter")
    return EventRows(start or page * limit, limit, _SORTS[sort])


Rows = Annotated[EventRows, Depends(_rows)]


def _document(view: ProfileView, rows: EventRows) -> JsonObject:
    events = [event.document for event in select_rows(view, rows)]
    total = len(view.orders)
    changed_ms = view.last_modified_ms
    return {
        "profileId": view.profile_id,
        "attributes": view.attributes,
        "segmentMembership": view.membership,
        "events": events,
        "page": {
            "totalCount": total,
            "totalPages": -(-total // rows.limit),
            "sortField": "timestamp",
            "sort": rows.direction,
            "pageSize": len(events),
            "limit": rows.limit,
        },
        "link": _link(view.profile_id, rows, total),
        "eventCount": total,
        "lastModifiedAt": None if changed_ms is None else iso_text(changed_ms),
        "clock": iso_text(view.clock_ms),
    }


def _link(profile_id: str, rows: EventRows, total: int) -> JsonObject:
    following = rows.offset + rows.limit
    if following >= total:
        return {}
    parameters = {"start": following, "limit": rows.limit, "sort": f"timestamp:{rows.direction}"}
    path = f"/profiles/{quote(profile_id)}"
    return {"next": {"href": f"{path}?{urlencode(parameters, safe=':')}"}}
