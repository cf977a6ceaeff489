"""All live definitions of a tenant, compiled together.

Equal filters share a timeline, equal windows a term, whatever the definition. Definitions are
ranked so that one comes after all that its `inSegment`s name; a change runs through a cascade in
one pass, in that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.errors import InvalidDefinition
from app.domain.limits import EngineLimits
from app.domain.model import SEGMENT_NAMESPACE, DefinitionSet, SegmentDefinition
from app.engine.assembly import Assembly
from app.engine.attribute_index import AttributeIndex
from app.engine.chain import Chain
from app.engine.conditions import condition_of
from app.engine.forms import Segments
from app.engine.frame import Test, Tracked
from app.engine.leaves import Condition, ExternalLeaf
from app.engine.rewrite import reads_of
from app.engine.timeline import Timeline
from app.pql.checker import check
from app.pql.errors import describe
from app.pql.library import fold
from app.pql.parser import parse


@dataclass(frozen=True, slots=True)
class CompiledDefinition:
    """One definition.

    Attributes:
        rank: Index in the order of evaluation.
        holds: Whether the profile in the frame qualifies.
        namespace: Of its memberships.
        tracked: Leaves to evaluate, and put in the frame's memo, before `holds` is called.
    """

    rank: int
    ordinal: int
    segment_id: str
    version: int
    holds: Test
    tracked: tuple[Tracked, ...]
    namespace: str = SEGMENT_NAMESPACE

    @property
    def is_external(self) -> bool:
        """Whether updates tell its members."""
        return self.namespace != SEGMENT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Analysed:
    """What can be said of a definition without the others."""

    definition: SegmentDefinition
    condition: Condition | ExternalLeaf
    segment_ids: frozenset[str]
    reads_memberships: bool = False


@dataclass(slots=True)
class Catalogue:
    """Immutable; shared by all profiles of a tenant and swapped whole.

    Attributes:
        tag: Tag of the definition set it was compiled from.
        failures: Reason by segment id for definitions that could not be compiled; the others run.
        definitions: By rank.
        segment_ids: Segment id by ordinal, failed and removed definitions included.
        removed: Version by ordinal of removed definitions.
        inactive: Ordinals of those among them that may come back.
        namespaces: Namespace of memberships by ordinal, of external audiences only.
        external: Of external audiences: rank by segment id.
        ranks: Rank by ordinal.
        timelines, chains, tracked: By the key under which states refer to them.
        by_type, by_folded_type, ungated: Timelines by the event type their filter asks for.
        dependents: Ranks of the definitions that name the segment of a rank in `inSegment`.
        history_ranks: Definitions that have to look at the kept events themselves.
        membership_ranks: Definitions that read status or time of stored memberships.
        analysed: What the next compilation takes over.
        by_any_type: Answers of `timelines_for` so far, a cache.
    """

    tag: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    definitions: tuple[CompiledDefinition, ...] = ()
    segment_ids: dict[int, str] = field(default_factory=dict)
    removed: dict[int, int] = field(default_factory=dict)
    inactive: frozenset[int] = frozenset()
    namespaces: dict[int, str] = field(default_factory=dict)
    external: dict[str, int] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    timelines: dict[int, Timeline] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=dict)
    tracked: dict[int, tuple[int, ...]] = field(default_factory=dict)
    by_type: dict[str, tuple[Timeline, ...]] = field(default_factory=dict)
    by_folded_type: dict[str, tuple[Timeline, ...]] = field(default_factory=dict)
    ungated: tuple[Timeline, ...] = ()
    attributes: AttributeIndex = field(default_factory=AttributeIndex)
    dependents: tuple[tuple[int, ...], ...] = ()
    history_ranks: tuple[int, ...] = ()
    membership_ranks: tuple[int, ...] = ()
    analysed: dict[str, Analysed] = field(default_factory=dict)
    by_any_type: dict[str, tuple[Timeline, ...]] = field(default_factory=dict)

    def timelines_for(self, event_type: object) -> tuple[Timeline, ...]:
        """Return the timelines whose filter may accept an event of this type."""
        if not isinstance(event_type, str):
            return self.ungated
        found = self.by_any_type.get(event_type)
        if found is None:
            folded = self.by_folded_type.get(fold(event_type), ())
            found = (*self.by_type.get(event_type, ()), *self.ungated, *folded)
            if len(self.by_any_type) < _REMEMBERED_TYPES:
                self.by_any_type[event_type] = found
        return found


_REMEMBERED_TYPES = 10_000


def compile_catalogue(
    definitions: DefinitionSet, limits: EngineLimits, previous: Catalogue | None = None
) -> Catalogue:
    """Compile a set of definitions.

    Args:
        definitions: What to compile.
        limits: The retention is an outer window of every event condition.
        previous: Analyses of definitions that did not change are taken over from it.

    Returns:
        The catalogue; definitions that cannot be compiled are in its `failures`.
    """
    failures: dict[str, str] = {}
    known = previous.analysed if previous is not None else {}
    analysed: dict[str, Analysed] = {}
    for definition in definitions.definitions:
        old = known.get(definition.segment_id)
        if old is not None and old.definition == definition:
            analysed[definition.segment_id] = old
            continue
        try:
            analysed[definition.segment_id] = _analyse(definition, limits)
        except InvalidDefinition as error:
            failures[definition.segment_id] = error.message
    ranked = _ranked(analysed, failures)
    catalogue = _assemble(ranked)
    catalogue.tag = definitions.tag
    catalogue.failures = failures
    catalogue.segment_ids = {one.ordinal: one.segment_id for one in definitions.definitions}
    catalogue.segment_ids.update({one.ordinal: one.segment_id for one in definitions.removed})
    catalogue.removed = {one.ordinal: one.version for one in definitions.removed}
    catalogue.inactive = frozenset(one.ordinal for one in definitions.removed if one.is_inactive)
    named = [(one.ordinal, one.namespace) for one in definitions.definitions]
    named += [(one.ordinal, one.namespace) for one in definitions.removed]
    catalogue.namespaces = {at: name for at, name in named if name != SEGMENT_NAMESPACE}
    catalogue.analysed = analysed
    return catalogue


def _analyse(definition: SegmentDefinition, limits: EngineLimits) -> Analysed:
    if definition.is_external:
        return Analysed(definition, ExternalLeaf(definition.ordinal), frozenset())
    checked = check(parse(definition.expression))
    if checked.expr is None or checked.problems:
        problems = tuple(describe(one, definition.expression) for one in checked.problems)
        raise InvalidDefinition("; ".join(problems), problems)
    condition = condition_of(checked.expr, limits.retention_ms)
    reads = reads_of(checked.expr)
    return Analysed(definition, condition, frozenset(reads.segments), reads.memberships)


def _ranked(analysed: dict[str, Analysed], failures: dict[str, str]) -> list[Analysed]:
    """Order definitions after those they name; those in or behind a cycle fail."""
    waiting = {
        segment_id: {name for name in one.segment_ids if name in analysed}
        for segment_id, one in analysed.items()
    }
    named_by: dict[str, list[str]] = {}
    for segment_id, names in waiting.items():
        for name in names:
            named_by.setdefault(name, []).append(segment_id)
    ready = [segment_id for segment_id, names in waiting.items() if not names]
    ranked: list[Analysed] = []
    while ready:
        segment_id = ready.pop()
        ranked.append(analysed[segment_id])
        for dependent in named_by.get(segment_id, ()):
            waiting[dependent].discard(segment_id)
            if not waiting[dependent]:
                ready.append(dependent)
    done = {one.definition.segment_id for one in ranked}
    for segment_id in analysed.keys() - done:
        failures[segment_id] = "inSegment leads back to this segment, directly or through others"
    return ranked


def _assemble(ranked: list[Analysed]) -> Catalogue:
    ordinals = {one.definition.segment_id: one.definition.ordinal for one in ranked}
    ranks = {one.definition.segment_id: rank for rank, one in enumerate(ranked)}
    named = [(one.definition.segment_id, one.definition.namespace) for one in ranked]
    namespaces = {name: found for name, found in named if found != SEGMENT_NAMESPACE}
    assembly = Assembly(Segments(ordinals, namespaces))
    compiled: list[CompiledDefinition] = []
    dependents: list[list[int]] = [[] for _ in ranked]
    for rank, one in enumerate(ranked):
        definition = one.definition
        holds, tracked = assembly.add(rank, one.condition, definition.excludes_opt_out)
        compiled.append(
            CompiledDefinition(
                rank,
                definition.ordinal,
                definition.segment_id,
                definition.version,
                holds,
                tracked,
                definition.namespace,
            )
        )
        for segment_id in one.segment_ids & ranks.keys():
            dependents[ranks[segment_id]].append(rank)
    timelines = assembly.finish()
    by_type, by_folded, ungated = _gates(timelines.values())
    return Catalogue(
        definitions=tuple(compiled),
        external={one.segment_id: one.rank for one in compiled if one.is_external},
        ranks={one.ordinal: one.rank for one in compiled},
        timelines=timelines,
        chains=assembly.chains,
        tracked={key: tuple(found) for key, found in assembly.tracked_ranks.items()},
        by_type=by_type,
        by_folded_type=by_folded,
        ungated=ungated,
        attributes=assembly.attributes,
        dependents=tuple(tuple(found) for found in dependents),
        history_ranks=tuple(assembly.history_ranks),
        membership_ranks=tuple(rank for rank, one in enumerate(ranked) if one.reads_memberships),
    )


_Gate = dict[str, tuple[Timeline, ...]]


def _gates(timelines: Iterable[Timeline]) -> tuple[_Gate, _Gate, tuple[Timeline, ...]]:
    by_type: dict[str, list[Timeline]] = {}
    by_folded: dict[str, list[Timeline]] = {}
    ungated: list[Timeline] = []
    for timeline in timelines:
        if timeline.event_types is None:
            ungated.append(timeline)
            continue
        gate = by_folded if timeline.folds_type else by_type
        for event_type in timeline.event_types:
            gate.setdefault(event_type, []).append(timeline)
    return (
        {name: tuple(found) for name, found in by_type.items()},
        {name: tuple(found) for name, found in by_folded.items()},
        tuple(ungated),
    )


EMPTY = Catalogue(tag="0")
"""The catalogue of a tenant without definitions."""
