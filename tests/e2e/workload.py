"""The traffic of the fault tests: reproducible from a seed, and what became of it in the log.

What is decided by the seed: who is updated, how, in which order, and which mischief is mixed in.
Times are those of sending, so that windows of seconds open and close while the workers are killed.
Every record carries its number in a header, which copies that the service forwards keep; the model
is then fed from the topic itself, in the order in which the workers had to apply it.

Two things would make the outcome depend on the moment at which a worker reads a record, and are
kept out. An event counts as older than a deletion if it is not newer than the clock at that time,
which may be any instant up to now: so a deleted profile gets events that are hours old, and fresh
ones only in a second phase, sent once all of the first was applied. And no event is near the edge
of the retention or of a window of hours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from app.domain.partitioning import partition_of

SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NUMBER = "n"
TYPES = ("view", "view", "view", "add", "add", "buy", "buy")
PRICES = (1, 2.5, 3, 6, 6, 9, 12, 0.1, None, "7")
LATE = (90 * SECOND, 2 * HOUR, 2 * HOUR, 2 * DAY, 8 * DAY, 40 * DAY)
OLD = (2 * HOUR, 2 * DAY, 8 * DAY, 40 * DAY)
DEEP = '{"attributes": ' + '{"a":' * 150 + "1" + "}" * 151
POISON: tuple[tuple[str, bool, bytes], ...] = (
    # Error code, whether it has a key, value
    ("invalid-json", True, b"{"),
    ("invalid-json", True, b"\xff\xfe\x00"),
    ("invalid-json", True, b'{"attributes": {"a": NaN}}'),
    ("not-an-object", True, b"[]"),
    ("wrong-type", True, b'{"attributes": 1}'),
    ("wrong-type", True, b'{"event": [1]}'),
    ("wrong-type", True, b'{"attributes": {}, "eventId": 5}'),
    ("unknown-envelope", True, b'{"header": {}, "body": {}}'),
    ("missing-profile-id", False, b'{"attributes": {"age": 99}}'),
    ("empty-update", True, b"{}"),
    ("invalid-timestamp", True, b'{"event": {"timestamp": "2300-01-01T00:00:00Z"}}'),
    ("invalid-timestamp", True, b'{"event": {}, "timestamp": "yesterday"}'),
    ("nested-too-deeply", True, DEEP.encode()),
    ("invalid-tenant", True, b'{"orgId": "a b", "attributes": {"age": 99}}'),
    ("too-large", True, b'{"attributes": {"age": 99, "pad": "' + b"x" * 1_048_576 + b'"}}'),
)


@dataclass(frozen=True)
class Mix:
    """What is sent.

    Attributes:
        mischief: Share of records that are duplicates, late events, tombstones or poison.
        astray: Share of records whose partition librdkafka chooses (CRC32), most of them wrongly.
    """

    seed: int
    updates: int = 20_000
    profiles: int = 1_000
    mischief: float = 0.0
    astray: float = 0.0


@dataclass
class Sent:
    """One record as it was sent: what the model is told of it.

    Attributes:
        kind: `update`, `tombstone`, or the error code of a poison record.
        event_age_ms: Against the time of sending; negative for an event of the future.
    """

    number: int
    profile_id: str
    kind: str = "update"
    event_id: str | None = None
    attributes: dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    event_age_ms: int = 0
    event_ms: int = 0
    is_astray: bool = False
    has_key: bool = True
    raw: bytes | None = None

    def value(self, now_ms: int) -> bytes | None:
        """Return the record's value when it is sent at this instant."""
        if self.kind == "tombstone":
            return None
        if self.raw is not None:
            return self.raw
        document: dict[str, Any] = {}
        if self.event_id is not None:
            document["eventId"] = self.event_id
        if self.attributes is not None:
            document["attributes"] = self.attributes
        if self.event is not None:
            self.event_ms = now_ms - self.event_age_ms
            document["event"] = {**self.event, "timestamp": self.event_ms}
        return json.dumps(document).encode()


@dataclass
class Workload:
    """Makes and sends the records of a mix, and remembers them by number."""

    mix: Mix
    partitions: int
    started_ms: int
    sent: list[Sent] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.mix.seed)
        self._poisoned = 0
        self._by_profile: dict[str, list[Sent]] = {}

    def first_phase(self) -> Iterator[Sent]:
        """Yield every record of the mix in order."""
        for _ in range(self.mix.updates):
            yield self._keep(self._next())

    def second_phase(self) -> Iterator[Sent]:
        """Yield fresh events of half of the profiles that were deleted."""
        for profile_id in sorted(self.deleted)[::2]:
            for _ in range(3):
                made = self._update(profile_id)
                made.event, made.event_age_ms = self._event(), 0
                yield self._keep(made)

    def _keep(self, made: Sent) -> Sent:
        self.sent.append(made)
        self._by_profile.setdefault(made.profile_id, []).append(made)
        return made

    def _next(self) -> Sent:
        rng = self._rng
        # A tenth of the profiles gets half of the updates.
        count = self.mix.profiles if rng.random() < 0.5 else max(self.mix.profiles // 10, 1)
        profile_id = f"p-{rng.randrange(count)}"
        if rng.random() < self.mix.mischief:
            return self._mischief(profile_id)
        made = self._update(profile_id)
        made.is_astray = rng.random() < self.mix.astray
        return made

    def _mischief(self, profile_id: str) -> Sent:
        rng, number = self._rng, len(self.sent)
        kind = rng.randrange(10)
        if kind < 4:
            return self._duplicate(profile_id)
        if kind < 7:
            made = self._update(profile_id)
            late = OLD if profile_id in self.deleted else LATE
            made.event, made.event_age_ms = self._event(), rng.choice(late)
            return made
        if kind < 8:
            self.deleted.add(profile_id)
            return Sent(number, profile_id, "tombstone")
        self._poisoned += 1
        # Each kind once; after that all but the last, of which each is a megabyte.
        is_new = self._poisoned <= len(POISON)
        code, has_key, value = POISON[-self._poisoned] if is_new else rng.choice(POISON[:-1])
        return Sent(number, profile_id, code, has_key=has_key, raw=value)

    def _duplicate(self, profile_id: str) -> Sent:
        """An event id that was sent already, most often with other contents."""
        earlier = [one for one in self._by_profile.get(profile_id, ()) if one.event_id is not None]
        made = self._update(profile_id)
        if earlier:
            made.event_id = self._rng.choice(earlier).event_id
        return made

    def _update(self, profile_id: str) -> Sent:
        rng, number = self._rng, len(self.sent)
        made = Sent(number, profile_id)
        if rng.random() < 0.9:
            made.event_id = f"e-{number}"
        kind = rng.random()
        if kind < 0.35:
            made.attributes = self._attributes()
        if kind >= 0.3:
            made.event = self._event()
            made.event_age_ms = self._age()
            if profile_id in self.deleted:
                made.event_age_ms = rng.choice(OLD)
        return made

    def _age(self) -> int:
        chance = self._rng.random()
        if chance < 0.85:
            return self._rng.randrange(1_500)
        if chance < 0.88:
            return -self._rng.randrange(2_000)
        return self._rng.choice(LATE[:-1])

    def _event(self) -> dict[str, Any]:
        rng = self._rng
        event: dict[str, Any] = {"eventType": rng.choice(TYPES)}
        if rng.random() < 0.8:
            event["price"] = rng.choice(PRICES)
        if rng.random() < 0.2:
            event["city"] = rng.choice(("Oslo", "Rome"))
        if rng.random() < 0.2:
            event["items"] = [{"sku": rng.choice("xy")} for _ in range(rng.randrange(3))]
        return event

    def _attributes(self) -> dict[str, Any]:
        rng = self._rng
        days = (self.started_ms - DAY, self.started_ms - 10 * DAY, "nonsense", None)
        everything: dict[str, Any] = {
            "city": rng.choice(("Oslo", "Oslo", "Rome", "oslo", None, 5)),
            "age": rng.choice((10, 20, 30, 40, None, "30")),
            "tier": rng.choice(("gold", "silver", "basic", None)),
            "home": rng.choice((None, {"zip": "1"}, {"zip": None})),
            "tags": rng.choice((["t"], [], ["u", "t"], None)),
            "birthday": rng.choice(days),
        }
        names = rng.sample(sorted(everything), rng.randint(1, 3))
        return {name: everything[name] for name in names}


def send(producer: Producer, topic: str, made: Sent, partitions: int, now_ms: int) -> None:
    """Hand a record to the producer; a delivery that fails is found when the topic is read."""
    options: dict[str, Any] = {
        "value": made.value(now_ms),
        "timestamp": now_ms,
        "headers": {NUMBER: str(made.number)},
    }
    if made.has_key:
        options["key"] = made.profile_id
    if not made.is_astray:
        # Also what has no key: somewhere it must go.
        options["partition"] = partition_of(made.profile_id, partitions)
    while True:
        try:
            producer.produce(topic, **options)
        except BufferError:
            producer.poll(0.1)
        else:
            return
