"""Firing of schedules: what is due is claimed once, and its job started at least until it is there.

Any number of processes may do this at the same time. Claiming is atomic in the store, and what was
claimed by a process that went silent is started by another one, with the same origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.domain.errors import Conflict, Unavailable, UserError
from app.domain.model import Tenant
from app.domain.quartz_parser import parse_cron
from app.domain.schedules import (
    FAILED,
    SKIP,
    SKIPPED,
    STARTED,
    OpenFiring,
    Schedule,
    ScheduleRun,
    ScheduleStore,
)
from app.service.scheduled_jobs import ScheduledJobs

MISSED_AFTER_MS = 60_000
"""A firing found later than this was missed: nobody was there. Until then each one due is fired."""
LEASE_MS = 30_000
"""How long a claimer is left alone; starting a job takes milliseconds."""
RETRY_MS = 5_000
MOST_DEFECTS = 10
"""So many attempts end in a defect of ours before a firing is given up."""
MOST_BUSY = 120
"""So many attempts, one for each lease, meet something busy before that is a refusal: an hour."""

_NOBODY = "nobody was there when it was due, and the schedule skips what was missed"
_DEFECT = "the job could not be started because of a defect; the log of the service has the details"


class FiringJournal(Protocol):
    """Who is told of what happens."""

    def ran(self, tenant: Tenant, schedule_id: str, run: ScheduleRun) -> None:
        """Note what became of a firing."""
        ...

    def postponed(self, tenant: Tenant, firing: OpenFiring, error: Exception) -> None:
        """Note that a job could not be started now and will be tried again."""
        ...


@dataclass(frozen=True, slots=True)
class FiringParts:
    """What firing needs.

    Attributes:
        new_token: Returns a random text.
    """

    store: ScheduleStore
    jobs: ScheduledJobs
    journal: FiringJournal
    new_token: Callable[[], str]


class Firing:
    """Fires the schedules of all tenants, round by round."""

    def __init__(self, parts: FiringParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._looked_at_ms: int | None = None

    async def round(self, now_ms: int) -> None:
        """Fire what is due, and finish what others left.

        Args:
            now_ms: The wall clock. It may step: nothing due is fired twice when it goes back, and
                what it left too far ahead is put right.

        Raises:
            Unavailable: The store does not answer; nothing is lost.
        """
        tenants = await self._store.tenants()
        if self._looked_at_ms is None or now_ms < self._looked_at_ms:
            await self._correct(tenants, now_ms)
        self._looked_at_ms = now_ms
        for tenant, ids in (await self._store.due(tenants, now_ms)).items():
            for schedule_id in ids:
                await self._fire(tenant, schedule_id, now_ms)
        for tenant, firings in (await self._store.open_firings(tenants)).items():
            for firing in firings:
                await self._finish(tenant, firing, now_ms)

    async def _correct(self, tenants: Sequence[Tenant], now_ms: int) -> None:
        """Bring next runs back that were set by a clock which was ahead."""
        opened = await self._store.open_firings(tenants)
        for tenant in tenants:
            busy = {firing.schedule_id for firing in opened.get(tenant, ())}
            for schedule in await self._store.all(tenant):
                if schedule.next_run_ms is None or schedule.schedule_id in busy:
                    continue
                last_ms = schedule.last_run.due_ms if schedule.last_run else 0
                following = parse_cron(schedule.cron).next_after(max(now_ms, last_ms))
                if following is not None and following < schedule.next_run_ms:
                    await self._store.pass_over(tenant, schedule, following, None)

    async def _fire(self, tenant: Tenant, schedule_id: str, now_ms: int) -> None:
        """Fire a schedule for each time that it was due, once for all that were missed."""
        while True:
            schedule = await self._store.get(tenant, schedule_id)
            if schedule is None or schedule.next_run_ms is None or schedule.next_run_ms > now_ms:
                return
            if not await self._fire_once(tenant, schedule, schedule.next_run_ms, now_ms):
                return

    async def _fire_once(
        self, tenant: Tenant, schedule: Schedule, due_ms: int, now_ms: int
    ) -> bool:
        """Tell whether it was this process that moved the schedule on."""
        is_missed = now_ms - due_ms > MISSED_AFTER_MS
        following = parse_cron(schedule.cron).next_after(now_ms if is_missed else due_ms)
        if is_missed and schedule.missed_runs == SKIP:
            run = ScheduleRun(due_ms, now_ms, SKIPPED, reason=_NOBODY)
            moved = await self._store.pass_over(tenant, schedule, following, run)
            if moved:
                self._parts.journal.ran(tenant, schedule.schedule_id, run)
            return moved
        firing = OpenFiring(
            schedule.schedule_id,
            due_ms,
            schedule.segments,
            now_ms + LEASE_MS,
            self._parts.new_token(),
            export=schedule.export,
        )
        claimed = await self._store.claim(tenant, schedule, following, firing)
        if claimed:
            await self._start(tenant, firing, now_ms)
        return claimed

    async def _finish(self, tenant: Tenant, firing: OpenFiring, now_ms: int) -> None:
        """Take a firing over whose claimer went silent."""
        # A lease that ends later than any can was given by a clock that was ahead.
        if now_ms < firing.lease_ms <= now_ms + LEASE_MS:
            return
        taken = self._renewed(firing, now_ms + LEASE_MS)
        if await self._store.take_over(tenant, firing, taken):
            await self._start(tenant, taken, now_ms)

    async def _start(self, tenant: Tenant, firing: OpenFiring, now_ms: int) -> None:
        parts = self._parts
        try:
            job_id = await parts.jobs.start(tenant, firing, firing.origin)
            run = ScheduleRun(firing.due_ms, now_ms, STARTED, job_id)
        except UserError as error:
            if isinstance(error, Conflict) and firing.attempts < MOST_BUSY:
                await self._postpone(tenant, firing, now_ms + LEASE_MS, error, counts=True)
                return
            run = ScheduleRun(firing.due_ms, now_ms, FAILED, reason=error.message)
        except Unavailable as error:
            await self._postpone(tenant, firing, now_ms + RETRY_MS, error)
            return
        except Exception as error:
            # One schedule that cannot be started must not keep the others from it.
            if firing.attempts + 1 < MOST_DEFECTS:
                await self._postpone(tenant, firing, now_ms + RETRY_MS, error, counts=True)
                return
            run = ScheduleRun(firing.due_ms, now_ms, FAILED, reason=_DEFECT)
        await self._store.close(tenant, firing, run)
        parts.journal.ran(tenant, firing.schedule_id, run)

    async def _postpone(
        self,
        tenant: Tenant,
        firing: OpenFiring,
        until_ms: int,
        error: Exception,
        *,
        counts: bool = False,
    ) -> None:
        self._parts.journal.postponed(tenant, firing, error)
        later = replace(self._renewed(firing, until_ms), attempts=firing.attempts + counts)
        await self._store.take_over(tenant, firing, later)

    def _renewed(self, firing: OpenFiring, lease_ms: int) -> OpenFiring:
        return replace(firing, lease_ms=lease_ms, token=self._parts.new_token())
