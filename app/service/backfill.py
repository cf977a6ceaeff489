"""How far the profiles of one partition have been brought to the definitions in force, by tenant.

A scan goes through a tenant's profiles in the order of the hash of their ids, a slice with a batch.
What is kept of it in the partition's hash is the catalogue tag and the hash to go on from, written
by the very call that writes what the slice changed (docs/decisions/0302). It holds at any time:
every profile below the cursor was at that tag once, and every batch since then was evaluated under
it; so all of them still are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.model import ProfileKey, Tenant

HASHES = 1 << 52
"""Hashes of profile ids are below; they are spread evenly."""

_FIELD = "backfill:"
_DONE = "done"


@dataclass(frozen=True, slots=True)
class Scan:
    """How far one tenant's profiles are.

    Attributes:
        tag: Of the catalogue they are brought to.
        cursor: Smallest hash not looked at yet; None once all were.
    """

    tag: str
    cursor: int | None = 0

    @property
    def share(self) -> float:
        """Which part of the profiles was looked at, 0 to 1; 1 for all of them only."""
        return 1.0 if self.cursor is None else self.cursor / HASHES


@dataclass(frozen=True, slots=True)
class Slice:
    """Profiles that a batch is to look at.

    Attributes:
        start: Smallest hash of a profile's id.
        limit: Number of profiles.
        is_alone: Nothing else may join the batch: the engine failed on one of these.
    """

    tenant: Tenant
    tag: str
    start: int
    limit: int
    is_alone: bool = False


@dataclass(slots=True)
class Suspects:
    """Finds a profile that the engine fails on, by halves; outlives the owner that failed.

    Attributes:
        bad: Profiles that are not scanned any more; each failed alone.
        size: Profiles of a slice, while it is searched; 0 for no search.
        until: Tenant, tag, and the hash behind which nothing is suspected (None: the end).
    """

    bad: set[ProfileKey] = field(default_factory=set)
    size: int = 0
    until: tuple[Tenant, str, int | None] | None = None

    def blame(self, scan: Slice, keys: Sequence[ProfileKey], following: int | None) -> None:
        """Learn that a batch with these profiles failed; `following` is where its slice ended."""
        if not scan.is_alone:
            self.size = len(keys)
        elif len(keys) > 1:
            self.size = len(keys) // 2
        else:
            self.bad.update(keys)
            self.size = 0
            return
        self.until = (scan.tenant, scan.tag, following)

    @property
    def searched(self) -> str | None:
        """Tag of the slices in which a profile is searched at present; None for no search."""
        return self.until[1] if self.size and self.until is not None else None

    def limit(self, tenant: Tenant, tag: str, start: int) -> int:
        """Return how many profiles the next slice has at most; 0 where nothing is suspected."""
        if self.size and self.until is not None:
            end = self.until[2]
            if self.until[:2] == (tenant, tag) and (end is None or start < end):
                return self.size
            self.size = 0
        return 0


class Backfill:
    """The scans of one partition.

    Attributes:
        unreported: What was written to the partition's hash, and not yet told to the control plane.
    """

    def __init__(self) -> None:
        self._scans: dict[Tenant, Scan] = {}
        self._waiting: dict[Tenant, None] = {}
        self._unwritten: dict[Tenant, None] = {}
        self.unreported: dict[Tenant, Scan] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether there are profiles to look at."""
        return bool(self._waiting)

    def restore(self, meta: Mapping[str, str]) -> None:
        """Go on from the fields of the partition's hash.

        All of it is to be reported: the owner that wrote it may have died before it could.
        """
        for name, value in meta.items():
            if name.startswith(_FIELD):
                org_id, _, sandbox_name = name.removeprefix(_FIELD).partition("/")
                tag, _, cursor = value.partition(" ")
                scan = Scan(tag, None if cursor == _DONE else int(cursor))
                self._scans[Tenant(org_id, sandbox_name)] = scan
        self.unreported = dict(self._scans)

    def begin(self, tenant: Tenant, tag: str) -> dict[str, str]:
        """Learn the catalogue that a tenant's batches have from now on.

        Returns:
            The field that the first of these batches has to write; empty where it is stored.
        """
        scan = self._scans.get(tenant)
        if scan is None or scan.tag != tag:
            return self._put(tenant, Scan(tag))
        if scan.cursor is not None:
            self._waiting[tenant] = None
        return {}

    def next(self, limit: int, suspects: Suspects) -> Slice | None:
        """Return what to look at next, at most `limit` profiles; None for nothing."""
        for tenant in self._waiting:
            scan = self._scans[tenant]
            start = scan.cursor or 0
            suspected = suspects.limit(tenant, scan.tag, start)
            if suspected:
                return Slice(tenant, scan.tag, start, min(suspected, limit), is_alone=True)
            return Slice(tenant, scan.tag, start, limit)
        return None

    def advance(self, scan: Slice, following: int | None) -> dict[str, str]:
        """Learn that a batch brought the profiles of a slice up to date.

        Args:
            scan: The slice.
            following: Smallest hash behind it, None where there is none.

        Returns:
            The field that the batch has to write.
        """
        return self._put(scan.tenant, Scan(scan.tag, following))

    def committed(self) -> None:
        """Learn that the fields returned so far are stored."""
        for tenant in self._unwritten:
            self.unreported[tenant] = self._scans[tenant]
        self._unwritten.clear()

    def _put(self, tenant: Tenant, scan: Scan) -> dict[str, str]:
        self._scans[tenant] = scan
        self._unwritten[tenant] = None
        if scan.cursor is None:
            self._waiting.pop(tenant, None)
        else:
            self._waiting[tenant] = None
        end = _DONE if scan.cursor is None else str(scan.cursor)
        return {f"{_FIELD}{tenant.org_id}/{tenant.sandbox_name}": f"{scan.tag} {end}"}
