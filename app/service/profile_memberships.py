"""Use case: the stored memberships of one profile."""

from __future__ import annotations

from typing import Protocol

from app.domain.errors import NotFound
from app.domain.model import JsonObject, ProfileKey, Tenant
from app.service.membership import exists, segment_membership


class ProfileStates(Protocol):
    """Packed profiles as the workers wrote them."""

    async def state(self, key: ProfileKey) -> bytes | None:
        """Return the packed state of a profile, None when nothing is stored."""
        ...


class SegmentIds(Protocol):
    """Segment ids by ordinal, of the definitions that exist now."""

    async def tag(self, tenant: Tenant) -> str:
        """Return the catalogue tag: equal tags mean equal ids."""
        ...

    async def segment_ids(self, tenant: Tenant) -> dict[int, str]:
        """Return the id of each existing definition by ordinal."""
        ...


class ProfileMemberships:
    """Answers from what is stored; evaluates nothing."""

    def __init__(self, states: ProfileStates, segment_ids: SegmentIds) -> None:
        self._states = states
        self._source = segment_ids
        self._known: dict[Tenant, tuple[str, dict[int, str]]] = {}

    async def of(self, key: ProfileKey) -> JsonObject:
        """Return `{namespace: {segment id: membership}}`; segments removed since are left out.

        Raises:
            NotFound: There is no such profile in this tenant, or it was deleted.
        """
        state = await self._states.state(key)
        if state is None or not exists(state):
            raise NotFound(
                f"there is no profile {key.profile_id!r} in this sandbox", code="profile-not-found"
            )
        return segment_membership(state, await self._segment_ids(key.tenant))

    async def _segment_ids(self, tenant: Tenant) -> dict[int, str]:
        # The tag is read first: ids read after it are at least as new.
        tag = await self._source.tag(tenant)
        known = self._known.get(tenant)
        if known is None or known[0] != tag:
            known = (tag, await self._source.segment_ids(tenant))
            self._known[tenant] = known
        return known[1]
