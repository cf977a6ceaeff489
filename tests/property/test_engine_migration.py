"""Profiles follow their definitions through any change of the catalogue.

Definitions are added, edited, deactivated, published again and deleted at any moment of a profile's
life. The next touch of the profile, by an update, by its timer or by a scan, gives the oracle's
answer under the definitions of that moment, whether or not the engine still knows the catalogue the
profile was last under.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import event, given, note
from hypothesis import strategies as st

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import MembershipChange, ProfileKey, RemovedDefinition, SegmentDefinition
from app.engine.state_codec import decode
from app.pql import ast
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.engine_model import BASE_MS, EXTERNAL, TENANT, Model, Store, namespace_of
from tests.property.engine_replay import Replay
from tests.property.pql_strategies import conditions
from tests.property.test_engine import (
    ATTRIBUTES,
    LIMITS,
    event_conditions,
    events,
    patches,
    tellings,
)

SECOND = 1_000
MORE_LIMITS = (
    *LIMITS,
    EngineLimits(retention_ms=2 * DAY_MS, retention_events=4, whole_state_bytes=0),
)
texts = st.one_of(
    event_conditions(),
    event_conditions(),
    st.sampled_from(ATTRIBUTES),
    conditions(segments=False).map(to_text),
    st.just(EXTERNAL),
)
KINDS = ("idle", "idle", "define", "define", "define", "scan", "restart")
gaps = st.sampled_from((0, 0, 1, SECOND, 2_001, 3_001, 5 * SECOND, DAY_MS, 10 * DAY_MS))
ages = st.sampled_from((0, 0, 0, 1, SECOND, 3_000, -1_500, DAY_MS, 9 * DAY_MS))


@st.composite
def operations(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(("update",) * 8 + KINDS))
    if kind != "update":
        return kind, draw(gaps), draw(st.integers(0, 9)), draw(texts), draw(st.integers(0, 3))
    if draw(st.integers(0, 19)) == 0:
        return kind, draw(gaps), {"deletes": True}
    update: dict[str, Any] = {"event_id": draw(st.sampled_from((None, None, "i1")))}
    what = draw(st.integers(0, 8))
    if what < 2:
        update["external"] = draw(tellings)
    elif what < 5:
        update["attributes"] = draw(patches)
    else:
        update |= {"event": draw(events), "age": draw(ages)}
    return kind, draw(gaps), update


class Definitions:
    """The definitions of a tenant as a control plane would change them."""

    def __init__(self) -> None:
        self.live: dict[int, SegmentDefinition] = {}
        self.inactive: dict[int, SegmentDefinition] = {}
        self.deleted: list[RemovedDefinition] = []
        self.count = 0
        self.number = 0

    @property
    def tag(self) -> str:
        return f"{self.number}-t"

    @property
    def removed(self) -> list[RemovedDefinition]:
        """All that are evaluated no more."""
        inactive = (
            RemovedDefinition(
                one.segment_id, one.ordinal, one.version, is_inactive=True, namespace=one.namespace
            )
            for one in self.inactive.values()
        )
        return [*self.deleted, *inactive]

    def change(self, choice: int, text: str, form: int) -> str:
        """Add, edit, deactivate, publish again or delete a definition; return which."""
        self.number += 1
        if choice < 6 and self.inactive:
            ordinal = sorted(self.inactive)[form % len(self.inactive)]
            self._show(self.inactive.pop(ordinal))
            return "publish again"
        if choice < 4 or not self.live:
            ordinal, self.count = self.count, self.count + 1
            self._put(ordinal, 1, text, form)
            return "add"
        ordinal = sorted(self.live)[choice % len(self.live)]
        old = self.live.pop(ordinal)
        if choice < 7 and old.is_external:
            self._show(replace(old, name=f"renamed {self.number}"))
            return "rename"
        if choice < 7:
            self._put(ordinal, old.version + 1, text, form)
            return "edit"
        if choice in (7, 8):
            self.inactive[ordinal] = old
            return "deactivate"
        self.deleted.append(
            RemovedDefinition(old.segment_id, ordinal, old.version, namespace=old.namespace)
        )
        return "delete"

    def _put(self, ordinal: int, version: int, text: str, form: int) -> None:
        # A lambda that names the profile stands only at the beginning.
        is_open = text != EXTERNAL and not isinstance(parse(text), ast.Lambda)
        if form and ordinal and is_open:
            named = f'inSegment("s{ordinal - 1}")'
            text = {1: f"{named} and ({text})", 2: f"not {named} or ({text})", 3: named}[form]
        self._show(
            SegmentDefinition(f"s{ordinal}", ordinal, version, text, namespace=namespace_of(text))
        )

    def _show(self, definition: SegmentDefinition) -> None:
        self.live[definition.ordinal] = definition
        self.live = dict(sorted(self.live.items()))

    def texts(self) -> dict[str, str]:
        return {one.segment_id: one.expression for one in self.live.values()}


class MigrationReplay(Replay):
    """A replay in which the definitions change."""

    def __init__(self, store: Store, model: Model, key: ProfileKey) -> None:
        super().__init__(store, model, key)
        self.definitions = Definitions()
        self.behind = False

    def define(self, choice: int, text: str, form: int) -> None:
        self.flush()
        event(self.definitions.change(choice, text, form))
        note(f"definitions {list(self.definitions.live.values())} at {self.now_ms - BASE_MS}")
        self.model.define(self.definitions.texts())
        self.store.define(
            self.definitions.live.values(), self.definitions.removed, self.definitions.tag
        )
        self.behind = True

    def scan(self) -> None:
        """Bring the profile to the definitions without an update or timer of its own."""
        self.flush()
        self.compare(self.store.apply([], self.now_ms, scans=True).changes)

    def check_exact(self, change: MembershipChange) -> None:
        """Only a profile that was up to date before has exact times."""
        if not self.behind and change.cause.kind != "profile-deleted":
            super().check_exact(change)

    def compare(self, changes: list[MembershipChange]) -> None:
        for change in changes:
            note(f"{change}")
            self.follow(change)
            self.check_cause(change)
        if self.key not in self.store.touched:
            assert not changes
            return
        self.behind = False
        expected = self.model.members(self.store.clock_ms)
        assert self.store.members(self.key) == expected
        assert {name for name, status in self.status.items() if status == "realized"} == expected
        self.check_nothing_left()

    def check_cause(self, change: MembershipChange) -> None:
        gone = {one.segment_id: one.version for one in self.definitions.removed}
        if change.segment_id in gone and change.cause.kind != "profile-deleted":
            assert change.status == "exited"
            assert change.cause.kind == "definition"
            assert change.definition_version == gone[change.segment_id]
        elif change.segment_id not in gone:
            ordinal = int(change.segment_id[1:])
            assert change.definition_version == self.definitions.live[ordinal].version

    def check_nothing_left(self) -> None:
        packed = self.store.states.get(self.key)
        if packed is None:
            return
        state, catalogue = decode(packed), self.store.catalogue
        assert int.from_bytes(state.members, "little") >> self.definitions.count == 0
        assert state.matches.keys() <= catalogue.timelines.keys()
        known = catalogue.timelines.keys() | catalogue.chains.keys() | catalogue.tracked.keys()
        assert state.dues.keys() <= known
        assert state.external.keys() <= catalogue.ranks.keys() | catalogue.inactive
        if state.created:
            assert state.tag == catalogue.tag


@given(
    history=st.lists(operations(), min_size=2, max_size=16),
    limits=st.sampled_from(MORE_LIMITS),
    cache_profiles=st.sampled_from((0, 10)),
)
def test_profiles_follow_their_definitions(
    history: list[tuple[Any, ...]], limits: EngineLimits, cache_profiles: int
) -> None:
    store, model = Store([], limits, cache_profiles), Model([], limits)
    replay = MigrationReplay(store, model, ProfileKey(TENANT, "p"))
    for kind, gap, *rest in history:
        if kind == "update":
            replay.take(gap, rest[0])
        elif kind == "idle":
            replay.take(gap, None)
        elif kind == "define":
            replay.define(*rest)
        elif kind == "scan":
            replay.scan()
        else:
            replay.flush()
            store.restart()
    replay.flush()
    replay.idle(40 * DAY_MS)
    replay.take(0, {"attributes": {}})
    replay.flush()
