"""Definitions asked anew about one profile, cascades followed, and the differences written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from app.domain.limits import EngineLimits
from app.domain.model import SEGMENT_NAMESPACE, CauseKind, Status
from app.engine.bounds import NEVER
from app.engine.catalogue import Catalogue, CompiledDefinition
from app.engine.chain import Chain
from app.engine.frame import Frame, Tracked
from app.engine.profile import ProfileState, first_order
from app.engine.tables import Detail, Matches
from app.engine.timeline import Timeline
from app.engine.working import Profile


class Transition(NamedTuple):
    """A membership that changed; the caller adds profile and origin."""

    segment_id: str
    definition_version: int
    status: Status
    previous_status: Status | None
    at_ms: int
    sequence: int
    kind: CauseKind
    namespace: str = SEGMENT_NAMESPACE


@dataclass(slots=True)
class Work:
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

    def begin(self, now_ms: int, default: CauseKind) -> None:
        """Forget what was found; one object serves all updates."""
        self.now_ms = now_ms
        self.default = default
        if self.ranks:
            self.ranks = {}
        if self.chains:
            self.chains = {}

    def add(self, ranks: set[int] | tuple[int, ...], kind: CauseKind) -> None:
        """Ask definitions, for a reason; the first reason counts."""
        for rank in ranks:
            self.ranks.setdefault(rank, kind)


@dataclass(slots=True)
class _Empty:
    """Answers for a profile without attributes and events."""

    members: int
    dues: dict[int, int]
    from_ms: int
    until_ms: int


class Evaluator:
    """Evaluates the definitions of one catalogue.

    Not shared between threads: it reuses its frame.
    """

    def __init__(self, catalogue: Catalogue, limits: EngineLimits) -> None:
        self.catalogue = catalogue
        self.limits = limits
        self.frame = Frame()
        self._empty: _Empty | None = None

    def settle(self, profile: Profile, work: Work, before: int, out: list[Transition]) -> None:
        """Evaluate what was found, follow cascades, and write down the differences."""
        state = profile.state
        proofs = self.frame.proofs
        proofs.clear()
        if work.ranks:
            self.frame.before = before
            profile.members = self._evaluate(profile, work)
        for key, chain in work.chains.items():
            proof = proofs.get(key) or chain.prove(state.matches, work.now_ms)
            set_due(state, key, proof[1])
        changed = before ^ profile.members
        if changed:
            self._record(profile, changed, work, out)

    def _evaluate(self, profile: Profile, work: Work) -> int:
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
        scope = self.frame
        scope.attributes = profile.attributes
        scope.matches = profile.state.matches
        scope.members = profile.members
        scope.external = profile.state.external
        scope.now_ms = now_ms
        scope.memo.clear()
        if self.catalogue.membership_ranks:
            scope.details = profile.state.details
        if self.catalogue.history_ranks:
            cut = first_order(now_ms - self.limits.retention_ms + 1)
            scope.events = [one.body for one in profile.events or () if one.order >= cut]
        return scope

    def _track(self, state: ProfileState, leaf: Tracked) -> None:
        scope = self.frame
        if leaf.key in scope.memo:
            return
        scope.next_ms = NEVER
        scope.memo[leaf.key] = leaf.evaluate(scope)
        due_ms = scope.next_ms
        if leaf.sees_events and scope.events:
            due_ms = min(due_ms, scope.events[0]["timestamp"] + self.limits.retention_ms)
        set_due(state, leaf.key, due_ms)

    def _record(self, profile: Profile, changed: int, work: Work, out: list[Transition]) -> None:
        ranks = self.catalogue.ranks
        ordinals = list(bits(changed))
        if len(ordinals) > 1:
            ordinals.sort(key=lambda ordinal: ranks.get(ordinal, -1))
        for ordinal in ordinals:
            rank = ranks.get(ordinal)
            if rank is None:
                self._leave_removed(profile.state, ordinal, work, out)
                continue
            definition = self.catalogue.definitions[rank]
            kind = work.ranks.get(rank, work.default)
            out.append(_transition(profile, definition, kind, work.now_ms))
            if definition.is_external and not profile.members >> ordinal & 1:
                profile.state.set_external(ordinal, 0)

    def _leave_removed(
        self, state: ProfileState, ordinal: int, work: Work, out: list[Transition]
    ) -> None:
        detail = state.details.pop(ordinal) or Detail(work.now_ms, 0)
        segment_id = self.catalogue.segment_ids.get(ordinal)
        if segment_id is None:
            # A definition that the control plane has forgotten: its exit could not name it.
            return
        if ordinal in self.catalogue.inactive:
            state.details[ordinal] = Detail(work.now_ms, detail.sequence + 1)
        out.append(
            Transition(
                segment_id,
                self.catalogue.removed.get(ordinal, 0),
                "exited",
                "realized",
                work.now_ms,
                detail.sequence + 1,
                work.default,
                self.catalogue.namespaces.get(ordinal, SEGMENT_NAMESPACE),
            )
        )

    def _empty_answers(self, now_ms: int) -> _Empty:
        empty = self._empty
        if empty is None or not empty.from_ms <= now_ms < empty.until_ms:
            blank = Profile(ProfileState())
            self.frame.proofs.clear()
            self.frame.before = 0
            work = Work(
                now_ms, "event", dict.fromkeys(range(len(self.catalogue.definitions)), "event")
            )
            members = self._evaluate(blank, work)
            dues = blank.state.dues
            empty = _Empty(members, dues, now_ms, min(dues.values(), default=NEVER))
            self._empty = empty
        return empty

    def store(self, state: ProfileState, timeline: Timeline, matches: Matches, now_ms: int) -> None:
        """Keep what a timeline has now, and when it may next change; forget it if it is empty."""
        key = timeline.key
        if not matches.orders:
            state.matches.drop(key)
            state.clear_due(key)
            return
        if matches.quiet > 0:
            matches.quiet = 0
        state.matches[key] = matches
        set_due(state, key, timeline.next_change(matches, now_ms))

    def create(self, profile: Profile, work: Work) -> None:
        """Give a new profile the answers of one without attributes and events.

        What depends on when it was made, or on what is left of a deleted one, is asked anew.
        """
        state = profile.state
        empty = self._empty_answers(work.now_ms)
        if self.catalogue.membership_ranks:
            work.add(self.catalogue.membership_ranks, work.default)
        state.created = True
        state.tag = self.catalogue.tag
        state.dues = dict(empty.dues)
        state.due_floor_ms = 0
        state.base_bytes = 0
        profile.members = empty.members


def set_due(state: ProfileState, key: int, due_ms: int) -> None:
    """Set or, for NEVER, clear the due time of a timeline, chain or leaf."""
    if due_ms < NEVER:
        state.set_due(key, due_ms)
    else:
        state.clear_due(key)


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
        definition.namespace,
    )


def bits(number: int) -> list[int]:
    """Return the positions of the bits that are set, ascending."""
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found
