"""Answers of `/profiles` as pydantic models, for OpenAPI; and the body of an update."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from app.adapters.http.schemas import Body, Links, PageInfo
from app.adapters.kafka.asyncapi import schema
from app.domain.model import JsonObject
from app.service.profile_updates import MAX_UPDATES

_SEGMENT_ID = "5b1d9a2e-3f70-4c0b-8e6d-b2a7d1c4f901"
_MEMBERSHIP: JsonObject = {
    "ups": {_SEGMENT_ID: {"lastQualificationTime": "2026-01-05T10:00:00Z", "status": "realized"}}
}
_EVENT: JsonObject = {
    "_id": "e-1",
    "eventType": "commerce.purchases",
    "timestamp": "2026-01-05T09:59:58Z",
    "commerce": {"order": {"priceTotal": 99.5}},
}
_PROFILE: JsonObject = {
    "profileId": "p-1",
    "attributes": {"homeAddress": {"city": "Oslo"}},
    "segmentMembership": _MEMBERSHIP,
    "events": [_EVENT],
    "page": {
        "totalCount": 3,
        "totalPages": 3,
        "sortField": "timestamp",
        "sort": "desc",
        "pageSize": 1,
        "limit": 1,
    },
    "link": {"next": {"href": "/profiles/p-1?start=1&limit=1&sort=timestamp:desc"}},
    "eventCount": 3,
    "lastModifiedAt": "2026-01-05T10:00:00Z",
    "clock": "2026-01-05T10:12:34.567Z",
}


class ProfileMembership(Body):
    """The stored memberships of one profile, by namespace and segment id."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"profileId": "p-1", "segmentMembership": _MEMBERSHIP}]}
    )

    profile_id: str
    segment_membership: dict[str, dict[str, Any]]


class Profile(Body):
    """What is stored of one profile, with one page of its events."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PROFILE]})

    profile_id: str
    attributes: dict[str, Any] = Field(description="The profile record.")
    segment_membership: dict[str, dict[str, Any]]
    events: list[dict[str, Any]] = Field(
        description="As they were sent, with `timestamp` in UTC as what they count as."
    )
    page: PageInfo
    link: Links
    event_count: int = Field(description="Events that are kept, on all pages.")
    last_modified_at: str | None = Field(
        description="The last change that left a trace; an update of attributes alone leaves one"
        " only if it had an `eventId`. Null for none."
    )
    clock: str = Field(description="The clock of the profile's partition: what windows end at.")


class Accepted(Body):
    """One update that is in the input topic."""

    event_id: str | None = Field(description="Null where the update has none.")
    partition: int
    offset: int


class AcceptedUpdates(Body):
    """Where the updates are, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "profileId": "p-1",
                    "updates": [{"eventId": "01J8X4T0V6", "partition": 3, "offset": 4711}],
                }
            ]
        }
    )

    profile_id: str
    updates: list[Accepted]


class AcceptedDeletion(Body):
    """Where the deletion is in the input topic."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"profileId": "p-1", "partition": 3, "offset": 4712}]}
    )

    profile_id: str
    partition: int
    offset: int


def updates_body() -> JsonObject:
    """Return the request body of updates for OpenAPI: the published schemas of the input topic."""
    update, envelope = _inlined("profile-update"), _inlined("profile-update-envelope")
    for name, where in _FILLED_IN.items():
        update["properties"][name]["description"] = where
    one = {"anyOf": [update, envelope]}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_UPDATES}
    return {"required": True, "content": {"application/json": _with_examples([one, many])}}


_FILLED_IN = {
    "orgId": "Filled in from the headers; another one is refused.",
    "sandboxName": "Filled in from the headers; another one is refused.",
    "profileId": "May be left out; another one than that of the path is refused.",
}


def _with_examples(forms: list[JsonObject]) -> JsonObject:
    update: JsonObject = {
        "eventId": "01J8X4T0V6",
        "attributes": {"homeAddress": {"city": "Oslo"}, "person": {"gender": None}},
    }
    return {
        "schema": {"anyOf": forms},
        "examples": {
            "one": {"value": update},
            "several": {"value": [update, {"event": _EVENT}]},
            "envelope": {
                "value": {
                    "header": {},
                    "body": {"xdmEntity": {**_EVENT, "_id": "e-2"}},
                }
            },
        },
    }


def _inlined(name: str) -> JsonObject:
    """Return a published schema without references: inside OpenAPI they would point elsewhere."""
    found = dict(schema(name))
    definitions = found.pop("$defs", {})
    for key in ("$schema", "$id"):
        found.pop(key, None)

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolved(definitions[value["$ref"].removeprefix("#/$defs/")])
        return {key: resolved(item) for key, item in value.items()}

    inlined: JsonObject = resolved(found)
    return inlined
