"""Feeds one history to the engine and to the brute-force model and compares them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from hypothesis import note

from app.domain.model import ExternalMembership, MembershipChange, ProfileKey
from tests.property.engine_model import BASE_MS, Model, Store, make_update


class Replay:
    """Feeds one history to engine and model and compares them after each batch."""

    def __init__(self, store: Store, model: Model, key: ProfileKey) -> None:
        self.store = store
        self.model = model
        self.key = key
        self.now_ms = BASE_MS
        self.number = 0
        self.pending: list[Any] = []
        self.sequences: dict[str, int] = {}
        self.status: dict[str, str] = {}

    def take(self, gap: int, update: dict[str, Any] | None) -> None:
        self.now_ms += gap
        if update is None:
            self.flush()
            self.idle(gap)
            return
        if not self.model.exists:
            self.flush()
            self.forget()
        self.number += 1
        event_ms = self.now_ms - update.get("age", 0)
        fields = {name: value for name, value in update.items() if name != "age"}
        if "event" in update:
            fields["event_ms"] = event_ms
        if "external" in update:
            segment_id, ttl_ms = update["external"]
            fields["external"] = ExternalMembership(segment_id, max(self.now_ms + ttl_ms, 0))
        self.pending.append(make_update(self.key, self.number, self.now_ms, **fields))
        note(f"{self.pending[-1]}")
        if update.get("deletes"):
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        outcome = self.store.apply(self.pending, self.now_ms)
        for one in self.pending:
            self.model.update(one, one.record_ms)
        self.pending = []
        self.compare(outcome.changes)

    def forget(self) -> None:
        """Sequences begin anew once the stub of a deleted profile has expired."""
        forgotten = self.model.forgotten
        self.model.expire_stub(self.now_ms)
        if self.model.forgotten != forgotten:
            self.sequences, self.status = {}, {}
            self.model.published.clear()

    def idle(self, gap: int) -> None:
        self.now_ms += gap
        outcome = self.store.apply([], self.now_ms, idle=True)
        for _, changes in groupby(outcome.changes, key=lambda change: change.at_ms):
            at_once = list(changes)
            for change in at_once:
                self.check_exact(change)
            for change in at_once:
                self.follow(change)
        self.compare([])
        self.forget()

    def check_exact(self, change: MembershipChange) -> None:
        """A change by time happens in the very millisecond in which the answer changes."""
        before = change.segment_id in self.model.members(change.at_ms - 1)
        after = change.segment_id in self.model.members(change.at_ms)
        assert (before, after) == (change.status == "exited", change.status == "realized"), change

    def follow(self, change: MembershipChange) -> None:
        """Take note of one change: statuses alternate, sequences are consecutive."""
        note(f"{change}")
        segment_id = change.segment_id
        assert change.sequence == self.sequences.get(segment_id, 0) + 1
        assert change.previous_status == self.status.get(segment_id)
        assert change.status != change.previous_status
        assert change.status == "realized" or change.previous_status == "realized"
        self.sequences[segment_id] = change.sequence
        self.status[segment_id] = change.status
        self.model.published[segment_id] = change.status, change.at_ms

    def compare(self, changes: list[MembershipChange]) -> None:
        for change in changes:
            self.follow(change)
        expected = self.model.members(self.store.clock_ms)
        assert self.store.members(self.key) == expected
        published = {name for name, status in self.status.items() if status == "realized"}
        assert published == expected
