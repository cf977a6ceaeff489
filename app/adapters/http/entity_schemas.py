"""Bodies of `/access/entities` as pydantic models, with the JSON names of the public guide.

Requests are strict: what cannot be served is refused, never left aside.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, RootModel, StringConstraints
from pydantic.alias_generators import to_camel

from app.adapters.http.context import MAX_MS
from app.adapters.http.schemas import PROFILE_SCHEMA, Body, Line
from app.domain.model import JsonObject

EVENT_SCHEMA = "_xdm.context.experienceevent"
MAX_EVENTS = 1_000
"""Most events of one profile in an answer, and how many without `limit` (guide)."""
MAX_IDENTITIES = 100
MAX_FIELDS = 1_000

EntityId = Annotated[str, StringConstraints(min_length=1, max_length=1_024)]

_ENTITY: JsonObject = {
    "entityId": "p-1",
    "mergePolicy": {"id": "c0d7a1f2-1b2c-4d3e-8f90-112233445566"},
    "sources": [],
    "entity": {
        "homeAddress": {"city": "Oslo"},
        "identityMap": {"CRMID": [{"id": "p-1", "primary": True}]},
        "identities": [{"id": "p-1", "namespace": {"code": "CRMID"}, "primary": True}],
        "segmentMembership": {
            "ups": {
                "5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901": {
                    "lastQualificationTime": "2026-01-05T10:00:00Z",
                    "status": "realized",
                }
            }
        },
    },
    "lastModifiedAt": "2026-01-05T10:00:00Z",
}
_PAGE: JsonObject = {
    "_page": {
        "orderby": "timestamp",
        "start": "19b8d6f2d5b00001",
        "count": 1,
        "next": "19b8d6f2d5f80002",
    },
    "children": [
        {
            "relatedEntityId": "p-1",
            "entityId": "e-1",
            "timestamp": 1_767_607_198_000,
            "entity": {"eventType": "commerce.purchases"},
        }
    ],
    "_links": {
        "next": {
            "href": "/entities?start=19b8d6f2d5f80002&orderby=timestamp"
            "&schema.name=_xdm.context.experienceevent&relatedSchema.name=_xdm.context.profile"
            "&relatedEntityId=p-1&fields=eventType&limit=1"
        }
    },
}
_IDENTITIES = [{"entityId": "p-1", "entityIdNS": {"code": "CRMID"}}, {"entityId": "p-2"}]
_ASK_PROFILES: JsonObject = {
    "schema": {"name": PROFILE_SCHEMA},
    "fields": ["homeAddress.city", "segmentMembership"],
    "identities": _IDENTITIES,
}
_ASK_EVENTS: JsonObject = {
    "schema": {"name": EVENT_SCHEMA},
    "relatedSchema": {"name": PROFILE_SCHEMA},
    "identities": [{"relatedEntityId": "p-1"}],
    "timeFilter": {"startTime": 1_767_600_000_000, "endTime": 1_767_610_000_000},
    "limit": 10,
    "orderby": "-timestamp",
}


class Strict(Body):
    """A part of a request, in which nothing may be that is not known."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class SchemaName(Strict):
    """A class of entities."""

    name: Line


class Namespace(Strict):
    """An identity namespace."""

    code: Line


class AskedIdentity(Strict):
    """Which profile: `entityId…` for profiles, `relatedEntityId…` for their events."""

    entity_id: EntityId | None = None
    entity_id_ns: Namespace | None = Field(default=None, alias="entityIdNS")
    related_entity_id: EntityId | None = None
    related_entity_id_ns: Namespace | None = Field(default=None, alias="relatedEntityIdNS")
    start: Line | None = Field(default=None, description="Events: `_page.next` of the last page.")


class TimeFilter(Strict):
    """Only events at or after the one, and before the other; epoch milliseconds."""

    start_time: int | None = Field(default=None, ge=0, le=MAX_MS)
    end_time: int | None = Field(default=None, ge=0, le=MAX_MS)


class EntitiesBody(Strict):
    """Several profiles, or the events of several profiles."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ASK_PROFILES, _ASK_EVENTS]})

    schema_class: SchemaName = Field(alias="schema")
    related_schema: SchemaName | None = None
    identities: list[AskedIdentity] = Field(min_length=1, max_length=MAX_IDENTITIES)
    fields: list[str] | None = Field(default=None, max_length=MAX_FIELDS)
    merge_policy_id: str | None = None
    time_filter: TimeFilter | None = None
    limit: int | None = Field(default=None, ge=1, le=MAX_EVENTS)
    orderby: str | None = Field(default=None, description="`+timestamp` or `-timestamp`.")
    order_by: str | None = Field(default=None, description="The same as `orderby`.")
    with_ca: bool | None = Field(
        default=None, alias="withCA", description="Only `false`: there are no computed attributes."
    )


class PolicyReference(Body):
    """The merge policy of the sandbox; there is one."""

    id: str


class ProfileEntity(Body):
    """One profile; `entity` is empty where there is none."""

    entity_id: str
    requested_identity: dict[str, Any] | None = Field(default=None, description="POST only.")
    merge_policy: PolicyReference | None = None
    sources: list[str] = Field(description="Not kept: empty.")
    entity: dict[str, Any]
    last_modified_at: str | None = Field(
        default=None, description="The last change that left a trace; absent for none."
    )


class EventEntity(Body):
    """One event of a profile."""

    related_entity_id: str
    entity_id: str
    timestamp: int = Field(description="Epoch milliseconds.")
    entity: dict[str, Any]


class EventPageInfo(Body):
    """Where a page of events is; `start` and `next` mean nothing to a client."""

    orderby: str
    start: str
    count: int
    next: str = Field(description="Empty on the last page.")


class NextEvents(Body):
    """Where to read on; empty on the last page."""

    href: str
    payload: dict[str, Any] | None = Field(default=None, description="POST: the next body.")


class EventLinks(Body):
    """Where to read on."""

    next: NextEvents


class EventList(Body):
    """One page of the events of a profile."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PAGE]})

    page: EventPageInfo = Field(alias="_page")
    children: list[EventEntity]
    links: EventLinks = Field(alias="_links")


class ProfileEntities(RootModel[dict[str, ProfileEntity]]):
    """Profiles by profile id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"p-1": _ENTITY}]})


class EventLists(RootModel[dict[str, EventList]]):
    """Pages of events by profile id."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"p-1": _PAGE}]})
