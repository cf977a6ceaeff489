"""The control plane over much: list calls, search, memory, and jobs over all profiles.

python -m tests.bench.control [--definitions 10000] [--jobs 1000] [--profiles 1000000]

First one API process over many definitions and ended jobs, without a worker; then, for each of two
kinds of definitions, one worker that brings all profiles to a hundred new ones, and counts them in
a segment job; then previews. A part of `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx

from app.adapters.redis.connection import connect
from app.service.jobs import JobCall
from tests.bench import previews
from tests.bench.control_jobs import TEXTS, JobCost, measure_job
from tests.bench.control_stage import prepared
from tests.bench.meter import peak_mib
from tests.bench.mix import definition_texts
from tests.bench.stage import SANDBOX, Servers
from tests.integration.http.harness import credential

BASE = "/data/core/ups"
LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "definitions": (f"{BASE}/segment/definitions", {"limit": 100}),
    "definitions, page 50": (f"{BASE}/segment/definitions", {"limit": 100, "page": 50}),
    "definitions, by name": (f"{BASE}/segment/definitions", {"limit": 100, "sort": "name:asc"}),
    "audiences": (f"{BASE}/audiences", {"limit": 100}),
    "segment jobs": (f"{BASE}/segment/jobs", {"limit": 100}),
    "segment jobs, cancelled": (
        f"{BASE}/segment/jobs",
        {"limit": 100, "property": "status==CANCELLED"},
    ),
    "export jobs": (f"{BASE}/export/jobs", {"limit": 100}),
    "schedules": (f"{BASE}/config/schedules", {"limit": 100}),
}
SEARCHES = ("Segment", "segmentName:segment*", "segment AND 77*", '"Segment 4711"', "segmnt~1")
CALLS = 200


@dataclass(frozen=True)
class ControlPlan:
    """How much there is."""

    definitions: int = 10_000
    jobs: int = 1_000
    profiles: int = 1_000_000


@dataclass(frozen=True)
class CallCost:
    """One kind of call over HTTP, asked one after the other; times in ms."""

    name: str
    p50: float
    p99: float
    kib: float


@dataclass(frozen=True)
class ControlCosts:
    """What was measured, and over how much."""

    plan: ControlPlan
    calls: list[CallCost]
    api_mib: float
    jobs: list[JobCost]
    previews: list[previews.PreviewCost]


async def measure_calls(servers: Servers, plan: ControlPlan) -> tuple[list[CallCost], float]:
    """Return what each kind of call takes, and the largest memory of the API in MiB."""
    bench = await prepared(servers)
    await bench.define(definition_texts(plan.definitions))
    for number in range(plan.jobs):
        job = await bench.jobs.create(bench.tenant, [f"segment-{number}"], JobCall())
        await bench.jobs.cancel(bench.tenant, job.job_id)
    path = servers.folder / "credentials.json"
    entry = credential("bench", "token", "key", bench.names.org_id, SANDBOX)
    path.write_text(json.dumps({"credentials": [entry]}))
    process, port = bench.start("api", {"SEG_CREDENTIALS_FILE": str(path)})
    headers = {
        "authorization": "Bearer token",
        "x-api-key": "key",
        "x-gw-ims-org-id": bench.names.org_id,
        "x-sandbox-name": SANDBOX,
    }
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            calls = LISTS.items()
            rows = [_timed(name, partial(_get, client, *call)) for name, call in calls]
            texts = cycle(SEARCHES)
            rows.append(_timed("search", lambda: _search(client, next(texts))))
        return rows, peak_mib(process.pid)
    finally:
        process.stop(30.0)
        await bench.redis.aclose()


def _get(client: httpx.Client, path: str, query: dict[str, Any]) -> httpx.Response:
    return client.get(path, params=query)


def _search(client: httpx.Client, text: str) -> httpx.Response:
    query = {
        "namespace": "AEPSegments",
        "schema.name": "_xdm.context.segmentdefinition",
        "s": text,
    }
    return client.get(f"{BASE}/search/entities", params=query)


def _timed(name: str, call: Callable[[], httpx.Response]) -> CallCost:
    taken, size = [], 0
    for _ in range(CALLS):
        started = time.perf_counter()
        answer = call()
        taken.append((time.perf_counter() - started) * 1_000)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: {answer.status_code} {answer.text}")
        size = max(size, len(answer.content))
    taken.sort()
    return CallCost(name, taken[len(taken) // 2], taken[int(len(taken) * 0.99)], size / 1024)


async def measure(servers: Servers, plan: ControlPlan) -> ControlCosts:
    """Measure all; empties Redis before each part."""
    calls, api_mib = await measure_calls(servers, plan)
    jobs = [await measure_job(servers, kind, plan.profiles) for kind in TEXTS]
    redis = connect(servers.redis.url)
    await redis.flushall()
    await redis.aclose()
    shown = await previews.measure(servers, plan.profiles)
    return ControlCosts(plan, calls, api_mib, jobs, shown)


def main() -> None:
    from tests.bench.control_report import control_tables, control_targets
    from tests.bench.tables import TARGET_HEAD, table

    usual = ControlPlan()
    parser = argparse.ArgumentParser("python -m tests.bench.control", description=__doc__)
    parser.add_argument("--definitions", type=int, default=usual.definitions)
    parser.add_argument("--jobs", type=int, default=usual.jobs)
    parser.add_argument("--profiles", type=int, default=usual.profiles)
    folder = Path(tempfile.mkdtemp(prefix="segmentation-bench-"))
    servers = Servers(folder)
    given = parser.parse_args()
    try:
        servers.start()
        plan = ControlPlan(given.definitions, given.jobs, given.profiles)
        costs = asyncio.run(measure(servers, plan))
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n\n".join([table(TARGET_HEAD, control_targets(costs)), *control_tables(costs)]))


if __name__ == "__main__":
    main()
