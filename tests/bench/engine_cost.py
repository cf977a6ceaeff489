"""The engine alone, in this process, without I/O: what an update costs with so many definitions."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.limits import EngineLimits
from app.domain.model import Origin, ProfileKey, ProfileUpdate, Tenant
from app.engine.catalogue import Catalogue, compile_catalogue
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine
from tests.bench.mix import Updates, definition_set

_BATCH = 2_000
_START_MS = 1_767_607_200_000
_TENANT = Tenant("bench@AdobeOrg", "prod")


@dataclass(frozen=True)
class EngineCost:
    """Processor time of decoding states, evaluating, and encoding states.

    Attributes:
        changed: Share of updates that changed a membership.
        load_us: Of decoding states that the cache does not hold; `apply_us` is the rest.
    """

    definitions: int
    compile_s: float
    load_us: float
    apply_us: float
    changed: float
    state_bytes: float

    @property
    def total_us(self) -> float:
        return self.load_us + self.apply_us


class _Memory:
    """What Redis holds for the engine."""

    def __init__(self) -> None:
        self.states: dict[ProfileKey, bytes | None] = {}
        self.events: dict[ProfileKey, bytes] = {}

    def take(self, outcome: Outcome) -> None:
        """Keep what the batch wrote."""
        self.states.update(outcome.states)
        for key, change in outcome.appended.items():
            self.states[key] = (self.states[key] or b"") + change
        for key, write in outcome.events.items():
            if write is None:
                self.events.pop(key, None)
            else:
                before = b"" if write.replace else self.events.get(key, b"")
                self.events[key] = before + write.frames


def measure(
    definitions: int, profiles: int, warm_up: int, count: int, cache_profiles: int
) -> EngineCost:
    """Apply `warm_up` updates, then time `count` more."""
    limits = EngineLimits()
    started = time.process_time()
    catalogue = compile_catalogue(definition_set(definitions, _TENANT), limits)
    compile_s = time.process_time() - started
    if catalogue.failures:
        raise RuntimeError(f"definitions of the mix failed: {dict(catalogue.failures)}")
    updates = _updates(definitions, profiles, warm_up + count)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        found = _timed(catalogue, updates, warm_up, cache_profiles)
        return EngineCost(definitions, compile_s, *found)
    finally:
        gc.enable()
        gc.unfreeze()


def _timed(
    catalogue: Catalogue,
    updates: Sequence[ProfileUpdate],
    warm_up: int,
    cache_profiles: int,
) -> tuple[float, float, float, float]:
    """Return the fields of `EngineCost` from `load_us` on."""
    engine = PartitionEngine(EngineLimits(), cache_profiles)
    engine.set_catalogue(_TENANT, catalogue)
    memory = _Memory()
    load_s = apply_s = 0.0
    changed = size = states = clock_ms = 0
    for first in range(0, len(updates), _BATCH):
        batch = updates[first : first + _BATCH]
        keys = [update.key for update in batch]
        at0 = time.process_time()
        engine.provide_states({k: memory.states.get(k) for k in engine.missing_states(keys)})
        engine.provide_events({k: memory.events.get(k) for k in engine.missing_events(keys)})
        at1 = time.process_time()
        outcome = engine.apply(batch, [], clock_ms, batch[-1].record_ms)
        at2 = time.process_time()
        clock_ms = outcome.clock_ms
        memory.take(outcome)
        if first >= warm_up:
            load_s += at1 - at0
            apply_s += at2 - at1
            changed += len({change.cause.origin for change in outcome.changes})
            size += sum(len(packed or b"") for packed in outcome.states.values())
            size += sum(len(change) for change in outcome.appended.values())
            states += len(outcome.states) + len(outcome.appended)
    count = len(updates) - warm_up
    return (
        load_s / count * 1e6,
        apply_s / count * 1e6,
        changed / count,
        size / max(states, 1),
    )


def _updates(definitions: int, profiles: int, count: int) -> list[ProfileUpdate]:
    source = Updates(definitions, profiles)
    found = []
    for number in range(count):
        at_ms = _START_MS + number
        profile_id, update = source.next(at_ms)
        found.append(
            ProfileUpdate(
                ProfileKey(_TENANT, profile_id),
                Origin("profile-updates", 0, number),
                at_ms,
                update["eventId"],
                update.get("attributes"),
                update.get("event"),
                at_ms,
            )
        )
    return found
