"""`/access/entities`: profiles and their events as the published profile access reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.adapters.http.context import BASE_PATH, PROBLEMS, only_parameters, tenant_of
from app.adapters.http.entity_requests import (
    Asked,
    EventsAsked,
    ProfilesAsked,
    QueryAsked,
    asked_by_body,
)
from app.adapters.http.entity_schemas import (
    EVENT_SCHEMA,
    EntitiesBody,
    EventList,
    EventLists,
    ProfileEntities,
)
from app.adapters.http.errors import json_response
from app.adapters.http.schemas import PROFILE_SCHEMA
from app.domain.model import JsonObject
from app.service.entity_access import EntityAccess, Identity, event_child
from app.service.event_query import EventPage, cursor_of

_PATH = "/access/entities"
_NEXT = "/entities"
"""What links begin with: to be read behind `/access` (guide)."""

_STATUSES: dict[int | str, dict[str, Any]] = {
    status: PROBLEMS[status] for status in (400, 403, 404, 503)
}


def entities_router(access: EntityAccess) -> APIRouter:
    """Return the routes of profile access."""
    router = APIRouter(prefix=BASE_PATH, tags=["Entities"], responses=_STATUSES)

    @router.get(_PATH, responses={200: {"model": ProfileEntities | EventList}})
    async def get_entity(request: Request, asked: QueryAsked) -> Response:
        """Return a profile by its id, or a page of its kept events."""
        tenant = tenant_of(request)
        if isinstance(asked, ProfilesAsked):
            (identity,) = asked.identities
            return json_response(await access.profile(tenant, identity, asked.fields))
        pages = await access.events(tenant, asked.starts, asked.query)
        ((identity, page),) = pages.items()
        link = {"href": _next_href(asked, identity, page)}
        return json_response(_page_document(asked, identity, page, link))

    @router.post(
        _PATH,
        responses={200: {"model": ProfileEntities | EventLists}, 413: PROBLEMS[413]},
    )
    async def get_entities(request: Request, body: EntitiesBody) -> Response:
        """Return several profiles, or a page of the kept events of each."""
        only_parameters(request, ())
        tenant = tenant_of(request)
        asked: Asked = asked_by_body(tenant, body)
        if isinstance(asked, ProfilesAsked):
            return json_response(await access.profiles(tenant, asked.identities, asked.fields))
        pages = await access.events(tenant, asked.starts, asked.query)
        return json_response(
            {
                identity.entity_id: _page_document(
                    asked, identity, page, _next_payload(asked, identity, page)
                )
                for identity, page in pages.items()
            }
        )

    return router


def _page_document(
    asked: EventsAsked, identity: Identity, page: EventPage, link: JsonObject
) -> JsonObject:
    events = page.events
    return {
        "_page": {
            "orderby": _orderby(asked),
            "start": cursor_of(events[0].order) if events else "",
            "count": len(events),
            "next": page.following or "",
        },
        "children": [event_child(identity, event, asked.fields) for event in events],
        "_links": {"next": link},
    }


def _orderby(asked: EventsAsked) -> str:
    return "-timestamp" if asked.query.descending else "timestamp"


def _next_href(asked: EventsAsked, identity: Identity, page: EventPage) -> str:
    if page.following is None:
        return ""
    query = asked.query
    parameters: list[tuple[str, Any]] = [
        ("start", page.following),
        ("orderby", _orderby(asked)),
        ("schema.name", EVENT_SCHEMA),
        ("relatedSchema.name", PROFILE_SCHEMA),
        ("relatedEntityId", identity.entity_id),
        ("relatedEntityIdNS", identity.namespace),
        ("fields", None if asked.fields.names is None else ",".join(asked.fields.names)),
        ("startTime", query.start_ms or None),
        ("endTime", query.end_ms if query.has_end else None),
        ("limit", query.limit),
        *(("property", condition.text) for condition in query.filters),
    ]
    given = [(name, value) for name, value in parameters if value is not None]
    return f"{_NEXT}?{urlencode(given, safe=',')}"


def _next_payload(asked: EventsAsked, identity: Identity, page: EventPage) -> JsonObject:
    if page.following is None:
        return {"href": ""}
    query = asked.query
    one: JsonObject = {"relatedEntityId": identity.entity_id, "start": page.following}
    if identity.namespace is not None:
        one["relatedEntityIdNS"] = {"code": identity.namespace}
    times = {"startTime": query.start_ms} if query.start_ms else {}
    if query.has_end:
        times["endTime"] = query.end_ms
    payload: JsonObject = {
        "schema": {"name": EVENT_SCHEMA},
        "relatedSchema": {"name": PROFILE_SCHEMA},
        "identities": [one],
        "limit": query.limit,
        "orderby": _orderby(asked),
    }
    if times:
        payload["timeFilter"] = times
    if asked.fields.names is not None:
        payload["fields"] = list(asked.fields.names)
    return {"href": _NEXT, "payload": payload}
