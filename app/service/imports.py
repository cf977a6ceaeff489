"""Use case: operations and runs of external audiences carried out, step by step.

Each step is stored before the next; whoever takes unfinished work over goes on at the last one. A
step may happen twice, when its doer died before it was stored: an audience is made under an id that
was chosen before, and what is said of a member carries the id of the run, which a profile counts
once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from app.domain.definitions import StoredDefinition
from app.domain.errors import Conflict, NotFound, UserError
from app.domain.external import (
    FAILED,
    PROCESSING,
    SUCCESS,
    ExternalStore,
    Operation,
    Progress,
    Run,
    Work,
)
from app.domain.model import ExternalMembership, ProfileKey, Tenant
from app.service.external_audiences import ExternalAudiences
from app.service.import_rows import BadRow, RowCheck
from app.service.import_sources import ImportSources, Rows
from app.service.profile_updates import UpdateCheck, UpdateLog

CHUNK_ROWS = 500
"""Rows that are read, appended and noted together."""

PROBLEMS_KEPT = 20
MOST_FILES = 10_000


class LeaseLost(Exception):
    """Another took the work over, or it was withdrawn."""


class Imports:
    """Carries work out.

    Args:
        audiences: Whose work it is.
        store: Where it is noted.
        sources: Where rows come from.
        check: Makes records.
        log: The input topic.
        now_ms: The wall clock in epoch milliseconds.
        pause: Waits a little, for what others have to do.
        chunk_rows: See `CHUNK_ROWS`.
    """

    def __init__(
        self,
        audiences: ExternalAudiences,
        store: ExternalStore,
        sources: ImportSources,
        check: UpdateCheck,
        log: UpdateLog,
        now_ms: Callable[[], int],
        pause: Callable[[], Awaitable[None]],
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self._audiences = audiences
        self._store = store
        self._sources = sources
        self._check = check
        self._log = log
        self._now_ms = now_ms
        self._pause = pause
        self._chunk_rows = chunk_rows

    async def do(self, tenant: Tenant, work: Work, token: str) -> None:
        """Carry work out to its end.

        Args:
            tenant: Whose it is.
            work: Unfinished.
            token: Of the lease that is held.

        Raises:
            LeaseLost: The lease is held no more.
            Unavailable: Redis or Kafka does not answer; go on later.
        """
        if work.kind == "operation":
            operation = await self._store.operation(tenant, work.id)
            if operation is not None and operation.status == PROCESSING:
                await self._create(tenant, operation, token)
                return
        else:
            run = await self._store.run(tenant, work.id)
            if run is not None and run.status == PROCESSING:
                await self._import(tenant, run, token)
                return
        await self._store.discard(tenant, work)

    async def give_up(self, tenant: Tenant, work: Work, token: str) -> None:
        """End work that met a defect, so that it is not begun for ever."""
        reason = "something went wrong here; the log of the service has the details"
        if work.kind == "operation":
            operation = await self._store.operation(tenant, work.id)
            if operation is not None:
                operation.status, operation.reason = FAILED, reason
                await self._store.save_operation(tenant, operation, token)
            return
        run = await self._store.run(tenant, work.id)
        if run is not None:
            run.status, run.reason = FAILED, reason
            await self._save(tenant, run, token)

    async def _create(self, tenant: Tenant, operation: Operation, token: str) -> None:
        source = operation.external.source
        assert source is not None
        try:
            await self._sources.files(tenant, source)
            await self._audiences.perform(tenant, operation, self._now_ms())
            operation.status = SUCCESS
        except UserError as error:
            if isinstance(error, Conflict) and error.code == "catalogue-busy":
                raise
            operation.status, operation.reason = FAILED, error.message
        operation.updated_ms = self._now_ms()
        if not await self._store.save_operation(tenant, operation, token):
            raise LeaseLost

    async def _import(self, tenant: Tenant, run: Run, token: str) -> None:
        try:
            audience = await self._published(tenant, run)
        except NotFound:
            await self._store.forget_audience(tenant, run.segment_id)
            return
        except UserError as error:
            run.status, run.reason = FAILED, error.message
            await self._save(tenant, run, token)
            return
        try:
            await self._read(tenant, run, audience, token)
        except NotFound as error:
            raise LeaseLost from error
        except UserError as error:
            run.status, run.reason = FAILED, error.message
        else:
            await self._until_applied(run)
            run.status, run.reason = await self._outcome(tenant, run)
        await self._save(tenant, run, token)

    async def _outcome(self, tenant: Tenant, run: Run) -> tuple[Progress, str]:
        """Return how a run has ended whose records were all applied, and why."""
        if await self._store.heard_since(tenant, run.segment_id) != run.heard:
            return FAILED, "the audience was away while its rows were read: start another run"
        if run.rejected and not run.accepted:
            return FAILED, "no row of the source can be taken"
        return SUCCESS, ""

    async def _published(self, tenant: Tenant, run: Run) -> StoredDefinition:
        audience = await self._audiences.get(tenant, run.segment_id)
        if not audience.is_evaluated:
            raise UserError(f"the audience became {audience.lifecycle} before its rows were read")
        return audience

    async def _read(self, tenant: Tenant, run: Run, audience: StoredDefinition, token: str) -> None:
        external = audience.external
        assert external is not None
        assert external.source is not None
        if run.files is None:
            await self._choose_files(tenant, run, audience)
            await self._save(tenant, run, token)
        assert run.files is not None
        while (heard := await self._store.heard_since(tenant, run.segment_id)) is None:
            await self._published(tenant, run)
            await self._pause()
        run.heard = run.heard or heard
        check = RowCheck(external.fields)
        while run.file < len(run.files):
            async with AsyncExitStack() as stack:
                file = run.files[run.file]
                opened = self._sources.open(tenant, external.source, file, check.names)
                rows = await stack.enter_async_context(opened)
                await rows.skip(run.row)
                await self._read_file(tenant, run, rows, check, token)
            run.file, run.row = run.file + 1, 0
            run.is_read = run.file == len(run.files)
            await self._save(tenant, run, token)
        run.is_read = True

    async def _choose_files(self, tenant: Tenant, run: Run, audience: StoredDefinition) -> None:
        assert audience.external is not None
        assert audience.external.source is not None
        found = await self._sources.files(tenant, audience.external.source)
        in_time = [
            one
            for one in found
            if run.from_s <= one.modified_s and (run.to_s is None or one.modified_s < run.to_s + 1)
        ]
        files = tuple(one.file for one in in_time if one.is_known)
        if len(files) > MOST_FILES:
            text = f"the source has {len(files)} files, a run takes at most {MOST_FILES}: move"
            raise UserError(f"{text} some away, or narrow the time")
        run.files, run.ignored = files, len(in_time) - len(files)

    async def _read_file(
        self, tenant: Tenant, run: Run, rows: Rows, check: RowCheck, token: str
    ) -> None:
        while True:
            chunk = await rows.take(self._chunk_rows)
            if not chunk:
                return
            await self._published(tenant, run)
            ids = self._checked(run, chunk, check)
            told = ExternalMembership(run.segment_id, run.until_ms)
            now_ms = self._now_ms()
            records = [
                self._check.membership(ProfileKey(tenant, one), told, run.run_id, now_ms)
                for one in ids
            ]
            for position in await self._log.append(records) if records else ():
                at = str(position.partition)
                run.positions[at] = max(run.positions.get(at, 0), position.offset + 1)
            run.row += len(chunk)
            run.accepted += len(ids)
            await self._save(tenant, run, token)

    def _checked(
        self, run: Run, chunk: Sequence[Mapping[str, object] | BadRow], check: RowCheck
    ) -> list[str]:
        """Return the profiles that rows name; count and remember those that are refused."""
        assert run.files is not None
        ids: list[str] = []
        for number, row in enumerate(chunk, run.row + 1):
            try:
                if isinstance(row, BadRow):
                    raise row
                ids.append(check.profile_id(row))
            except BadRow as problem:
                run.rejected += 1
                if len(run.problems) < PROBLEMS_KEPT:
                    run.problems.append(f"{run.files[run.file].path}, row {number}: {problem}")
        return ids

    async def _until_applied(self, run: Run) -> None:
        """Wait until the owners have applied everything: a run that succeeded has its members."""
        positions = [(int(partition), offset) for partition, offset in run.positions.items()]
        while not await self._store.is_applied(positions):
            await self._pause()

    async def _save(self, tenant: Tenant, run: Run, token: str) -> None:
        run.updated_ms = self._now_ms()
        if not await self._store.save_run(tenant, run, token):
            raise LeaseLost
