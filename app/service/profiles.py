"""Use case: what is stored of profiles, read without evaluating anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.errors import NotFound
from app.domain.model import JsonObject, ProfileKey, Tenant
from app.engine.state_codec import decode
from app.service.membership import segment_membership
from app.service.profile_view import ProfileView, StoredProfile


class ProfileStore(Protocol):
    """Profiles as the workers wrote them. Both methods raise `Unavailable`."""

    async def state(self, key: ProfileKey) -> bytes | None:
        """Return the packed state of a profile, None when nothing is stored."""
        ...

    async def profiles(
        self, keys: Sequence[ProfileKey], *, with_events: bool
    ) -> dict[ProfileKey, StoredProfile]:
        """Return what is stored of each profile, each as of one instant; absent where nothing is.

        Args:
            keys: Each once.
            with_events: Whether the frames of the events are asked for too.
        """
        ...


class SegmentIds(Protocol):
    """Segment ids by ordinal, of the definitions that exist now."""

    async def tag(self, tenant: Tenant) -> str:
        """Return the catalogue tag: equal tags mean equal ids."""
        ...

    async def segment_ids(self, tenant: Tenant) -> dict[int, str]:
        """Return the id of each existing definition by ordinal."""
        ...

    async def namespaces(self, tenant: Tenant) -> dict[int, str]:
        """Return the namespace of memberships of each external audience by ordinal."""
        ...


_Segments = tuple[str, dict[int, str], dict[int, str]]
"""Tag, segment ids and namespaces."""


def no_profile(key: ProfileKey) -> NotFound:
    """Return the refusal of a profile that is not there, or was deleted."""
    text = f"there is no profile {key.profile_id!r} in this sandbox"
    return NotFound(text, code="profile-not-found")


class Profiles:
    """Answers from what is stored.

    Args:
        retention_ms: An event older than this at the partition clock is not shown.
    """

    def __init__(self, store: ProfileStore, segment_ids: SegmentIds, retention_ms: int) -> None:
        self._store = store
        self._source = segment_ids
        self._retention_ms = retention_ms
        self._known: dict[Tenant, _Segments] = {}

    async def membership(self, key: ProfileKey) -> JsonObject:
        """Return `{namespace: {segment id: membership}}`; segments removed since are left out.

        Raises:
            NotFound: There is no such profile in this tenant, or it was deleted.
        """
        packed = await self._store.state(key)
        state = None if packed is None else decode(packed)
        if state is None or not state.created:
            raise no_profile(key)
        _, segment_ids, namespaces = await self._segments(key.tenant)
        return segment_membership(state, segment_ids, namespaces)

    async def view(self, key: ProfileKey, *, with_events: bool) -> ProfileView:
        """Return one profile.

        Raises:
            NotFound: There is no such profile in this tenant, or it was deleted.
        """
        found = await self.views(key.tenant, [key.profile_id], with_events=with_events)
        if key.profile_id not in found:
            raise no_profile(key)
        return found[key.profile_id]

    async def views(
        self, tenant: Tenant, profile_ids: Sequence[str], *, with_events: bool
    ) -> dict[str, ProfileView]:
        """Return those of the profiles that exist, by id."""
        keys = [ProfileKey(tenant, one) for one in dict.fromkeys(profile_ids)]
        stored = await self._store.profiles(keys, with_events=with_events)
        _, segment_ids, namespaces = await self._segments(tenant)
        views = (
            ProfileView(key.profile_id, one, segment_ids, self._retention_ms, namespaces)
            for key, one in stored.items()
        )
        return {view.profile_id: view for view in views if view.exists}

    async def _segments(self, tenant: Tenant) -> _Segments:
        # The tag is read first: ids read after it are at least as new.
        tag = await self._source.tag(tenant)
        known = self._known.get(tenant)
        if known is None or known[0] != tag:
            namespaces = await self._source.namespaces(tenant)
            known = (tag, await self._source.segment_ids(tenant), namespaces)
            self._known[tenant] = known
        return known
