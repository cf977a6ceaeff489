"""A profile brought from one catalogue to the next (docs/decisions/0004 says what is kept)."""

from __future__ import annotations

from app.domain.model import CauseKind
from app.engine.catalogue import Catalogue
from app.engine.evaluation import Evaluator, Transition, Work, bits
from app.engine.profile import ProfileState
from app.engine.tables import Matches, MatchTable
from app.engine.working import Profile


class Migration:
    """Moves profiles of older catalogues to the evaluator's."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._catalogue = evaluator.catalogue

    def needs_rebuild(self, previous: Catalogue | None) -> bool:
        """Tell whether states of an older catalogue lack events that this one asks for."""
        if previous is None:
            return True
        return any(
            key not in previous.timelines or not previous.timelines[key].covers(timeline)
            for key, timeline in self._catalogue.timelines.items()
        )

    def run(
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
        work = Work(now_ms, "backfill")
        if self.needs_rebuild(previous):
            self._rebuild(profile, now_ms)
        known = self._catalogue.timelines
        for key in state.matches.keys() - known.keys():
            state.matches.drop(key)
        state.fronts = None
        state.dues = {}
        state.due_floor_ms = 0
        state.base_bytes = 0
        for key in state.matches:
            matches = state.matches.get(key)
            assert matches is not None
            self._evaluator.store(state, known[key], matches, now_ms)
            work.chains.update({chain.key: chain for chain, _ in known[key].chains})
            if key in overdue:
                work.add(known[key].definitions, "time")
        for chain in work.chains.values():
            if chain.key in overdue:
                work.add(chain.definitions, "time")
        self._forget_external(state, now_ms)
        self._add_changed(previous, profile.members, work)
        self.leave_removed(profile, now_ms, out)
        self._evaluator.settle(profile, work, profile.members, out)
        state.tag = self._catalogue.tag
        profile.is_dirty = True

    def leave_removed(self, profile: Profile, now_ms: int, out: list[Transition]) -> None:
        """Take a profile out of definitions that were removed; it need not be of this catalogue."""
        before = profile.members
        profile.members = self._without_removed(before)
        if profile.members != before:
            self._evaluator.settle(profile, Work(now_ms, "definition"), before, out)
            profile.state.base_bytes = 0
            profile.is_dirty = True

    def _add_changed(self, previous: Catalogue | None, members: int, work: Work) -> None:
        old = (
            {}
            if previous is None
            else {one.segment_id: one.version for one in previous.definitions}
        )
        removed = previous is not None and bool(
            self._catalogue.removed.keys() - previous.removed.keys()
        )
        for definition in self._catalogue.definitions:
            if (
                definition.tracked
                or removed
                or old.get(definition.segment_id) != definition.version
            ):
                kind: CauseKind = "backfill" if definition.version == 1 else "definition"
                if definition.is_external and members >> definition.ordinal & 1:
                    # Nothing but its end can have changed it.
                    kind = "time"
                work.ranks[definition.rank] = kind

    def _forget_external(self, state: ProfileState, now_ms: int) -> None:
        """Drop memberships that have ended, and those of external audiences gone for good."""
        catalogue = self._catalogue
        for ordinal, until_ms in list(state.external.items()):
            is_known = ordinal in catalogue.ranks or ordinal in catalogue.inactive
            if until_ms <= now_ms or not is_known:
                state.set_external(ordinal, 0)

    def _without_removed(self, members: int) -> int:
        for ordinal in list(bits(members)):
            if ordinal not in self._catalogue.segment_ids or ordinal in self._catalogue.removed:
                members &= ~(1 << ordinal)
        return members

    def _rebuild(self, profile: Profile, now_ms: int) -> None:
        state = profile.state
        kept, frame = profile.events or [], self._evaluator.frame
        found: dict[int, Matches] = {}
        for event in kept:
            frame.slots[0] = event.body
            for timeline in self._catalogue.timelines_for(event.body.get("eventType")):
                for number in timeline.entries(frame):
                    matches = found.setdefault(timeline.key, Matches())
                    timeline.add(matches, event.order, number)
        oldest = kept[0].order if kept else 0
        for key, matches in found.items():
            self._catalogue.timelines[key].trim(matches, oldest, now_ms)
        state.matches = MatchTable(found)
