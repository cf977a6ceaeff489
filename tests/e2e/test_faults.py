"""Nothing is lost, repeated or out of order, whoever is killed while updates are processed.

Two worker processes on real Kafka and Redis; see `chaos.py` for what happens to them, `verdict.py`
for what must hold afterwards, `workload.py` and `segments.py` for why the outcome is one and the
same however the faults fall. SEG_TEST_SEED repeats a run that failed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.chaos import KILLS, PARTITIONS, Chaos, Fault
from tests.e2e.workload import POISON, Mix
from tests.integration.http.harness import running_plane
from tests.integration.stream.harness import Bus
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]
SEED = int(os.environ.get("SEG_TEST_SEED", "1"))
SHORT = 5_000
SIZES = [SHORT, pytest.param(20_000, marks=pytest.mark.long)]


@asynccontextmanager
async def chaos(
    kafka: LocalKafka, redis: LocalRedis, folder: Path, mix: Mix
) -> AsyncIterator[Chaos]:
    bus = Bus(kafka.bootstrap, redis.url, partitions=PARTITIONS)
    names = bus.names
    async with running_plane(bus.redis, names.redis_key_prefix, names.org_id, folder) as plane:
        stage = Chaos(bus, plane, folder, mix)
        try:
            await stage.prepare()
            yield stage
        finally:
            stage.services.close()
            await bus.close()


async def test_killed_and_stopped_workers(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with chaos(kafka, redis_server, tmp_path, Mix(SEED)) as stage:
        faults = [*stage.kills(), Fault(stage.moments(1, last=0.8)[0], stage.freeze)]
        await stage.run(faults)
        await stage.judge()


@pytest.mark.parametrize("updates", SIZES)
async def test_duplicates_late_events_tombstones_and_poison(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, updates: int
) -> None:
    mix = Mix(SEED + 100, updates, profiles=updates // 20, mischief=0.25)
    async with chaos(kafka, redis_server, tmp_path, mix) as stage:
        count = KILLS if updates > SHORT else 2
        faults = [*stage.kills(count), Fault(stage.moments(1, last=0.8)[0], stage.freeze)]
        await stage.run(faults)
        truth = await stage.judge()
    kinds = {one.kind for one in stage.work.sent}
    assert kinds == {"update", "tombstone", *(code for code, _, _ in POISON)}
    assert any(not model.exists for model in truth.models.values())
    assert any(model.exists and model.deleted_ms for model in truth.models.values())


@pytest.mark.parametrize("updates", SIZES)
async def test_redis_killed(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, updates: int
) -> None:
    mix = Mix(SEED + 200, updates, profiles=updates // 20, mischief=0.1)
    async with chaos(kafka, own_redis, tmp_path, mix) as stage:

        async def kill_redis() -> None:
            stage.note("SIGKILL redis")
            await asyncio.to_thread(own_redis.kill)
            await asyncio.to_thread(own_redis.start)

        faults = [Fault(at, kill_redis) for at in stage.moments(2)]
        await stage.run([*faults, *stage.kills(KILLS if updates > SHORT else 1)])
        await stage.judge()


AWAY = [
    pytest.param(SHORT, 2, 0),
    pytest.param(20_000, 2, 0, marks=pytest.mark.long),
    *(pytest.param(SHORT, 5, 1 + n, marks=pytest.mark.long) for n in range(8)),
]
"""Updates, how often Kafka is away, and what to add to the seed. Often tears transactions."""


@pytest.mark.parametrize(("updates", "times", "seed"), AWAY)
async def test_kafka_killed_and_restarted(
    own_kafka: LocalKafka,
    redis_server: LocalRedis,
    tmp_path: Path,
    updates: int,
    times: int,
    seed: int,
) -> None:
    mix = Mix(SEED + 300 + seed, updates, profiles=updates // 20, mischief=0.1)
    async with chaos(own_kafka, redis_server, tmp_path, mix) as stage:

        async def kill_kafka() -> None:
            stage.note("SIGKILL kafka")
            await asyncio.to_thread(own_kafka.kill)
            await asyncio.to_thread(own_kafka.start)
            stage.note("kafka is back")

        async def restart_kafka() -> None:
            stage.note("restarting kafka")
            await asyncio.to_thread(own_kafka.restart)
            stage.note("kafka is back")

        ways = [kill_kafka, restart_kafka]
        faults = [Fault(at, ways[(n + seed) % 2]) for n, at in enumerate(stage.moments(times))]
        await stage.run([*faults, *stage.kills(KILLS if updates > SHORT else 1)])
        await stage.judge()


@pytest.mark.parametrize("updates", SIZES)
async def test_records_in_wrong_partitions(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, updates: int
) -> None:
    mix = Mix(SEED + 400, updates, profiles=updates // 20, astray=0.2)
    async with chaos(kafka, redis_server, tmp_path, mix) as stage:
        await stage.run(stage.kills(KILLS if updates > SHORT else 2))
        await stage.judge()
