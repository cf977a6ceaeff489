"""The benchmark mix: definitions and updates of a shop, reproducible from a seed.

Half of the definitions are about attributes, three tenths count or sum events in a window, one
tenth are sequences, one tenth combine other segments. Updates are about 300 bytes of JSON. First
every profile is introduced by its attributes; then profiles are drawn from a Zipf distribution, and
about one update in twenty changes a membership.

A shop with more definitions has more kinds of events and more cities: how many definitions an
update concerns stays the same, so that what grows with their number is the cost of those it does
not touch.
"""

from __future__ import annotations

import random
from bisect import bisect
from itertools import accumulate
from typing import Any

import orjson

from app.domain.model import DefinitionSet, SegmentDefinition, Tenant

DEFINITIONS_PER_EVENT_TYPE = 25
DEFINITIONS_PER_CITY = 5
PLANS = ("basic", "standard", "premium", "trial")


class Vocabulary:
    """The words of a shop with so many definitions."""

    def __init__(self, definitions: int) -> None:
        types = max(4, definitions // DEFINITIONS_PER_EVENT_TYPE)
        self.event_types = [f"shop.action{number}" for number in range(types)]
        cities = max(4, definitions // DEFINITIONS_PER_CITY)
        self.cities = [f"City {number}" for number in range(cities)]
        self.hosts = max(5, definitions // 20)
        self.most_points = 1_000 * definitions
        self.points_band = 20_000


def definition_texts(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Return (segment id, expression) pairs of the mix."""
    rng, words = random.Random(seed), Vocabulary(count)
    found: list[tuple[str, str]] = []
    for number in range(count):
        kind = number % 10
        if kind < 5:
            text = _attribute(rng, words, number // 10 * 5 + kind)
        elif kind < 8:
            text = _windowed(rng, words)
        elif kind == 8:
            text = _sequence(rng, words)
        else:
            first, second = rng.sample(range(number - 9, number), 2)
            text = f'inSegment("segment-{first}") and not inSegment("segment-{second}")'
        found.append((f"segment-{number}", text))
    return found


def _attribute(rng: random.Random, words: Vocabulary, number: int) -> str:
    shape = number % 10
    city, points = rng.choice(words.cities), rng.randrange(words.most_points)
    if shape < 4:
        return f'homeAddress.city = "{city}" and loyalty.points > {points}'
    if shape < 6:
        return f'homeAddress.city = "{city}"'
    if shape < 8:
        other = rng.choice(words.cities)
        return f'homeAddress.city in ["{city}", "{other}"] and plan = "premium"'
    if shape == 8:
        return f"loyalty.points >= {points} and loyalty.points < {points + words.points_band}"
    host = rng.randrange(words.hosts)
    return f'person.email.equals("someone{number}@mail{host}.example") and plan != "trial"'


def _windowed(rng: random.Random, words: Vocabulary) -> str:
    event_type = rng.choice(words.event_types)
    window = rng.choice(("1 hours", "24 hours", "7 days", "30 days"))
    events = f'xEvent[eventType = "{event_type}" and timestamp occurs <= {window} before now]'
    if rng.random() < 0.6:
        return f"{events}.count() >= {rng.randrange(5, 20)}"
    return f"{events}.sum(commerce.order.priceTotal) > {rng.randrange(1_000, 8_000)}"


def _sequence(rng: random.Random, words: Vocabulary) -> str:
    first, second = rng.sample(words.event_types, 2)
    return (
        f'chain(xEvent, timestamp, [A: WHAT(eventType = "{first}") WHEN(<= 7 days before now), '
        f'B: WHAT(eventType = "{second}" and commerce.order.priceTotal > 195)])'
    )


def definition_set(count: int, tenant: Tenant) -> DefinitionSet:
    """Return the mix as a worker loads it."""
    definitions = tuple(
        SegmentDefinition(segment_id, ordinal, 1, text)
        for ordinal, (segment_id, text) in enumerate(definition_texts(count))
    )
    return DefinitionSet(tenant, f"1-mix{count}", definitions)


class Updates:
    """Endless updates of the mix for a shop with so many definitions."""

    def __init__(self, definitions: int, profiles: int = 100_000, seed: int = 2) -> None:
        self._rng = random.Random(seed)
        self._words = Vocabulary(definitions)
        self._weights = list(accumulate(1 / rank for rank in range(1, profiles + 1)))
        self._number = 0

    def next(self, at_ms: int) -> tuple[str, dict[str, Any]]:
        """Return profile id and update of about 300 bytes."""
        rng = self._rng
        self._number += 1
        is_new = self._number <= len(self._weights)
        rank = self._number - 1 if is_new else self._drawn_rank()
        profile_id = f"profile-{rank:07d}"
        update: dict[str, Any] = {
            "eventId": f"event-{self._number:012d}",
            "profileId": profile_id,
            "timestamp": at_ms,
        }
        if is_new or rng.random() < 0.2:
            update["attributes"] = self._attributes(rng, rank)
        else:
            update["event"] = {
                "eventType": rng.choice(self._words.event_types),
                "web": {"webPageDetails": {"name": f"page {rank % 97}", "pageViews": {"value": 1}}},
                "device": {"type": "mobile", "model": "Phone 12", "screenWidth": 390},
                "commerce": {"order": {"priceTotal": rng.randrange(1, 200), "currencyCode": "EUR"}},
            }
        return profile_id, update

    def _drawn_rank(self) -> int:
        return bisect(self._weights, self._rng.random() * self._weights[-1])

    def _attributes(self, rng: random.Random, rank: int) -> dict[str, Any]:
        """People seldom move; their points grow."""
        cities = self._words.cities
        moved = rng.random() < 0.02
        city = rng.choice(cities) if moved else cities[rank * 7_919 % len(cities)]
        points = rank * 104_729 % self._words.most_points + self._number // 1_000
        return {
            "homeAddress": {"city": city, "street": f"{rank} Long Street", "postalCode": "0150"},
            "loyalty": {"points": points},
            "plan": PLANS[rank % len(PLANS)],
            "person": {"email": f"someone{rank}@mail{rank % self._words.hosts}.example"},
        }

    def next_bytes(self, at_ms: int) -> tuple[bytes, bytes]:
        """Return key and value of a record."""
        profile_id, update = self.next(at_ms)
        return profile_id.encode(), orjson.dumps(update)
