"""Segment jobs over many profiles: one worker, a hundred definitions of two kinds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.adapters.local.process import ChildProcess
from app.domain.definitions import LIVE
from app.service.jobs import JobCall
from tests.bench import previews
from tests.bench.control_stage import prepared
from tests.bench.meter import cpu_seconds
from tests.bench.stage import PARTITIONS, Servers

JOB_DEFINITIONS = 100
_CITIES = ("Oslo", "Bergen", "Trondheim", "Stavanger", "Drammen")
_DEADLINE_S = 1_800.0


def attribute_texts(count: int) -> list[tuple[str, str]]:
    """Return definitions about attributes of the profiles of `tests.bench.previews`.

    A profile is a member of about three of a hundred.
    """
    return [
        (
            f"segment-{number}",
            f'homeAddress.city = "{_CITIES[number % 5]}" and person.age >= {60 + number % 30}',
        )
        for number in range(count)
    ]


def mixed_texts(count: int) -> list[tuple[str, str]]:
    """Return the same with three tenths about events, one of sequences and one of segments."""
    found = attribute_texts(count)
    for number, (segment_id, _) in enumerate(found):
        kind, days = number % 10, number % 20 + 1
        bought = f'xEvent[eventType = "buy" and timestamp occurs <= {days} days before now]'
        if kind in (5, 6, 7):
            found[number] = (segment_id, f"{bought}.count() >= {number % 2 + 1}")
        elif kind == 8:
            steps = 'A: WHAT(eventType = "buy"), B: WHAT(eventType = "buy")'
            found[number] = (segment_id, f"chain(xEvent, timestamp, [{steps}])")
        elif kind == 9:
            first, second = f"segment-{number - 9}", f"segment-{number - 4}"
            found[number] = (segment_id, f'inSegment("{first}") and not inSegment("{second}")')
    return found


TEXTS = {"attributes": attribute_texts, "mixed": mixed_texts}


@dataclass(frozen=True)
class JobCost:
    """One worker and a hundred definitions; rates in profiles/s.

    Attributes:
        scanned: At which profiles were brought to the new definitions.
        counted: At which the segment job went through them.
        worker_us: Processor time of the worker for each profile of the job.
    """

    kind: str
    scanned: float
    counted: float
    worker_us: float

    @property
    def per_core(self) -> float:
        """Profiles/s of a core that does nothing else."""
        return 1e6 / self.worker_us


async def measure_job(servers: Servers, kind: str, profiles: int) -> JobCost:
    """Return what one worker needs for a hundred definitions over all profiles."""
    bench = await prepared(servers)
    prefix = bench.names.redis_key_prefix
    await previews.stage(bench.redis, prefix, bench.tenant, profiles, PARTITIONS)
    await bench.define(TEXTS[kind](JOB_DEFINITIONS))
    process, _ = bench.start("worker", {})
    try:
        started = time.monotonic()

        async def is_live() -> bool:
            return all(one.state == LIVE for one in await bench.definitions.all(bench.tenant))

        await _until(is_live, process)
        scanned_s = time.monotonic() - started
        started, busy = time.monotonic(), cpu_seconds(process.pid)
        job = await bench.jobs.create(bench.tenant, None, JobCall())

        async def has_ended() -> bool:
            found = await bench.jobs.get(bench.tenant, job.job_id)
            if found.status in ("FAILED", "CANCELLED"):
                raise RuntimeError(str(found.errors))
            return found.status == "SUCCEEDED"

        await _until(has_ended, process)
        job_s, busy = time.monotonic() - started, cpu_seconds(process.pid) - busy
        counts = (await bench.jobs.get(bench.tenant, job.job_id)).counts
        if getattr(counts, "total", None) != profiles:
            raise RuntimeError(f"{counts} of {profiles}")
    finally:
        process.stop(60.0)
        await bench.redis.aclose()
    return JobCost(kind, profiles / scanned_s, profiles / job_s, busy / profiles * 1e6)


async def _until(is_done: Callable[[], Any], process: ChildProcess) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not await is_done():
        if time.monotonic() > deadline or not process.is_running:
            raise RuntimeError(process.how_it_ended())
        await asyncio.sleep(0.1)
