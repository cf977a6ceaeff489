"""Profiles and events as entities, as the published profile access shows them.

Source: public guide "Entities endpoint (Profile access)". What an identity is here, and what of
the guide has no counterpart, is in docs/decisions/0204.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import NotFound
from app.domain.model import JsonObject, Tenant
from app.domain.timestamps import iso_text
from app.service.definition_document import default_merge_policy_id
from app.service.entity_fields import Fields
from app.service.event_query import (
    EventPage,
    EventQuery,
    FoundEvent,
    cursor_of,
    parse_cursor,
    select_events,
)
from app.service.identity_map import identities_of
from app.service.profile_view import ProfileView
from app.service.profiles import Profiles

MEMBERSHIP = "segmentMembership"
_UNKNOWN_SINCE = iso_text(0)
"""`lastModifiedAt` of an entity that is not there (guide)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which profile.

    Attributes:
        entity_id: The profile id.
        namespace: The profile must have `entity_id` as an identity in this namespace, in any
            case; None asks for nothing but the profile id.
    """

    entity_id: str
    namespace: str | None = None

    def belongs_to(self, view: ProfileView) -> bool:
        """Tell whether a profile of this id has the identity."""
        if self.namespace is None:
            return True
        wanted = self.namespace.casefold()
        return any(
            namespace.casefold() == wanted and item.get("id") == self.entity_id
            for namespace, item in identities_of(view.attributes)
        )

    @property
    def requested(self) -> JsonObject:
        """It as a request names it."""
        if self.namespace is None:
            return {"entityId": self.entity_id}
        return {"entityId": self.entity_id, "entityIdNS": {"code": self.namespace}}

    def __str__(self) -> str:
        where = "" if self.namespace is None else f" with an identity in {self.namespace!r}"
        return f"{self.entity_id!r}{where}"


class EntityAccess:
    """Looks entities up."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def profile(self, tenant: Tenant, identity: Identity, fields: Fields) -> JsonObject:
        """Return one profile, by its id.

        Raises:
            NotFound: There is none that has the identity.
        """
        found = await self._found(tenant, [identity], with_events=False)
        return {one.entity_id: _profile(tenant, one, view, fields) for one, view in found.items()}

    async def profiles(
        self, tenant: Tenant, identities: Sequence[Identity], fields: Fields
    ) -> JsonObject:
        """Return profiles by their ids; an empty entity for each that is not there.

        Raises:
            NotFound: None of them is there.
        """
        found = await self._found(tenant, identities, with_events=False)
        return {
            one.entity_id: {
                "requestedIdentity": one.requested,
                **_profile(tenant, one, view, fields),
            }
            for one, view in found.items()
        }

    async def events(
        self, tenant: Tenant, starts: Mapping[Identity, str | None], query: EventQuery
    ) -> dict[Identity, EventPage]:
        """Return a page of the events of each profile; an empty one of a profile that is not there.

        Args:
            tenant: Of the profiles.
            starts: The cursor of the page by profile, None for the first page.
            query: What to read of each.

        Raises:
            NotFound: None of the profiles is there.
            UserError: A cursor is none.
        """
        cursors = {
            one: None if start is None else parse_cursor(start) for one, start in starts.items()
        }
        found = await self._found(tenant, list(starts), with_events=True)
        return {
            one: EventPage((), None) if view is None else select_events(view, query, cursors[one])
            for one, view in found.items()
        }

    async def _found(
        self, tenant: Tenant, identities: Sequence[Identity], *, with_events: bool
    ) -> dict[Identity, ProfileView | None]:
        ids = [one.entity_id for one in identities]
        views = await self._profiles.views(tenant, ids, with_events=with_events)
        found: dict[Identity, ProfileView | None] = {}
        for one in identities:
            view = views.get(one.entity_id)
            found[one] = view if view is not None and one.belongs_to(view) else None
        if not any(found.values()):
            listed = ", ".join(str(one) for one in identities)
            text = f"not in this sandbox: {listed}; profiles are looked up by profile id"
            raise NotFound(text, code="profile-not-found")
        return found


def _profile(
    tenant: Tenant, identity: Identity, view: ProfileView | None, fields: Fields
) -> JsonObject:
    document: JsonObject = {"entityId": identity.entity_id}
    if view is None:
        return document | {"sources": [""], "entity": {}, "lastModifiedAt": _UNKNOWN_SINCE}
    document["mergePolicy"] = {"id": default_merge_policy_id(tenant)}
    # Where attributes came from is not kept.
    document |= {"sources": [], "entity": fields.of(profile_entity(view))}
    if view.last_modified_ms is not None:
        document["lastModifiedAt"] = iso_text(view.last_modified_ms)
    return document


def profile_entity(view: ProfileView) -> JsonObject:
    """Return all fields of a profile: its attributes, identities and memberships."""
    entity = dict(view.attributes)
    identities = [_listed(namespace, item) for namespace, item in identities_of(view.attributes)]
    if identities:
        entity.setdefault("identities", identities)
    ingested = entity.get(MEMBERSHIP)
    external = ingested if isinstance(ingested, dict) else {}
    entity[MEMBERSHIP] = external | view.membership
    return entity


def _listed(namespace: str, item: JsonObject) -> JsonObject:
    listed: JsonObject = {"id": item.get("id"), "namespace": {"code": namespace}}
    return listed | {"primary": True} if item.get("primary") is True else listed


def event_child(identity: Identity, event: FoundEvent, fields: Fields) -> JsonObject:
    """Return an event as an entity; one without `_id` is called by its place in the history."""
    own_id = event.document.get("_id")
    return {
        "relatedEntityId": identity.entity_id,
        "entityId": own_id if isinstance(own_id, str) and own_id else cursor_of(event.order),
        "timestamp": event.at_ms,
        "entity": fields.of(event.document),
    }
