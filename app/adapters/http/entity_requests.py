"""Requests of `/access/entities` in either form, query or body, as what the use cases take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from app.adapters.http.context import MAX_MS, only_parameters, tenant_of
from app.adapters.http.entity_schemas import (
    EVENT_SCHEMA,
    MAX_EVENTS,
    AskedIdentity,
    EntitiesBody,
)
from app.adapters.http.schemas import PROFILE_SCHEMA
from app.domain.errors import UserError
from app.domain.model import Tenant
from app.service.definition_document import default_merge_policy_id
from app.service.entity_access import Identity
from app.service.entity_fields import ALL_FIELDS, Fields, parse_fields
from app.service.event_query import EventQuery
from app.service.property_filter import MAX_FILTERS, parse_filter

MAX_ANSWER_EVENTS = 10_000
"""Most events in one answer: `limit` times the number of profiles."""

_OF_BOTH = ("schema.name", "fields", "mergePolicyId", "withCA")
_OF_PROFILES = (*_OF_BOTH, "entityId", "entityIdNS")
_OF_EVENTS = (
    *_OF_BOTH,
    "relatedSchema.name",
    "relatedEntityId",
    "relatedEntityIdNS",
    "startTime",
    "endTime",
    "limit",
    "orderby",
    "orderBy",
    "start",
    "property",
)
_ORDERS = {"timestamp": False, "+timestamp": False, "-timestamp": True}


@dataclass(frozen=True, slots=True)
class ProfilesAsked:
    """Profiles, by their ids."""

    identities: tuple[Identity, ...]
    fields: Fields


@dataclass(frozen=True, slots=True)
class EventsAsked:
    """Events of profiles; `starts` has the cursor of each, None for the first page."""

    starts: Mapping[Identity, str | None]
    fields: Fields
    query: EventQuery


Asked = ProfilesAsked | EventsAsked


async def asked_by_query(
    request: Request,
    schema_name: Annotated[
        str | None,
        Query(alias="schema.name", description=f"Required: `{PROFILE_SCHEMA}`, `{EVENT_SCHEMA}`."),
    ] = None,
    related_schema: Annotated[
        str | None,
        Query(alias="relatedSchema.name", description=f"Events, required: `{PROFILE_SCHEMA}`."),
    ] = None,
    entity_id: Annotated[
        str | None, Query(alias="entityId", description="Profiles, required: the profile id.")
    ] = None,
    entity_id_ns: Annotated[
        str | None,
        Query(alias="entityIdNS", description="The profile must have the id in this namespace."),
    ] = None,
    related_entity_id: Annotated[
        str | None, Query(alias="relatedEntityId", description="Events, required: the profile id.")
    ] = None,
    related_entity_id_ns: Annotated[
        str | None, Query(alias="relatedEntityIdNS", description="As `entityIdNS`, for events.")
    ] = None,
    fields: Annotated[
        str | None, Query(description="Dotted paths, joined by commas; all fields without it.")
    ] = None,
    merge_policy_id: Annotated[
        str | None, Query(alias="mergePolicyId", description="That of the sandbox.")
    ] = None,
    start_time: Annotated[
        int | None,
        Query(alias="startTime", ge=0, le=MAX_MS, description="Events from here on, in ms."),
    ] = None,
    end_time: Annotated[
        int | None,
        Query(alias="endTime", ge=0, le=MAX_MS, description="Events before this, in ms."),
    ] = None,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_EVENTS, description="Events on a page; 1,000 without it.")
    ] = None,
    orderby: Annotated[
        str | None, Query(description="Events: `+timestamp` (default) or `-timestamp`.")
    ] = None,
    order_by: Annotated[
        str | None, Query(alias="orderBy", description="The same as `orderby`.")
    ] = None,
    start: Annotated[
        str | None, Query(description="Events: `_page.next` of the last page.")
    ] = None,
    property: Annotated[
        list[str] | None,
        Query(description="Events: `path=value`, also with !=, <, <=, >, >=; up to three."),
    ] = None,
    with_ca: Annotated[
        bool | None,
        Query(alias="withCA", description="Only `false`: there are no computed attributes."),
    ] = None,
) -> Asked:
    """Read the query of a GET.

    Raises:
        UserError: What is asked for cannot be served.
    """
    known = _OF_EVENTS if schema_name == EVENT_SCHEMA else _OF_PROFILES
    _check_schema("schema.name", schema_name, (PROFILE_SCHEMA, EVENT_SCHEMA))
    only_parameters(request, known, repeated=("property",))
    tenant = tenant_of(request)
    _check_common(tenant, merge_policy_id, with_ca)
    shown = ALL_FIELDS if fields is None else parse_fields(fields.split(","))
    if schema_name == PROFILE_SCHEMA:
        return ProfilesAsked((_identity("entityId", entity_id, entity_id_ns),), shown)
    _check_schema("relatedSchema.name", related_schema, (PROFILE_SCHEMA,))
    identity = _identity("relatedEntityId", related_entity_id, related_entity_id_ns)
    query = _event_query(start_time, end_time, limit, orderby, order_by, property or [])
    return EventsAsked({identity: start}, shown, query)


def asked_by_body(tenant: Tenant, body: EntitiesBody) -> Asked:
    """Read the body of a POST.

    Raises:
        UserError: What is asked for cannot be served.
    """
    name = body.schema_class.name
    _check_schema("schema.name", name, (PROFILE_SCHEMA, EVENT_SCHEMA))
    _check_common(tenant, body.merge_policy_id, body.with_ca)
    shown = ALL_FIELDS if body.fields is None else parse_fields(body.fields)
    if name == PROFILE_SCHEMA:
        _refuse_event_fields(body)
        return ProfilesAsked(tuple(_identities(body.identities, of_events=False)), shown)
    related = body.related_schema
    _check_schema(
        "relatedSchema.name", None if related is None else related.name, (PROFILE_SCHEMA,)
    )
    found = _identities(body.identities, of_events=True)
    starts = dict(zip(found, [one.start for one in body.identities], strict=True))
    time = body.time_filter
    start_ms, end_ms = (None, None) if time is None else (time.start_time, time.end_time)
    query = _event_query(start_ms, end_ms, body.limit, body.orderby, body.order_by, [])
    if query.limit * len(found) > MAX_ANSWER_EVENTS:
        text = (
            f"{len(found)} identities with up to {query.limit} events each are more than"
            f" {MAX_ANSWER_EVENTS:,} events; lower limit, or ask for fewer profiles at a time"
        )
        raise UserError(text, code="invalid-body")
    return EventsAsked(starts, shown, query)


def _refuse_event_fields(body: EntitiesBody) -> None:
    given = {
        "relatedSchema": body.related_schema,
        "timeFilter": body.time_filter,
        "limit": body.limit,
        "orderby": body.orderby,
        "orderBy": body.order_by,
    }
    for name, value in given.items():
        if value is not None:
            text = f"{name} is about events; leave it out, or ask for {EVENT_SCHEMA}"
            raise UserError(text, code="invalid-body")


def _identities(asked: list[AskedIdentity], *, of_events: bool) -> list[Identity]:
    found: dict[str, Identity] = {}
    for number, one in enumerate(asked):
        where = f"identities.{number}."
        own = (one.entity_id, one.entity_id_ns)
        related = (one.related_entity_id, one.related_entity_id_ns)
        (entity_id, namespace), others = (related, own) if of_events else (own, related)
        name = "relatedEntityId" if of_events else "entityId"
        if any(others) or (one.start and not of_events):
            text = f"{where}: of this schema are {name} and {name}NS{' and start' * of_events} only"
            raise UserError(text, code="invalid-body")
        identity = _identity(where + name, entity_id, None if namespace is None else namespace.code)
        if identity.entity_id in found:
            text = f"{where}{name}: {identity.entity_id!r} is asked for twice; ask once"
            raise UserError(text, code="invalid-body")
        found[identity.entity_id] = identity
    return list(found.values())


def _identity(name: str, entity_id: str | None, namespace: str | None) -> Identity:
    if not entity_id:
        text = f"{name} is missing; send the id of a profile"
        raise UserError(text, code="invalid-parameter")
    if namespace is not None and not namespace:
        text = f"{name}NS is empty; send a namespace such as Email, or leave it out"
        raise UserError(text, code="invalid-parameter")
    return Identity(entity_id, namespace)


def _check_schema(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value not in known:
        said = "is missing" if value is None else f"is {value[:128]!r}"
        text = f"{name} {said}; send {' or '.join(known)}"
        raise UserError(text, code="invalid-parameter")


def _check_common(tenant: Tenant, merge_policy_id: str | None, with_ca: bool | None) -> None:
    policy = default_merge_policy_id(tenant)
    if merge_policy_id not in (None, policy):
        text = f"mergePolicyId: this sandbox has the merge policy {policy} alone; leave it out"
        raise UserError(text, code="invalid-parameter")
    if with_ca:
        text = "withCA: there are no computed attributes; send false, or leave it out"
        raise UserError(text, code="invalid-parameter")


def _event_query(
    start_ms: int | None,
    end_ms: int | None,
    limit: int | None,
    orderby: str | None,
    order_by: str | None,
    filters: list[str],
) -> EventQuery:
    if orderby is not None and order_by is not None:
        raise UserError("orderby and orderBy are both given; send one", code="invalid-parameter")
    if len(filters) > MAX_FILTERS:
        text = f"property is given {len(filters)} times; at most {MAX_FILTERS} are taken"
        raise UserError(text, code="invalid-parameter")
    changed: dict[str, Any] = {"start_ms": start_ms, "end_ms": end_ms, "limit": limit}
    return EventQuery(
        descending=_is_descending(orderby or order_by or "timestamp"),
        filters=tuple(parse_filter(text) for text in filters),
        **{name: value for name, value in changed.items() if value is not None},
    )


def _is_descending(order: str) -> bool:
    # A plus sign in a query that was not encoded arrives as a space.
    found = _ORDERS.get(order.strip())
    if found is None:
        text = f"orderby is {order!r}; send +timestamp or -timestamp"
        raise UserError(text, code="invalid-parameter")
    return found


QueryAsked = Annotated[Asked, Depends(asked_by_query)]
