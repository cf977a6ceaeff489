"""A restored profile evaluates everything at its first touch, above the published sequences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import EngineLimits
from app.domain.model import Membership, MembershipChange, ProfileKey, Status
from app.engine.catalogue import compile_catalogue
from app.engine.state_codec import decode
from app.service.restoration import restored_state
from tests.property.engine_model import (
    BASE_MS,
    EXTERNAL,
    TENANT,
    Store,
    definition_set,
    make_update,
)

TEXTS = ['city = "Oslo"', "n > 3", 'not (city = "Oslo")', "xEvent.count() >= 1"]
KEY = ProfileKey(TENANT, "p")
statuses = st.sampled_from(("realized", "exited"))
memberships = st.dictionaries(
    st.integers(0, len(TEXTS) - 1),
    st.builds(Membership, statuses, st.just(BASE_MS), st.integers(1, 9)),
)


@given(published=memberships, city=st.sampled_from(("Oslo", "Rome")))
def test_the_first_touch_goes_on_above_what_was_published(
    published: dict[int, Membership], city: str
) -> None:
    store = Store(TEXTS, EngineLimits(), 0)
    store.states[KEY] = restored_state(published)
    update = make_update(KEY, 1, BASE_MS + 1, attributes={"city": city})
    outcome = store.apply([update], BASE_MS + 1)

    sequences = {f"s{at}": one.sequence for at, one in published.items()}
    status: dict[str, Status] = {f"s{at}": one.status for at, one in published.items()}
    for change in outcome.changes:
        follow(change, sequences, status)
    expected = {"s0"} if city == "Oslo" else {"s2"}
    assert store.members(KEY) == expected
    assert {name for name, one in status.items() if one == "realized"} == expected
    assert outcome.added == []


def follow(change: MembershipChange, sequences: dict[str, int], status: dict[str, Status]) -> None:
    assert change.sequence == sequences.get(change.segment_id, 0) + 1
    assert change.previous_status == status.get(change.segment_id)
    assert change.status != change.previous_status
    sequences[change.segment_id] = change.sequence
    status[change.segment_id] = change.status


def test_a_restored_membership_of_an_external_audience_ends_in_its_time() -> None:
    store = Store([EXTERNAL, "age > 1"], EngineLimits(), 0)
    store.states[KEY] = restored_state({0: Membership("realized", BASE_MS, 3, BASE_MS + 50)})
    first = store.apply([make_update(KEY, 1, BASE_MS + 1, attributes={"age": 2})], BASE_MS + 1)
    assert [one.segment_id for one in first.changes] == ["s1"]
    (left,) = store.apply([], BASE_MS + 60, idle=True).changes
    assert (left.segment_id, left.status, left.sequence) == ("s0", "exited", 4)
    assert (left.at_ms, left.cause.kind) == (BASE_MS + 50, "time")


def test_nothing_but_memberships_is_known() -> None:
    state = decode(restored_state({9: Membership("realized", 5, 3), 1: Membership("exited", 4, 2)}))

    assert state.created
    assert state.attributes_json == b"{}"
    assert state.members == b"\x00\x02"
    assert {at: (one.at_ms, one.sequence) for at, one in state.details.items()} == {
        9: (5, 3),
        1: (4, 2),
    }
    assert state.tag != compile_catalogue(definition_set(TEXTS), EngineLimits()).tag
