"""Use cases of schedules: create, read, list, change, remove, and run now.

Source: API reference, schedules; what it leaves open is decided in docs/decisions/0305.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.definitions import DefinitionStore
from app.domain.errors import Conflict, NotFound
from app.domain.export_requests import ExportRequest
from app.domain.model import Tenant
from app.domain.quartz import QuartzCron
from app.domain.quartz_parser import CronProblem, InvalidCron, parse_cron
from app.domain.schedules import (
    ACTIVE,
    STARTED,
    MissedRuns,
    Schedule,
    ScheduleRun,
    ScheduleState,
    ScheduleStore,
)
from app.service.schedule_segments import (
    SegmentsChanged,
    changed_segments,
    published_of,
)
from app.service.scheduled_jobs import ScheduledJobs

ATTEMPTS = 50
"""Each lost attempt means that another writer of the same schedule won."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleInput:
    """What a client may choose of a schedule.

    Attributes:
        segments: Empty for an export.
        cron: None for one made up here.
        export: None where a run evaluates.
    """

    name: str
    type: str
    segments: tuple[str, ...]
    cron: str | None
    state: ScheduleState
    missed_runs: MissedRuns
    export: ExportRequest | None = None


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """What to set; None leaves as it is."""

    cron: str | None = None
    state: ScheduleState | None = None
    missed_runs: MissedRuns | None = None


class Schedules:
    """The schedules of all tenants.

    Args:
        new_id: Returns a new schedule id (a random UUID).
        most_runs_per_day: An expression that fires more often on a day is refused.
    """

    def __init__(
        self,
        store: ScheduleStore,
        definitions: DefinitionStore,
        jobs: ScheduledJobs,
        new_id: Callable[[], str],
        most_runs_per_day: int = 1,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._jobs = jobs
        self._new_id = new_id
        self._most_runs_per_day = most_runs_per_day

    async def create(self, tenant: Tenant, given: ScheduleInput, now_ms: int) -> Schedule:
        """Store a new schedule.

        Raises:
            InvalidCron: The expression is refused.
            UserError: `schedule-invalid`: it names audiences that cannot be evaluated, or an export
                that cannot be.
            Conflict: The definitions of an export keep changing.
        """
        schedule_id = self._new_id()
        cron = made_up_cron(schedule_id) if given.cron is None else given.cron
        parsed = self._accepted(cron, now_ms)
        await self._jobs.check(tenant, given.segments, given.export)
        schedule = Schedule(
            schedule_id=schedule_id,
            name=given.name,
            type=given.type,
            segments=given.segments,
            cron=cron,
            state=given.state,
            missed_runs=given.missed_runs,
            created_ms=now_ms,
            updated_ms=now_ms,
            next_run_ms=parsed.next_after(now_ms) if given.state == ACTIVE else None,
            export=given.export,
        )
        # Refused only where a write whose answer was lost is repeated: the id is nobody else's.
        await self._store.put(tenant, schedule, None)
        return schedule

    async def get(self, tenant: Tenant, schedule_id: str) -> Schedule:
        """Return one schedule; raises `NotFound`."""
        found = await self._store.get(tenant, schedule_id)
        if found is None:
            raise NotFound(
                f"there is no schedule {schedule_id!r} in this sandbox", code="schedule-not-found"
            )
        return found

    async def page(self, tenant: Tenant, start: int, limit: int) -> tuple[int, list[Schedule]]:
        """Return how many there are, and page `start` (from 0) of them, newest first."""
        return await self._store.page(tenant, start * limit, limit)

    async def change(
        self, tenant: Tenant, schedule_id: str, change: ScheduleChange, now_ms: int
    ) -> Schedule:
        """Set state, expression or handling of missed runs; runs missed so far are forgotten.

        Raises:
            NotFound: There is none.
            InvalidCron: The expression is refused.
            Conflict: `schedule-busy`.
        """

        def changed(previous: Schedule) -> Schedule:
            cron, state = change.cron or previous.cron, change.state or previous.state
            missed = change.missed_runs or previous.missed_runs
            # What is left as it is may keep an expression that fires no more.
            is_used = change.cron or (state == ACTIVE != previous.state)
            parsed = self._accepted(cron, now_ms) if is_used else parse_cron(cron)
            keeps = (cron, state) == (previous.cron, previous.state)
            following = parsed.next_after(_latest(previous, now_ms)) if state == ACTIVE else None
            return replace(
                previous,
                cron=cron,
                state=state,
                missed_runs=missed,
                next_run_ms=previous.next_run_ms if keeps else following,
            )

        return await self._rewritten(tenant, schedule_id, changed, now_ms)

    async def delete(self, tenant: Tenant, schedule_id: str) -> None:
        """Remove a schedule; jobs that it started go on. Raises `NotFound`."""
        if not await self._store.remove(tenant, schedule_id):
            await self.get(tenant, schedule_id)

    async def change_segments(
        self, tenant: Tenant, schedule_id: str, ids: Sequence[str], now_ms: int, *, adding: bool
    ) -> SegmentsChanged:
        """Add audiences to a schedule that names its own, or remove them.

        Raises:
            NotFound, Conflict: As `change`.
            UserError: `schedule-invalid`: it is for all audiences, or of exports.
        """
        known = await published_of(self._definitions, tenant, ids)
        done: list[SegmentsChanged] = []

        def changed(previous: Schedule) -> Schedule:
            done.append(changed_segments(previous, ids, known, adding=adding))
            return replace(previous, segments=done[-1].after)

        await self._rewritten(tenant, schedule_id, changed, now_ms)
        return done[-1]

    async def schedules_of(
        self, tenant: Tenant, ids: Sequence[str]
    ) -> Mapping[str, list[Schedule]]:
        """Return for each audience the schedules that evaluate it, oldest first."""
        schedules = await self._store.all(tenant)
        known = await published_of(self._definitions, tenant, ids)
        return {
            one: [
                schedule
                for schedule in schedules
                if one in schedule.evaluated or (schedule.takes_all and one in known)
            ]
            for one in ids
        }

    async def trigger(self, tenant: Tenant, schedule_id: str, now_ms: int) -> ScheduleRun:
        """Start the job of a schedule now, be it active or not; its next run stays as it is.

        Raises:
            NotFound: There is none.
            UserError: The job cannot be started.
        """
        schedule = await self.get(tenant, schedule_id)
        job_id = await self._jobs.start(tenant, schedule, f"schedule:{schedule_id}:{now_ms}")
        run = ScheduleRun(now_ms, now_ms, STARTED, job_id)
        await self._store.note_run(tenant, schedule_id, run)
        return run

    def _accepted(self, text: str, now_ms: int) -> QuartzCron:
        cron = parse_cron(text)
        if cron.runs_per_day > self._most_runs_per_day:
            message = f"it fires {cron.runs_per_day} times on a day"
            most = self._most_runs_per_day
            hint = f"write seconds, minutes and hours that make at most {most}"
            raise InvalidCron([CronProblem("expression", message, hint)])
        if cron.next_after(now_ms) is None:
            hint = "write a day that some month has, and a year to come"
            raise InvalidCron([CronProblem("expression", "it never fires from now on", hint)])
        return cron

    async def _rewritten(
        self,
        tenant: Tenant,
        schedule_id: str,
        rewrite: Callable[[Schedule], Schedule],
        now_ms: int,
    ) -> Schedule:
        new: Schedule | None = None
        for _ in range(ATTEMPTS):
            previous = await self.get(tenant, schedule_id)
            if previous == new:  # written by an attempt whose answer was lost
                return previous
            new = replace(rewrite(previous), updated_ms=now_ms)
            if await self._store.put(tenant, new, previous):
                return new
        raise Conflict(
            f"schedule {schedule_id!r} kept changing while it was written; try again",
            code="schedule-busy",
        )


def made_up_cron(schedule_id: str) -> str:
    """Return the expression of a schedule that was given none: daily between 2 and 3.

    The minute comes from the id, so that the sandboxes do not all begin at once.
    """
    return f"0 {sum(schedule_id.encode()) % 60} 2 * * ?"


def _latest(schedule: Schedule, now_ms: int) -> int:
    """Return what a next run has to be after: a firing is not repeated when the clock went back."""
    return max(now_ms, schedule.last_run.due_ms if schedule.last_run else 0)
