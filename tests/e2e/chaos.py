"""One run of the fault test: traffic, workers and what befalls them, then the verdict."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.domain.errors import Unavailable
from tests.e2e.processes import Service, Services
from tests.e2e.segments import SETTLES_S, TEXTS, text_with
from tests.e2e.verdict import (
    Truth,
    cause_problems,
    dead_letter_problems,
    histories_of,
    history_problems,
    map_problems,
    report,
    state_problems,
)
from tests.e2e.workload import Mix, Sent, Workload, send
from tests.integration.http.harness import DEFINITIONS, Plane, definition_body
from tests.integration.stream.harness import Bus, eventually

PARTITIONS = 8
SESSION_MS = 4_000
KILLS = 5
BURST = 200
RATE = 800
LEAD = 1_000
"""How many updates the traffic is ahead of the workers at most, so that the faults fall into it."""
SETTLED_S = 240.0
SAMPLE = 40


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Fault:
    """Something bad, once so many updates were applied."""

    applied: int
    strike: Callable[[], Awaitable[None]]


@dataclass
class Chaos:
    """A prepared stage: topics, definitions, two workers.

    Attributes:
        plane: The control plane in this process, on the same Redis.
        notes: What was done and when, for the report.
    """

    bus: Bus
    plane: Plane
    folder: Path
    mix: Mix
    notes: list[str] = field(default_factory=list)
    segment_ids: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = self.bus.names
        self.services = Services(
            {
                "SEG_KAFKA_BOOTSTRAP_SERVERS": self.bus.bootstrap,
                "SEG_REDIS_URL": self.bus.redis_url,
                "SEG_TOPIC_PREFIX": names.topic_prefix,
                "SEG_REDIS_KEY_PREFIX": names.redis_key_prefix,
                "SEG_APPLICATION_ID": names.application_id,
                "SEG_DEFAULT_ORG_ID": names.org_id,
                "SEG_PARTITIONS": str(PARTITIONS),
                "SEG_SESSION_TIMEOUT_MS": str(SESSION_MS),
            },
            self.folder,
        )
        self.work = Workload(self.mix, PARTITIONS, wall_ms())
        self._rng = random.Random(self.mix.seed)
        self._started = time.monotonic()
        self._delivered: dict[int, int] = {}

    def note(self, text: str) -> None:
        self.notes.append(f"{time.monotonic() - self._started:.1f} s: {text}")

    # --- preparation ---

    async def prepare(self) -> None:
        """Create topics and definitions, and start two workers."""
        plan = TopicPlan(self.bus.names.topic_prefix, PARTITIONS, 1)
        await ensure_topics(self.bus.client, plan)
        client = self.plane.client()
        for number, text in enumerate(TEXTS):
            body = definition_body(f"d{number}", text_with(text, self.segment_ids))
            answer = await client.post(DEFINITIONS, json=body)
            assert answer.status_code == 200, (text, answer.text)
            self.segment_ids.append(answer.json()["id"])
        self.workers = [self.services.worker(f"worker{number}") for number in range(2)]
        for worker in self.workers:
            await worker.ready()
        self.note("two workers are ready")

    # --- traffic and faults ---

    async def run(self, faults: Sequence[Fault]) -> None:
        """Send everything while the faults strike, and wait until all of it has settled."""
        producer = self._producer()
        striking = asyncio.create_task(self._strike(faults))
        await self._send(producer, self.work.first_phase())
        self.note("the first phase is sent")
        await striking
        await self._applied()
        await self._send(producer, self.work.second_phase())
        await self._applied()
        self.note("everything is applied")
        await self._settled()
        self.note("every timer that was due has fired")

    async def _send(self, producer: Producer, records: Any) -> None:
        """Send in bursts: a worker that dies has a batch in its hands."""
        topic = self.bus.topics.updates
        due = time.monotonic()
        burst: list[Sent] = []
        for made in records:
            burst.append(made)
            if len(burst) < BURST:
                continue
            await self._send_burst(producer, topic, burst)
            await eventually(partial(self._has_applied, len(self.work.sent) - LEAD), SETTLED_S)
            due = max(due + len(burst) / RATE, time.monotonic() - 1)
            await asyncio.sleep(max(due - time.monotonic(), 0))
            burst = []
        await self._send_burst(producer, topic, burst)
        await eventually(lambda: producer.flush(0.2) == 0, SETTLED_S)

    async def _send_burst(self, producer: Producer, topic: str, burst: Sequence[Sent]) -> None:
        for made in burst:
            send(producer, topic, made, PARTITIONS, wall_ms())
        producer.poll(0)

    def _producer(self) -> Producer:
        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                self.problems.append(f"the test could not send: {error}")
                return
            at = message.partition()
            self._delivered[at] = max(self._delivered.get(at, -1), message.offset())

        return Producer(
            {
                "bootstrap.servers": self.bus.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 2,
                "message.max.bytes": 4 << 20,
                "delivery.timeout.ms": 180_000,
                "on_delivery": delivered,
            }
        )

    async def applied(self) -> int:
        """Return how many updates of all partitions Redis says were applied."""
        metas = [await self.bus.meta(partition) for partition in range(PARTITIONS)]
        name = f"offset:{self.bus.topics.updates}"
        return sum(int(meta.get(name, "0")) for meta in metas)

    async def _has_applied(self, count: int) -> bool:
        with suppress(Unavailable):
            return await self.applied() >= count
        return False

    async def _strike(self, faults: Sequence[Fault]) -> None:
        for fault in sorted(faults, key=lambda one: one.applied):

            async def reached(at: int = fault.applied) -> bool:
                self._check_alive()
                return await self._has_applied(at)

            await eventually(reached, SETTLED_S)
            await fault.strike()

    def moments(self, count: int, first: float = 0.03, last: float = 0.9) -> list[int]:
        """Return so many random moments, in updates applied."""
        low, high = int(self.mix.updates * first), int(self.mix.updates * last)
        return sorted(self._rng.sample(range(low, high), count))

    def kills(self, count: int = KILLS) -> list[Fault]:
        """Return faults that kill a random worker and start it anew."""
        return [Fault(at, self._kill) for at in self.moments(count)]

    async def _kill(self) -> None:
        victim = self._rng.choice([one for one in self.workers if one is not self._frozen])
        self.note(f"SIGKILL {victim.name} after {await self.applied()} updates")
        await asyncio.to_thread(victim.kill)
        victim.start()

    _frozen: Service | None = None

    async def freeze(self) -> None:
        """Stop a worker for longer than its session timeout, then let it go on."""
        victim = self._frozen = self._rng.choice(self.workers)
        victim.freeze()
        self.note(f"SIGSTOP {victim.name} after {await self.applied()} updates")
        self._thaw = asyncio.create_task(self._resume(victim))

    async def _resume(self, victim: Service) -> None:
        await asyncio.sleep(SESSION_MS / 1000 * 1.5)
        victim.resume()
        self._frozen = None
        self.note(f"SIGCONT {victim.name}")

    # --- afterwards ---

    async def _applied(self) -> None:
        """Wait until every record sent is applied and its output published."""
        await eventually(lambda: self._frozen is None, SETTLED_S)
        for partition in range(PARTITIONS):
            await self._eventually_caught_up(partition)

    async def _eventually_caught_up(self, partition: int) -> None:
        state: dict[str, Any] = {}

        async def caught_up() -> bool:
            self._check_alive()
            with suppress(Unavailable):
                meta = await self.bus.meta(partition)
                group = await self.bus.positions.group(self.bus.topics.updates, partition)
                state.update(meta=meta, group=group, sent=self._delivered.get(partition, -1))
                offset = int(meta.get(f"offset:{self.bus.topics.updates}", "0"))
                is_published = str(group.sequence or 0) == meta.get("sequence")
                return is_published and offset > self._delivered.get(partition, -1)
            return False

        try:
            await eventually(caught_up, SETTLED_S)
        except AssertionError as error:
            raise AssertionError(
                f"partition {partition} was not caught up in {SETTLED_S:.0f} s: {state};"
                f" {self.notes}; logs in {self.folder}"
            ) from error

    def _check_alive(self) -> None:
        for worker in self.workers:
            assert worker.is_running, worker.process and worker.process.how_it_ended()

    async def _settled(self) -> None:
        """Wait until all short windows have closed and nothing is due any more."""
        over = wall_ms() + int(SETTLES_S * 1000)

        async def nothing_due() -> bool:
            now = wall_ms()
            if now < over:
                return False
            for partition in range(PARTITIONS):
                timers = self.bus.store.keys(partition).timers
                if await self.bus.redis.zcount(timers, 0, now) or not await self._is_flushed(
                    partition
                ):
                    return False
            return True

        await eventually(nothing_due, 60)

    async def _is_flushed(self, partition: int) -> bool:
        meta = await self.bus.meta(partition)
        group = await self.bus.positions.group(self.bus.topics.updates, partition)
        return bool(meta.get("sequence", "0") == str(group.sequence or 0))

    async def judge(self) -> Truth:
        """Fail with everything that is wrong; return what was expected."""
        bus = self.bus
        records = await bus.read(bus.topics.updates, timeout=60)
        values = await bus.read(bus.topics.changes, timeout=60)
        changes = [json.loads(record.value) for record in values]
        truth = Truth(bus.tenant, PARTITIONS, self.work.sent)
        truth.read(records)
        now_ms = wall_ms()
        expected = truth.members(now_ms)
        # The windows of the definitions must not make the moment of this look matter.
        assert expected == truth.members(now_ms + 600_000), "the definitions have not settled"
        histories = histories_of(changes)
        exists = {name: model.exists for name, model in truth.models.items()}
        memberships = await bus.read(bus.topics.memberships, timeout=60)
        letters = await bus.read(bus.topics.dead_letters, timeout=60)
        problems = [
            *self.problems,
            *truth.problems,
            *history_problems(histories),
            *state_problems(histories, expected, self.segment_ids),
            *cause_problems(changes, records, bus.topics.updates),
            *map_problems(histories, memberships, exists),
            *dead_letter_problems(letters, truth, bus.topics.updates),
            *await self._api_problems(expected, exists),
            *self.services.stop(),
            *self.services.complaints(),
        ]
        self.note(
            f"{len(records)} records, {len(changes)} changes of {len(histories)} memberships,"
            f" {len(letters)} dead letters"
        )
        print(f"\nseed {self.mix.seed}: " + "\n  ".join(self.notes))
        where = f"seed {self.mix.seed}; {self.notes}; logs in {self.folder}"
        assert not problems, report(problems, where)
        return truth

    async def _api_problems(
        self, expected: dict[str, set[str]], exists: dict[str, bool]
    ) -> list[str]:
        client = self.plane.client()
        found = []
        for name in self._rng.sample(sorted(expected), min(SAMPLE, len(expected))):
            answer = await client.get(f"/profiles/{name}/membership")
            if not exists[name]:
                if answer.status_code != 404:
                    found.append(f"GET of the deleted profile {name}: {answer.text[:200]}")
                continue
            stored = answer.json()["segmentMembership"]["ups"]
            wanted = {self.segment_ids[int(one[1:])] for one in expected[name]}
            actual = {key for key, one in stored.items() if one["status"] == "realized"}
            if actual != wanted:
                found.append(f"GET of {name}: {sorted(actual ^ wanted)} differ")
        return found
