"""One profile moved forward: by an update, by time, by a new catalogue, by deletion.

Pure over its arguments: the same profile, update and `now_ms` give the same result, whichever
worker computes it and however the stream was cut into batches.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import orjson

from app.domain.limits import EngineLimits
from app.domain.model import CauseKind, ExternalMembership, JsonObject, ProfileUpdate
from app.engine.bounds import NEVER
from app.engine.catalogue import Catalogue
from app.engine.chain import Chain
from app.engine.evaluation import Evaluator, Transition, Work, set_due
from app.engine.history import KeptEvent, frame
from app.engine.merge import AttributeChange, merge_patch
from app.engine.migration import Migration
from app.engine.profile import MAX_ORDER, ORDER_BITS, ProfileState, first_order, order_of
from app.engine.tables import Matches, Number
from app.engine.timeline import Timeline
from app.engine.working import Profile
from app.pql.values import EventItem

Result = Literal["applied", "duplicate", "expired", "unknown"]


class Stepper:
    """Moves profiles of one tenant under one catalogue.

    Not shared between threads: it reuses its frame.
    """

    def __init__(self, catalogue: Catalogue, limits: EngineLimits) -> None:
        self.catalogue = catalogue
        self._limits = limits
        self._evaluator = Evaluator(catalogue, limits)
        self._migration = Migration(self._evaluator)
        self._work = Work(0, "event")

    def update(
        self, profile: Profile, update: ProfileUpdate, now_ms: int, out: list[Transition]
    ) -> Result:
        """Apply one update to a profile that is up to date with catalogue and clock.

        Args:
            profile: Migrated, and woken for all its dues up to `now_ms`.
            out: Transitions are appended here, in the order they happened.
        """
        state, limits = profile.state, self._limits
        id_hash = None if update.event_id is None else _id_hash(update.event_id)
        if id_hash is not None:
            seen_ms = state.recent_ids.seen_ms(id_hash)
            if seen_ms is not None and seen_ms > now_ms - limits.dedup_ms:
                return "duplicate"
        if update.external is not None:
            result = self._tell_external(profile, update.external, now_ms, out)
            if result == "applied":
                self._remember(state, id_hash, now_ms)
            return result
        event, patch = update.event, update.attributes
        order = 0 if event is None else self._admit(state, update.event_ms, now_ms)
        if event is not None and not order and patch is None:
            return "expired"
        before = profile.members
        work = self._work
        work.begin(now_ms, "attribute" if event is None else "event")
        if not state.created:
            self._evaluator.create(profile, work)
            before = 0
        if patch is not None:
            self._patch(profile, patch, work)
        if event is not None and order:
            self._add_event(profile, event, order, work)
        if work.ranks or work.chains or profile.members != before:
            self._evaluator.settle(profile, work, before, out)
        self._remember(state, id_hash, now_ms)
        profile.is_dirty = True
        return "applied"

    def _remember(self, state: ProfileState, id_hash: int | None, now_ms: int) -> None:
        limits = self._limits
        if id_hash is not None:
            state.recent_ids.remember(id_hash, now_ms, limits.dedup_ids, now_ms - limits.dedup_ms)
        state.updated_ms = now_ms

    def _tell_external(
        self, profile: Profile, told: ExternalMembership, now_ms: int, out: list[Transition]
    ) -> Result:
        """Set until when a profile is in an external audience.

        A profile that is not there is made for an entry, and left alone for an exit.
        """
        rank = self.catalogue.external.get(told.segment_id)
        if rank is None:
            return "unknown"
        state, is_member = profile.state, told.until_ms > now_ms
        if not is_member and not state.created:
            return "expired"
        before = profile.members
        work = self._work
        work.begin(now_ms, "external")
        if not state.created:
            self._evaluator.create(profile, work)
            before = 0
        ordinal = self.catalogue.definitions[rank].ordinal
        state.set_external(ordinal, told.until_ms if is_member else 0)
        work.add((rank,), "external")
        self._evaluator.settle(profile, work, before, out)
        profile.is_dirty = True
        return "applied"

    def _admit(self, state: ProfileState, event_ms: int, now_ms: int) -> int:
        """Return the order for an event, or 0 if it is too old to be kept."""
        if event_ms <= now_ms - self._limits.retention_ms or event_ms <= state.deleted_ms:
            return 0
        order = order_of(event_ms, state.arrivals)
        is_full = len(state.orders) >= self._limits.retention_events
        return 0 if is_full and order < state.orders[0] else order

    def _patch(self, profile: Profile, patch: JsonObject, work: Work) -> None:
        before = profile.attributes
        changes: list[AttributeChange] = []
        after = merge_patch(before, patch, changes)
        if not changes:
            return
        found: set[int] = set()
        self.catalogue.attributes.affected(changes, before, after, found)
        profile.attributes = after
        if found:
            work.add(found, "attribute")

    def _add_event(self, profile: Profile, event: JsonObject, order: int, work: Work) -> None:
        state = profile.state
        profile.new_frames.append(frame(order, orjson.dumps(event), work.now_ms))
        state.arrivals += 1
        state.frames += 1
        is_newest = state.add_order(order)
        self._forget_old(profile, work)
        body = EventItem(event)
        body["timestamp"] = order >> ORDER_BITS
        if profile.events is not None:
            insort(profile.events, KeptEvent(order, body, work.now_ms), key=_order)
        scope = self._evaluator.frame
        scope.slots[0] = body
        # What comes last and not from the future: most events, and the quick way for them.
        is_plain = is_newest and order >> ORDER_BITS <= work.now_ms
        for timeline in self.catalogue.timelines_for(body.get("eventType")):
            accepts = timeline.accepts
            if accepts is not None and not accepts(scope):
                continue
            entries = _COUNTED if timeline.numbers is None else timeline.numbers(scope)
            for number in entries:
                if not (is_plain and _settles_in(state, timeline, order, number)):
                    self._enter(state, timeline, order, number, work)
            # The newest event of all completes a sequence only as its last step.
            if entries and timeline.chains:
                chains = timeline.last_chains if is_newest else timeline.all_chains
                self._touch_chains(chains, work, "event")
        if self.catalogue.history_ranks:
            work.add(self.catalogue.history_ranks, "event")

    def _forget_old(self, profile: Profile, work: Work) -> None:
        """Drop events past the retention from the list; only an excess by count changes answers."""
        state = profile.state
        orders = state.orders
        excess = len(orders) - self._limits.retention_events
        edge = first_order(work.now_ms - self._limits.retention_ms + 1)
        if excess <= 0 and orders[0] >= edge:
            return
        if excess > 0:
            gone = orders[:excess]
            state.drop_orders(excess)
            self._evict(state, gone, work)
        if orders and orders[0] < edge:
            # Timelines may still begin with them, unseen.
            state.drop_orders(bisect_left(orders, edge))
            state.fronts = None
        if profile.events:
            oldest = orders[0] if orders else MAX_ORDER
            del profile.events[: bisect_left(profile.events, oldest, key=_order)]

    def _evict(self, state: ProfileState, gone: Sequence[int], work: Work) -> None:
        """Take events that are not kept any more out of the timelines they are in.

        A busy profile loses an old event with each new one: which timelines begin with it is
        looked up, not searched for.
        """
        fronts = state.fronts
        if fronts is None or len(fronts) > _FRONTS_PER_TIMELINE * len(state.matches):
            fronts = state.fronts = _fronts(state, gone[0])
        for order in gone:
            for key in fronts.pop(order, ()):
                matches = state.matches.get(key)
                if matches is not None and matches.orders[0] == order:
                    self._lose(state, key, matches, work)

    def _lose(self, state: ProfileState, key: int, matches: Matches, work: Work) -> None:
        """Take the oldest event out of a timeline."""
        timeline = self.catalogue.timelines[key]
        found: set[int] = set()
        timeline.lose(matches, matches.orders[0], work.now_ms, found)
        if matches.orders:
            state.matches[key] = matches
            _note_front(state, key, matches)
        else:
            state.matches.drop(key)
            state.clear_due(key)
        if found:
            work.add(found, "event")
        self._touch_chains(timeline.all_chains, work, "event")

    def _enter(
        self,
        state: ProfileState,
        timeline: Timeline,
        order: int,
        number: Number | None,
        work: Work,
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
            _note_front(state, key, matches)
            if due_ms is not None:
                set_due(state, key, due_ms)
        else:
            state.matches.drop(key)
            state.clear_due(key)

    def _touch_chains(self, chains: tuple[Chain, ...], work: Work, kind: CauseKind) -> None:
        for chain in chains:
            work.chains[chain.key] = chain
            work.add(chain.definitions, kind)

    def wake_until(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Fire every due of the profile up to `now_ms`, each at its own time."""
        state = profile.state
        while state.due_floor_ms <= now_ms:
            due_ms = state.due_floor_ms = min(state.dues.values(), default=NEVER)
            if due_ms <= now_ms:
                self._wake(profile, due_ms, out)

    def _wake(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        state = profile.state
        work = Work(now_ms, "time")
        for key in [key for key, due_ms in state.dues.items() if due_ms <= now_ms]:
            state.clear_due(key)
            self._wake_key(state, key, work)
        profile.is_dirty = True
        self._evaluator.settle(profile, work, profile.members, out)

    def _wake_key(self, state: ProfileState, key: int, work: Work) -> None:
        timeline = self.catalogue.timelines.get(key)
        matches = state.matches.get(key)
        if timeline is not None and matches is not None:
            timeline.trim(matches, 0, work.now_ms)
            self._evaluator.store(state, timeline, matches, work.now_ms)
            if matches.orders:
                _note_front(state, key, matches)
            work.add(timeline.definitions, "time")
            return
        chain = self.catalogue.chains.get(key)
        if chain is not None:
            work.chains[key] = chain
            work.add(chain.definitions, "time")
            return
        work.add(self.catalogue.tracked.get(key, ()), "time")

    def needs_rebuild(self, previous: Catalogue | None) -> bool:
        """Tell whether states of an older catalogue lack events that this one asks for."""
        return self._migration.needs_rebuild(previous)

    def migrate(
        self, profile: Profile, previous: Catalogue | None, now_ms: int, out: list[Transition]
    ) -> None:
        """Bring a profile of an older catalogue up to this one, see `Migration.run`."""
        self._migration.run(profile, previous, now_ms, out)

    def leave_removed(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Take a profile out of removed definitions only, see `Migration.leave_removed`."""
        self._migration.leave_removed(profile, now_ms, out)

    def delete(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Take the profile out of everything and leave a stub (docs/decisions/0204).

        What is left: sequences, hashes of the ids of updates that would otherwise bring it back,
        and the time of the deletion; not when those updates were applied.
        """
        state = profile.state
        before, profile.members = profile.members, 0
        self._evaluator.settle(profile, Work(now_ms, "profile-deleted"), before, out)
        ids = state.recent_ids
        ids.trim(self._limits.dedup_ids, now_ms - self._limits.dedup_ms)
        profile.state = ProfileState(
            tag=self.catalogue.tag,
            recent_ids=ids.all_at(now_ms),
            details=state.details,
            deleted_ms=now_ms,
        )
        profile.events = []
        profile.new_frames = []
        profile.stored_frames = None
        profile.replaces_events = True
        profile.forget_attributes()
        profile.is_dirty = True


_COUNTED = (None,)
_FRONTS_PER_TIMELINE = 4


def _settles_in(state: ProfileState, timeline: Timeline, order: int, number: Number | None) -> bool:
    """Enter an event that comes last and is known to change nothing; tell whether it was one."""
    matches = state.matches.get(timeline.key)
    if matches is None or matches.quiet <= 0:
        return False
    if number is not None:
        if not 0 <= number < matches.headroom:
            return False
        matches.headroom -= number
        matches.values.append(number)
    matches.quiet -= 1
    matches.orders.append(order)
    matches.packed = None
    state.matches[timeline.key] = matches
    return True


def _fronts(state: ProfileState, first: int) -> dict[int, list[int]]:
    """Return the timelines by the event they begin with; what is older than `first` goes.

    It is past the retention, so that no window holds it any more.
    """
    found: dict[int, list[int]] = {}
    for key in state.matches:
        matches = state.matches.get(key)
        assert matches is not None
        expired = bisect_left(matches.orders, first)
        if expired:
            matches.drop(expired)
            state.matches[key] = matches
        if matches.orders:
            found.setdefault(matches.orders[0], []).append(key)
        else:
            state.matches.drop(key)
            state.clear_due(key)
    return found


def _note_front(state: ProfileState, key: int, matches: Matches) -> None:
    """Remember with which event a timeline begins; what is out of date there does no harm."""
    fronts = state.fronts
    if fronts is not None:
        keys = fronts.setdefault(matches.orders[0], [])
        if key not in keys:
            keys.append(key)


def _order(event: KeptEvent) -> int:
    return event.order


def _id_hash(event_id: str) -> int:
    # 64 bits: two of a profile's few thousand ids collide once in some 10**12 profiles.
    digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
