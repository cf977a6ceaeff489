"""One owned partition: decoded inputs and stored bytes in, one outcome to commit out.

Pure but for its cache: no I/O, no clock. The stream adapter loads what `missing` asks for, calls
`apply`, writes the outcome in one atomic call and publishes it (design §4). A failed or fenced
partition is thrown away with everything it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.limits import EngineLimits
from app.domain.model import Cause, Membership, MembershipChange, ProfileKey, ProfileUpdate
from app.engine.evaluation import Transition
from app.engine.history import rewrite_frames
from app.engine.profile import ProfileState, first_order
from app.engine.working import Profile
from app.service.job_tally import Tally
from app.service.membership import memberships_record
from app.service.outcome import EventWrite, Outcome
from app.service.restoration import RESTORED_TAG
from app.service.settlement import settle_profile, with_unpublished
from app.service.tenant_catalogues import TenantCatalogues
from app.service.working_set import WorkingSet, is_bloated


class PartitionEngine(WorkingSet):
    """The evaluator of one owned partition.

    One batch is: `missing_states` → load → `provide_states` → `missing_events` → load →
    `provide_events` → `apply`. Afterwards the stored truth is `Outcome`; nothing may be asked of
    the engine again before the outcome was written, and a partition whose write failed for good
    throws its engine away.
    """

    def __init__(self, limits: EngineLimits, cache_profiles: int = 0) -> None:
        """Start with no catalogue and an empty cache of at most `cache_profiles` profiles."""
        super().__init__(limits, cache_profiles)
        self._touched: dict[ProfileKey, None] = {}
        self._changed: dict[ProfileKey, None] = {}
        self._positions: list[int] = []
        self._outcome = Outcome(0)

    def apply(
        self,
        updates: Sequence[ProfileUpdate],
        due: Sequence[ProfileKey],
        clock_ms: int,
        wall_ms: int,
        outdated: Sequence[ProfileKey] = (),
        tally: Tally | None = None,
    ) -> Outcome:
        """Apply the updates in order, fire the timers of `due`, then bring `outdated` up to date.

        Args:
            updates: In the order of the input partition; states and events were provided.
            due: Profiles whose stored timer is at or before the clock that the batch ends with;
                more do no harm.
            clock_ms: The partition clock to start from. The caller of an idle partition passes
                the wall clock, never less than the stored clock.
            wall_ms: The clock never runs ahead of this.
            outdated: Profiles to bring to the current definitions, if nothing else did so.
            tally: Brings its profiles to the definitions and the clock, last of all, and counts
                or exports them.

        Returns:
            The outcome; keys of profiles that did not change are absent from it.
        """
        self._begin(clock_ms)
        outcome = self._outcome
        groups, clock_ms = _grouped(updates, clock_ms, wall_ms)
        for key, group in groups.items():
            self._apply_group(key, group)
        self._sort_changes()
        for key in due:
            self._fire(key, clock_ms)
        for key in outdated:
            self._bring_to_definitions(key, clock_ms)
        if tally is not None:
            self._look(tally, clock_ms)
        outcome.clock_ms = clock_ms
        self._finish()
        return outcome

    def _begin(self, clock_ms: int) -> None:
        self._outcome = Outcome(clock_ms)
        self._touched.clear()
        self._changed.clear()
        self._positions.clear()

    def _finish(self) -> None:
        for key in self._touched:
            self._collect(key, self._profiles[key])
        self._shrink_cache()

    def settle(
        self, published: Mapping[ProfileKey, Mapping[str, Membership | None]], clock_ms: int
    ) -> Outcome:
        """Make stored memberships agree with what was published, see `app.service.settlement`.

        States and events of the profiles were provided, as for `apply`.
        """
        self._begin(clock_ms)
        outcome = self._outcome
        for key in published:
            self._touched[key] = None
            if self._profiles[key].state.created:
                self._bring_up(key, self._tenant(key.tenant), self._profiles[key], clock_ms)
        known = with_unpublished(published, outcome.changes)
        outcome.changes = []
        for key, segments in known.items():
            catalogue = self._tenant(key.tenant).stepper.catalogue
            found = settle_profile(self._profiles[key], catalogue, segments, clock_ms)
            if found:
                self._emit(key, found, None)
        self._finish()
        return outcome

    def _apply_group(self, key: ProfileKey, group: list[_Timed]) -> None:
        """Apply the updates of one profile, in order."""
        self._touched[key] = None
        tenant = self._tenant(key.tenant)
        profile = self._profiles[key]
        profile.was_used = True
        update_profile = tenant.stepper.update
        tag = tenant.stepper.catalogue.tag
        found: list[Transition] = []
        for position, update, now_ms in group:
            state = profile.state
            was_created = state.created
            if not was_created:
                self._expire_stub(profile, now_ms)
            elif state.due_floor_ms <= now_ms or state.tag != tag:
                self._bring_up(key, tenant, profile, now_ms, position)
            if update.deletes:
                self._delete(key, tenant, profile, now_ms, found)
            else:
                result = update_profile(profile, update, now_ms, found)
                self._count(result)
                if update.external is not None and result == "applied":
                    # Its end is published too, and may be all that has changed.
                    self._changed[key] = None
                if not was_created and profile.state.created:
                    self._outcome.added.append(key)
            if found:
                self._emit(key, found, update, position)
                found.clear()

    def _delete(
        self,
        key: ProfileKey,
        tenant: TenantCatalogues,
        profile: Profile,
        now_ms: int,
        found: list[Transition],
    ) -> None:
        if profile.state.created:
            self._outcome.removed.append(key)
            self._outcome.memberships[key] = None
        tenant.stepper.delete(profile, now_ms, found)
        self._outcome.applied += 1

    def _sort_changes(self) -> None:
        """Put the changes into the order of the updates, which were applied profile by profile."""
        positions = self._positions
        changes = self._outcome.changes
        in_order = sorted(range(len(changes)), key=positions.__getitem__)
        self._outcome.changes = [changes[index] for index in in_order]

    def _count(self, result: str) -> None:
        if result == "applied":
            self._outcome.applied += 1
        elif result == "duplicate":
            self._outcome.duplicates += 1
        elif result == "expired":
            self._outcome.expired += 1
        else:
            self._outcome.unknown += 1

    def _bring_up(
        self,
        key: ProfileKey,
        tenant: TenantCatalogues,
        profile: Profile,
        clock_ms: int,
        position: int = 0,
    ) -> None:
        """Migrate a profile to the current catalogue and fire what is due before `clock_ms`."""
        found: list[Transition] = []
        tag = profile.state.tag
        if tag != tenant.stepper.catalogue.tag:
            tenant.stepper.migrate(profile, tenant.recent.get(tag), clock_ms, found)
        tenant.stepper.wake_until(profile, clock_ms, found)
        if found:
            self._emit(key, found, None, position)

    def _fire(self, key: ProfileKey, clock_ms: int) -> None:
        profile = self._profiles[key]
        self._touched[key] = None
        state = profile.state
        if state.created:
            self._bring_up(key, self._tenant(key.tenant), profile, clock_ms)
        else:
            self._expire_stub(profile, clock_ms)
        # Written even if nothing changed: a timer that fires must go or move.
        profile.stored_due_ms = -1

    def _bring_to_definitions(self, key: ProfileKey, clock_ms: int) -> None:
        profile = self._profiles[key]
        if not self._is_outdated(key, profile):
            return
        self._touched[key] = None
        tenant = self._tenant(key.tenant)
        if profile.state.tag != RESTORED_TAG:
            self._bring_up(key, tenant, profile, clock_ms)
            return
        # Nothing but its memberships is known: they hold until an update says more.
        found: list[Transition] = []
        tenant.stepper.leave_removed(profile, clock_ms, found)
        if found:
            self._emit(key, found, None)

    def _look(self, tally: Tally, clock_ms: int) -> None:
        oldest = first_order(clock_ms - self._limits.retention_ms + 1)
        for key in tally.keys:
            profile = self._profiles[key]
            # As in `outdated`.
            profile.was_used = False
            self._bring_to_definitions(key, clock_ms)
            state = profile.state
            if not state.created:
                continue
            if state.due_floor_ms <= clock_ms and state.tag != RESTORED_TAG:
                self._touched[key] = None
                self._bring_up(key, self._tenant(key.tenant), profile, clock_ms)
            tally.add(key, profile, oldest)
            if tally.needs_events and key not in self._touched:
                self._forget_events(key, profile)

    def _expire_stub(self, profile: Profile, clock_ms: int) -> None:
        """Forget a deleted profile for good once the retention time has passed."""
        deleted_ms = profile.state.deleted_ms
        if deleted_ms and deleted_ms + self._limits.retention_ms <= clock_ms:
            profile.state = ProfileState()
            profile.is_dirty = True

    def _emit(
        self,
        key: ProfileKey,
        found: list[Transition],
        update: ProfileUpdate | None,
        position: int = 0,
    ) -> None:
        self._changed[key] = None
        changes = self._outcome.changes
        for one in found:
            self._positions.append(position)
            cause = Cause(one.kind)
            if update is not None:
                cause = Cause(one.kind, update.event_id, update.origin)
            changes.append(
                MembershipChange(
                    key,
                    one.segment_id,
                    one.definition_version,
                    one.status,
                    one.previous_status,
                    one.at_ms,
                    one.sequence,
                    cause,
                    one.namespace,
                )
            )

    def _collect(self, key: ProfileKey, profile: Profile) -> None:
        outcome, state = self._outcome, profile.state
        if not self._tenant(key.tenant).stepper.catalogue.history_ranks:
            # Bodies are only held while something reads them.
            profile.events = None
        due_ms = self._due_of(profile)
        if due_ms != profile.stored_due_ms:
            outcome.timers[key] = due_ms
            profile.stored_due_ms = due_ms
        if not profile.is_dirty:
            return
        profile.is_dirty = False
        if not state.created:
            # No change can say that a profile is gone.
            state.base_bytes = 0
            outcome.states[key] = profile.pack(0)[0] if state.deleted_ms else None
            outcome.events[key] = None
            profile.replaces_events = False
            profile.event_bytes = None
            return
        write = self._event_write(profile)
        if write is not None:
            outcome.events[key] = write
            before = 0 if write.replace else profile.event_bytes
            profile.event_bytes = None if before is None else before + len(write.frames)
        packed, is_appended = profile.pack(self._limits.whole_state_bytes)
        (outcome.appended if is_appended else outcome.states)[key] = packed
        if key in self._changed:
            catalogue = self._tenant(key.tenant).stepper.catalogue
            outcome.memberships[key] = memberships_record(
                key,
                profile.members,
                state.details,
                catalogue.segment_ids,
                catalogue.namespaces,
                state.external,
            )

    def _event_write(self, profile: Profile) -> EventWrite | None:
        added, profile.new_frames = b"".join(profile.new_frames), []
        state, stored = profile.state, profile.stored_frames
        if profile.replaces_events:
            profile.replaces_events, profile.stored_frames = False, None
            return EventWrite(added, replace=True)
        if stored is not None:
            profile.stored_frames = None
            if is_bloated(state):
                frames, state.frames = rewrite_frames(stored + added, state.orders)
                return EventWrite(frames, replace=True)
        return EventWrite(added) if added else None


_Timed = tuple[int, ProfileUpdate, int]
"""Position in the batch, update, partition clock."""


def _grouped(
    updates: Sequence[ProfileUpdate], clock_ms: int, wall_ms: int
) -> tuple[dict[ProfileKey, list[_Timed]], int]:
    """Return the updates by profile, each with the partition clock, and the clock at their end.

    Profiles do not see each other: what one after the other needs is then at hand.
    """
    groups: dict[ProfileKey, list[_Timed]] = {}
    for position, update in enumerate(updates):
        record_ms = update.record_ms
        if record_ms > clock_ms:
            clock_ms = max(clock_ms, min(record_ms, wall_ms))
        group = groups.get(update.key)
        if group is None:
            groups[update.key] = [(position, update, clock_ms)]
        else:
            group.append((position, update, clock_ms))
    return groups, clock_ms
