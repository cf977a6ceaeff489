"""Schedules of jobs as the control plane keeps them, and the ports around them.

A firing is claimed before its job is started: claiming moves the schedule to its next run and notes
the firing as open, in one step. Whoever finds an open firing whose claimer went silent starts it
again, with the same origin, so that there is one job however often that happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from app.domain.export_requests import ExportRequest
from app.domain.model import Tenant

ScheduleState: TypeAlias = Literal["active", "inactive"]
ACTIVE: ScheduleState = "active"
INACTIVE: ScheduleState = "inactive"

MissedRuns: TypeAlias = Literal["run-once", "skip"]
RUN_ONCE: MissedRuns = "run-once"
SKIP: MissedRuns = "skip"

RunOutcome: TypeAlias = Literal["started", "skipped", "failed"]
STARTED: RunOutcome = "started"
SKIPPED: RunOutcome = "skipped"
FAILED: RunOutcome = "failed"

BATCH_SEGMENTATION = "batch_segmentation"
EXPORT = "export"
ALL_SEGMENTS = "*"


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """What became of one firing.

    Attributes:
        due_ms: When it was due; of one that was asked for, when that was.
        at_ms: When it was dealt with.
        job_id: Of the job started; empty otherwise.
        reason: Why no job was started; empty otherwise.
    """

    due_ms: int
    at_ms: int
    outcome: RunOutcome
    job_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule.

    Attributes:
        segments: Ids of segment definitions to evaluate, or `*` alone for all; each once. None of
            an export.
        cron: Quartz expression, UTC.
        missed_runs: What is done about firings that nobody was there for.
        created_ms, updated_ms: Epoch milliseconds.
        next_run_ms: None while it is inactive, and when it never fires again.
        last_run: None before the first.
        export: What to export; None where a run evaluates.
    """

    schedule_id: str
    name: str
    type: str
    segments: tuple[str, ...]
    cron: str
    state: ScheduleState
    missed_runs: MissedRuns
    created_ms: int
    updated_ms: int
    next_run_ms: int | None = None
    last_run: ScheduleRun | None = None
    export: ExportRequest | None = None

    @property
    def takes_all(self) -> bool:
        """Whether a run evaluates all segment definitions."""
        return self.evaluated == (ALL_SEGMENTS,)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """What a run evaluates, as `segments`; also what it does before an export."""
        if self.export is None:
            return self.segments
        if not self.export.evaluates:
            return ()
        return tuple(self.export.own_segments) if self.export.segments else (ALL_SEGMENTS,)


@dataclass(frozen=True, slots=True)
class OpenFiring:
    """A firing that was claimed and whose job may not have been started.

    Attributes:
        due_ms: With the schedule's id, its identity.
        segments, export: Of the schedule when it was claimed.
        lease_ms: Until when its claimer is left alone; epoch milliseconds.
        token: Random; new with each claimer and attempt.
        attempts: So many ended in a defect of ours, or met something busy.
    """

    schedule_id: str
    due_ms: int
    segments: tuple[str, ...]
    lease_ms: int
    token: str
    attempts: int = 0
    export: ExportRequest | None = None

    @property
    def origin(self) -> str:
        """What the job is known by: starting twice with it makes one job."""
        return f"schedule:{self.schedule_id}:{self.due_ms}"


class ScheduleStore(Protocol):
    """Schedules of all tenants. Every method raises `Unavailable` when the store is away."""

    async def get(self, tenant: Tenant, schedule_id: str) -> Schedule | None:
        """Return one schedule."""
        ...

    async def page(self, tenant: Tenant, offset: int, limit: int) -> tuple[int, list[Schedule]]:
        """Return how many there are, and `limit` of them from `offset`, newest first."""
        ...

    async def all(self, tenant: Tenant) -> list[Schedule]:
        """Return every schedule, oldest first."""
        ...

    async def put(self, tenant: Tenant, schedule: Schedule, previous: Schedule | None) -> bool:
        """Store a schedule with its next run; its last run is left alone.

        Returns:
            False, with nothing written, when what is stored is not `previous`.
        """
        ...

    async def remove(self, tenant: Tenant, schedule_id: str) -> bool:
        """Remove a schedule and its open firings; False when there is none."""
        ...

    async def tenants(self) -> list[Tenant]:
        """Return every tenant that ever had a schedule, sorted."""
        ...

    async def due(self, tenants: Sequence[Tenant], now_ms: int) -> dict[Tenant, list[str]]:
        """Return the ids of what is due, earliest first; tenants without are absent."""
        ...

    async def open_firings(self, tenants: Sequence[Tenant]) -> dict[Tenant, list[OpenFiring]]:
        """Return the firings that were claimed and not closed; tenants without are absent."""
        ...

    async def claim(
        self, tenant: Tenant, schedule: Schedule, next_run_ms: int | None, firing: OpenFiring
    ) -> bool:
        """Open a firing and move its schedule to the next run.

        Returns:
            False, with nothing written, when the schedule or its next run is not as given.
        """
        ...

    async def pass_over(
        self, tenant: Tenant, schedule: Schedule, next_run_ms: int | None, run: ScheduleRun | None
    ) -> bool:
        """Move a schedule to another next run without a firing; False as `claim`."""
        ...

    async def take_over(self, tenant: Tenant, held: OpenFiring, taken: OpenFiring) -> bool:
        """Replace an open firing by one with a lease of its own; False when it is not as held."""
        ...

    async def close(self, tenant: Tenant, firing: OpenFiring, run: ScheduleRun) -> None:
        """End an open firing, if it is still open, and note what became of it."""
        ...

    async def note_run(self, tenant: Tenant, schedule_id: str, run: ScheduleRun) -> None:
        """Note a run that was no firing; nothing when there is no such schedule."""
        ...
