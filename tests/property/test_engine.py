"""The incremental engine gives the oracle's answer, whatever happens and however it is batched."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.limits import EngineLimits
from app.domain.model import ProfileKey
from tests.property.engine_model import BASE_MS, EXTERNAL, TENANT, Model, Store
from tests.property.engine_replay import Replay
from tests.property.examples import WHOLE_GRAMMAR

SECOND = 1_000
DAY = 86_400_000

FILTERS = (
    'eventType = "a"',
    'eventType = "b"',
    'eventType = "a" and price > 5',
    'eventType.equals("A", false)',
    'eventType in ["a", "c"]',
    "price >= 3",
    'items[sku = "x"]',
    "code = 6",
    "not(price > 3)",
)
WINDOWS = (
    None,
    "<= 3 seconds before now",
    "< 3 seconds before now",
    "> 2 seconds before now",
    ">= 4 seconds before now",
    "<= 2 days before now",
    "today",
    "yesterday",
    "this week",
    "<= 1 month before now",
    "< 1 month before today",
    "before today",
    "between yesterday and today",
    "= 1 days before now",
    "<= 2 seconds after now",
)
ODD_WINDOWS = ("!= 1 days before now", "> 3 seconds from now", "= 2 days from today")
ATTRIBUTES = (
    'city = "Oslo"',
    'city != "Oslo"',
    'city.equals("oslo", false)',
    'city notIn ["Oslo", "Rome"]',
    "age > 20",
    "age <= 20",
    "age = 30",
    "age in [20, 30]",
    "code = 6",
    'code = "6"',
    "code.isNull()",
    "home.zip.isNotNull()",
    "home",
    'tags.includes("t")',
    'city.contains("o")',
    "birthday occurs <= 3 days before now",
    "birthday occurs > 1 months before now",
    "birthday.getMonth() = currentMonth()",
    "currentDayOfMonth() > 15",
    "age + 1 > 21",
    'if(city = "Oslo", age > 20, age > 25)',
)


def windowed(condition: str, window: str | None, prefix: str = "") -> str:
    return condition if window is None else f"{condition} and {prefix}timestamp occurs {window}"


@st.composite
def event_conditions(draw: st.DrawFn) -> str:
    condition = draw(st.sampled_from(FILTERS))
    window = draw(st.sampled_from(WINDOWS + ODD_WINDOWS))
    events = f"xEvent[{windowed(condition, window)}]"
    compare = draw(st.sampled_from((">=", ">", "<", "<=", "=", "!=")))
    amount = draw(st.integers(0, 4))
    kind = draw(st.integers(0, 9))
    if kind <= 1:
        return f"{events}.count() {compare} {amount}"
    if kind == 2:
        aggregate = draw(st.sampled_from(("sum", "average", "min", "max")))
        return f"{events}.{aggregate}(price) {compare} {amount * 3}"
    if kind == 3:
        return events
    if kind == 4:
        return f"(forall E from xEvent where E.price < {amount * 3})"
    if kind == 5:
        return f'{events}.count() {compare} xEvent[eventType = "b"].count()'
    if kind == 6:
        return draw(chains())
    if kind == 7:
        return "(exists E from xEvent where E.city = city)"
    if kind == 8:
        return (
            "(exists F from xEvent where F.price > 2, G from xEvent where "
            "G.price > 2 and F != G and G.timestamp occurs <= 5 seconds after F.timestamp)"
        )
    return f'(exists E from xEvent where E.price > {amount}, I from E.items where I.sku = "x")'


@st.composite
def chains(draw: st.DrawFn) -> str:
    steps = []
    for label in "ABC"[: draw(st.integers(1, 3))]:
        text = f"{label}: WHAT({draw(st.sampled_from(FILTERS))})"
        window = draw(st.sampled_from(WINDOWS))
        if window is not None:
            text += f" WHEN({window})"
        if draw(st.booleans()):
            text += f" COUNT({draw(st.integers(1, 3))})"
        steps.append(text)
    return f"chain(xEvent, timestamp, [{', '.join(steps)}])"


@st.composite
def definitions(draw: st.DrawFn) -> list[str]:
    texts: list[str] = []
    for index in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 5)) == 0:
            texts.append(EXTERNAL)
            continue
        parts = []
        for _ in range(draw(st.integers(1, 2))):
            kind = draw(st.integers(0, 5))
            if kind == 0 and index:
                part = f'inSegment("s{draw(st.integers(0, index - 1))}")'
            elif kind <= 2:
                part = draw(st.sampled_from(ATTRIBUTES))
            else:
                part = draw(event_conditions())
            parts.append(f"not({part})" if draw(st.integers(0, 3)) == 0 else f"({part})")
        texts.append(draw(st.sampled_from((" and ", " or "))).join(parts))
    return texts


events = st.fixed_dictionaries(
    {"eventType": st.sampled_from(("a", "b", "c", "A", None))},
    optional={
        "price": st.sampled_from((1, 3, 6, 9, 2.5, 0.1, -4, None, "7")),
        "code": st.sampled_from((6, "6", True)),
        "city": st.sampled_from(("Oslo", "Rome")),
        "items": st.lists(st.fixed_dictionaries({"sku": st.sampled_from(("x", "y"))}), max_size=2),
    },
)
patches: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "city": st.sampled_from(("Oslo", "Rome", "oslo", None, 5)),
        "age": st.sampled_from((10, 20, 20.0, 30, None, "30")),
        "code": st.sampled_from((6, "6", "06", True, None)),
        "home": st.sampled_from((None, {"zip": "1"}, {"zip": None}, {}, "here")),
        "tags": st.sampled_from((["t"], [], None, ["u", "t"])),
        "birthday": st.sampled_from(
            ("2026-01-04", "2025-12-05T10:00:00Z", BASE_MS, "nonsense", None)
        ),
    },
)
tellings = st.tuples(
    st.sampled_from(("s0", "s1", "s2", "s3")),
    st.sampled_from((SECOND, 2_001, DAY, 30 * DAY, 30 * DAY, -1, -(10**15))),
)
"""Which external audience, if that is one, and for how long."""
gaps = st.sampled_from((0, 0, 1, 500, SECOND, 1_999, 2_000, 2_001, 3_000, 3_001, DAY, 20 * DAY))
ages = st.sampled_from((0, 0, 0, 1, SECOND, 3_000, -1_500, -DAY, DAY, 9 * DAY, 40 * DAY))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Steps (gap, update or None for an idle tick, ends a batch, restarts)."""
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.integers(0, 19))
        update: dict[str, Any] | None
        if kind == 0:
            update = {"deletes": True}
        elif kind <= 3:
            update = None
        else:
            update = {"event_id": draw(st.sampled_from((None, "i1", "i2", "i3")))}
            if 4 <= kind <= 6:
                update["external"] = draw(tellings)
            elif kind <= 9 or kind == 19:
                update["attributes"] = draw(patches)
            if kind > 9:
                update["event"] = draw(events)
                update["age"] = draw(ages)
        steps.append((draw(gaps), update, draw(st.booleans()), draw(st.integers(0, 4)) == 0))
    return steps


LIMITS = (
    EngineLimits(),
    EngineLimits(whole_state_bytes=0),
    EngineLimits(retention_ms=10 * DAY, retention_events=3, dedup_ms=3_000, whole_state_bytes=0),
    EngineLimits(retention_ms=4 * SECOND, dedup_ids=1),
)


@settings(max_examples=WHOLE_GRAMMAR)
@given(
    texts=definitions(),
    history=histories(),
    limits=st.sampled_from(LIMITS),
    cache_profiles=st.sampled_from((0, 10)),
)
def test_incremental_equals_oracle(
    texts: list[str], history: list[tuple[Any, ...]], limits: EngineLimits, cache_profiles: int
) -> None:
    key = ProfileKey(TENANT, "p")
    store, model = Store(texts, limits, cache_profiles), Model(texts, limits)
    replay = Replay(store, model, key)
    for gap, update, ends_batch, restarts in history:
        replay.take(gap, update)
        if ends_batch or update is None:
            replay.flush()
        if restarts:
            replay.flush()
            store.restart()
    replay.flush()
    replay.idle(40 * DAY)
