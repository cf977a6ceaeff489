"""Looks for unfinished imports and carries them out, beside the requests of an API process.

Every replica looks; the lease of a piece of work says who is at it. A process that dies loses its
leases after a while, and another goes on where it was.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from app.adapters.waits import set_within
from app.domain.errors import SegmentationError
from app.domain.external import ExternalStore, Work
from app.domain.model import Tenant
from app.service.imports import Imports, LeaseLost

LEASE_MS = 10_000
POLL_S = 1.0
AT_ONCE = 4
"""Pieces of work that a process does side by side."""

_STOP_S = 3.0
_SILENT_S = 60.0

_log = structlog.get_logger(__name__)

_Task = asyncio.Task[None]


class ImportRunner:
    """Runs imports while its context is open.

    Args:
        wake: Set by whoever adds work in this process.
        lease_ms: How long work of a dead process waits.
    """

    def __init__(
        self,
        store: ExternalStore,
        imports: Imports,
        wake: asyncio.Event,
        *,
        lease_ms: int = LEASE_MS,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._imports = imports
        self._wake = wake
        self._lease_ms = lease_ms
        self._poll_s = poll_s
        self._token = secrets.token_hex(16)
        self._tasks: dict[tuple[Tenant, Work], _Task] = {}
        self._alive_at = time.monotonic()
        self._is_away = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the context is open; on leaving it lets go of what is unfinished."""
        self._alive_at = time.monotonic()
        loop = asyncio.create_task(self._run(), name="import-runner")
        try:
            yield
        finally:
            tasks = [loop, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def problem(self) -> str | None:
        """Return what is wrong with the runner, None while it goes round."""
        silent = time.monotonic() - self._alive_at
        if silent < _SILENT_S:
            return None
        return f"the runner of imports has been silent for {silent:.0f} s"

    async def _run(self) -> None:
        while True:
            self._alive_at = time.monotonic()
            self._wake.clear()
            try:
                await self._look()
                self._is_away = False
            except SegmentationError as error:
                if not self._is_away:
                    _log.warning("imports-not-looked-for", reason=error.message)
                self._is_away = True
            except Exception:
                _log.exception("imports-not-looked-for")
            await set_within(self._wake, self._poll_s)

    async def _look(self) -> None:
        for tenant, work in await self._store.waiting():
            if len(self._tasks) >= AT_ONCE:
                return
            if (tenant, work) in self._tasks:
                continue
            if await self._store.claim(tenant, work, self._token, self._lease_ms):
                task = asyncio.create_task(self._do(tenant, work), name=f"import-{work.id}")
                self._tasks[tenant, work] = task

    async def _do(self, tenant: Tenant, work: Work) -> None:
        doing = asyncio.create_task(self._imports.do(tenant, work, self._token))
        keeping = asyncio.create_task(self._keep(tenant, work))
        try:
            await asyncio.wait([doing, keeping], return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                await doing
                _log.info("import-ended", kind=work.kind, id=work.id)
        except LeaseLost:
            _log.info("import-lost", kind=work.kind, id=work.id)
        except SegmentationError as error:
            _log.warning("import-waits", kind=work.kind, id=work.id, reason=error.message)
            await asyncio.sleep(self._poll_s)
        except Exception:
            _log.exception("import-failed", kind=work.kind, id=work.id)
            with suppress(SegmentationError, LeaseLost):
                await self._imports.give_up(tenant, work, self._token)
        finally:
            for task in (doing, keeping):
                task.cancel()
            await asyncio.gather(doing, keeping, return_exceptions=True)
            self._tasks.pop((tenant, work), None)
            with suppress(SegmentationError):
                await self._store.release(tenant, work, self._token)

    async def _keep(self, tenant: Tenant, work: Work) -> None:
        """Renew the lease; return when it is lost."""
        held_at = time.monotonic()
        while time.monotonic() - held_at < self._lease_ms / 1000:
            await asyncio.sleep(self._lease_ms / 3000)
            with suppress(SegmentationError):
                if not await self._store.claim(tenant, work, self._token, self._lease_ms):
                    return
                held_at = time.monotonic()
