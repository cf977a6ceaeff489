"""Use cases of export jobs: start, read, list, cancel.

Workers do an export (docs/decisions/0307); here it is only asked for, and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from app.domain.definitions import DefinitionStore
from app.domain.errors import UserError
from app.domain.export_requests import ExportRequest
from app.domain.exports import ExportSegment, ExportTask, NewExport
from app.domain.jobs import JobStarter, JobStore, JobTask, NewJob, StoredJob
from app.domain.model import SEGMENT_NAMESPACE, JsonObject, Tenant
from app.service.definition_document import default_merge_policy_id
from app.service.export_query import ExportPage, ExportQuery, select_exports
from app.service.job_definitions import JobDefinitions, job_definitions
from app.service.jobs import JobCall, started_by
from app.service.kept_jobs import HISTORY_MS, KeptJobs

MOST_BATCHES = 100
"""Segments of an export that gives each a batch of its own."""

MERGE_POLICY_VERSION = 1


class Exports:
    """The export jobs of all tenants; implements `app.domain.export_requests.ExportStarter`.

    Args:
        store: Of export jobs.
        jobs: Starts the evaluation before an export.
        datasets: Returns the ids of the data sets that a tenant may write to.
        new_id: Returns a new id (a random UUID).
        now_ms: The wall clock in epoch milliseconds.
        kept_ms: How long a job that has ended can be looked up.
    """

    def __init__(
        self,
        store: JobStore,
        definitions: DefinitionStore,
        jobs: JobStarter,
        datasets: Callable[[Tenant], Collection[str]],
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
        kept_ms: int = HISTORY_MS,
    ) -> None:
        self._kept = KeptJobs(store, now_ms, kept_ms, "export")
        self._definitions = definitions
        self._jobs = jobs
        self._datasets = datasets
        self._new_id = new_id

    async def create(self, tenant: Tenant, request: ExportRequest, call: JobCall) -> StoredJob:
        """Start an export; return it as it was when it was started.

        Raises:
            UserError: `job-invalid`: what is asked for cannot be; the text says how to mend it.
            TooManyJobs: As the name says.
        """
        found = await self._definitions_of(tenant, request)
        return await self._kept.started(tenant, await self._started(tenant, request, found, call))

    async def check(self, tenant: Tenant, request: ExportRequest) -> None:
        """Refuse what cannot be exported; raises as `create`, but for `TooManyJobs`."""
        await self._definitions_of(tenant, request)

    async def start(self, tenant: Tenant, request: ExportRequest, *, origin: str) -> str:
        """Start an export by itself, see `ExportStarter`; raises as `create`."""
        # Its definitions may be gone by now.
        known = await self._kept.store.known(tenant, origin)
        if known:
            return known
        found = await self._definitions_of(tenant, request)
        return await self._started(tenant, request, found, JobCall(origin))

    async def get(self, tenant: Tenant, job_id: str) -> StoredJob:
        """Return one export; raises `NotFound`."""
        return await self._kept.get(tenant, job_id)

    async def find(self, tenant: Tenant, query: ExportQuery) -> ExportPage:
        """Return one page, newest first."""
        await self._kept.forget(tenant)
        return select_exports(await self._kept.store.all(tenant), query)

    async def cancel(self, tenant: Tenant, job_id: str) -> None:
        """Cancel an export, see `KeptJobs.cancel`."""
        await self._kept.cancel(tenant, job_id)

    async def _definitions_of(self, tenant: Tenant, request: ExportRequest) -> JobDefinitions:
        """Return the definitions that are asked for, once all of the request is checked."""
        self._check(tenant, request)
        found = await job_definitions(self._definitions, tenant, request.own_segments)
        _merge_policy(tenant, request, found)
        return found

    async def _started(
        self, tenant: Tenant, request: ExportRequest, found: JobDefinitions, call: JobCall
    ) -> str:
        ordinals = {(SEGMENT_NAMESPACE, one.segment_id): one.ordinal for one in found.segments}
        ordinals |= await self._external_ordinals(tenant, request)
        batch_id, after = self._new_id(), ""
        if request.evaluates:
            whole = None if not request.segments else request.own_segments
            # Also once for each origin: this process may die before the export is there.
            origin = f"export:{call.origin or batch_id}"
            after = await self._jobs.start(tenant, whole, origin=origin)
        shown = {**request.shown, "mergePolicy": _merge_policy(tenant, request, found)}
        starter = started_by(call, self._new_id)
        job = NewJob(
            task=JobTask(
                "",
                found.number,
                found.segments,
                found.further,
                self._task(request, ordinals, batch_id),
            ),
            is_whole=not request.segments,
            origin=call.origin,
            source=starter.source,
            request_id=starter.request_id,
            profile_instance_id=call.profile_instance_id,
            batch_id=batch_id,
            gateway_job_id=self._new_id(),
            created_ms=self._kept.now_ms(),
            schedule=starter.schedule,
            export=NewExport(request=shown, after=after),
        )
        return await self._kept.start(tenant, job)

    def _check(self, tenant: Tenant, request: ExportRequest) -> None:
        known = self._datasets(tenant)
        if request.dataset_id and request.dataset_id not in known:
            named = ", ".join(sorted(known)) or "none for this sandbox"
            raise _invalid(
                f"destination.datasetId: there is no data set {request.dataset_id!r}; the setting"
                f" SEG_DATASETS names {named}"
            )
        pairs = [(one.namespace, one.segment_id) for one in request.segments]
        if len(set(pairs)) != len(pairs):
            raise _invalid("filter.segments: a segment is named twice; name each once")
        if request.per_segment and not 1 <= len(pairs) <= MOST_BATCHES:
            raise _invalid(
                f"destination.segmentPerBatch: {len(pairs)} segments are named; name 1 to"
                f" {MOST_BATCHES} in filter.segments, or leave it out"
            )
        has_own = any(name == SEGMENT_NAMESPACE for name, _ in pairs)
        if request.evaluates and pairs and not has_own:
            raise _invalid(
                "evaluationInfo.segmentation: all segments are of other namespaces, which are not"
                " evaluated here; leave it out"
            )

    async def _external_ordinals(
        self, tenant: Tenant, request: ExportRequest
    ) -> dict[tuple[str, str], int]:
        """Return those of external audiences; of other namespaces the profile record tells."""
        ids = [one.segment_id for one in request.segments if one.namespace != SEGMENT_NAMESPACE]
        found = await self._definitions.get(tenant, list(dict.fromkeys(ids)))
        return {
            (one.membership_namespace, one.segment_id): one.ordinal
            for one in found.values()
            if one.external is not None
        }

    def _task(
        self, request: ExportRequest, ordinals: Mapping[tuple[str, str], int], batch_id: str
    ) -> ExportTask:
        segments = tuple(
            ExportSegment(
                one.namespace,
                one.segment_id,
                one.statuses,
                ordinals.get((one.namespace, one.segment_id), -1),
                self._new_id() if request.per_segment else "",
            )
            for one in request.segments
        )
        return ExportTask(
            batch_id,
            segments,
            request.from_ms,
            request.until_ms,
            request.updated_after_ms,
            request.with_empty,
            request.fields,
            request.events,
            request.dataset_id,
        )


def _merge_policy(tenant: Tenant, request: ExportRequest, found: JobDefinitions) -> JsonObject:
    """Return the policy that is shown; every profile here is merged in the same way."""
    known = [one.merge_policy_id for one in found.segments] or [default_merge_policy_id(tenant)]
    policy_id, version = request.merge_policy
    if policy_id and policy_id not in known:
        raise _invalid(
            f"mergePolicy.id: {policy_id!r} is not the policy of what is exported; that is"
            f" {', '.join(dict.fromkeys(known))}"
        )
    if version not in (0, MERGE_POLICY_VERSION):
        text = f"mergePolicy.version: there is only version {MERGE_POLICY_VERSION}"
        raise _invalid(f"{text}; leave it out")
    return {"id": policy_id or known[0], "version": MERGE_POLICY_VERSION}


def _invalid(text: str) -> UserError:
    return UserError(text, code="job-invalid")
