"""The incremental engine tells every case script as it is written, in three ways.

As it stands; with nothing but the stored bytes from one step to the next; and with every event sent
again, and what the clock allows sent in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pytest

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey, ProfileUpdate, SegmentDefinition
from tests.cases.script import Case, Expected, Happens, Joins, Patches, Step, all_cases, transition
from tests.property.engine_model import TENANT, Store, make_update

KEY = ProfileKey(TENANT, "p")
# The oracle's runner keeps every event for ever.
LIMITS = EngineLimits(retention_ms=4_000 * DAY_MS)
SUBJECT = "case"
CASES = all_cases()


class Runner:
    """One case, its segment beside those it joins: a segment `s1` is an attribute of its own."""

    def __init__(self, case: Case, cache_profiles: int = 10) -> None:
        joined = {one.action.segment_id for one in case.steps if isinstance(one.action, Joins)}
        self.store = Store([], LIMITS, cache_profiles)
        definitions = [
            SegmentDefinition(name, number, 1, f"joined.{name} = 1")
            for number, name in enumerate(sorted(joined))
        ]
        definitions.append(SegmentDefinition(SUBJECT, len(joined), 1, case.expression))
        self.store.define(definitions, (), "2-b")
        self.number = 0

    @property
    def is_member(self) -> bool:
        return SUBJECT in self.store.members(KEY)

    def update(self, step: Step, *, event_id: str | None = None) -> ProfileUpdate | None:
        self.number += 1
        action = step.action
        if isinstance(action, Happens):
            return make_update(
                KEY,
                self.number,
                step.at_ms,
                event_id=event_id,
                event=action.body,
                event_ms=action.at_ms,
            )
        if isinstance(action, Patches):
            return make_update(KEY, self.number, step.at_ms, attributes=action.patch)
        if isinstance(action, Joins):
            joined = {action.segment_id: 1 if action.is_member else None}
            return make_update(KEY, self.number, step.at_ms, attributes={"joined": joined})
        return None

    def send(self, step: Step) -> None:
        update = self.update(step)
        if update is None:
            self.store.apply([], step.at_ms, idle=True)
        else:
            self.store.apply([update], step.at_ms)


def told(case: Case) -> list[str]:
    return [f"line {step.line}: {step.expected}" for step in case.steps]


def found(case: Case, answers: list[Expected]) -> list[str]:
    return [f"line {s.line}: {a}" for s, a in zip(case.steps, answers, strict=True)]


def tells(case: Case, runner: Runner, between: bool) -> list[Expected]:
    """Return the transitions, seen from step to step."""
    answers: list[Expected] = []
    is_member = False
    for step in case.steps:
        if between:
            runner.store.restart()
        runner.send(step)
        answers.append(transition(is_member, runner.is_member))
        is_member = runner.is_member
    return answers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_incremental(case: Case) -> None:
    assert found(case, tells(case, Runner(case), between=False)) == told(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_incremental_from_stored_bytes(case: Case) -> None:
    assert found(case, tells(case, Runner(case, cache_profiles=0), between=True)) == told(case)


def shuffled(case: Case) -> Iterator[tuple[list[ProfileUpdate], Step]]:
    """Yield the updates of each instant, and its last step.

    Every event is sent twice, at once and again after all others of its instant; events of one
    instant that happened at different times change places; nothing else may.
    """
    runner = Runner(case)
    for _, group in groupby(case.steps, key=lambda step: step.at_ms):
        steps = list(group)
        updates = [
            update
            for step in steps
            if (update := runner.update(step, event_id=f"e{step.line}")) is not None
        ]
        updates += [one for one in updates if one.event is not None]
        only_events = all(one.event is not None for one in updates)
        if only_events and len({one.event_ms for one in updates}) * 2 == len(updates):
            updates.reverse()
        yield updates, steps[-1]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_incremental_with_duplicates_in_another_order(case: Case) -> None:
    runner = Runner(case)
    sent: list[ProfileUpdate] = []

    for updates, last in shuffled(case):
        again = [one for one in sent if one.event is not None]
        runner.store.apply([*again, *updates], last.at_ms)
        runner.store.apply([], last.at_ms, idle=True)
        sent += updates

        expected = last.expected in ("in", "enter")
        assert runner.is_member is expected, f"line {last.line}"
