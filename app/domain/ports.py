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

    async def report_backfill(
        self, tenant: Tenant, tag: str, partition: int, partitions: int, share: float
    ) -> int:
        """Note which share of a partition's profiles was brought to `tag`, 1 for all of them.

        Once every partition has brought all of its profiles to a tag that contains the current
        version of a definition, it is no longer `BACKFILLING` but `LIVE`. May be repeated.

        Returns:
            How many became live.
        """
        ...
