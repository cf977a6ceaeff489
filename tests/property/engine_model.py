"""A profile by brute force: what the incremental engine is held to.

Keeps every update, applies the rules of retention, de-duplication and deletion in the plainest way,
and asks the oracle for every definition at every instant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from app.domain.limits import EngineLimits
from app.domain.model import (
    SEGMENT_NAMESPACE,
    DefinitionSet,
    ExternalMembership,
    Origin,
    ProfileKey,
    ProfileUpdate,
    RemovedDefinition,
    SegmentDefinition,
    Tenant,
)
from app.domain.timestamps import iso_text
from app.engine.catalogue import compile_catalogue
from app.engine.merge import merge_patch
from app.engine.oracle import Event, Subject, matches
from app.engine.profile import order_of
from app.engine.state_codec import decode
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine

TENANT = Tenant("org@AdobeOrg", "prod")
BASE_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z, a Monday


EXTERNAL = "external"
"""In place of an expression: the definition is an external audience."""


def namespace_of(text: str) -> str:
    """Return the namespace of memberships of a definition."""
    return "CustomerAudienceUpload" if text == EXTERNAL else SEGMENT_NAMESPACE


def definition_set(texts: list[str], tag: str = "1-a", version: int = 1) -> DefinitionSet:
    """Return definitions `s0`, `s1`, … of the texts."""
    definitions = tuple(
        SegmentDefinition(f"s{index}", index, version, text, namespace=namespace_of(text))
        for index, text in enumerate(texts)
    )
    return DefinitionSet(TENANT, tag, definitions)


@dataclass
class Model:
    """One profile and its whole past."""

    texts: list[str]
    limits: EngineLimits
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    external: dict[str, int] = field(default_factory=dict)
    arrivals: int = 0
    deleted_ms: int = 0
    exists: bool = False
    forgotten: int = 0
    published: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.define({f"s{index}": text for index, text in enumerate(self.texts)})

    def define(self, texts: dict[str, str]) -> None:
        """Ask from now on for these definitions; each only names ones before it."""
        self.checked: dict[str, Expr | None] = {}
        for segment_id, text in texts.items():
            if text == EXTERNAL:
                self.checked[segment_id] = None
                continue
            checked = check(parse(text))
            assert checked.expr is not None, text
            assert not checked.problems, (text, checked.problems)
            self.checked[segment_id] = checked.expr

    def update(self, update: ProfileUpdate, now_ms: int) -> None:
        """Apply one update by the letter of the rules."""
        self.expire_stub(now_ms)
        if update.deletes:
            self.attributes, self.events, self.external = {}, [], {}
            oldest_ms = now_ms - self.limits.dedup_ms
            self.seen = {name: now_ms for name, at_ms in self.seen.items() if at_ms > oldest_ms}
            self.arrivals, self.deleted_ms, self.exists = 0, now_ms, False
            return
        if update.event_id is not None:
            seen_ms = self.seen.get(update.event_id)
            if seen_ms is not None and seen_ms > now_ms - self.limits.dedup_ms:
                return
        if not self._admit(update, now_ms):
            return
        if update.external is not None:
            self.external[update.external.segment_id] = update.external.until_ms
        if update.event_id is not None:
            self.seen.pop(update.event_id, None)
            self.seen[update.event_id] = now_ms
            self.seen = dict(list(self.seen.items())[-self.limits.dedup_ids :])
        self.exists = True
        if update.attributes is not None:
            self.attributes = merge_patch(self.attributes, update.attributes)

    def expire_stub(self, now_ms: int) -> None:
        """Forget a deleted profile after the retention time, sequences included."""
        if (
            self.deleted_ms
            and not self.exists
            and now_ms >= self.deleted_ms + self.limits.retention_ms
        ):
            self.seen, self.deleted_ms = {}, 0
            self.forgotten += 1

    def _admit(self, update: ProfileUpdate, now_ms: int) -> bool:
        if update.external is not None:
            segment_id, until_ms = update.external
            is_known = segment_id in self.checked and self.checked[segment_id] is None
            return is_known and (self.exists or until_ms > now_ms)
        if update.event is None:
            return True
        is_old = update.event_ms <= max(now_ms - self.limits.retention_ms, self.deleted_ms)
        self.events = [one for one in self.events if one.at_ms > now_ms - self.limits.retention_ms]
        order = order_of(update.event_ms, self.arrivals)
        is_full = len(self.events) >= self.limits.retention_events
        if is_old or (is_full and order < min(one.order for one in self.events)):
            return update.attributes is not None
        self.arrivals += 1
        self.events.append(Event(update.event_ms, order, update.event))
        self.events.sort(key=lambda one: one.order)
        self.events = self.events[-self.limits.retention_events :]
        return True

    def members(self, now_ms: int) -> set[str]:
        """Return the segments the profile is in at an instant."""
        found: set[str] = set()
        if not self.exists:
            return found
        visible = [one for one in self.events if one.at_ms > now_ms - self.limits.retention_ms]
        for segment_id, expression in self.checked.items():
            if expression is None:
                is_member = self.external.get(segment_id, 0) > now_ms
            else:
                stored = {SEGMENT_NAMESPACE: self._memberships(found, now_ms)}
                subject = Subject(self.attributes, visible, found, now_ms, stored)
                is_member = matches(expression, subject)
            if is_member:
                found.add(segment_id)
        return found

    def _memberships(self, found: set[str], now_ms: int) -> dict[str, dict[str, str]]:
        """Return what is stored of memberships: what was published, but for what changes now."""
        stored: dict[str, dict[str, str]] = {}
        for segment_id in self.checked:
            before, at_ms = self.published.get(segment_id, ("", 0))
            status = "realized" if segment_id in found else "exited" if before else ""
            if status:
                at_ms = at_ms if status == before else now_ms
                stored[segment_id] = {"status": status, "lastQualificationTime": iso_text(at_ms)}
        return stored


class Store:
    """Stored bytes, and the partition engine working on them as a worker would."""

    def __init__(self, texts: list[str], limits: EngineLimits, cache_profiles: int) -> None:
        self.limits = limits
        self.engine = PartitionEngine(limits, cache_profiles)
        self.cache_profiles = cache_profiles
        self.catalogue = compile_catalogue(definition_set(texts), limits)
        assert not self.catalogue.failures
        self.engine.set_catalogue(TENANT, self.catalogue)
        self.states: dict[ProfileKey, bytes | None] = {}
        self.events: dict[ProfileKey, bytes | None] = {}
        self.timers: dict[ProfileKey, int | None] = {}
        self.clock_ms = 0
        self.touched: list[ProfileKey] = []

    def define(
        self,
        definitions: Iterable[SegmentDefinition],
        removed: Iterable[RemovedDefinition],
        tag: str,
    ) -> None:
        """Go on with other definitions."""
        wanted = DefinitionSet(TENANT, tag, tuple(definitions), tuple(removed))
        self.catalogue = compile_catalogue(wanted, self.limits, self.catalogue)
        assert not self.catalogue.failures
        self.engine.set_catalogue(TENANT, self.catalogue)

    def restart(self) -> None:
        """Go on with a new engine that knows nothing but the stored bytes."""
        self.engine = PartitionEngine(self.limits, self.cache_profiles)
        self.engine.set_catalogue(TENANT, self.catalogue)

    def apply(
        self,
        updates: list[ProfileUpdate],
        wall_ms: int,
        *,
        idle: bool = False,
        scans: bool = False,
    ) -> Outcome:
        """Run one batch with everything that is due, and store its outcome.

        With `scans`, every profile joins it whose definitions have changed.
        """
        clock_ms = max(self.clock_ms, wall_ms) if idle else self.clock_ms
        end_ms = max([clock_ms, *(min(one.record_ms, wall_ms) for one in updates)])
        due = [key for key, at in self.timers.items() if at is not None and at <= end_ms]
        scanned = [key for key, packed in self.states.items() if packed] if scans else []
        keys = self.touched = [*(one.key for one in updates), *due, *scanned]
        missing = self.engine.missing_states(keys)
        self.engine.provide_states({key: self.states.get(key) for key in missing})
        outdated = self.engine.outdated(scanned)
        keys = [*(one.key for one in updates), *due, *outdated]
        missing = self.engine.missing_events(keys)
        self.engine.provide_events({key: self.events.get(key) for key in missing})
        outcome = self.engine.apply(updates, due, clock_ms, wall_ms, outdated)
        self.states.update(outcome.states)
        for key, change in outcome.appended.items():
            self.states[key] = (self.states[key] or b"") + change
        self.timers.update(outcome.timers)
        for key, write in outcome.events.items():
            if write is None:
                self.events[key] = None
            else:
                old = b"" if write.replace else self.events.get(key) or b""
                self.events[key] = old + write.frames
        self.clock_ms = outcome.clock_ms
        return outcome

    def members(self, key: ProfileKey) -> set[str]:
        """Return the segments that the stored state says the profile is in."""
        packed = self.states.get(key)
        if packed is None:
            return set()
        members = int.from_bytes(decode(packed).members, "little")
        return {
            segment_id
            for ordinal, segment_id in self.catalogue.segment_ids.items()
            if members >> ordinal & 1
        }


def make_update(
    key: ProfileKey,
    number: int,
    record_ms: int,
    *,
    event_id: str | None = None,
    attributes: dict[str, Any] | None = None,
    event: dict[str, Any] | None = None,
    event_ms: int = 0,
    deletes: bool = False,
    external: ExternalMembership | None = None,
) -> ProfileUpdate:
    """Return an update as the codec would make it."""
    origin = Origin("profile-updates", 0, number)
    return ProfileUpdate(
        key,
        origin,
        record_ms,
        event_id,
        attributes,
        event,
        event_ms,
        deletes=deletes,
        external=external,
    )
