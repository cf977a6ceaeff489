"""What a worker does for previews, beside the stream: reads, evaluates, reports; writes no profile.

Each slice goes on from what is stored of the preview, and is noted only if nobody else noted it
meanwhile; so a worker may die at any point, and an owner that lost its partition does no harm
(docs/decisions/0306). Live updates go first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.scanning import FEW_RECORDS, LONGEST_WAIT_S
from app.adapters.waits import set_within
from app.domain.errors import SegmentationError, Unavailable
from app.domain.limits import EngineLimits
from app.domain.model import Tenant
from app.domain.previews import PreviewSource, PreviewTask, ProfileScan, ScannedProfiles, Share
from app.engine.predicate import Predicate
from app.service.preview_scan import Look, Part, Turns, begun

logger = logging.getLogger(__name__)

INTERVAL_S = 0.1
CHECK_INTERVAL_S = 1.0
BUSY_S = 0.005
"""Processor time after which others of the process get a turn."""

_FRESH_MS = 2_000
_CHUNK = 32
_SLICE_S = 0.05
_SLICE_BYTES = 2 * 1_048_576
_LEAST = 16
_MOST = 2_048
_AT_ONCE = 4
_BACK_OFF = 4
"""While records wait, so many times as long as a slice took nothing is done for previews."""


@dataclass(frozen=True, slots=True)
class PreviewOptions:
    """Bounds of previews in a worker.

    Attributes:
        sample: Profiles of a partition that are looked at.
        kept: Matches of a partition that a preview keeps: those with the smallest hashes.
    """

    sample: int = 25_000
    kept: int = 1_250


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent works with.

    Attributes:
        owners: By partition; read each time.
    """

    source: PreviewSource
    scan: ProfileScan
    owners: Mapping[int, Owner]
    metrics: WorkerMetrics
    limits: EngineLimits


class PreviewAgent:
    """Does the previews in the partitions of a worker."""

    def __init__(self, parts: Parts, options: PreviewOptions) -> None:
        self._parts = parts
        self._options = options
        self._tasks: dict[str, tuple[Tenant, PreviewTask]] = {}
        self._predicates: dict[str, Predicate] = {}
        # As stored, of the partitions as they are owned now: by query id, partition, lease.
        self._shares: dict[tuple[str, int, int], Share] = {}
        self._turns = Turns()
        self._asked = asyncio.Event()
        self._checked_at = 0.0
        self._limit = _LEAST

    async def run(self) -> None:
        """Work until cancelled."""
        listener = asyncio.create_task(self._listen(), name="preview-notifications")
        is_away = False
        try:
            while True:
                has_more = False
                try:
                    has_more = await self.step()
                    is_away = False
                except Unavailable as error:
                    if not is_away:
                        logger.warning("previews: %s", error)
                    is_away = True
                if not has_more:
                    await set_within(self._asked, INTERVAL_S)
        finally:
            listener.cancel()

    async def step(self) -> bool:
        """Do some slices side by side; tell whether there was one to do.

        Raises:
            Unavailable: Redis does not answer; what was not noted is done again.
        """
        if self._asked.is_set() or time.monotonic() - self._checked_at >= CHECK_INTERVAL_S:
            self._asked.clear()
            await self._refresh()
        await self._begin()
        chosen = self._chosen()
        if not chosen:
            return False
        started = time.process_time()
        # One is evaluated while Redis answers the others.
        ends = await asyncio.gather(*map(self._slice, chosen), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        await self._give_way(time.process_time() - started)
        return True

    def _chosen(self) -> list[Part]:
        waiting = list(self._waiting())
        chosen: list[Part] = []
        while len(chosen) < _AT_ONCE:
            part = self._turns.choose(part for part in waiting if part not in chosen)
            if part is None:
                break
            chosen.append(part)
        return chosen

    async def _refresh(self) -> None:
        found = await self._parts.source.tasks(time.time_ns() // 1_000_000)
        self._checked_at = time.monotonic()
        self._tasks = {
            task.query_id: (tenant, task) for tenant, tasks in found.items() for task in tasks
        }
        self._turns.keep(self._tasks)
        self._predicates = {
            name: one for name, one in self._predicates.items() if name in self._tasks
        }
        self._shares = {at: share for at, share in self._shares.items() if at[0] in self._tasks}
        for tenant, task in list(self._tasks.values()):
            if task.query_id not in self._predicates:
                await self._compile(tenant, task)

    async def _compile(self, tenant: Tenant, task: PreviewTask) -> None:
        try:
            predicate = Predicate(
                task.expression,
                task.ordinals,
                self._parts.limits,
                excludes_opt_out=task.excludes_opt_out,
            )
        except (SegmentationError, RecursionError) as error:
            # The API has checked it: one of another version, or a defect.
            logger.warning("preview %s failed: %s", task.query_id, error)
            await self._parts.source.fail(
                tenant, task.query_id, f"the predicate cannot be evaluated: {error}"
            )
            self._drop(task.query_id)
            return
        self._predicates[task.query_id] = predicate

    async def _begin(self) -> None:
        """Learn how far each preview is in the partitions owned, and begin it where it is not."""
        source = self._parts.source
        for query_id, (tenant, _) in list(self._tasks.items()):
            for owner in self._owners():
                at = (query_id, owner.partition, owner.lease)
                if at in self._shares or query_id not in self._tasks:
                    continue
                share = await source.share(tenant, query_id, owner.partition)
                if share is None:
                    total = await self._parts.scan.count(owner.partition, tenant)
                    share = begun(total, self._options.sample, _clock_ms(owner))
                    said = await source.report(tenant, query_id, owner.partition, None, share, ())
                    if said == "gone":
                        self._drop(query_id)
                    if said != "ok":
                        continue
                self._shares[at] = share

    def _owners(self) -> list[Owner]:
        """Return those whose partitions are as their last batch left them."""
        return [
            owner
            for owner in self._parts.owners.values()
            if owner.is_ready and owner.recovery is None
        ]

    def _waiting(self) -> Iterator[Part]:
        for owner in self._owners():
            for query_id, (tenant, _) in self._tasks.items():
                share = self._shares.get((query_id, owner.partition, owner.lease))
                if share is not None and share.cursor is not None:
                    yield tenant, query_id, owner.partition

    async def _slice(self, part: Part) -> None:
        tenant, query_id, partition = part
        owner = self._parts.owners.get(partition)
        if owner is None or query_id not in self._tasks:
            return
        at = (query_id, partition, owner.lease)
        before, predicate = self._shares[at], self._predicates[query_id]
        look = Look.at(self._tasks[query_id][1], predicate, before, self._options.kept)
        limit = min(self._limit, before.wanted - before.read - before.skipped)
        scanned = await self._parts.scan.profiles(
            partition,
            tenant,
            before.cursor or 0,
            max(limit, 1),
            with_events=predicate.reads_events,
        )
        await self._look(look, scanned)
        if self._parts.owners.get(partition) is not owner or not owner.is_ready:
            return
        said = await self._parts.source.report(
            tenant, query_id, partition, before, look.after, look.found
        )
        if said == "ok":
            self._shares[at] = look.after
            self._parts.metrics.previewed.inc(len(scanned.ids))
        elif said == "stale":
            self._shares.pop(at, None)
        else:
            self._drop(query_id)

    async def _look(self, look: Look, scanned: ScannedProfiles) -> None:
        busy = since = 0.0
        for first in range(0, len(scanned.ids), _CHUNK):
            started = time.perf_counter()
            look.over(scanned, first, first + _CHUNK)
            taken = time.perf_counter() - started
            busy, since = busy + taken, since + taken
            if since >= BUSY_S:
                since = 0.0
                await asyncio.sleep(0)
        look.finish(scanned.following)
        if look.failure is not None:
            logger.error(
                "preview %s: profiles could not be evaluated; the first of a slice:",
                look.task.query_id,
                exc_info=look.failure,
            )
        self._adapt(len(scanned.ids), busy, scanned.size_bytes)

    def _adapt(self, looked: int, busy_s: float, size_bytes: int) -> None:
        if busy_s > 2 * _SLICE_S or size_bytes > 2 * _SLICE_BYTES:
            self._limit = max(self._limit // 2, _LEAST)
        elif busy_s < _SLICE_S and size_bytes < _SLICE_BYTES and looked >= self._limit:
            self._limit = min(self._limit * 2, _MOST)

    async def _give_way(self, busy_s: float) -> None:
        waiting = sum(owner.lag for owner in self._owners())
        if waiting < FEW_RECORDS:
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(min(_BACK_OFF * busy_s, LONGEST_WAIT_S))

    def _drop(self, query_id: str) -> None:
        """Forget a preview that has ended or was removed."""
        self._tasks.pop(query_id, None)
        self._predicates.pop(query_id, None)

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._parts.source.changed():
                    self._asked.set()
            except Unavailable as error:
                logger.warning("previews: notifications stopped: %s", error)
            await asyncio.sleep(CHECK_INTERVAL_S)


def _clock_ms(owner: Owner) -> int:
    """Return the clock of a partition, which is the wall clock while it is idle (design, time)."""
    now_ms = time.time_ns() // 1_000_000
    return max(owner.clock_ms, now_ms) if owner.is_idle(now_ms, _FRESH_MS) else owner.clock_ms
