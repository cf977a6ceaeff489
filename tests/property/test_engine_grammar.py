"""The engine gives the oracle's answer for everything the grammar can say, on odd data too."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey
from app.pql import ast
from app.pql.printer import to_text
from tests.property.engine_model import TENANT, Model, Store
from tests.property.engine_replay import Replay
from tests.property.examples import WHOLE_GRAMMAR
from tests.property.pql_strategies import attributes, conditions, event_bodies

SECOND = 1_000
LIMITS = (
    EngineLimits(),
    EngineLimits(retention_ms=3 * DAY_MS, retention_events=4, dedup_ms=5_000, whole_state_bytes=0),
    EngineLimits(retention_ms=90_000, dedup_ids=1, whole_state_bytes=0),
    EngineLimits(retention_ms=800 * DAY_MS),
)
_LARGEST = 1 << 63


def as_decoded(value: Any) -> Any:
    """Return a generated value as the codec reads it: no infinities, huge integers as floats."""
    if isinstance(value, dict):
        return {name: as_decoded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_decoded(part) for part in value]
    if type(value) is int and not -_LARGEST <= value < _LARGEST:
        return float(value)
    if value in (float("inf"), float("-inf")):
        return 0
    return orjson.loads(orjson.dumps(value))


@st.composite
def definitions(draw: st.DrawFn) -> list[str]:
    """Definitions `s0`, `s1`, …; the later ones may ask for `s1` and `s2`."""
    texts: list[str] = []
    for index in range(draw(st.integers(1, 5))):
        condition = draw(conditions(segments=index > 2))
        if index == 2 and not isinstance(condition, ast.Lambda) and draw(st.booleans()):
            member = ast.Call("inSegment", (ast.Literal("s1"),))
            condition = ast.And((member, ast.Not(condition)))
        texts.append(to_text(condition))
    return texts


gaps = st.sampled_from((0, 0, 1, 999, SECOND, 7 * SECOND, 3_600_000, DAY_MS, 9 * DAY_MS))
ages = st.sampled_from((0, 0, 0, 1, 5 * SECOND, -2 * SECOND, -DAY_MS, DAY_MS, 2 * DAY_MS - 1))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Steps (gap, update or None for an idle tick, ends a batch, restarts)."""
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.integers(0, 15))
        update: dict[str, Any] | None = None
        if kind == 0:
            update = {"deletes": True}
        elif kind > 3:
            update = {"event_id": draw(st.sampled_from((None, None, "i1", "i2")))}
            if kind <= 8 or kind == 15:
                update["attributes"] = as_decoded(draw(attributes()))
            if kind > 8:
                update["event"] = as_decoded(draw(event_bodies()))
                update["age"] = draw(ages)
        steps.append((draw(gaps), update, draw(st.booleans()), draw(st.integers(0, 4)) == 0))
    return steps


# On a busy machine a single draw may wait for seconds.
@settings(max_examples=WHOLE_GRAMMAR, suppress_health_check=(HealthCheck.too_slow,))
@given(
    texts=definitions(),
    history=histories(),
    limits=st.sampled_from(LIMITS),
    cache_profiles=st.sampled_from((0, 10)),
)
def test_incremental_equals_oracle_over_the_grammar(
    texts: list[str], history: list[tuple[Any, ...]], limits: EngineLimits, cache_profiles: int
) -> None:
    store, model = Store(texts, limits, cache_profiles), Model(texts, limits)
    replay = Replay(store, model, ProfileKey(TENANT, "p"))
    for gap, update, ends_batch, restarts in history:
        replay.take(gap, update)
        if ends_batch or restarts or update is None:
            replay.flush()
        if restarts:
            store.restart()
    replay.flush()
    for gap in (1, 60 * SECOND, 2 * DAY_MS, 40 * DAY_MS):
        replay.idle(gap)
