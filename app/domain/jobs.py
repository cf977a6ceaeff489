"""Jobs over all profiles: what is asked, what was counted, and the ports of their store.

Segment jobs and export jobs wait in one queue of their tenant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from app.domain.exports import ExportCounts, ExportNotes, ExportTask, NewExport
from app.domain.job_reach import JobReach
from app.domain.model import JsonObject, Tenant

JobStatus: TypeAlias = Literal[
    "NEW", "QUEUED", "PROCESSING", "CANCELLING", "CANCELLED", "FAILED", "SUCCEEDED"
]
JobKind: TypeAlias = Literal["segment", "export"]
STATUSES: tuple[JobStatus, ...] = (
    "NEW",
    "QUEUED",
    "PROCESSING",
    "CANCELLING",
    "CANCELLED",
    "FAILED",
    "SUCCEEDED",
)

Row: TypeAlias = tuple[int, int, list[tuple[int, int, dict[str, int]]]]
"""`JobCounts` as JSON: total, skipped, and by segment realized, exited, by namespace."""


@dataclass(slots=True)
class SegmentCount:
    """Profiles of one segment.

    Attributes:
        realized: Members.
        exited: Those that were members once and are not now.
        by_namespace: Members that have an identity, by its namespace.
    """

    realized: int = 0
    exited: int = 0
    by_namespace: dict[str, int] = field(default_factory=dict)

    def add(self, other: SegmentCount) -> None:
        """Add what was counted elsewhere."""
        self.realized += other.realized
        self.exited += other.exited
        for name, count in other.by_namespace.items():
            self.by_namespace[name] = self.by_namespace.get(name, 0) + count


@dataclass(slots=True)
class JobCounts:
    """What a job has counted so far, of some profiles or all.

    Attributes:
        total: Profiles evaluated.
        skipped: Profiles that could not be.
        segments: In the order of the job's segments.
    """

    segments: list[SegmentCount]
    total: int = 0
    skipped: int = 0

    @classmethod
    def zero(cls, segments: int) -> JobCounts:
        """Return counts of nothing for so many segments."""
        return cls([SegmentCount() for _ in range(segments)])

    def add(self, other: JobCounts) -> None:
        """Add what was counted elsewhere, for the same segments."""
        self.total += other.total
        self.skipped += other.skipped
        for mine, theirs in zip(self.segments, other.segments, strict=True):
            mine.add(theirs)

    def row(self) -> Row:
        """Return it for JSON."""
        rows = [(one.realized, one.exited, one.by_namespace) for one in self.segments]
        return self.total, self.skipped, rows

    @classmethod
    def from_row(cls, row: Row) -> JobCounts:
        """Return what `row` gave."""
        total, skipped, rows = row
        return cls([SegmentCount(*one) for one in rows], total, skipped)


Counts: TypeAlias = JobCounts | ExportCounts
"""Of a segment job, or of an export."""


def counts_from_row(row: Row | JsonObject) -> Counts:
    """Return the counts that gave a row: the two kinds have rows of another type."""
    return ExportCounts.from_row(row) if isinstance(row, dict) else JobCounts.from_row(row)


@dataclass(frozen=True, slots=True)
class JobSegment:
    """A definition that a job counts, as it was when the job was started.

    Attributes:
        expression, merge_policy_id: To be shown.
    """

    segment_id: str
    ordinal: int
    version: int
    expression: str
    merge_policy_id: str


@dataclass(frozen=True, slots=True)
class JobTask:
    """A job as workers see it.

    Attributes:
        number: Of the catalogue that brought the newest of its definitions; an older one does not
            know them all.
        segments: What is counted.
        asked: Version of each further definition that those ask with `inSegment`, at any depth.
        export: What is exported; None for a segment job.
    """

    job_id: str
    number: int
    segments: tuple[JobSegment, ...]
    asked: tuple[tuple[str, int], ...] = ()
    export: ExportTask | None = None

    @property
    def kind(self) -> JobKind:
        """Of which kind the job is."""
        return "segment" if self.export is None else "export"

    def zero(self) -> Counts:
        """Return the counts of no profiles."""
        return JobCounts.zero(len(self.segments)) if self.export is None else ExportCounts()


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, or what it could not do; `code` is one of docs/api.md."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as it was asked for; never changes.

    Attributes:
        task: What workers need.
        is_whole: Over all definitions that were published.
        origin: What must not start a second job; empty for nothing.
        source: `api` or `scheduler`.
        request_id: Given by the caller, for tracing.
        schedule: Ids of the schedule and of its run, where one started the job.
        export: What was asked of an export; None for a segment job.
    """

    task: JobTask
    is_whole: bool
    origin: str
    source: str
    request_id: str
    profile_instance_id: str
    batch_id: str
    gateway_job_id: str
    created_ms: int
    schedule: tuple[str, str] | None = None
    export: NewExport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job with what became of it.

    Attributes:
        number: 1, 2, 3, … in the order in which the jobs of a tenant were started.
        started_ms, closing_ms, ended_ms: 0 where it did not; an export closes once all of its
            records are there.
        counts: Once it succeeded.
        reach: While it is being done.
    """

    asked: NewJob
    number: int
    status: JobStatus
    updated_ms: int
    started_ms: int = 0
    closing_ms: int = 0
    ended_ms: int = 0
    counts: Counts | None = None
    errors: tuple[JobError, ...] = ()
    reach: JobReach | None = None

    @property
    def job_id(self) -> str:
        """Its id."""
        return self.asked.task.job_id


class JobStore(Protocol):
    """The jobs of one kind, of all tenants; every method raises `Unavailable` when it is away."""

    async def create(self, tenant: Tenant, job: NewJob, most: int) -> str | None:
        """Queue a job, unless one with its id or origin is known.

        The id of an export is its number, so that the one in its task does not matter.

        Returns:
            The id of the job; None, with nothing written, where `most` are unfinished.
        """
        ...

    async def known(self, tenant: Tenant, origin: str) -> str | None:
        """Return the id of the job with this origin."""
        ...

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Return the jobs among `ids` that exist, by id, in the order asked for."""
        ...

    async def page(
        self, tenant: Tenant, offset: int, limit: int, *, newest_first: bool
    ) -> tuple[int, list[StoredJob]]:
        """Return how many there are, and `limit` of them from `offset` by creation time."""
        ...

    async def all(self, tenant: Tenant) -> list[StoredJob]:
        """Return every job, oldest first."""
        ...

    async def cancel(self, tenant: Tenant, job_id: str, now_ms: int) -> str:
        """Cancel a job; return `ok`, `none` for an unknown one, `ended` for one that has ended."""
        ...

    async def forget(self, tenant: Tenant, before_ms: int) -> None:
        """Remove what ended before an instant."""
        ...


class JobSource(ExportNotes, Protocol):
    """The jobs as a worker sees them. All methods raise `Unavailable`, nothing else."""

    async def tasks(self, now_ms: int) -> dict[Tenant, tuple[JobTask, int]]:
        """Return by tenant the job whose turn it is, and how many partitions have done it.

        A job that waited is `PROCESSING` from then on; one that was being cancelled is cancelled.
        """
        ...

    def changed(self) -> AsyncIterator[Tenant]:
        """Yield a tenant after a job was started or cancelled; never ends."""
        ...

    async def report(
        self, tenant: Tenant, job_id: str, partition: int, counts: Counts, now_ms: int
    ) -> int:
        """Note what a partition counted, the first time; return how many have."""
        ...

    async def complete(self, tenant: Tenant, task: JobTask, partitions: int, now_ms: int) -> bool:
        """End a job that all partitions have done; tell whether this call did."""
        ...

    async def fail(self, tenant: Tenant, job_id: str, error: JobError, now_ms: int) -> bool:
        """End a job that cannot be done; tell whether this call did."""
        ...


class JobStarter(Protocol):
    """Starts segment jobs for what does so by itself."""

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        """Start a segment job, once for each origin as long as that job can be looked up.

        Args:
            tenant: Whose profiles.
            segment_ids: Definitions to evaluate; None for all that are published.
            origin: Idempotency key; `schedule:<id>:<due time in ms>` of a schedule.

        Returns:
            Id of the job; of the one that is there already for the origin.

        Raises:
            UserError: It cannot be started; the message says why.
            Conflict: Not now; later it may.
            Unavailable: Try again.
        """
        ...
