"""Busy profiles: dozens of events in a row, most of which change nothing, held to the oracle.

The engine looks at most of them only from afar (how far the next threshold is), drops the oldest
as new ones come, and writes down only what they add.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.limits import EngineLimits
from app.domain.model import ProfileKey
from tests.property.engine_model import TENANT, Model, Store
from tests.property.engine_replay import Replay
from tests.property.examples import WHOLE_GRAMMAR

EVENTS = 60
FILTERS = ('eventType = "a"', 'eventType = "b"', 'eventType = "a" and price > 5', "price >= 3")
WINDOWS = ("", " and timestamp occurs <= 20 seconds before now", " and timestamp occurs today")
COMPARISONS = (">=", ">", "<", "<=", "=", "!=")
LIMITS = (
    EngineLimits(),
    EngineLimits(whole_state_bytes=0),
    EngineLimits(retention_events=12, whole_state_bytes=0),
    EngineLimits(retention_ms=25_000, retention_events=20, dedup_ids=4, whole_state_bytes=0),
)


def definition(rng: Random) -> str:
    """Return a threshold on a count or a sum, or a sequence."""
    events = f"xEvent[{rng.choice(FILTERS)}{rng.choice(WINDOWS)}]"
    comparison = rng.choice(COMPARISONS)
    shape = rng.randrange(8)
    if shape < 3:
        return f"{events}.count() {comparison} {rng.randrange(25)}"
    if shape < 6:
        return f"{events}.sum(price) {comparison} {rng.choice((0.3, 5, 20, 60, 100, 150))}"
    if shape == 6:
        return f"{events}.max(price) {comparison} {rng.randrange(12)}"
    return (
        f"chain(xEvent, timestamp, [A: WHAT({rng.choice(FILTERS)}), "
        f"B: WHAT({rng.choice(FILTERS)}) WHEN(<= 8 seconds before now)])"
    )


def event(rng: Random) -> dict[str, Any]:
    prices = (1, 2, 2.5, 0.1, 6, 9) if rng.random() < 0.9 else (-3, 0, None, "7", [4, 5])
    return {"eventType": rng.choice("aab"), "price": rng.choice(prices)}


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=WHOLE_GRAMMAR // 5)
def test_events_that_change_nothing_are_told_from_those_that_do(seed: int) -> None:
    play(seed)


def play(seed: int) -> None:
    rng = Random(seed)
    texts, limits = [definition(rng) for _ in range(6)], rng.choice(LIMITS)
    store = Store(texts, limits, cache_profiles=10)
    replay = Replay(store, Model(texts, limits), ProfileKey(TENANT, "p"))
    for number in range(EVENTS):
        age = rng.choice((-2_000, 400, 5_000)) if rng.random() < 0.1 else 0
        update = {"event": event(rng), "age": age, "event_id": f"e{number}"}
        replay.take(rng.choice((0, 100, 900, 2_000)), update)
        if rng.random() < 0.7:
            replay.flush()
        if rng.random() < 0.05:
            replay.flush()
            store.restart()
        if rng.random() < 0.05:
            replay.take(rng.choice((3_000, 15_000)), None)
    replay.flush()
    replay.idle(30_000)
