"""One profile moved forward: by an update, by time, by a new catalogue, by deletion.

Pure over its arguments: the same profile, update and `now_ms` give the same result, whichever
worker computes it and however the stream was cut into batches.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Literal, NamedTuple

import orjson

from app.domain.limits import EngineLimits
from app.domain.model import CauseKind, JsonObject, ProfileUpdate, Status
from app.engine.attribute_index import merge_patch
from app.engine.bounds import NEVER
from app.engine.catalogue import Catalogue, CompiledDefinition
from app.engine.frame import Frame, Tracked
from app.engine.history import KeptEvent, frame
from app.engine.profile import (
    MAX_ORDER,
    ORDER_BITS,
    ProfileState,
    first_order,
    order_of,
)
from app.engine.tables import Detail, Matches, MatchTable, Number
from app.engine.terms import Chain, Timeline
from app.engine.working import Profile
from app.pql.values import EventItem

Result = Literal["applied", "duplicate", "expired"]


class Transition(NamedTuple):
    """A membership that changed; the caller adds profile and origin."""

    segment_id: str
    definition_version: int
    status: Status
    previous_status: Status | None
    at_ms: int
    sequence: int
    kind: CauseKind


@dataclass(slots=True)
class _Work:
    """What one step has found out so far.

    Attributes:
        ranks: Definitions to evaluate, with the kind of cause.
        chains: Chains whose due time has to be computed again, by key.
        default: Kind of a change that nothing in particular caused.
    """

    now_ms: int
    default: CauseKind
    ranks: dict[int, CauseKind] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=dict)

    def add(self, ranks: set[int] | tuple[int, ...], kind: CauseKind) -> None:
        for rank in ranks:
            self.ranks.setdefault(rank, kind)


@dataclass(slots=True)
class _Empty:
    """Answers for a profile without attributes and events."""

    members: int
    dues: dict[int, int]
    from_ms: int
    until_ms: int


class Stepper:
    """Moves profiles of one tenant under one catalogue.

    Not shared between threads: it reuses its frame.
    """

    def __init__(self, catalogue: Catalogue, limits: EngineLimits) -> None:
        self.catalogue = catalogue
        self._limits = limits
        self._frame = Frame()
        self._empty: _Empty | None = None

    # -- updates ---------------------------------------------------------------------------

    def update(
        self, profile: Profile, update: ProfileUpdate, now_ms: int, out: list[Transition]
    ) -> Result:
        """Apply one update to a profile that is up to date with catalogue and clock.

        Args:
            profile: Migrated, and woken for all its dues up to `now_ms`.
            out: Transitions are appended here, in the order they happened.
        """
        state = profile.state
        id_hash = None if update.event_id is None else _id_hash(update.event_id)
        if id_hash is not None and self._is_duplicate(state, id_hash, now_ms):
            return "duplicate"
        event = update.event
        order = 0 if event is None else self._admit(state, update.event_ms, now_ms)
        if event is not None and not order and update.attributes is None:
            return "expired"
        before = profile.members
        work = _Work(now_ms, "attribute" if event is None else "event")
        if not state.created:
            self._create(profile, now_ms)
            before = 0
        if update.attributes is not None:
            self._patch(profile, update.attributes, work)
        if event is not None and order:
            self._add_event(profile, event, order, work)
        self._settle(profile, work, before, out)
        if id_hash is not None:
            state.recent_ids.trim(self._limits.dedup_ids - 1, now_ms - self._limits.dedup_ms)
            state.recent_ids.add(id_hash, now_ms)
        profile.is_dirty = True
        return "applied"

    def _is_duplicate(self, state: ProfileState, id_hash: int, now_ms: int) -> bool:
        seen_ms = state.recent_ids.seen_ms(id_hash)
        return seen_ms is not None and seen_ms > now_ms - self._limits.dedup_ms

    def _admit(self, state: ProfileState, event_ms: int, now_ms: int) -> int:
        """Return the order for an event, or 0 if it is too old to be kept."""
        if event_ms <= now_ms - self._limits.retention_ms or event_ms <= state.deleted_ms:
            return 0
        order = order_of(event_ms, state.arrivals)
        is_full = len(state.orders) >= self._limits.retention_events
        return 0 if is_full and order < state.orders[0] else order

    def _create(self, profile: Profile, now_ms: int) -> None:
        state = profile.state
        empty = self._empty_answers(now_ms)
        state.created = True
        state.tag = self.catalogue.tag
        state.dues = dict(empty.dues)
        state.due_floor_ms = 0
        profile.members = empty.members

    def _patch(self, profile: Profile, patch: JsonObject, work: _Work) -> None:
        before = profile.attributes
        after = merge_patch(before, patch)
        found: set[int] = set()
        self.catalogue.attributes.affected(patch, before, after, found)
        profile.attributes = after
        work.add(found, "attribute")

    def _add_event(self, profile: Profile, event: JsonObject, order: int, work: _Work) -> None:
        state = profile.state
        orders = state.orders
        profile.new_frames.append(frame(order, orjson.dumps(event)))
        state.arrivals += 1
        state.frames += 1
        is_newest = not orders or order > orders[-1]
        if is_newest:
            orders.append(order)
        else:
            insort(orders, order)
        self._forget_old(profile, work)
        body = EventItem(event)
        body["timestamp"] = order >> ORDER_BITS
        if profile.events is not None:
            insort(profile.events, KeptEvent(order, body), key=_order)
        self._frame.slots[0] = body
        for timeline in self.catalogue.timelines_for(body.get("eventType")):
            if timeline.accepts is not None and not timeline.accepts(self._frame):
                continue
            if timeline.numbers is not None:
                for number in timeline.numbers(self._frame):
                    self._enter(state, timeline, order, number, work)
                continue
            self._enter(state, timeline, order, None, work)
            for chain, is_last in timeline.chains:
                # The newest event of all completes a sequence only as its last step.
                if is_last or not is_newest:
                    work.chains[chain.key] = chain
                    work.add(chain.definitions, "event")
        work.add(self.catalogue.history_ranks, "event")

    def _forget_old(self, profile: Profile, work: _Work) -> None:
        """Drop events past the retention from the list; only an excess by count changes answers."""
        state = profile.state
        orders = state.orders
        excess = len(orders) - self._limits.retention_events
        if excess > 0:
            last = orders[excess - 1]
            del orders[:excess]
            self._evict(state, last, work)
        expired = 0
        edge = first_order(work.now_ms - self._limits.retention_ms + 1)
        if orders and orders[0] < edge:
            expired = bisect_left(orders, edge)
            del orders[:expired]
        if profile.events and (excess > 0 or expired):
            oldest = orders[0] if orders else MAX_ORDER
            del profile.events[: bisect_left(profile.events, oldest, key=_order)]

    def _evict(self, state: ProfileState, last: int, work: _Work) -> None:
        """Take events up to order `last` out of every timeline they are in."""
        for key in state.matches:
            timeline, matches = self.catalogue.timelines[key], state.matches.get(key)
            if matches is None or matches.orders[0] > last:
                continue
            timeline.trim(matches, last + 1, work.now_ms)
            self._store(state, timeline, matches, work.now_ms)
            work.add(timeline.definitions, "event")
            self._touch_chains(timeline, work, "event")

    def _enter(
        self,
        state: ProfileState,
        timeline: Timeline,
        order: int,
        number: Number | None,
        work: _Work,
    ) -> None:
        key, now_ms = timeline.key, work.now_ms
        matches = state.matches.get(key)
        if matches is None:
            matches = Matches()
        found: set[int] = set()
        due_ms = timeline.enter(matches, order, number, now_ms, found, key in state.dues)
        timeline.trim(matches, state.orders[0] if state.orders else order, now_ms)
        if found:
            work.add(found, "event")
        if matches.orders:
            state.matches[key] = matches
            if due_ms is not None:
                _set_due(state, key, due_ms)
        else:
            state.matches.drop(key)
            state.dues.pop(key, None)

    def _store(
        self, state: ProfileState, timeline: Timeline, matches: Matches, now_ms: int
    ) -> None:
        key = timeline.key
        if not matches.orders:
            state.matches.drop(key)
            state.dues.pop(key, None)
            return
        state.matches[key] = matches
        _set_due(state, key, timeline.next_change(matches, now_ms))

    def _touch_chains(self, timeline: Timeline, work: _Work, kind: CauseKind) -> None:
        for chain, _ in timeline.chains:
            work.chains[chain.key] = chain
            work.add(chain.definitions, kind)

    # -- evaluation ------------------------------------------------------------------------

    def _settle(self, profile: Profile, work: _Work, before: int, out: list[Transition]) -> None:
        """Evaluate what was found, follow cascades, and write down the differences."""
        state = profile.state
        if work.ranks:
            profile.members = self._evaluate(profile, work)
        for key, chain in work.chains.items():
            _set_due(state, key, chain.next_change(state.matches, work.now_ms))
        changed = before ^ profile.members
        if changed:
            self._record(profile, changed, work, out)

    def _evaluate(self, profile: Profile, work: _Work) -> int:
        scope = self._aim(profile, work.now_ms)
        definitions, dependents = self.catalogue.definitions, self.catalogue.dependents
        queue = list(work.ranks)
        heapify(queue)
        while queue:
            definition = definitions[heappop(queue)]
            for leaf in definition.tracked:
                self._track(profile.state, leaf)
            bit = 1 << definition.ordinal
            if definition.holds(scope) is bool(scope.members & bit):
                continue
            scope.members ^= bit
            for dependent in dependents[definition.rank]:
                if dependent not in work.ranks:
                    work.ranks[dependent] = "cascade"
                    heappush(queue, dependent)
        return scope.members

    def _aim(self, profile: Profile, now_ms: int) -> Frame:
        scope = self._frame
        scope.attributes = profile.attributes
        scope.matches = profile.state.matches
        scope.members = profile.members
        scope.now_ms = now_ms
        scope.memo.clear()
        if self.catalogue.history_ranks:
            cut = first_order(now_ms - self._limits.retention_ms + 1)
            scope.events = [one.body for one in profile.events or () if one.order >= cut]
        return scope

    def _track(self, state: ProfileState, leaf: Tracked) -> None:
        scope = self._frame
        if leaf.key in scope.memo:
            return
        scope.next_ms = NEVER
        scope.memo[leaf.key] = leaf.evaluate(scope)
        due_ms = scope.next_ms
        if leaf.sees_events and scope.events:
            due_ms = min(due_ms, scope.events[0]["timestamp"] + self._limits.retention_ms)
        _set_due(state, leaf.key, due_ms)

    def _record(self, profile: Profile, changed: int, work: _Work, out: list[Transition]) -> None:
        ranks = self.catalogue.ranks
        ordinals = list(_bits(changed))
        if len(ordinals) > 1:
            ordinals.sort(key=lambda ordinal: ranks.get(ordinal, -1))
        for ordinal in ordinals:
            rank = ranks.get(ordinal)
            if rank is None:
                out.append(self._leave_removed(profile.state, ordinal, work))
                continue
            definition = self.catalogue.definitions[rank]
            kind = work.ranks.get(rank, work.default)
            out.append(_transition(profile, definition, kind, work.now_ms))

    def _leave_removed(self, state: ProfileState, ordinal: int, work: _Work) -> Transition:
        detail = state.details.pop(ordinal) or Detail(work.now_ms, 0)
        catalogue = self.catalogue
        return Transition(
            catalogue.segment_ids.get(ordinal, ""),
            catalogue.removed.get(ordinal, 0),
            "exited",
            "realized",
            work.now_ms,
            detail.sequence + 1,
            work.default,
        )

    def _empty_answers(self, now_ms: int) -> _Empty:
        empty = self._empty
        if empty is None or not empty.from_ms <= now_ms < empty.until_ms:
            blank = Profile(ProfileState())
            work = _Work(
                now_ms, "event", dict.fromkeys(range(len(self.catalogue.definitions)), "event")
            )
            members = self._evaluate(blank, work)
            dues = blank.state.dues
            empty = _Empty(members, dues, now_ms, min(dues.values(), default=NEVER))
            self._empty = empty
        return empty

    # -- time ------------------------------------------------------------------------------

    def wake_until(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Fire every due of the profile up to `now_ms`, each at its own time."""
        state = profile.state
        while state.due_floor_ms <= now_ms and state.dues:
            due_ms = state.due_floor_ms = min(state.dues.values())
            if due_ms <= now_ms:
                self._wake(profile, due_ms, out)

    def _wake(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        state = profile.state
        work = _Work(now_ms, "time")
        for key in [key for key, due_ms in state.dues.items() if due_ms <= now_ms]:
            del state.dues[key]
            self._wake_key(state, key, work)
        profile.is_dirty = True
        self._settle(profile, work, profile.members, out)

    def _wake_key(self, state: ProfileState, key: int, work: _Work) -> None:
        timeline = self.catalogue.timelines.get(key)
        matches = state.matches.get(key)
        if timeline is not None and matches is not None:
            timeline.trim(matches, 0, work.now_ms)
            self._store(state, timeline, matches, work.now_ms)
            work.add(timeline.definitions, "time")
            return
        chain = self.catalogue.chains.get(key)
        if chain is not None:
            work.chains[key] = chain
            work.add(chain.definitions, "time")
            return
        work.add(self.catalogue.tracked.get(key, ()), "time")

    # -- catalogue -------------------------------------------------------------------------

    def needs_rebuild(self, previous: Catalogue | None) -> bool:
        """Tell whether states of an older catalogue lack events that this one asks for."""
        if previous is None:
            return True
        return any(
            key not in previous.timelines or not previous.timelines[key].covers(timeline)
            for key, timeline in self.catalogue.timelines.items()
        )

    def migrate(
        self,
        profile: Profile,
        previous: Catalogue | None,
        now_ms: int,
        out: list[Transition],
    ) -> None:
        """Bring a profile of an older catalogue up to this one and emit the differences.

        Args:
            profile: With its events loaded if `needs_rebuild(previous)` and it has any.
            previous: The catalogue the profile was last under, if it is still known.
        """
        state = profile.state
        overdue = {key for key, due_ms in state.dues.items() if due_ms <= now_ms}
        work = _Work(now_ms, "backfill")
        if self.needs_rebuild(previous):
            self._rebuild(profile, now_ms)
        known = self.catalogue.timelines
        for key in state.matches.keys() - known.keys():
            state.matches.drop(key)
        state.dues = {}
        for key in state.matches:
            matches = state.matches.get(key)
            assert matches is not None
            self._store(state, known[key], matches, now_ms)
            work.chains.update({chain.key: chain for chain, _ in known[key].chains})
            if key in overdue:
                work.add(known[key].definitions, "time")
        for chain in work.chains.values():
            if chain.key in overdue:
                work.add(chain.definitions, "time")
        self._add_changed(previous, work)
        before = profile.members
        profile.members = self._without_removed(profile.members)
        if profile.members != before:
            self._settle(profile, _Work(now_ms, "definition"), before, out)
        self._settle(profile, work, profile.members, out)
        state.tag = self.catalogue.tag
        profile.is_dirty = True

    def _add_changed(self, previous: Catalogue | None, work: _Work) -> None:
        old = (
            {}
            if previous is None
            else {one.segment_id: one.version for one in previous.definitions}
        )
        removed = previous is not None and bool(
            self.catalogue.removed.keys() - previous.removed.keys()
        )
        for definition in self.catalogue.definitions:
            if (
                definition.tracked
                or removed
                or old.get(definition.segment_id) != definition.version
            ):
                kind: CauseKind = "backfill" if definition.version == 1 else "definition"
                work.ranks[definition.rank] = kind

    def _without_removed(self, members: int) -> int:
        for ordinal in list(_bits(members)):
            if ordinal not in self.catalogue.segment_ids or ordinal in self.catalogue.removed:
                members &= ~(1 << ordinal)
        return members

    def _rebuild(self, profile: Profile, now_ms: int) -> None:
        state = profile.state
        kept = profile.events or []
        found: dict[int, Matches] = {}
        for event in kept:
            self._frame.slots[0] = event.body
            for timeline in self.catalogue.timelines_for(event.body.get("eventType")):
                if timeline.accepts is not None and not timeline.accepts(self._frame):
                    continue
                numbers = _COUNTED if timeline.numbers is None else timeline.numbers(self._frame)
                for number in numbers:
                    matches = found.setdefault(timeline.key, Matches())
                    timeline.add(matches, event.order, number)
        oldest = kept[0].order if kept else 0
        for key, matches in found.items():
            self.catalogue.timelines[key].trim(matches, oldest, now_ms)
        state.matches = MatchTable(found)

    # -- deletion --------------------------------------------------------------------------

    def delete(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Take the profile out of everything and leave a stub."""
        state = profile.state
        before, profile.members = profile.members, 0
        self._settle(profile, _Work(now_ms, "profile-deleted"), before, out)
        profile.state = ProfileState(
            tag=self.catalogue.tag,
            arrivals=state.arrivals,
            recent_ids=state.recent_ids,
            details=state.details,
            deleted_ms=now_ms,
        )
        profile.events = []
        profile.new_frames = []
        profile.replaces_events = True
        profile.forget_attributes()
        profile.is_dirty = True


# What an event enters a timeline with that only counts.
_COUNTED = (None,)


def _order(event: KeptEvent) -> int:
    return event.order


def _set_due(state: ProfileState, key: int, due_ms: int) -> None:
    if due_ms < NEVER:
        state.dues[key] = due_ms
        state.due_floor_ms = min(state.due_floor_ms, due_ms)
    else:
        state.dues.pop(key, None)


def _transition(
    profile: Profile, definition: CompiledDefinition, kind: CauseKind, now_ms: int
) -> Transition:
    details = profile.state.details
    is_member = bool(profile.members >> definition.ordinal & 1)
    detail = details.get(definition.ordinal)
    previous: Status | None = None
    if detail is not None:
        previous = "exited" if is_member else "realized"
    sequence = 1 if detail is None else detail.sequence + 1
    details[definition.ordinal] = Detail(now_ms, sequence)
    return Transition(
        definition.segment_id,
        definition.version,
        "realized" if is_member else "exited",
        previous,
        now_ms,
        sequence,
        kind,
    )


def _bits(number: int) -> list[int]:
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found


def _id_hash(event_id: str) -> int:
    # 64 bits: two of a profile's few thousand ids collide once in some 10**12 profiles.
    digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
