"""What definitions are taken apart into: a Boolean tree over leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from app.engine.terms import TermKind
from app.engine.windows import Interval
from app.pql import ast


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """Which events: all `conditions` hold (the event is `ItemRef(0)`), and `value` is a number."""

    conditions: tuple[ast.Expr, ...]
    value: ast.Expr | None = None


@dataclass(frozen=True, slots=True)
class TermSpec:
    """A number over the events of a filter in a window."""

    kind: TermKind
    filter: FilterSpec
    interval: Interval


@dataclass(frozen=True, slots=True)
class TermRef:
    """A term standing in an expression."""

    spec: TermSpec
    span: ast.Span = field(default=ast.NO_SPAN, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """An ordered sequence: filter, window and count of each step."""

    steps: tuple[tuple[FilterSpec, Interval, int], ...]


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """Membership in another segment."""

    segment_id: str


@dataclass(frozen=True, slots=True)
class ExternalLeaf:
    """The whole condition of an external audience: updates tell its members."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class AttributeLeaf:
    """An expression that reads no events."""

    expression: ast.Expr


@dataclass(frozen=True, slots=True)
class TermLeaf:
    """A term compared with a constant."""

    spec: TermSpec
    operator: str
    constant: int | float


@dataclass(frozen=True, slots=True)
class ChainLeaf:
    """Whether a sequence happened."""

    spec: ChainSpec


@dataclass(frozen=True, slots=True)
class ExpressionLeaf:
    """An expression over attributes and terms; `TermRef`s stand where the terms were."""

    expression: Any
    specs: tuple[TermSpec, ...]


@dataclass(frozen=True, slots=True)
class HistoryLeaf:
    """An expression over the kept events themselves."""

    expression: ast.Expr


Leaf = Union[SegmentLeaf, AttributeLeaf, TermLeaf, ChainLeaf, ExpressionLeaf, HistoryLeaf]


@dataclass(frozen=True, slots=True)
class AllOf:
    """True if all operands are."""

    operands: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if any operand is."""

    operands: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """True if the operand is not."""

    operand: Condition


Condition = Union[AllOf, AnyOf, Negation, Leaf]


def leaves_of(condition: Condition) -> list[Leaf]:
    """Return the leaves of a condition, left to right, repeated ones repeated."""
    match condition:
        case AllOf(operands) | AnyOf(operands):
            return [leaf for operand in operands for leaf in leaves_of(operand)]
        case Negation(operand):
            return leaves_of(operand)
        case _:
            return [condition]
