"""External audiences and their importer, put together: the same in the service and in tests."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass

from app.adapters.imports.runner import LEASE_MS, POLL_S, ImportRunner
from app.domain.external import ExternalStore
from app.service.definitions import Definitions
from app.service.external_audiences import ExternalAudiences
from app.service.import_sources import ImportSources
from app.service.imports import CHUNK_ROWS, Imports
from app.service.profile_updates import UpdateCheck, UpdateLog

_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalWiring:
    """What they are made of; the last three are defaults of the service."""

    store: ExternalStore
    definitions: Definitions
    sources: ImportSources
    check: UpdateCheck
    log: UpdateLog
    lease_ms: int = LEASE_MS
    poll_s: float = POLL_S
    chunk_rows: int = CHUNK_ROWS


def external_parts(parts: ExternalWiring) -> tuple[ExternalAudiences, ImportRunner]:
    """Return the use cases, and the runner that does what they begin."""
    wake = asyncio.Event()
    audiences = ExternalAudiences(
        parts.definitions, parts.store, parts.sources, lambda: str(uuid.uuid4()), wake.set
    )
    imports = Imports(
        audiences,
        parts.store,
        parts.sources,
        parts.check,
        parts.log,
        lambda: time.time_ns() // 1_000_000,
        lambda: asyncio.sleep(_PAUSE_S),
        parts.chunk_rows,
    )
    runner = ImportRunner(parts.store, imports, wake, lease_ms=parts.lease_ms, poll_s=parts.poll_s)
    return audiences, runner
