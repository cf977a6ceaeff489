"""The jobs that schedules start: of segments, or an export."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.definitions import DefinitionStore
from app.domain.errors import Conflict, UserError
from app.domain.export_requests import ExportRequest, ExportStarter
from app.domain.jobs import JobStarter
from app.domain.model import Tenant
from app.domain.schedules import OpenFiring, Schedule
from app.service.schedule_segments import REFUSED, check_segments, segments_to_run


@dataclass(frozen=True, slots=True)
class ScheduledJobs:
    """Checks and starts what a schedule is for."""

    definitions: DefinitionStore
    segments: JobStarter
    exports: ExportStarter

    async def check(
        self, tenant: Tenant, segments: tuple[str, ...], export: ExportRequest | None
    ) -> None:
        """Refuse what no run could do.

        Raises:
            UserError: `schedule-invalid`, naming the part.
            Conflict: `catalogue-busy`.
        """
        if export is None:
            await check_segments(self.definitions, tenant, segments)
            return
        try:
            await self.exports.check(tenant, export)
        except Conflict:
            raise
        except UserError as error:
            raise UserError(f"properties: {error.message}", code=REFUSED) from error

    async def start(self, tenant: Tenant, asked: Schedule | OpenFiring, origin: str) -> str:
        """Start a job once for each origin; return its id.

        Raises:
            UserError: It cannot be started; the message says why.
            Conflict, Unavailable: Not now.
        """
        if asked.export is not None:
            return await self.exports.start(tenant, asked.export, origin=origin)
        ids = await segments_to_run(self.definitions, tenant, asked.segments)
        return await self.segments.start(tenant, ids, origin=origin)
