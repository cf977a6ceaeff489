"""An engine with the semantics of `PartitionEngine` and one rule: each update flips a segment.

Attributes steer it: `quiet` flips nothing, `dueAt` (ms) sets a timer that flips, `crash` raises.
"""

from __future__ import annotations

import json

from app.domain.model import Cause, Membership, MembershipChange, ProfileKey
from app.service.outcome import EventWrite, Outcome

SEGMENT = "flip"


class StubEngine:
    def __init__(self, limits, cache_profiles=0):
        self.states = {}
        self.catalogues = {}
        self.version = 1

    def set_catalogue(self, tenant, catalogue):
        self.catalogues[tenant] = catalogue
        self.version = getattr(catalogue, "version", 1)

    def missing_states(self, keys):
        return [key for key in dict.fromkeys(keys) if key not in self.states]

    def provide_states(self, loaded):
        for key, packed in loaded.items():
            self.states[key] = json.loads(packed) if packed else None

    def unmeasured(self, updates):
        return []

    def oversized(self, updates):
        return set()

    def outdated(self, keys):
        return []

    def missing_events(self, keys):
        return []

    def provide_events(self, loaded):
        raise AssertionError("never asked for")

    def apply(self, updates, due, clock_ms, wall_ms, outdated=()):
        clock = clock_ms
        outcome = Outcome(clock)
        for update in updates:
            clock = max(clock, min(update.record_ms, wall_ms))
            self._update(update, clock, outcome)
        for key in due:
            state = self.states.get(key)
            if state and state.get("due") is not None and state["due"] <= clock:
                at, state["due"] = state["due"], None
                self._flip(key, state, at, Cause("time"), outcome)
                outcome.timers[key] = None
        outcome.clock_ms = clock
        self._write(outcome)
        return outcome

    def settle(self, published, clock_ms):
        outcome = Outcome(clock_ms)
        for key, segments in published.items():
            state = self.states.get(key) or {"n": 0, "s": None, "q": 0, "ids": [], "due": None}
            self.states[key] = state
            was = segments.get(SEGMENT)
            status, sequence = (was.status, was.sequence) if was else (None, 0)
            state["q"] = sequence
            if state["s"] != status and state["s"] is not None:
                state["q"] = sequence + 1
                self._change(key, state, status, clock_ms, Cause("time"), outcome)
            outcome.states[key] = b""
        self._write(outcome)
        return outcome

    def _update(self, update, clock, outcome):
        key = update.key
        state = self.states.get(key)
        attributes = update.attributes or {}
        if attributes.get("crash"):
            raise RuntimeError("the stub was told to crash")
        if update.deletes:
            if state:
                outcome.removed.append(key)
                self.states[key] = None
                if state["s"] == "realized":
                    state["q"] += 1
                    state["s"] = "exited"
                    self._change(key, state, "realized", clock, Cause("profile-deleted"), outcome)
            outcome.states[key] = None
            outcome.events[key] = None
            outcome.timers[key] = None
            outcome.memberships[key] = None
            outcome.applied += 1
            return
        if state is None:
            state = self.states[key] = {"n": 0, "s": None, "q": 0, "ids": [], "due": None}
            outcome.added.append(key)
        if update.event_id is not None and update.event_id in state["ids"]:
            outcome.duplicates += 1
            return
        outcome.applied += 1
        if update.event_id is not None:
            state["ids"].append(update.event_id)
        state["n"] += 1
        outcome.states[key] = b""
        if update.event is not None:
            outcome.events[key] = EventWrite(getattr(outcome.events.get(key), "frames", b"") + b"e")
        if "dueAt" in attributes:
            state["due"] = attributes["dueAt"]
            outcome.timers[key] = state["due"]
        if not attributes.get("quiet"):
            cause = Cause(
                "attribute" if update.event is None else "event", update.event_id, update.origin
            )
            self._flip(key, state, clock, cause, outcome)

    def _flip(self, key, state, at_ms, cause, outcome):
        before = state["s"]
        state["s"] = "exited" if before == "realized" else "realized"
        state["q"] += 1
        self._change(key, state, before, at_ms, cause, outcome)
        outcome.states[key] = b""

    def _change(self, key: ProfileKey, state, before, at_ms, cause, outcome):
        outcome.changes.append(
            MembershipChange(
                key, SEGMENT, self.version, state["s"], before, at_ms, state["q"], cause
            )
        )
        ups = {SEGMENT: {"status": state["s"], "sequence": state["q"]}}
        outcome.memberships[key] = json.dumps({"segmentMembership": {"ups": ups}}).encode()

    def _write(self, outcome):
        for key, packed in outcome.states.items():
            if packed is not None:
                outcome.states[key] = json.dumps(self.states[key]).encode()
        outcome.states = dict(outcome.states)


__all__ = ["SEGMENT", "Membership", "StubEngine"]
