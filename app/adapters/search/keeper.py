"""The indexes of all tenants, kept current beside the requests; Redis stays the truth.

A change is learnt from a notification and, should that be lost, from the revisions each second.
What changed is decoded and indexed in a thread, and swapped in when it is complete.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import structlog

from app.adapters.search.index import TenantIndex, TenantView
from app.adapters.waits import set_within
from app.domain.errors import Unavailable
from app.domain.model import Tenant
from app.domain.search import SearchDocument

CHECK_SECONDS = 1.0
"""How often the revisions are looked at without a notification."""
PAUSE_SECONDS = 0.2
"""Between two rounds, so that a burst of changes is indexed in a few of them."""
STALE_SECONDS = 10.0
"""Without a look at the source for so long, searches are refused, not answered from the past."""
_CANCEL_AGAIN_SECONDS = 0.1

Stored: TypeAlias = Mapping[bytes, bytes]
Decoded: TypeAlias = dict[bytes, tuple[bytes, SearchDocument]]

_log = structlog.get_logger(__name__)


class SearchSource(Protocol):
    """One kind of documents. What is read raises `Unavailable` when the source is away."""

    async def revisions(self) -> dict[Tenant, str]:
        """Return a text for every tenant that differs after each change of its documents."""
        ...

    async def read(self, tenant: Tenant) -> tuple[str, Stored]:
        """Return the revision of a tenant, and its documents as stored, by id.

        A document that is written meanwhile is in it or not, but then has moved the revision.
        """
        ...

    def decode(self, stored: bytes) -> SearchDocument:
        """Return what a stored document says."""
        ...

    def changed(self) -> AsyncGenerator[Tenant, None]:
        """Yield the tenant of each change that is noticed; some may not be."""
        ...


@dataclass(slots=True)
class _Kept:
    """What is held of a tenant.

    Attributes:
        revisions: One for each source.
        decoded: For each source the stored bytes by id, and what they say.
        seen_at: When `view` was last known to be current, in seconds; None before the first time.
    """

    revisions: tuple[str, ...] = ()
    decoded: list[Decoded] = field(default_factory=list)
    index: TenantIndex = field(default_factory=TenantIndex)
    view: TenantView = field(default_factory=TenantView)
    seen_at: float | None = None


class SearchKeeper:
    """Implements `app.service.search.SearchIndex`.

    Args:
        sources: One for each kind of documents.
    """

    def __init__(self, sources: Sequence[SearchSource]) -> None:
        self._sources = sources
        self._kept: dict[Tenant, _Kept] = {}
        self._asked = asyncio.Event()
        self._seen_at: float | None = None

    def view(self, tenant: Tenant) -> TenantView:
        """Return the documents of a tenant; raises `Unavailable` while they are not known."""
        kept = self._kept.get(tenant)
        reason = _reason(self._seen_at) or (_reason(kept.seen_at) if kept is not None else None)
        if reason is not None:
            raise Unavailable(reason)
        return kept.view if kept is not None else TenantView()

    async def problem(self) -> str | None:
        """Return what is wrong with the indexes as a whole, None while they are followed."""
        return _reason(self._seen_at)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the sources while the context is open."""
        tasks = [
            asyncio.create_task(self._follow(), name="search-keeper"),
            *(
                asyncio.create_task(self._listen(source), name="search-listener")
                for source in self._sources
            ),
        ]
        try:
            yield
        finally:
            await _end(tasks)

    async def refresh(self) -> None:
        """Index what changed. A tenant whose documents cannot be indexed harms no other.

        Raises:
            Unavailable: A source does not answer.
        """
        looked_at = time.monotonic()
        found = [await source.revisions() for source in self._sources]
        tenants = {tenant for revisions in found for tenant in revisions}
        for tenant in sorted(tenants):
            now = tuple(revisions.get(tenant, "") for revisions in found)
            # One that is new had nothing when all were last looked at.
            kept = self._kept.setdefault(tenant, _Kept(seen_at=self._seen_at))
            if kept.revisions == now or await self._renewed(tenant, kept):
                kept.seen_at = looked_at
        for tenant in self._kept.keys() - tenants:
            del self._kept[tenant]
        self._seen_at = looked_at

    async def _renewed(self, tenant: Tenant, kept: _Kept) -> bool:
        read = [await source.read(tenant) for source in self._sources]
        try:
            await asyncio.to_thread(self._index, kept, [stored for _, stored in read])
        except Exception:
            _log.exception("search-not-indexed", tenant="/".join(tenant))
            # What is half written is made anew; until then the last whole view stays.
            kept.index, kept.decoded = TenantIndex(), []
            return False
        kept.view = kept.index.view
        kept.revisions = tuple(revision for revision, _ in read)
        return True

    def _index(self, kept: _Kept, read: Sequence[Stored]) -> None:
        before = kept.decoded or [{} for _ in self._sources]
        kept.decoded = [
            _decoded(source, stored, known)
            for source, stored, known in zip(self._sources, read, before, strict=True)
        ]
        kept.index.replace(document for rows in kept.decoded for _, document in rows.values())

    async def _follow(self) -> None:
        is_away = False
        while True:
            self._asked.clear()
            try:
                await self.refresh()
                is_away = False
            except Unavailable as error:
                if not is_away:
                    _log.warning("search-not-refreshed", reason=error.message)
                is_away = True
            except Exception:
                _log.exception("search-not-refreshed")
            await asyncio.sleep(PAUSE_SECONDS)
            await set_within(self._asked, CHECK_SECONDS - PAUSE_SECONDS)

    async def _listen(self, source: SearchSource) -> None:
        while True:
            try:
                async for _ in source.changed():
                    self._asked.set()
            except Unavailable as error:
                _log.warning("search-notifications-stopped", reason=error.message)
            await asyncio.sleep(CHECK_SECONDS)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a wait that is over in the same moment swallows it (`asyncio.wait_for` of
    Python 3.11, and what Redis' client does when an answer arrives).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


def _decoded(source: SearchSource, read: Stored, before: Decoded) -> Decoded:
    rows: Decoded = {}
    for document_id, stored in read.items():
        known = before.get(document_id)
        if known is None or known[0] != stored:
            known = (stored, source.decode(stored))
        rows[document_id] = known
    return rows


def _reason(seen_at: float | None) -> str | None:
    """Return why what was current at `seen_at`, in seconds, cannot be searched any more."""
    if seen_at is None:
        return "the search index is being built; try again in a moment"
    silent = time.monotonic() - seen_at
    if silent < STALE_SECONDS:
        return None
    return f"the search index could not be brought up to date for {silent:.0f} s; try again"
