"""Workers and one control plane as processes of their own, which a test may kill."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from tests.e2e.processes import Service, Services
from tests.integration.http.harness import DEFINITIONS, definition_body
from tests.integration.stream.harness import Bus, eventually
from tests.services import LocalKafka, LocalRedis

PARTITIONS = 4
_LOOKED_AT = "segmentation_job_profiles_total "


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Stage:
    """What a test has at hand.

    Attributes:
        client: Of the control plane.
        changes: Every change read so far, with the wall clock of its receipt as `receivedMs`.
    """

    bus: Bus
    services: Services
    client: httpx.AsyncClient
    producer: AIOKafkaProducer
    reader: AIOKafkaConsumer
    changes: list[dict[str, Any]] = field(default_factory=list)

    async def define(self, name: str, text: str) -> str:
        """Create a definition; return its segment id."""
        answer = await self.client.post(DEFINITIONS, json=definition_body(name, text))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def service(self, name: str) -> Service:
        """Return the process of this name: `api`, `worker`, `worker-2`."""
        (found,) = (one for one in self.services.running if one.name == name)
        return found

    async def restart(self, *names: str) -> None:
        """Kill processes as crashes would, all at once, and start them anew."""
        self.kill(*names)
        await self.start(*names)

    def kill(self, *names: str) -> None:
        for name in names:
            self.service(name).kill()

    async def start(self, *names: str) -> None:
        """Start what was killed, and wait until it is ready; `client` calls the new API."""
        services = [self.service(name) for name in names]
        for one in services:
            one.start()
        await asyncio.gather(*(one.ready() for one in services))
        self.client.base_url = httpx.URL(self.service("api").url)

    async def looked_at(self, *names: str) -> float:
        """Return how many profiles these workers have counted for jobs and exports."""
        found = 0.0
        for name in names:
            text = (await self.client.get(f"{self.service(name).url}/metrics")).text
            (count,) = (
                line.removeprefix(_LOOKED_AT)
                for line in text.splitlines()
                if line.startswith(_LOOKED_AT)
            )
            found += float(count)
        return found

    async def until_live(self, segment_id: str) -> None:
        """Wait until the API says that every profile has been brought to the definition."""
        await self.until_state(f"{DEFINITIONS}/{segment_id}", "LIVE")

    async def until_state(self, path: str, state: str) -> None:
        """Wait until the API says so of a definition or an audience."""

        async def is_there() -> bool:
            document = (await self.client.get(path)).json()
            if document["evaluationState"] == state:
                return "evaluationProgress" not in document
            progress = document.get("evaluationProgress", {"partitions": PARTITIONS})
            assert progress["partitions"] == PARTITIONS
            return False

        await eventually(is_there, 60)

    async def send(self, profile_id: str, document: dict[str, Any]) -> Any:
        """Send an update where it belongs; return where it arrived."""
        return await self.producer.send_and_wait(
            self.bus.topics.updates,
            json.dumps(document).encode(),
            key=profile_id.encode(),
            partition=self.bus.partition(profile_id),
        )

    async def read(self) -> None:
        """Follow the changes until cancelled, as a `read_committed` consumer."""
        async for record in self.reader:
            found = json.loads(record.value)
            self.changes.append({**found, "receivedMs": wall_ms()})

    def of_segment(self, segment_id: str) -> list[dict[str, Any]]:
        """Return the changes of all memberships of a segment read so far."""
        return [one for one in self.changes if one["segmentId"] == segment_id]

    def of(self, profile_id: str, segment_id: str) -> list[dict[str, Any]]:
        """Return the changes of one membership read so far."""
        wanted = (profile_id, segment_id)
        return [one for one in self.changes if (one["profileId"], one["segmentId"]) == wanted]

    async def change(
        self, profile_id: str, segment_id: str, sequence: int, timeout: float = 30
    ) -> dict[str, Any]:
        """Wait for a change of one membership, and return it."""

        def there() -> dict[str, Any] | None:
            found = self.of(profile_id, segment_id)
            return found[sequence - 1] if len(found) >= sequence else None

        found: dict[str, Any] = await eventually(there, timeout)
        assert found["sequence"] == sequence, self.of(profile_id, segment_id)
        return found


@asynccontextmanager
async def running_stage(
    kafka: LocalKafka, redis: LocalRedis, folder: Path, *, workers: int = 1, **settings: str
) -> AsyncIterator[Stage]:
    """Start everything, with further settings; at the end all has to stop in order.

    The landing zone of external audiences is `folder / "zone"`.
    """
    bus = Bus(kafka.bootstrap, redis.url, partitions=PARTITIONS)
    names = bus.names
    environment = {
        **names.environment(kafka, redis),
        "SEG_DEFAULT_ORG_ID": names.org_id,
        "SEG_PARTITIONS": str(PARTITIONS),
        **settings,
    }
    zone = folder / "zone"
    zone.mkdir()
    environment["SEG_IMPORT_ROOT"] = str(zone)
    services = Services(environment, folder)
    await ensure_topics(bus.client, TopicPlan(names.topic_prefix, PARTITIONS, 1))
    reader = AIOKafkaConsumer(
        **bus.client,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    producer = AIOKafkaProducer(**bus.client)
    try:
        api, headers = services.api(names.org_id)
        names_of = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        started = [api, *(services.worker(name) for name in names_of)]
        await asyncio.gather(*(one.ready() for one in started))
        await reader.start()
        reader.assign([TopicPartition(bus.topics.changes, p) for p in range(PARTITIONS)])
        await producer.start()
        async with httpx.AsyncClient(base_url=api.url, headers=headers) as client:
            stage = Stage(bus, services, client, producer, reader)
            reading = asyncio.create_task(stage.read())
            try:
                yield stage
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        problems = services.stop()
        assert not problems, problems
    finally:
        services.close()
        await reader.stop()
        await producer.stop()
        await bus.close()
