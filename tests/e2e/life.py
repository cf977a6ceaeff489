"""The stage of `test_life`: people that the test knows, and what the oracle says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.engine.oracle import Event, Subject, matches
from app.pql.checker import check
from app.pql.parser import parse
from tests.e2e.stage import PARTITIONS, Stage, running_stage, wall_ms
from tests.e2e.verdict import history_problems, shown
from tests.integration.stream.harness import SESSION_MS, eventually
from tests.services import LocalKafka, LocalRedis

PEOPLE = 600
WORKERS = ("worker", "worker-2")
PATIENCE_S = 120.0
"""For whatever ends by itself: also after a worker was silent, and on a machine that is busy."""
PAIRS = 60
"""Length of an array of which an expression asks every pair, so that it takes its time."""
BOUGHT = 'xEvent[eventType = "buy" and timestamp occurs <= 7 days before now].count() >= 2'


@dataclass
class Person:
    """What the topic has told of one profile."""

    attributes: dict[str, Any]
    events: list[Event] = field(default_factory=list)


@dataclass
class Life:
    """Two workers and a control plane, and everybody that was sent to them."""

    stage: Stage
    folder: Path
    people: dict[str, Person] = field(default_factory=dict)

    async def populate(self) -> None:
        """Send everybody, and wait until they are stored."""
        sending = []
        for number in range(PEOPLE):
            attributes: dict[str, Any] = {"age": number % 60, "city": "OR"[number % 2]}
            if number % 2 == 0:
                attributes["things"] = [{"size": one} for one in range(PAIRS)]
            person = self.people[f"p-{number}"] = Person(attributes)
            sending.append(self.stage.send(f"p-{number}", {"attributes": attributes}))
            for order in range(number % 4):
                body: dict[str, Any] = {
                    "_id": f"{number}-{order}",
                    "eventType": "buy",
                    "timestamp": wall_ms(),
                }
                person.events.append(Event(body["timestamp"], order, body))
                sending.append(self.stage.send(f"p-{number}", {"event": body}))
        await asyncio.gather(*sending)
        await eventually(lambda: self._has_applied(len(sending)), PATIENCE_S)

    async def _has_applied(self, count: int) -> bool:
        bus = self.stage.bus
        metas = [await bus.meta(partition) for partition in range(PARTITIONS)]
        name = f"offset:{bus.topics.updates}"
        return sum(int(meta.get(name, "0")) for meta in metas) >= count

    def expected(self, texts: Mapping[str, str]) -> dict[str, set[str]]:
        """Return by segment id whom the oracle finds; definitions ask only those before them."""
        found: dict[str, set[str]] = {segment_id: set() for segment_id in texts}
        checked: dict[str, Any] = {
            segment_id: check(parse(text)).expr for segment_id, text in texts.items()
        }
        now_ms = wall_ms()
        for name, person in self.people.items():
            member_of: set[str] = set()
            for segment_id, expr in checked.items():
                if matches(expr, Subject(person.attributes, person.events, member_of, now_ms)):
                    member_of.add(segment_id)
                    found[segment_id].add(name)
        return found

    def members(self, segment_id: str) -> set[str]:
        """Return whom the topic says to be in a segment, as far as it was read."""
        last = {one["profileId"]: one["status"] for one in self.stage.of_segment(segment_id)}
        return {name for name, status in last.items() if status == "realized"}

    async def settles(self, texts: Mapping[str, str]) -> None:
        """Wait until the topic says what the oracle says, and check how it came there."""
        await self.holds(self.expected(texts))

    async def holds(self, expected: Mapping[str, set[str]]) -> None:
        """Wait until these are the members of each segment by the topic, and so by the API."""

        def they_are() -> bool:
            return all(self.members(one) == names for one, names in expected.items())

        await eventually(they_are, PATIENCE_S)
        for segment_id in expected:
            histories: dict[tuple[str, str], list[Any]] = {}
            for change in self.stage.of_segment(segment_id):
                histories.setdefault((change["profileId"], segment_id), []).append(change)
            assert not history_problems(histories)
        for name in ("p-0", "p-7", "p-35", f"p-{PEOPLE - 1}"):
            stored = (await self.stage.client.get(f"/profiles/{name}/membership")).json()
            found: dict[str, Any] = {}
            for of_namespace in stored["segmentMembership"].values():
                found |= of_namespace
            for segment_id, names in expected.items():
                status = found.get(segment_id, {}).get("status")
                assert (status == "realized") == (name in names), shown(
                    self.stage.of(name, segment_id)
                )

    async def until(
        self, path: str, is_wanted: Callable[[dict[str, Any]], object]
    ) -> dict[str, Any]:
        """Wait until what stands at a path is as wanted; return it."""

        async def look() -> dict[str, Any] | None:
            answer = await self.stage.client.get(path)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found if is_wanted(found) else None

        found: dict[str, Any] = await eventually(look, PATIENCE_S)
        return found

    async def until_entered(self, segment_id: str, least: int = 20) -> int:
        """Wait until a scan has told of some; return of how many."""
        await eventually(lambda: len(self.stage.of_segment(segment_id)) >= least, PATIENCE_S)
        return len(self.stage.of_segment(segment_id))

    async def until_looked_at(self, before: float, least: int = 30) -> None:
        """Wait until the workers have looked at some more for a job or an export."""

        async def under_way() -> bool:
            return await self.stage.looked_at(*WORKERS) >= before + least

        await eventually(under_way, PATIENCE_S)


@asynccontextmanager
async def living(kafka: LocalKafka, redis: LocalRedis, folder: Path) -> AsyncIterator[Life]:
    """Start everything, with slices so small that each piece of work takes a while."""
    settings = {
        "SEG_SCAN_MAX_PROFILES": "4",
        "SEG_SESSION_TIMEOUT_MS": str(SESSION_MS),
        "SEG_DATASETS": orjson.dumps({"members": {"url": str(folder / "members")}}).decode(),
    }
    async with running_stage(kafka, redis, folder, workers=len(WORKERS), **settings) as stage:
        life = Life(stage, folder)
        await life.populate()
        yield life
