"""Conditions put together: shared timelines, terms, chains, indexes and tests.

One `Assembly` makes one catalogue. It hands out the test of each definition as it is added and
finishes the shared parts when all are in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, assert_never

from app.engine import consent
from app.engine.attribute_index import AttributeIndex
from app.engine.bounds import Sliding
from app.engine.chain import Chain, ChainStep
from app.engine.compiler import compile_numbers, compile_test, compile_value
from app.engine.event_gate import event_gate
from app.engine.forms import Segments
from app.engine.frame import Evaluator, Frame, Test, Tracked
from app.engine.leaves import (
    AllOf,
    AnyOf,
    AttributeLeaf,
    ChainLeaf,
    ChainSpec,
    Condition,
    ExpressionLeaf,
    ExternalLeaf,
    FilterSpec,
    HistoryLeaf,
    Negation,
    SegmentLeaf,
    TermLeaf,
    TermSpec,
)
from app.engine.rewrite import Reads, reads_of
from app.engine.simple_conditions import file_condition, guard_of
from app.engine.tables import Number
from app.engine.terms import Breakpoints, Term, breakpoints_of
from app.engine.tests_of import (
    all_of,
    any_of,
    compare_term,
    external_membership,
    membership,
    negation,
    truth_of,
)
from app.engine.timeline import Timeline
from app.engine.windows import ALWAYS


def stable_key(kind: str, canonical: str) -> int:
    """Return the 63-bit key under which stored states refer to something."""
    digest = blake2b(f"{kind}:{canonical}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Assembly:
    """Collects the definitions of a catalogue.

    Attributes:
        attributes: Index from changed attributes to ranks.
        chains: By key.
        tracked_ranks: Ranks by key of a tracked leaf.
        history_ranks: Definitions with a leaf over the kept events.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._terms: dict[TermSpec, Term] = {}
        self._constants: dict[TermSpec, dict[tuple[str, Number], set[int]]] = {}
        self._watchers: dict[TermSpec, set[int]] = {}
        self._chain_specs: dict[ChainSpec, Chain] = {}
        self._chain_ranks: dict[int, set[int]] = {}
        self.attributes = AttributeIndex()
        self._indexes = [self.attributes]
        # The operands of the definition at hand that all have to hold, by identity.
        self._needed: set[int] = set()
        self.chains: dict[int, Chain] = {}
        self.tracked_ranks: dict[int, list[int]] = {}
        self.history_ranks: list[int] = []

    def add(
        self, rank: int, condition: Condition | ExternalLeaf, excludes_opt_out: bool = False
    ) -> tuple[Test, tuple[Tracked, ...]]:
        """Add a definition; return its test and the leaves to track for it."""
        tracked: dict[int, Tracked] = {}
        if isinstance(condition, ExternalLeaf):
            test = _external_test(condition.ordinal, tracked)
        else:
            test = self._guarded_test(rank, condition, tracked)
        if excludes_opt_out:
            self.attributes.readers((consent.PATH,)).add_always(rank)
            test = all_of([test, consent.has_consented])
        for key in tracked:
            self.tracked_ranks.setdefault(key, []).append(rank)
        return test, tuple(tracked.values())

    def _guarded_test(self, rank: int, condition: Condition, tracked: dict[int, Tracked]) -> Test:
        """File what stands beside an equality only for profiles that satisfy that equality."""
        operands = condition.operands if isinstance(condition, AllOf) else (condition,)
        self._needed = {id(operand) for operand in operands}
        for index, operand in enumerate(operands):
            guard = guard_of(operand.expression) if isinstance(operand, AttributeLeaf) else None
            if guard is None:
                continue
            path, constants = guard
            tests = [self._test(rank, operand, tracked)]
            self._indexes = [self.attributes.guarded(path, constant) for constant in constants]
            others = operands[:index] + operands[index + 1 :]
            tests += [self._test(rank, other, tracked) for other in others]
            self._indexes = [self.attributes]
            return all_of(tests)
        return all_of([self._test(rank, operand, tracked) for operand in operands])

    def _test(self, rank: int, condition: Condition, tracked: dict[int, Tracked]) -> Test:
        match condition:
            case AllOf(operands):
                return all_of([self._test(rank, operand, tracked) for operand in operands])
            case AnyOf(operands):
                return any_of([self._test(rank, operand, tracked) for operand in operands])
            case Negation(operand):
                return negation(self._test(rank, operand, tracked))
            case SegmentLeaf(segment_id):
                return membership(self._segments.ordinals.get(segment_id))
            case AttributeLeaf(expression):
                is_needed = id(condition) in self._needed
                return self._attribute_test(rank, expression, tracked, is_needed=is_needed)
            case TermLeaf(spec, operator, constant):
                self._constants_of(spec).setdefault((operator, constant), set()).add(rank)
                return compare_term(self._term(spec), _key_of(spec.filter), operator, constant)
            case ChainLeaf(spec):
                return self._chain_test(rank, spec)
            case ExpressionLeaf(expression, specs):
                return self._expression_test(rank, expression, specs, tracked)
            case HistoryLeaf(expression):
                return self._history_test(rank, expression, tracked)
            case _:
                assert_never(condition)

    def _constants_of(self, spec: TermSpec) -> dict[tuple[str, Number], set[int]]:
        self._term(spec)
        return self._constants.setdefault(spec, {})

    def _term(self, spec: TermSpec) -> Term:
        term = self._terms.get(spec)
        if term is None:
            term = self._terms[spec] = Term(spec.kind, spec.interval)
        return term

    def _attribute_test(
        self, rank: int, expression: Any, tracked: dict[int, Tracked], *, is_needed: bool
    ) -> Test:
        reads = reads_of(expression)
        if not reads.clock and all(
            file_condition(index, expression, rank, is_needed=is_needed) for index in self._indexes
        ):
            return compile_test(expression, self._segments)
        self._read_paths(reads, rank)
        if not reads.clock:
            return compile_test(expression, self._segments)
        return self._track(expression, tracked)

    def _read_paths(self, reads: Reads, rank: int) -> None:
        for index in self._indexes:
            for path in reads.paths:
                index.readers(path).add_always(rank)

    def _track(self, expression: Any, tracked: dict[int, Tracked]) -> Test:
        key = stable_key("leaf", repr(expression))
        evaluate = compile_value(expression, self._segments, self._read_term)
        tracked[key] = Tracked(key, evaluate, reads_of(expression).events)
        return truth_of(key)

    def _expression_test(
        self,
        rank: int,
        expression: Any,
        specs: tuple[TermSpec, ...],
        tracked: dict[int, Tracked],
    ) -> Test:
        for spec in specs:
            self._term(spec)
            self._watchers.setdefault(spec, set()).add(rank)
        reads = reads_of(expression)
        self._read_paths(reads, rank)
        if reads.clock:
            return self._track(expression, tracked)
        return compile_test(expression, self._segments, self._read_term)

    def _read_term(self, spec: TermSpec) -> Evaluator:
        term, key = self._term(spec), _key_of(spec.filter)

        def read(frame: Frame) -> Number | None:
            return term.value(frame.matches.get(key), frame.now_ms)

        return read

    def _history_test(self, rank: int, expression: Any, tracked: dict[int, Tracked]) -> Test:
        self._read_paths(reads_of(expression), rank)
        if rank not in self.history_ranks:
            self.history_ranks.append(rank)
        return self._track(expression, tracked)

    def _chain_test(self, rank: int, spec: ChainSpec) -> Test:
        chain = self._chain_specs.get(spec)
        if chain is None:
            key = stable_key("chain", repr(spec))
            steps = tuple(
                ChainStep(_key_of(filter_spec), interval, count)
                for filter_spec, interval, count in spec.steps
            )
            chain = self._chain_specs[spec] = self.chains[key] = Chain(key, steps)
        self._chain_ranks.setdefault(chain.key, set()).add(rank)
        held = chain

        def test(frame: Frame) -> bool:
            proof = frame.proofs.get(held.key)
            if proof is None:
                proof = frame.proofs[held.key] = held.prove(frame.matches, frame.now_ms)
            return proof[0]

        return test

    def finish(self) -> dict[int, Timeline]:
        """Return the timelines by key, with their terms and chains complete."""
        timelines: dict[int, Timeline] = {}
        for spec, term in self._terms.items():
            term.watchers = tuple(self._watchers.get(spec, ()))
            term.breakpoints = _breakpoints(spec, self._constants.get(spec, {}))
            timeline = _timeline(spec.filter, timelines)
            timeline.terms = (*timeline.terms, term)
        for chain_spec, chain in self._chain_specs.items():
            chain.definitions = tuple(self._chain_ranks[chain.key])
            last = len(chain_spec.steps) - 1
            roles: dict[int, bool] = {}
            for index, (filter_spec, _, _) in enumerate(chain_spec.steps):
                timeline = _timeline(filter_spec, timelines)
                roles[timeline.key] = roles.get(timeline.key, False) or index == last
            for key, is_last in roles.items():
                timelines[key].chains = (*timelines[key].chains, (chain, is_last))
        for timeline in timelines.values():
            timeline.finish(_keep_newest(timeline))
        return timelines


def _external_test(ordinal: int, tracked: dict[int, Tracked]) -> Test:
    key = stable_key("external", str(ordinal))
    tracked[key] = Tracked(key, external_membership(ordinal), sees_events=False)
    return truth_of(key)


@lru_cache(maxsize=65_536)
def _key_of(spec: FilterSpec) -> int:
    return stable_key("timeline", repr(spec))


def _timeline(spec: FilterSpec, timelines: dict[int, Timeline]) -> Timeline:
    key = _key_of(spec)
    timeline = timelines.get(key)
    if timeline is None:
        gate = event_gate(spec.conditions)
        accepts = [compile_test(condition, item=True) for condition in gate.rest]
        timeline = timelines[key] = Timeline(
            key=key,
            event_types=gate.event_types,
            folds_type=gate.folds,
            accepts=all_of(accepts) if accepts else None,
            numbers=None if spec.value is None else compile_numbers(spec.value),
        )
    return timeline


def _breakpoints(spec: TermSpec, constants: dict[tuple[str, Number], set[int]]) -> Breakpoints:
    at: dict[Number, set[int]] = {}
    above: dict[Number, set[int]] = {}
    for (operator, constant), ranks in constants.items():
        for side, bound in _crossings(spec.kind == "count", operator, constant):
            (at if side == "at" else above).setdefault(bound, set()).update(ranks)
    return breakpoints_of(at, above)


def _crossings(is_count: bool, operator: str, constant: Number) -> Iterable[tuple[str, Number]]:
    """Yield where a comparison changes its answer; a count only by whole numbers."""
    reached = ("at", math.ceil(constant)) if is_count else ("at", constant)
    exceeded = ("at", math.floor(constant) + 1) if is_count else ("above", constant)
    if operator in (">=", "<", "=", "!="):
        yield reached
    if operator in (">", "<=", "=", "!="):
        yield exceeded


def _keep_newest(timeline: Timeline) -> int | None:
    """Return how many newest events are enough, or None if all in sight are needed."""
    newest = 1
    if timeline.chains:
        return None
    for term in timeline.terms:
        high = term.interval.high
        reaches_now = high in (ALWAYS.high, Sliding(1))
        only_counts = term.kind == "count" and not term.watchers
        if not (only_counts and reaches_now and isinstance(term.interval.low, Sliding)):
            return None
        newest = max([newest, *(int(bound) for bound in term.breakpoints.at)])
    return newest
