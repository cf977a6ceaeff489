"""Use cases of external audiences: create, change, remove; operations and runs.

Source: API reference, external audience ingestion; what it leaves open is decided in
docs/decisions/0308.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.definitions import StoredDefinition
from app.domain.errors import Conflict, NotFound, UserError
from app.domain.external import (
    SUCCESS,
    ExternalStore,
    Operation,
    Run,
)
from app.domain.limits import DAY_MS
from app.domain.model import SEGMENT_NAMESPACE, JsonObject, Tenant
from app.domain.search import SEGMENT_NAMESPACE as MADE_HERE
from app.service.definitions import Definitions
from app.service.external_input import (
    ExternalEdit,
    ExternalInput,
    changed_audience,
    new_audience,
)
from app.service.import_sources import ImportSources
from app.service.lifecycle import REFUSED

UNPROCESSABLE = "external-unprocessable"
_RESERVED = {SEGMENT_NAMESPACE.casefold(), MADE_HERE.casefold()}


class ExternalAudiences:
    """The external audiences of all tenants.

    Args:
        new_id: Returns a new id (a random UUID).
        wake: Called when there is new work for an importer.
    """

    def __init__(
        self,
        definitions: Definitions,
        store: ExternalStore,
        sources: ImportSources,
        new_id: Callable[[], str],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._definitions = definitions
        self._store = store
        self._sources = sources
        self._new_id = new_id
        self._wake = wake

    async def submit(
        self, tenant: Tenant, given: ExternalInput, details: JsonObject, now_ms: int
    ) -> Operation:
        """Ask for an audience with a source; an importer makes it once the source is there.

        Args:
            tenant: Whose it is to be.
            given: What it is to be.
            details: Echo of the request.
            now_ms: Epoch milliseconds.

        Raises:
            Conflict: Name or id is taken.
            UserError: The source names no place that is configured, or leads out of it.
        """
        assert given.external.source is not None
        await self._check_free(tenant, given, None)
        self._sources.check(tenant, given.external.source)
        operation = Operation(
            operation_id=self._new_id(),
            segment_id=self._new_id(),
            name=given.name,
            description=given.description,
            labels=given.labels,
            external=given.external,
            details=details,
            author=given.author,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        await self._store.begin_operation(tenant, operation)
        self._wake()
        return operation

    async def operation(self, tenant: Tenant, operation_id: str) -> Operation:
        """Return an operation; raises `NotFound`."""
        found = await self._store.operation(tenant, operation_id)
        if found is None:
            raise NotFound(f"there is no operation {operation_id!r} in this sandbox")
        return found

    async def perform(self, tenant: Tenant, operation: Operation, now_ms: int) -> None:
        """Make the audience of an operation; again does no harm. Raises as `create`."""
        given = ExternalInput(
            name=operation.name,
            external=operation.external,
            description=operation.description,
            labels=operation.labels,
            author=operation.author,
        )
        await self._put(tenant, operation.segment_id, given, now_ms)

    async def create(self, tenant: Tenant, given: ExternalInput, now_ms: int) -> StoredDefinition:
        """Make an audience without a source: another service tells its members.

        Raises:
            Conflict: `name-taken`: the name, or the id in its namespace.
            UserError: `audience-invalid`: the namespace is one of this service.
        """
        return await self._put(tenant, self._new_id(), given, now_ms)

    async def get(self, tenant: Tenant, segment_id: str) -> StoredDefinition:
        """Return an external audience; raises `NotFound`, also for another."""
        found = await self._definitions.audience(tenant, segment_id)
        if found.external is None:
            raise NotFound(
                f"there is no external audience {segment_id!r} in this sandbox",
                code="definition-not-found",
            )
        return found

    async def change(
        self, tenant: Tenant, segment_id: str, edit: ExternalEdit, now_ms: int
    ) -> StoredDefinition:
        """Replace what a client may choose.

        Raises:
            NotFound: There is none.
            UserError: `audience-invalid`: the lifecycle state cannot become the one given.
            Conflict: `name-taken`.
        """

        async def decide(previous: StoredDefinition | None) -> StoredDefinition:
            if previous is None:
                previous = await self.get(tenant, segment_id)
            given = edit(previous)
            await self._check_free(tenant, given, segment_id)
            return changed_audience(previous, given, now_ms)

        await self.get(tenant, segment_id)
        return await self._definitions.put(tenant, segment_id, decide)

    async def delete(self, tenant: Tenant, segment_id: str) -> None:
        """Remove an audience and its runs; its members leave.

        Raises:
            NotFound: There is none.
            Conflict: `has-dependents`: others ask it.
        """
        await self.get(tenant, segment_id)
        await self._definitions.delete_audience(tenant, segment_id)
        await self._store.forget_audience(tenant, segment_id)

    async def start_run(
        self,
        tenant: Tenant,
        segment_id: str,
        from_s: int,
        to_s: int | None,
        author: str,
        now_ms: int,
    ) -> tuple[StoredDefinition, Run]:
        """Start an import.

        Raises:
            NotFound: There is no such audience.
            UserError: It has no source, is not published, or is being imported.
        """
        audience = await self.get(tenant, segment_id)
        external = audience.external
        assert external is not None
        if external.source is None:
            text = "the audience has no source: another service tells its members"
            raise UserError(text, code=UNPROCESSABLE)
        if not audience.is_evaluated:
            text = f"the audience is {audience.lifecycle}: publish it first"
            raise UserError(text, code=UNPROCESSABLE)
        earlier = await self._store.runs(tenant, segment_id)
        run = Run(
            run_id=self._new_id(),
            segment_id=segment_id,
            author=author,
            is_first=all(one.status != SUCCESS for one in earlier),
            from_s=from_s,
            to_s=to_s,
            until_ms=now_ms + external.ttl_days * DAY_MS,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        if not await self._store.begin_run(tenant, run):
            text = "another run of the audience is in progress: start this one when it has ended"
            raise UserError(text, code=UNPROCESSABLE)
        self._wake()
        return audience, run

    async def run(
        self, tenant: Tenant, segment_id: str, run_id: str
    ) -> tuple[StoredDefinition, Run]:
        """Return a run; raises `NotFound`."""
        audience = await self.get(tenant, segment_id)
        found = await self._store.run(tenant, run_id)
        if found is None or found.segment_id != segment_id:
            raise NotFound(f"the audience has no run {run_id!r}")
        return audience, found

    async def runs(self, tenant: Tenant, segment_id: str) -> tuple[StoredDefinition, list[Run]]:
        """Return the runs of an audience, newest first; raises `NotFound`."""
        audience = await self.get(tenant, segment_id)
        return audience, await self._store.runs(tenant, segment_id)

    async def _put(
        self, tenant: Tenant, segment_id: str, given: ExternalInput, now_ms: int
    ) -> StoredDefinition:
        async def decide(previous: StoredDefinition | None) -> StoredDefinition:
            # There already: written by an attempt whose answer was lost.
            if previous is not None:
                return previous
            await self._check_free(tenant, given, segment_id)
            return new_audience(tenant, segment_id, given, now_ms)

        return await self._definitions.put(tenant, segment_id, decide)

    async def _check_free(
        self, tenant: Tenant, given: ExternalInput, segment_id: str | None
    ) -> None:
        namespace, audience_id = given.external.namespace, given.external.audience_id
        if namespace.casefold() in _RESERVED:
            text = f"namespace {namespace} is that of audiences made here; choose another"
            raise UserError(text, code=REFUSED)
        owner = await self._definitions.owner_of_name(tenant, given.name)
        if owner not in (None, segment_id):
            text = f"the name {given.name!r} is taken by {owner}; choose another"
            raise Conflict(text, code="name-taken")
        for one in await self._definitions.external(tenant):
            external = one.external
            if external is None or one.segment_id == segment_id:
                continue
            if audience_id and (external.namespace, external.audience_id) == (
                namespace,
                audience_id,
            ):
                text = f"audience {one.segment_id} has the id {audience_id!r} in this namespace"
                raise Conflict(f"{text}; choose another", code="name-taken")
