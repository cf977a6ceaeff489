"""How long a preview takes over many profiles, with a worker process on its own Kafka and Redis.

python -m tests.bench.previews [--profiles 1000000] [--sample 25000] [--partitions 8]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
import uuid
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from redis.asyncio import Redis

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess
from app.adapters.redis.connection import connect
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.keys import PartitionKeys, sample_hash
from app.adapters.redis.preview_store import RedisPreviewStore
from app.domain.limits import DAY_MS
from app.domain.model import ProfileKey, Tenant
from app.domain.partitioning import partition_of
from app.domain.previews import PreviewLimits, Share
from app.engine.history import frame
from app.engine.profile import ProfileState, order_of
from app.engine.state_codec import encode
from app.service.expressions import DEFAULT_RULES
from app.service.preview_document import estimate_document
from app.service.previews import Previews, preview_id_of
from tests.bench.meter import Meter, cpu_seconds
from tests.bench.stage import PARTITIONS, SANDBOX, Servers, wall_ms
from tests.services import Names

PREDICATES = (
    'homeAddress.city = "Oslo" and person.age > 30',
    "person.age >= 18",
    'xEvent[eventType = "buy" and timestamp occurs < 7 days before now].count() >= 1',
)
_CITIES = ("Oslo", "Bergen", "Trondheim", "Stavanger", "Drammen")
SAMPLE = 25_000
_PIPELINE = 20_000
_READY_S = 120.0
_DEADLINE_S = 300.0


def stored(number: int, chance: random.Random, now_ms: int) -> tuple[bytes, bytes | None]:
    """Return the packed state of a profile and, of one in five, the frames of its events."""
    orders = []
    if number % 5 == 0:
        orders = sorted(
            order_of(now_ms - chance.randrange(20 * DAY_MS), arrival) for arrival in range(2)
        )
    record = {
        "person": {"age": chance.randrange(90), "gender": chance.choice("fm")},
        "homeAddress": {"city": chance.choice(_CITIES), "street": f"Street {number}"},
        "identityMap": {"Email": [{"id": f"{number}@example.com"}]},
    }
    state = ProfileState(
        tag="1-bench",
        attributes_json=orjson.dumps(record),
        arrivals=len(orders),
        orders=array("q", orders),
        frames=len(orders),
        created=True,
    )
    frames = b"".join(frame(order, b'{"eventType":"buy"}') for order in orders)
    return encode(state), frames or None


async def stage(redis: Redis, prefix: str, tenant: Tenant, count: int, partitions: int) -> None:
    """Write profiles to Redis in the stored format."""
    keys = [PartitionKeys(prefix, number) for number in range(partitions)]
    chance, now_ms = random.Random(7), wall_ms()
    for first in range(0, count, _PIPELINE):
        states: dict[str, bytes] = {}
        members: list[dict[str, int]] = [{} for _ in keys]
        for number in range(first, min(first + _PIPELINE, count)):
            name = f"profile-{number:08d}"
            at = partition_of(name, partitions)
            packed, frames = stored(number, chance, now_ms)
            states[keys[at].state(ProfileKey(tenant, name))] = packed
            if frames is not None:
                states[keys[at].events(ProfileKey(tenant, name))] = frames
            members[at][name] = sample_hash(name)
        pipe = redis.pipeline(transaction=False)
        pipe.mset(states)
        for names, added in zip(keys, members, strict=True):
            pipe.zadd(names.profiles(tenant), added)
        await pipe.execute()


@dataclass(frozen=True)
class PreviewCost:
    """One preview.

    Attributes:
        seconds: From its creation until it was ready.
        read: Profiles looked at.
        worker_us: Processor time of the worker for each of them.
        size: The estimate and its standard error.
    """

    predicate: str
    seconds: float
    read: int
    worker_us: float
    size: str


class Bench:
    """A worker and the control plane's use case over staged profiles."""

    def __init__(self, servers: Servers, partitions: int, sample: int) -> None:
        self.servers, self.partitions, self.sample = servers, partitions, sample
        self.names = Names()
        self.tenant = Tenant(self.names.org_id, SANDBOX)
        self._worker = ChildProcess("worker", servers.folder / "worker.log")
        (self._port,) = free_ports(1)

    async def prepare(self, profiles: int) -> None:
        """Create the topics and write the profiles."""
        plan = TopicPlan(self.names.topic_prefix, self.partitions, 1)
        await ensure_topics({"bootstrap_servers": self.servers.kafka.bootstrap}, plan)
        self.redis = connect(self.servers.redis.url)
        prefix = self.names.redis_key_prefix
        await stage(self.redis, prefix, self.tenant, profiles, self.partitions)
        limits = PreviewLimits()
        self.previews = Previews(
            RedisPreviewStore(self.redis, prefix),
            RedisDefinitionStore(self.redis, prefix),
            lambda: str(uuid.uuid4()),
            wall_ms,
            DEFAULT_RULES,
            limits,
        )

    def start(self) -> None:
        """Start the worker and wait until it is ready."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SEG_")},
            "SEG_KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka.bootstrap,
            "SEG_REDIS_URL": self.servers.redis.url,
            "SEG_TOPIC_PREFIX": self.names.topic_prefix,
            "SEG_APPLICATION_ID": self.names.application_id,
            "SEG_REDIS_KEY_PREFIX": self.names.redis_key_prefix,
            "SEG_DEFAULT_ORG_ID": self.names.org_id,
            "SEG_PARTITIONS": str(self.partitions),
            "SEG_PREVIEW_SAMPLE_PROFILES": str(self.sample),
            "SEG_WORKER_PORT": str(self._port),
            "SEG_LOG_LEVEL": "warning",
        }
        self._worker.start([sys.executable, "-m", "app", "worker"], environment)
        meter = Meter(self._port, {"worker": self._worker.pid})
        if not self._worker.wait_until(meter.is_ready, _READY_S):
            raise RuntimeError(self._worker.how_it_ended())

    def stop(self) -> None:
        """Stop the worker."""
        self._worker.stop(30.0)
        print(self._worker.log_text(), end="")

    async def measure(self, text: str) -> PreviewCost:
        """Time one preview from its creation until it is ready."""
        started, busy = time.monotonic(), cpu_seconds(self._worker.pid)
        preview = await self.previews.create(self.tenant, text, is_stitched=False)
        preview_id = preview_id_of(preview.task.query_id)
        while preview.state in ("NEW", "RUNNING"):
            if time.monotonic() - started > _DEADLINE_S:
                raise RuntimeError(f"not ready: {self._worker.how_it_ended()}")
            await asyncio.sleep(0.02)
            preview = await self.previews.get(self.tenant, preview_id)
        seconds = time.monotonic() - started
        busy = cpu_seconds(self._worker.pid) - busy
        if preview.state != "RESULT_READY":
            raise RuntimeError(f"{preview.state}: {text}")
        shown = estimate_document("", preview)
        read = _looked_at(preview.shares)
        size = f"{shown['estimatedSize']:,} ± {shown['standardError']:,}"
        return PreviewCost(text, seconds, read, busy / max(read, 1) * 1e6, size)


def _looked_at(shares: Sequence[Share]) -> int:
    return sum(one.read + one.skipped for one in shares)


async def measure(
    servers: Servers, profiles: int, partitions: int = PARTITIONS, sample: int = SAMPLE
) -> list[PreviewCost]:
    """Stage profiles, start a worker, and time each predicate."""
    bench = Bench(servers, partitions, sample)
    await bench.prepare(profiles)
    bench.start()
    try:
        return [await bench.measure(text) for text in PREDICATES]
    finally:
        bench.stop()
        await bench.redis.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="of each partition")
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="segmentation-bench-"))
    servers = Servers(folder)
    try:
        servers.start()
        rows = asyncio.run(measure(servers, given.profiles, given.partitions, given.sample))
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for one in rows:
        print(
            f"ready after {one.seconds:.2f} s: {one.read:,} profiles looked at,"
            f" {one.worker_us:.1f} µs of the worker each; size {one.size}; {one.predicate}"
        )


if __name__ == "__main__":
    main()
