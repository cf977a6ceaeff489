from __future__ import annotations

from itertools import product

import pytest

from app.domain.definitions import DRAFT, INACTIVE, PUBLISHED, LifecycleState, StoredDefinition
from app.domain.errors import UserError
from app.service.expressions import RefusedDefinition
from app.service.lifecycle import check_left_alone, check_transition, check_usable, lifecycle_of
from tests.builders import stored_definition

STATES: tuple[LifecycleState, ...] = (DRAFT, PUBLISHED, INACTIVE)
STEPS = {(DRAFT, PUBLISHED), (PUBLISHED, INACTIVE), (INACTIVE, PUBLISHED)}


def in_state(state: LifecycleState) -> StoredDefinition:
    return stored_definition(segment_id=f"id-{state}", name=f"my {state}", lifecycle=state)


@pytest.mark.parametrize(("now", "wanted"), list(product(STATES, STATES)))
def test_only_the_steps_of_the_lifecycle_are_taken(
    now: LifecycleState, wanted: LifecycleState
) -> None:
    if now == wanted or (now, wanted) in STEPS:
        check_transition(now, wanted)
        return
    with pytest.raises(UserError, match=f"{now} cannot become {wanted}") as refusal:
        check_transition(now, wanted)
    assert refusal.value.code == "audience-invalid"


@pytest.mark.parametrize("text", STATES)
def test_a_state_is_known_by_its_name(text: LifecycleState) -> None:
    assert lifecycle_of(text) == text


@pytest.mark.parametrize("text", ["deleted", "delete", "archived"])
def test_deleted_is_no_state_to_set(text: str) -> None:
    with pytest.raises(UserError, match="DELETE"):
        lifecycle_of(text)


@pytest.mark.parametrize("text", ["", "active", "Published"])
def test_another_state_is_refused_naming_those_there_are(text: str) -> None:
    with pytest.raises(UserError, match="draft, published, inactive"):
        lifecycle_of(text)


def test_what_is_in_use_is_not_left_alone() -> None:
    check_left_alone([])
    check_left_alone([in_state(INACTIVE)])
    with pytest.raises(UserError) as refusal:
        check_left_alone([in_state(state) for state in STATES])
    assert "'my draft' (id-draft), 'my published' (id-published);" in refusal.value.message
    assert "my inactive" not in refusal.value.message


@pytest.mark.parametrize(
    ("state", "usable"),
    [(PUBLISHED, {PUBLISHED}), (DRAFT, {DRAFT, PUBLISHED}), (INACTIVE, set(STATES))],
)
def test_what_an_audience_can_be_built_on(
    state: LifecycleState, usable: set[LifecycleState]
) -> None:
    check_usable(state, [in_state(one) for one in STATES if one in usable])
    for other in set(STATES) - usable:
        with pytest.raises(RefusedDefinition) as refusal:
            check_usable(state, [in_state(other)])
        (problem,) = refusal.value.details
        assert problem.code == "segment-not-published"
        assert f"'my {other}' (id-{other})" in problem.message
