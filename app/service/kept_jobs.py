"""What segment jobs and export jobs have in common: queued, looked up, cancelled, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.domain.errors import Conflict, NotFound
from app.domain.jobs import JobKind, JobStore, NewJob, StoredJob
from app.domain.limits import DAY_MS
from app.domain.model import Tenant

MOST_UNFINISHED = 100
"""Jobs of a tenant, of both kinds, that wait or run; more are refused until some have ended."""

HISTORY_MS = 30 * DAY_MS


class TooManyJobs(Conflict):
    """So many jobs of the tenant are unfinished that no other may be started."""

    code = "jobs-busy"


class KeptJobs:
    """The jobs of one kind, of all tenants.

    Args:
        store: Of the jobs of that kind.
        now_ms: The wall clock in epoch milliseconds.
        kept_ms: How long a job that has ended can be looked up.
        kind: For messages.
    """

    def __init__(
        self,
        store: JobStore,
        now_ms: Callable[[], int],
        kept_ms: int = HISTORY_MS,
        kind: JobKind = "segment",
    ) -> None:
        self.store = store
        self.now_ms = now_ms
        self._kept_ms = kept_ms
        self._name = f"{kind} job"

    async def start(self, tenant: Tenant, job: NewJob) -> str:
        """Queue a job; return its id, or that of the one with its origin.

        Raises:
            TooManyJobs: As the name says.
        """
        started = await self.store.create(tenant, job, MOST_UNFINISHED)
        if started is None:
            raise TooManyJobs(
                f"{MOST_UNFINISHED} jobs of this sandbox are not finished yet; try again when some"
                " are, or cancel some"
            )
        return started

    async def started(self, tenant: Tenant, job_id: str) -> StoredJob:
        """Return a job as it was when it was started: workers may be at it already."""
        found = await self.get(tenant, job_id)
        created_ms = found.asked.created_ms
        return StoredJob(
            asked=found.asked, number=found.number, status="NEW", updated_ms=created_ms
        )

    async def get(self, tenant: Tenant, job_id: str) -> StoredJob:
        """Return one job; raises `NotFound`."""
        found = await self.get_many(tenant, [job_id])
        if job_id not in found:
            raise self._not_found(job_id)
        return found[job_id]

    async def get_many(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredJob]:
        """Return those of `ids` that exist, by id."""
        await self.forget(tenant)
        return await self.store.get(tenant, ids)

    async def cancel(self, tenant: Tenant, job_id: str) -> None:
        """Cancel a job; again does no harm.

        Raises:
            NotFound: `job-not-found`.
            Conflict: `job-ended`: it succeeded or failed.
        """
        done = await self.store.cancel(tenant, job_id, self.now_ms())
        if done == "none":
            raise self._not_found(job_id)
        if done == "ended":
            text = f"{self._name} {job_id!r} has ended: there is nothing to cancel"
            raise Conflict(text, code="job-ended")

    async def forget(self, tenant: Tenant) -> None:
        """Remove what ended too long ago."""
        await self.store.forget(tenant, self.now_ms() - self._kept_ms)

    def _not_found(self, job_id: str) -> NotFound:
        return NotFound(
            f"there is no {self._name} {job_id!r} in this sandbox", code="job-not-found"
        )
