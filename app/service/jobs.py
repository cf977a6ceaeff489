"""Use cases of segment jobs: start, read, list, cancel.

Workers do a job (docs/decisions/0304); here it is only asked for, and shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.definitions import FAILED, DefinitionStore, StoredDefinition
from app.domain.errors import Conflict, NotFound, UserError
from app.domain.jobs import JobSegment, JobStore, JobTask, NewJob, StoredJob
from app.domain.limits import DAY_MS
from app.domain.model import Tenant
from app.service.definitions import ATTEMPTS
from app.service.job_query import JobPage, JobQuery, select_jobs

API = "api"
SCHEDULER = "scheduler"
MOST_UNFINISHED = 100
"""Jobs of a tenant that wait or run; more are refused until some have ended."""

_OF_SCHEDULE = re.compile(r"schedule:(.+):(\d+)")


class TooManyJobs(UserError):
    """So many jobs of the tenant are unfinished that no other may be started."""

    code = "jobs-busy"


class JobStarter(Protocol):
    """What starts jobs by itself needs of them."""

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        """Start a job over these definitions, None for all that are published; return its id.

        Starting twice with the same origin gives the same job, for as long as that can be looked
        up.
        """
        ...


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


class Jobs:
    """The segment jobs of all tenants; implements `JobStarter`.

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
        kept_ms: int = 30 * DAY_MS,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._new_id = new_id
        self._now_ms = now_ms
        self._kept_ms = kept_ms

    async def start(self, tenant: Tenant, segment_ids: Sequence[str] | None, *, origin: str) -> str:
        """Start a job by itself, see `JobStarter`; raises as `create`."""
        # Its definitions may be gone by now.
        known = await self._store.known(tenant, origin)
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
        found = await self.get(tenant, await self._started(tenant, segment_ids, call))
        # Workers may be at it already; what was started here is new.
        created_ms = found.asked.created_ms
        return StoredJob(
            asked=found.asked, number=found.number, status="NEW", updated_ms=created_ms
        )

    async def get(self, tenant: Tenant, job_id: str) -> StoredJob:
        """Return one job; raises `NotFound`."""
        found = await self.get_many(tenant, [job_id])
        if job_id not in found:
            raise _not_found(job_id)
        return found[job_id]

    async def get_many(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Return those of `ids` that exist, by id."""
        await self._forget(tenant)
        return await self._store.get(tenant, ids)

    async def find(self, tenant: Tenant, query: JobQuery) -> JobPage:
        """Return one page; only filters and unusual orders read all jobs."""
        await self._forget(tenant)
        if query.by_creation_only:
            total, rows = await self._store.page(
                tenant, query.offset, query.limit, newest_first=query.order[0].descending
            )
            return JobPage(total, tuple(rows))
        return select_jobs(tenant, await self._store.all(tenant), query)

    async def cancel(self, tenant: Tenant, job_id: str) -> None:
        """Cancel a job; again does no harm.

        Raises:
            NotFound: `job-not-found`.
            Conflict: `job-ended`: it succeeded or failed.
        """
        done = await self._store.cancel(tenant, job_id, self._now_ms())
        if done == "none":
            raise _not_found(job_id)
        if done == "ended":
            raise Conflict(
                f"segment job {job_id!r} has ended: there is nothing to cancel", code="job-ended"
            )

    async def _forget(self, tenant: Tenant) -> None:
        await self._store.forget(tenant, self._now_ms() - self._kept_ms)

    async def _started(
        self, tenant: Tenant, segment_ids: Sequence[str] | None, call: JobCall
    ) -> str:
        job = self._new_job(await self._task(tenant, segment_ids), segment_ids is None, call)
        started = await self._store.create(tenant, job, MOST_UNFINISHED)
        if started is None:
            raise TooManyJobs(
                f"{MOST_UNFINISHED} segment jobs of this sandbox are not finished yet; try again"
                " when some are, or cancel some"
            )
        return started

    async def _task(self, tenant: Tenant, segment_ids: Sequence[str] | None) -> JobTask:
        """Return what is asked for, with the definitions and the catalogue of one instant."""
        for _ in range(ATTEMPTS):
            head = await self._definitions.head(tenant)
            if segment_ids is None:
                every = await self._definitions.all(tenant)
                found = [one for one in every if one.is_evaluated and one.state != FAILED]
            else:
                found = await self._asked(tenant, segment_ids)
            further = await self._further(tenant, found)
            if (await self._definitions.head(tenant)).revision == head.revision:
                break
        else:
            text = "the definitions of this sandbox kept changing while the job was started"
            raise Conflict(f"{text}; try again", code="catalogue-busy")
        if not found:
            text = "there is no published definition in this sandbox to evaluate"
            raise UserError(text, code="job-invalid")
        segments = tuple(_segment(one) for one in found)
        return JobTask(self._new_id(), head.number, segments, further)

    async def _further(
        self, tenant: Tenant, found: Sequence[StoredDefinition]
    ) -> tuple[tuple[str, int], ...]:
        """Return the versions of what definitions ask, at any depth, beside themselves."""
        known = {one.segment_id for one in found}
        versions: dict[str, int] = {}
        waiting = list(found)
        while waiting:
            asked = {use for one in waiting for use in one.uses} - known
            known |= asked
            waiting = list((await self._definitions.get(tenant, sorted(asked))).values())
            versions |= {one.segment_id: one.version for one in waiting}
        return tuple(versions.items())

    async def _asked(self, tenant: Tenant, ids: Sequence[str]) -> list[StoredDefinition]:
        found = await self._definitions.get(tenant, list(dict.fromkeys(ids)))
        missing = [one for one in ids if one not in found or found[one].external is not None]
        if missing:
            named = ", ".join(dict.fromkeys(missing))
            text = f"there is no segment definition {named} in this sandbox"
            raise UserError(f"{text}; name existing ones", code="job-invalid")
        for one in found.values():
            if not one.is_evaluated:
                text = f"segment definition {one.segment_id!r} is {one.lifecycle}"
                raise UserError(f"{text}; only published ones are evaluated", code="job-invalid")
            if one.state == FAILED:
                text = f"segment definition {one.segment_id!r} cannot be evaluated"
                raise UserError(f"{text}: {one.state_reason}", code="job-invalid")
        return list(found.values())

    def _new_job(self, task: JobTask, is_whole: bool, call: JobCall) -> NewJob:
        request_id, source, schedule = call.request_id, API, None
        match = _OF_SCHEDULE.fullmatch(call.origin)
        if match:
            request_id, source = f"{match[1]}-{match[2]}", SCHEDULER
            schedule = match[1], self._new_id()
        return NewJob(
            task=task,
            is_whole=is_whole,
            origin=call.origin,
            source=source,
            request_id=request_id,
            profile_instance_id=call.profile_instance_id,
            batch_id=self._new_id(),
            gateway_job_id=self._new_id(),
            created_ms=self._now_ms(),
            schedule=schedule,
        )


def _segment(definition: StoredDefinition) -> JobSegment:
    return JobSegment(
        definition.segment_id,
        definition.ordinal,
        definition.version,
        definition.expression,
        definition.merge_policy_id,
    )


def _not_found(job_id: str) -> NotFound:
    return NotFound(f"there is no segment job {job_id!r} in this sandbox", code="job-not-found")
