"""The control plane over much: list calls, search, memory, and jobs over all profiles.

python -m tests.bench.control [--definitions 10000] [--jobs 1000] [--profiles 1000000]

First one API process over many definitions and ended jobs, without a worker; then, for each of two
kinds of definitions, one worker that brings all profiles to a hundred new ones, and counts them in
a segment job.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess
from app.adapters.redis.connection import connect
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.job_store import RedisJobStore
from app.domain.definitions import LIVE, DefinitionWrite
from app.domain.model import Tenant
from app.service.jobs import JobCall, Jobs
from tests.bench import previews
from tests.bench.meter import cpu_seconds, peak_mib
from tests.bench.mix import definition_texts
from tests.bench.stage import PARTITIONS, SANDBOX, Servers, stored_definition, wall_ms
from tests.integration.http.harness import credential
from tests.services import Names

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
JOB_DEFINITIONS = 100
_CITIES = ("Oslo", "Bergen", "Trondheim", "Stavanger", "Drammen")
_DEADLINE_S = 1_800.0


def attribute_texts(count: int) -> list[tuple[str, str]]:
    """Return definitions about attributes of the profiles of `tests.bench.previews`."""
    return [
        (
            f"segment-{number}",
            f'homeAddress.city = "{_CITIES[number % 5]}" and person.age >= {number % 90}',
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


@dataclass
class Bench:
    """Names, stores and processes of one part."""

    servers: Servers
    names: Names
    redis: Redis

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.names.org_id, SANDBOX)

    @property
    def definitions(self) -> RedisDefinitionStore:
        return RedisDefinitionStore(self.redis, self.names.redis_key_prefix)

    @property
    def jobs(self) -> Jobs:
        store = RedisJobStore(self.redis, self.names.redis_key_prefix)
        return Jobs(store, self.definitions, lambda: str(uuid.uuid4()), wall_ms)

    async def define(self, texts: list[tuple[str, str]]) -> None:
        store = self.definitions
        for ordinal, (segment_id, text) in enumerate(texts):
            write = DefinitionWrite(stored_definition(segment_id, ordinal, text), {})
            if not await store.put(self.tenant, await store.head(self.tenant), write):
                raise RuntimeError(f"{segment_id} was not stored")

    def start(self, command: str, settings: Mapping[str, str]) -> tuple[ChildProcess, int]:
        """Start a worker or an API and wait until it is ready."""
        (port,) = free_ports(1)
        own = {name: value for name, value in os.environ.items() if not name.startswith("SEG_")}
        environment = {
            **own,
            **self.names.environment(self.servers.kafka, self.servers.redis),
            "SEG_PARTITIONS": str(PARTITIONS),
            "SEG_DEFAULT_ORG_ID": self.names.org_id,
            f"SEG_{command.upper()}_PORT": str(port),
            "SEG_LOG_LEVEL": "warning",
            **settings,
        }
        process = ChildProcess(command, self.servers.folder / f"{command}-{port}.log")
        process.start([sys.executable, "-m", "app", command], environment)

        def is_ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        if not process.wait_until(is_ready, 120):
            raise RuntimeError(process.how_it_ended())
        return process, port


async def prepared(servers: Servers) -> Bench:
    """Return a part of its own, in an empty Redis."""
    redis = connect(servers.redis.url)
    await redis.flushall()
    bench = Bench(servers, Names(), redis)
    plan = TopicPlan(bench.names.topic_prefix, PARTITIONS, 1)
    await ensure_topics({"bootstrap_servers": servers.kafka.bootstrap}, plan)
    return bench


async def measure_lists(servers: Servers, definitions: int, jobs: int) -> list[tuple[str, ...]]:
    """Return a row for each kind of call: what, p50, p99, KiB of an answer."""
    bench = await prepared(servers)
    await bench.define(definition_texts(definitions))
    for number in range(jobs):
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
        rows.append(("memory of the API, MiB", "", f"{peak_mib(process.pid):.0f}", ""))
    finally:
        process.stop(30.0)
        await bench.redis.aclose()
    return rows


def _get(client: httpx.Client, path: str, query: dict[str, Any]) -> httpx.Response:
    return client.get(path, params=query)


def _search(client: httpx.Client, text: str) -> httpx.Response:
    query = {
        "namespace": "AEPSegments",
        "schema.name": "_xdm.context.segmentdefinition",
        "s": text,
    }
    return client.get(f"{BASE}/search/entities", params=query)


def _timed(name: str, call: Callable[[], httpx.Response]) -> tuple[str, ...]:
    taken, size = [], 0
    for _ in range(CALLS):
        started = time.perf_counter()
        answer = call()
        taken.append((time.perf_counter() - started) * 1_000)
        if answer.status_code != 200:
            raise RuntimeError(f"{name}: {answer.status_code} {answer.text}")
        size = max(size, len(answer.content))
    taken.sort()
    p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
    return name, f"{p50:.1f}", f"{p99:.1f}", f"{size / 1024:.0f}"


async def measure_job(
    servers: Servers, kind: str, texts: list[tuple[str, str]], profiles: int
) -> tuple[str, ...]:
    """Return a row: kind, scan and job in profiles/s, processor time of a profile in the job."""
    bench = await prepared(servers)
    prefix = bench.names.redis_key_prefix
    await previews.stage(bench.redis, prefix, bench.tenant, profiles, PARTITIONS)
    await bench.define(texts)
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
    return (
        kind,
        f"{profiles / scanned_s:,.0f}",
        f"{profiles / job_s:,.0f}",
        f"{busy / profiles * 1e6:.1f}",
        f"{profiles / busy:,.0f}",
    )


async def _until(is_done: Callable[[], Any], process: ChildProcess) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not await is_done():
        if time.monotonic() > deadline or not process.is_running:
            raise RuntimeError(process.how_it_ended())
        await asyncio.sleep(0.1)


def _print(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (head, tuple("---" for _ in head), *rows):
        print("| " + " | ".join(row) + " |", flush=True)


async def run(servers: Servers, given: argparse.Namespace) -> None:
    """Measure all, and print the tables."""
    rows = await measure_lists(servers, given.definitions, given.jobs)
    _print((f"{CALLS} calls each", "p50 ms", "p99 ms", "KiB"), rows)
    parts = (("attributes", attribute_texts), ("mixed", mixed_texts))
    jobs = [
        await measure_job(servers, kind, texts(JOB_DEFINITIONS), given.profiles)
        for kind, texts in parts
    ]
    head = ("100 definitions", "scanned/s", "job, profiles/s", "µs of worker each", "per core")
    _print(head, jobs)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.control", description=__doc__)
    parser.add_argument("--definitions", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="segmentation-bench-"))
    servers = Servers(folder)
    given = parser.parse_args()
    try:
        servers.start()
        asyncio.run(run(servers, given))
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
