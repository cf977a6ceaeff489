"""Use cases of segment jobs: start, read, list, cancel.

Workers do a job (docs/decisions/0304); here it is only asked for, and shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.definitions import DefinitionStore
from app.domain.errors import UserError
from app.domain.jobs import JobStore, JobTask, NewJob, StoredJob
from app.domain.model import Tenant
from app.service.job_definitions import job_definitions
from app.service.job_query import JobPage, JobQuery, select_jobs
from app.service.kept_jobs import HISTORY_MS, KeptJobs

API = "api"
SCHEDULER = "scheduler"
# The segment job before an export has the origin of the export in its own.
_OF_SCHEDULE = re.compile(r"(?:export:)?schedule:(.+):(\d+)")


@dataclass(frozen=True, slots=True)
class JobCall:
    """What is to be noted of who starts a job.

    Attributes:
        origin: What must not start a second job; empty for nothing.
        request_id: For tracing.
    """

    origin: str = ""
    request_id: str = ""
    profile_instance_id: str = "ups"


@dataclass(frozen=True, slots=True)
class Starter:
    """Who started a job, as the job shows it; see `NewJob`."""

    source: str
    request_id: str
    schedule: tuple[str, str] | None = None


def started_by(call: JobCall, new_id: Callable[[], str]) -> Starter:
    """Return who starts a job: a schedule, where the origin names one, or a client.

    Args:
        call: What is known of who starts it.
        new_id: Returns a new id, for the run of the schedule.
    """
    match = _OF_SCHEDULE.fullmatch(call.origin)
    if match is None:
        return Starter(API, call.request_id)
    return Starter(SCHEDULER, f"{match[1]}-{match[2]}", (match[1], new_id()))


class Jobs:
    """The segment jobs of all tenants; implements `app.domain.jobs.JobStarter`.

    Args:
        new_id: Returns a new id (a random UUID).
        now_ms: The wall clock in epoch milliseconds.
        kept_ms: How long a job that has ended can be looked up.
    """

    def __init__(
        self,
        store: JobStore,
        definitions: DefinitionStore,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
        kept_ms: int = HISTORY_MS,
    ) -> None:
        self._kept = KeptJobs(store, now_ms, kept_ms)
        self._definitions = definitions
        self._new_id = new_id

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        """Start a job by itself, see `app.domain.jobs.JobStarter`; raises as `create`."""
        # Its definitions may be gone by now.
        known = await self._kept.store.known(tenant, origin)
        return known or await self._started(tenant, segment_ids, JobCall(origin))

    async def create(
        self, tenant: Tenant, segment_ids: Sequence[str] | None, call: JobCall
    ) -> StoredJob:
        """Start a job over these definitions, None for all that are published.

        Definitions are taken as they are now. Returns the job as it was when it was started.

        Raises:
            UserError: `job-invalid`: one does not exist, is not published, or cannot be evaluated;
                or there is none.
            TooManyJobs: As the name says.
        """
        return await self._kept.started(tenant, await self._started(tenant, segment_ids, call))

    async def get(self, tenant: Tenant, job_id: str) -> StoredJob:
        """Return one job; raises `NotFound`."""
        return await self._kept.get(tenant, job_id)

    async def get_many(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Return those of `ids` that exist, by id."""
        return await self._kept.get_many(tenant, ids)

    async def find(self, tenant: Tenant, query: JobQuery) -> JobPage:
        """Return one page; only filters and unusual orders read all jobs."""
        await self._kept.forget(tenant)
        if query.by_creation_only:
            total, rows = await self._kept.store.page(
                tenant, query.offset, query.limit, newest_first=query.order[0].descending
            )
            return JobPage(total, tuple(rows))
        return select_jobs(tenant, await self._kept.store.all(tenant), query)

    async def cancel(self, tenant: Tenant, job_id: str) -> None:
        """Cancel a job, see `KeptJobs.cancel`."""
        await self._kept.cancel(tenant, job_id)

    async def _started(
        self, tenant: Tenant, segment_ids: Sequence[str] | None, call: JobCall
    ) -> str:
        found = await job_definitions(self._definitions, tenant, segment_ids)
        if not found.segments:
            text = "there is no published definition in this sandbox to evaluate"
            raise UserError(text, code="job-invalid")
        task = JobTask(self._new_id(), found.number, found.segments, found.further)
        return await self._kept.start(tenant, self._new_job(task, segment_ids is None, call))

    def _new_job(self, task: JobTask, is_whole: bool, call: JobCall) -> NewJob:
        starter = started_by(call, self._new_id)
        return NewJob(
            task=task,
            is_whole=is_whole,
            origin=call.origin,
            source=starter.source,
            request_id=starter.request_id,
            profile_instance_id=call.profile_instance_id,
            batch_id=self._new_id(),
            gateway_job_id=self._new_id(),
            created_ms=self._kept.now_ms(),
            schedule=starter.schedule,
        )
