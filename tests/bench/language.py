"""What the language costs: reading definitions, and evaluating each kind of node.

python -m tests.bench.language [--definitions 10000]

One process, without I/O, processor time. A part of `make bench`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet, SegmentDefinition, Tenant
from app.engine.catalogue import compile_catalogue
from app.engine.compiler import compile_value
from app.engine.explain import explain
from app.engine.explain_clock import Members
from app.engine.frame import Frame
from app.engine.oracle import Event, Subject, evaluate
from app.engine.report import report
from app.pql import ast
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.memberships import possible_segments
from app.pql.parser import parse
from app.pql.values import EventItem
from tests.bench.mix import definition_texts
from tests.bench.tables import TARGET_HEAD, table, target
from tests.cases.script import all_cases

DEFINITIONS = 10_000
EXPLAINED = 100
NOW_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
_HOUR_MS = 3_600_000
_TENANT = Tenant("bench@AdobeOrg", "prod")
_READ_S = 10

NODES: dict[type[Any], str] = {
    ast.Literal: "true",
    ast.ListLiteral: "[age, 2, 3]",
    ast.ObjectLiteral: '{"a": age, "b": 2}',
    ast.Name: "age",
    ast.This: "tags[this]",
    ast.UpReference: "xEvent[price > ^.age]",
    ast.Parameter: "$2",
    ast.ContextReference: "@{SCHEMA;version=1}",
    ast.ProfileRef: "$1",
    ast.EventsRef: "xEvent",
    ast.MembershipRef: 'segmentMembership.get("ups").get("s")',
    ast.ItemRef: "xEvent[price]",
    ast.Variable: "select E from xEvent where E.price",
    ast.Field: "homeAddress.city",
    ast.Call: "if(true, age, 1)",
    ast.MethodCall: 'plan.startsWith("pre")',
    ast.Filter: "xEvent[price > 10]",
    ast.Negative: "-age",
    ast.Not: "not age",
    ast.And: "age and plan and tags",
    ast.Or: "no or none or age",
    ast.Binary: "age > 18",
    ast.Moment: "birthday occurs before now",
    ast.Period: "birthday occurs this month",
    ast.Occurs: "birthday occurs before date(2026, 1, 1)",
    ast.OccursOn: "birthday occurs on date(2026, 1, 1)",
    ast.OccursBetween: "birthday occurs between date(2025, 1, 1) and date(2026, 1, 1)",
    ast.OccursRelative: "birthday occurs after date(2026, 1, 1)",
    ast.OccursDistance: "birthday occurs <= 3 months before now",
    ast.Comprehension: "exists E from xEvent where E.price > 1000",
    ast.Declaration: "forall E from xEvent, I from E.items where I.quantity > 0",
    ast.Aggregate: "sum E.price over E from xEvent",
    ast.Let: "let limit = age * 2 in limit > 50 or limit < 10",
    ast.Lambda: "props.map((K, V) => mapEntry(V, K))",
    ast.Step: 'chain(xEvent, timestamp, [A: WHAT(eventType = "view")])',
    ast.Chain: 'chain(xEvent, timestamp, [A: WHAT(price > 10), B: WHAT(eventType = "buy")])',
}
"""An expression for each kind of node, with little else in it."""

RECORD: dict[str, Any] = {
    "age": 41,
    "plan": "premium",
    "tags": ["x", "y", "z"],
    "birthday": "1984-03-05",
    "homeAddress": {"city": "Oslo", "postalCode": "0150"},
    "loyalty": {"points": 1_200},
    "props": {"x": 1, "y": 2},
    "person": {"email": "someone1@mail1.example"},
}


def sample_events(count: int = 20) -> list[Event]:
    """Return the events of the sample profile, an hour apart."""
    bodies = [
        {
            "eventType": ("view", "cart", "buy")[number % 3],
            "price": number * 5,
            "items": [{"sku": "x", "quantity": 1}, {"sku": "y", "quantity": number}],
            "commerce": {"order": {"priceTotal": number * 10}},
        }
        for number in range(count)
    ]
    oldest_ms = NOW_MS - count * _HOUR_MS
    return [
        Event(oldest_ms + number * _HOUR_MS, number, body) for number, body in enumerate(bodies)
    ]


@dataclass(frozen=True)
class NodeCost:
    """What an expression takes on the sample profile, in µs."""

    kind: str
    text: str
    oracle_us: float
    compiled_us: float


@dataclass(frozen=True)
class LanguageCosts:
    """Seconds for all definitions, µs for one."""

    definitions: int
    parse_s: float
    check_s: float
    compile_s: float
    report_us: float
    explain_us: float
    nodes: list[NodeCost]

    @property
    def read_s(self) -> float:
        """Seconds from the texts to all that a worker needs."""
        return self.parse_s + self.check_s + self.compile_s


def mixed_texts(count: int) -> list[tuple[str, str]]:
    """Return the mix of the other measurements; every fifth is one of the cases of the tests.

    Those use every function and form of the language.
    """
    cases = sorted({case.expression for case in all_cases()})
    others = [text for text in cases if not possible_segments(parse(text))]
    return [
        (segment_id, others[number // 5 % len(others)] if number % 5 == 0 else text)
        for number, (segment_id, text) in enumerate(definition_texts(count))
    ]


def measure(count: int = DEFINITIONS) -> LanguageCosts:
    """Measure all."""
    named = mixed_texts(count)
    parse_s, trees = _timed(lambda: [parse(text) for _, text in named])
    check_s, checked = _timed(lambda: [resolved(tree) for tree in trees])
    report_s, _ = _timed(lambda: [report(expr) for expr in checked])
    definitions = DefinitionSet(
        _TENANT,
        "1-language",
        tuple(SegmentDefinition(one, at, 1, text) for at, (one, text) in enumerate(named)),
    )
    all_s, catalogue = _timed(lambda: compile_catalogue(definitions, EngineLimits()))
    if catalogue.failures:
        raise RuntimeError(f"definitions of the mix failed: {dict(catalogue.failures)}")
    some = list(zip(checked, named, strict=True))[:: max(1, count // EXPLAINED)]
    explain_s, _ = _timed(lambda: [_explain(expr, text) for expr, (_, text) in some])
    return LanguageCosts(
        count,
        parse_s,
        check_s,
        max(all_s - parse_s - check_s, 0.0),
        report_s / count * 1e6,
        explain_s / len(some) * 1e6,
        [node_cost(kind, text) for kind, text in NODES.items()],
    )


def resolved(tree: Expr) -> Expr:
    """Return the resolved tree of an expression that is known to be valid."""
    checked = check(tree)
    if checked.expr is None:
        raise RuntimeError("; ".join(map(str, checked.problems)))
    return checked.expr


def _explain(expr: Expr, text: str) -> Any:
    subject = Subject(RECORD, sample_events(), (), NOW_MS)
    members = Members(frozenset(), {}, NOW_MS)
    return explain(expr, text, subject, members, EngineLimits().retention_ms)


def node_cost(kind: type[Any], text: str) -> NodeCost:
    """Return what an expression takes to evaluate by the oracle and compiled."""
    expr, events = resolved(parse(text)), sample_events()
    subject = Subject(RECORD, events, (), NOW_MS)
    frame = Frame()
    frame.attributes, frame.now_ms = RECORD, NOW_MS
    frame.events = [EventItem(one.body, timestamp=one.at_ms) for one in events]
    compiled = compile_value(expr)
    by_oracle = _each_us(partial(evaluate, expr, subject))
    return NodeCost(kind.__name__, text, by_oracle, _each_us(partial(compiled, frame)))


def _each_us(call: Callable[[], Any], seconds: float = 0.02) -> float:
    """Return the least of five means: what else the machine does only adds."""
    call()
    least, repeats = float("inf"), 1
    for _ in range(5):
        taken, _ = _timed(partial(_repeat, call, repeats))
        while taken < seconds / 5:
            repeats *= 2
            taken, _ = _timed(partial(_repeat, call, repeats))
        least = min(least, taken / repeats)
    return least * 1e6


def _repeat(call: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        call()


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = call()
    return time.process_time() - started, found


def language_targets(costs: LanguageCosts) -> list[tuple[str, ...]]:
    """Return the target, which is for `DEFINITIONS` definitions."""
    if costs.definitions != DEFINITIONS:
        return []
    what = "s to parse, check and compile 10,000 definitions"
    return [target(what, _READ_S, costs.read_s)]


def language_tables(costs: LanguageCosts) -> list[str]:
    """Return headings and tables about the language."""
    count = costs.definitions
    phases: Sequence[tuple[str, float]] = (
        ("parse", costs.parse_s / count * 1e6),
        ("check", costs.check_s / count * 1e6),
        ("compile", costs.compile_s / count * 1e6),
        ("report how it is evaluated", costs.report_us),
        (f"explain (mean of {min(EXPLAINED, count)})", costs.explain_us),
    )
    rows = [(name, f"{us * count / 1e6:.2f}", f"{us:.0f}") for name, us in phases]
    nodes = [
        (one.kind, f"{one.oracle_us:.2f}", f"{one.compiled_us:.2f}", f"`{one.text}`")
        for one in costs.nodes
    ]
    return [
        f"## The language, {count:,} definitions, one process",
        table(("what", "s for all", "µs for one"), rows),
        "## Evaluation by kind of node, a profile with 20 events",
        table(("node", "oracle µs", "compiled µs", "expression"), nodes),
    ]


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.language", description=__doc__)
    parser.add_argument("--definitions", type=int, default=DEFINITIONS)
    costs = measure(parser.parse_args().definitions)
    tables = language_tables(costs)
    print("\n\n".join([table(TARGET_HEAD, language_targets(costs)), *tables]))


if __name__ == "__main__":
    main()
