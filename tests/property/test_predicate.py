"""What previews evaluate is what the oracle says, for everything the grammar can say."""

from __future__ import annotations

from array import array
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.timestamps import iso_text
from app.engine.history import frame, read_frames
from app.engine.oracle import Event, Subject, matches
from app.engine.predicate import Predicate
from app.engine.profile import ProfileState, first_order, order_of
from app.engine.state_codec import encode
from app.engine.tables import Detail, DetailTable
from app.pql.checker import check
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.pql_strategies import attributes, conditions, event_bodies
from tests.property.test_engine_grammar import as_decoded

NOW_MS = 1_767_607_200_000
SEGMENTS = {"s1": 0, "s2": 5}
LIMITS = EngineLimits(retention_ms=9 * DAY_MS)
AGES = (0, 1, 5_000, DAY_MS, 2 * DAY_MS - 1, 8 * DAY_MS, 9 * DAY_MS, 12 * DAY_MS, -DAY_MS)


@given(
    conditions(segments=True),
    attributes(),
    st.lists(st.tuples(st.sampled_from(AGES), event_bodies()), max_size=6),
    st.sets(st.sampled_from(sorted(SEGMENTS))),
    st.fixed_dictionaries(
        {name: st.sampled_from(AGES).map(lambda age: NOW_MS - age) for name in SEGMENTS}
    ),
)
def test_a_predicate_is_what_the_oracle_says(
    condition: Any,
    record: Any,
    events: list[tuple[int, Any]],
    member_of: set[str],
    details: dict[str, int],
) -> None:
    text = to_text(condition)
    orders = [order_of(NOW_MS - age, number) for number, (age, _) in enumerate(events)]
    frames = b"".join(
        frame(order, orjson.dumps(as_decoded(body)))
        for order, (_, body) in zip(orders, events, strict=True)
    )
    members = sum(1 << SEGMENTS[name] for name in member_of)
    stored = {
        name: {
            "status": "realized" if name in member_of else "exited",
            "lastQualificationTime": iso_text(at_ms),
        }
        for name, at_ms in details.items()
        if name in member_of or at_ms % 2
    }
    table = DetailTable()
    for name in stored:
        table[SEGMENTS[name]] = Detail(details[name], 1)
    state = ProfileState(
        attributes_json=orjson.dumps(as_decoded(record)),
        orders=array("q", sorted(orders)),
        members=members.to_bytes(1, "little"),
        details=table,
        created=True,
    )
    cut = first_order(NOW_MS - LIMITS.retention_ms + 1)
    kept = read_frames(frames, [order for order in orders if order >= cut])
    expr = check(parse(text)).expr
    assert expr is not None

    holds = Predicate(text, SEGMENTS, LIMITS).holds(encode(state), frames, NOW_MS)

    subject = Subject(
        orjson.loads(state.attributes_json),
        [Event(one.at_ms, one.order, one.body) for one in kept],
        member_of,
        NOW_MS,
        {"ups": stored},
    )
    assert holds is matches(expr, subject)
