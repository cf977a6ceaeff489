"""Previews: what is asked, what was looked at so far, and the ports of their store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from app.domain.model import Tenant

PreviewState: TypeAlias = Literal["NEW", "RUNNING", "RESULT_READY", "FAILED"]

Row: TypeAlias = tuple[int, int, int, int, int, int, dict[str, int]]
"""A `Share` as JSON, without its cursor."""


@dataclass(frozen=True, slots=True)
class PreviewTask:
    """A preview as workers see it; never changes.

    Attributes:
        query_id: A random UUID.
        expression: PQL text.
        ordinals: Of the segments that it asks with `inSegment`, by id.
        is_stitched: Whether results name the other identities of a profile.
        excludes_opt_out: Whether profiles with a general opt-out are left out.
    """

    query_id: str
    expression: str
    ordinals: Mapping[str, int]
    is_stitched: bool
    excludes_opt_out: bool = True


@dataclass(slots=True)
class Share:
    """How far a preview is in one partition.

    Attributes:
        clock_ms: The instant that its profiles are evaluated at.
        total: Profiles of the tenant in the partition.
        wanted: How many of them are looked at: those with the smallest hashes.
        read: How many were evaluated,
        matched: and of these how many meet the predicate.
        skipped: How many could not be evaluated.
        by_namespace: Matches that have an identity, by its namespace.
        cursor: Smallest hash not looked at yet; None once all that are wanted were.
    """

    clock_ms: int = 0
    total: int = 0
    wanted: int = 0
    read: int = 0
    matched: int = 0
    skipped: int = 0
    by_namespace: dict[str, int] = field(default_factory=dict)
    cursor: int | None = 0

    def row(self) -> Row:
        """Return it for JSON."""
        return (
            self.clock_ms,
            self.total,
            self.wanted,
            self.read,
            self.matched,
            self.skipped,
            self.by_namespace,
        )

    @classmethod
    def from_row(cls, row: Row, cursor: int | None) -> Share:
        """Return what `row` gave, with its cursor."""
        return cls(*row[:6], dict(row[6]), cursor)

    def copy(self) -> Share:
        """Return another one like it."""
        return Share.from_row(self.row(), self.cursor)


@dataclass(frozen=True, slots=True)
class PreviewMatch:
    """A profile that meets the predicate.

    Attributes:
        related: Other ids that its identity map names; empty where they were not asked for.
    """

    profile_id: str
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """A preview with what became of it.

    Attributes:
        shares: Of the partitions that have begun, in no order.
        error: Why it failed; empty where it did not.
    """

    task: PreviewTask
    state: PreviewState
    shares: tuple[Share, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """Bounds of what is kept of previews.

    Attributes:
        kept_ms: How long a preview can be looked up, from its creation.
        running: Unfinished ones of a tenant.
        stored: Of a tenant in all.
    """

    kept_ms: int = 3_600_000
    running: int = 10
    stored: int = 500


class PreviewStore(Protocol):
    """The previews of all tenants. Every method raises `Unavailable` when the store is away."""

    async def create(
        self, tenant: Tenant, task: PreviewTask, limits: PreviewLimits, now_ms: int
    ) -> Literal["ok", "running", "stored"]:
        """Begin a preview; return which limit forbids it, with nothing written, or `ok`."""
        ...

    async def get(self, tenant: Tenant, query_id: str) -> StoredPreview | None:
        """Return a preview; None where there is none, or it has expired."""
        ...

    async def matches(
        self, tenant: Tenant, query_id: str, offset: int, limit: int
    ) -> tuple[int, list[PreviewMatch]]:
        """Return how many matches are kept, and `limit` of them from `offset`.

        Their order is that of the hashes of profile ids, so it hangs on nothing else; it does not
        change once a preview is ready.
        """
        ...

    async def delete(self, tenant: Tenant, query_id: str) -> bool:
        """Cancel and remove a preview with all that is kept of it; tell whether there was one."""
        ...


class PreviewSource(Protocol):
    """The previews as a worker sees them. All methods raise `Unavailable`, nothing else."""

    async def tasks(self, now_ms: int) -> dict[Tenant, list[PreviewTask]]:
        """Return the unfinished previews by tenant."""
        ...

    def changed(self) -> AsyncIterator[Tenant]:
        """Yield a tenant after a preview was begun or removed; never ends."""
        ...

    async def share(self, tenant: Tenant, query_id: str, partition: int) -> Share | None:
        """Return how far a preview is in a partition; None where it has not begun there."""
        ...

    async def report(
        self,
        tenant: Tenant,
        query_id: str,
        partition: int,
        before: Share | None,
        after: Share,
        found: Sequence[PreviewMatch],
    ) -> Literal["ok", "stale", "gone"]:
        """Note what a slice found.

        Nothing is noted unless what is stored is where `before` is: two that looked at the same
        slice are counted once. The last partition makes the preview ready.

        Args:
            before: Where the slice began; None where it is the first.
            found: Matches to keep.

        Returns:
            `stale`: the slice was noted already, go on from what is stored. `gone`: the preview is
            removed, or has ended.
        """
        ...

    async def fail(self, tenant: Tenant, query_id: str, reason: str) -> None:
        """End a preview that cannot be done."""
        ...


@dataclass(frozen=True, slots=True)
class ScannedProfiles:
    """Stored profiles of one tenant and partition, by the hash of their ids.

    Attributes:
        ids: Of the profiles.
        states: Packed; None for what was removed meanwhile.
        frames: Of their events; empty where they were not asked for.
        following: Smallest hash behind them; None where there are no more profiles.
        size_bytes: Of states and frames.
    """

    ids: Sequence[str]
    states: Sequence[bytes | None]
    frames: Sequence[bytes | None]
    following: int | None
    size_bytes: int


class ProfileScan(Protocol):
    """Stored profiles, read and never written. Both methods raise `Unavailable`."""

    async def count(self, partition: int, tenant: Tenant) -> int:
        """Return how many profiles a tenant has in a partition."""
        ...

    async def profiles(
        self, partition: int, tenant: Tenant, start: int, limit: int, *, with_events: bool
    ) -> ScannedProfiles:
        """Return about `limit` profiles from a hash on; those of one hash stay together.

        State and events of a profile are of one instant.
        """
        ...
