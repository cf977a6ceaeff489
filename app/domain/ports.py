"""What the use cases and the workers need from the outside, as protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from app.domain.model import DefinitionSet, Tenant


class DefinitionSource(Protocol):
    """The definitions as a worker sees them. All methods raise `Unavailable`, nothing else."""

    async def load(self, tenant: Tenant) -> DefinitionSet:
        """Return all definitions of a tenant and their tag, read at one instant."""
        ...

    async def tenants(self) -> list[Tenant]:
        """Return every tenant that ever had a definition."""
        ...

    async def tags(self) -> dict[Tenant, str]:
        """Return the current tag of every tenant: cheap enough to ask each second."""
        ...

    def changed(self) -> AsyncIterator[Tenant]:
        """Yield a tenant after each change of its definitions; never ends.

        Notifications are lost while Redis is away: look at `tags` as well.
        """
        ...

    async def report_failures(self, tenant: Tenant, tag: str, failures: Mapping[str, str]) -> None:
        """Make definitions `FAILED`, with a reason by segment id, unless edited after `tag`."""
        ...

    async def mark_live(self, tenant: Tenant, tag: str) -> int:
        """Make `BACKFILLING` definitions that the set of `tag` contains `LIVE`.

        To be called once every partition has migrated every profile to `tag` or a later one.

        Returns:
            How many became live.
        """
        ...
