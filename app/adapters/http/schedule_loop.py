"""The firing loop: runs beside the requests in each API process.

Here and not in a worker: segment jobs are created by the API, and a worker that is busy with its
partitions would fire late. Every process looks each second; claiming in Redis lets one of them
fire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from app.adapters.http.metrics import HttpMetrics
from app.adapters.waits import set_within
from app.domain.errors import SegmentationError, Unavailable
from app.domain.model import Tenant
from app.domain.schedules import FAILED, OpenFiring, ScheduleRun
from app.service.firing import Firing

POLL_SECONDS = 1.0
_ROUND_SECONDS = 30.0
_STOP_SECONDS = 3.0
_SILENT_SECONDS = 120.0

_log = structlog.get_logger(__name__)


class LoggedFirings:
    """Implements `app.service.firing.FiringJournal` with log and metrics."""

    def __init__(self, metrics: HttpMetrics) -> None:
        self._metrics = metrics

    def ran(self, tenant: Tenant, schedule_id: str, run: ScheduleRun) -> None:
        """Note what became of a firing."""
        self._metrics.fired(run.outcome)
        level = _log.warning if run.outcome == FAILED else _log.info
        level(
            f"schedule-{run.outcome}",
            tenant="/".join(tenant),
            schedule=schedule_id,
            due_ms=run.due_ms,
            job=run.job_id,
            reason=run.reason,
        )

    def postponed(self, tenant: Tenant, firing: OpenFiring, error: Exception) -> None:
        """Note that a job could not be started now and will be tried again."""
        self._metrics.fired("postponed")
        _log.warning(
            "schedule-postponed",
            tenant="/".join(tenant),
            origin=firing.origin,
            reason=f"{type(error).__name__}: {error}",
            exc_info=None if isinstance(error, SegmentationError) else error,
        )


class ScheduleLoop:
    """Looks for what is due once a second; survives Redis being away.

    Args:
        clock: Returns the wall clock in epoch milliseconds.
        poll_seconds: Between two looks.
    """

    def __init__(
        self, firing: Firing, clock: Callable[[], int], poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._firing = firing
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._stopping = asyncio.Event()
        self._alive_at = time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Fire while the context is open; on leaving it finishes the round."""
        loop = asyncio.create_task(self._run(), name="schedule-loop")
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.wait([loop], timeout=_STOP_SECONDS)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    async def problem(self) -> str | None:
        """Return what is wrong with the loop, None while it goes round."""
        silent = time.monotonic() - self._alive_at
        if silent < _SILENT_SECONDS:
            return None
        return f"the schedules were not looked at for {silent:.0f} s"

    async def _run(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._firing.round(self._clock())
                is_away = False
                self._alive_at = time.monotonic()
            except Unavailable as error:
                if not is_away:
                    _log.warning("schedules-not-looked-at", reason=error.message)
                is_away = True
            except Exception:
                _log.exception("schedules-not-looked-at")
            await set_within(self._stopping, self._poll_seconds)
