"""The tree of a PQL expression: frozen nodes, each with the span of text it came from.

Two trees share these classes. The *parsed* tree is what `parser.parse` returns and
`printer.to_text` prints; it has `Name`, `This` and `UpReference`. The *resolved* tree is what
`checker.check` returns: there every reference is one of `ProfileRef`, `EventsRef`, `ItemRef` and
`Variable`, and fields are always `Field(object, name)`.

Spans take no part in equality, hashing or `repr`, so `repr` of a resolved tree is a canonical form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, Union
from typing import Literal as OneOf


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of character offsets into the source text."""

    start: int
    end: int


NO_SPAN = Span(0, 0)

Unit = OneOf[
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "decade",
    "century",
    "millennium",
]
Comparison = OneOf["=", "!=", "<", "<=", ">", ">="]
BinaryOperator = OneOf[
    "*", "/", "%", "+", "-", "=", "!=", "<", "<=", ">", ">=", "in", "notIn", "like", "matches"
]
Direction = OneOf["before", "after", "from"]


def _span() -> Span:
    return field(default=NO_SPAN, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number or Boolean constant. There is no null literal."""

    value: str | int | float | bool
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[a, b]`; elements are any expressions."""

    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ObjectLiteral:
    """`{"count": e}`."""

    entries: tuple[tuple[str, Expr], ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    """A bare identifier: a variable or a field of the current item. Parsed tree only."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class This:
    """`this`: the current item itself. Parsed tree only."""

    span: Span = _span()


@dataclass(frozen=True, slots=True)
class UpReference:
    """`^.p`, `^^.p`: field `name` of the scope `levels` above. Parsed tree only."""

    levels: int
    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$1`: a positional parameter; `$1` is the profile.

    In the resolved tree only of a parameter that this host does not pass: it is null.
    """

    position: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ContextReference:
    """`@{SCHEMA_ID;version=1}`: data that another host passes; here it is null."""

    text: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ProfileRef:
    """The profile record (its attributes). Resolved tree only."""

    span: Span = _span()


@dataclass(frozen=True, slots=True)
class EventsRef:
    """`xEvent`: the kept experience events of the profile, oldest first. Resolved tree only."""

    span: Span = _span()


@dataclass(frozen=True, slots=True)
class MembershipRef:
    """`segmentMembership.get("ups").get("id")`: a stored membership. Resolved tree only.

    A map with `status` and `lastQualificationTime`; null when the profile never was a member.
    """

    namespace: str
    segment_id: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ItemRef:
    """The current item of an enclosing item scope; depth 0 is the innermost. Resolved only.

    Item scopes are opened by `[ ]`, `.filter()`, `.exists()`, `.map()`, `.sum(expr)` and the other
    methods with a per-item argument, and by `WHAT()` and `WHERE()`. `select`, `exists`, `forall`
    and the comprehension aggregates bind variables and open none. The profile is never an
    `ItemRef`: it is `ProfileRef`.
    """

    depth: int
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable bound by a lambda, `let` or a comprehension. Resolved tree only.

    The parameter of a lambda with one parameter is not among them: it is the `ItemRef` of the item
    that the lambda is called with, or the `ProfileRef`.
    """

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Field:
    """`object.name`; crossing an array projects it (flat map, nulls dropped)."""

    object: Expr
    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    """A function: `date(y, m, d)`, `if(t, a, b)`, `inSegment("id")`, `currentMonth()`."""

    function: str
    arguments: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class MethodCall:
    """`receiver.method(arguments)`."""

    receiver: Expr
    method: str
    arguments: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Filter:
    """`array[condition]`; the condition sees the item as its innermost scope."""

    array: Expr
    condition: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Negative:
    """Unary minus."""

    operand: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Not:
    """`not e`, `!e`."""

    operand: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class And:
    """Two or more operands, as written at one level: `a and b and c` is one node."""

    operands: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more operands, as written at one level."""

    operands: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Binary:
    """An infix operator; all of them associate to the left."""

    operator: BinaryOperator
    left: Expr
    right: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Moment:
    """`now`, `today`, `yesterday`, `tomorrow`."""

    word: OneOf["now", "today", "yesterday", "tomorrow"]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Period:
    """`this month`, `last year`, `next week`: a calendar unit in UTC."""

    which: OneOf["this", "last", "next"]
    unit: Unit
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class OccursOn:
    """Tail `[on] time`."""

    time: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class OccursBetween:
    """Tail `between start and end`, both units included."""

    start: Expr
    end: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class OccursRelative:
    """Tail `before time` or `after time`."""

    direction: Direction
    time: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class OccursDistance:
    """Tail `<= 3 days before time`."""

    comparison: Comparison
    amount: int
    unit: Unit
    direction: Direction
    time: Expr
    span: Span = _span()


OccursTail = Union[OccursOn, OccursBetween, OccursRelative, OccursDistance]


@dataclass(frozen=True, slots=True)
class Occurs:
    """`operand occurs tail`."""

    operand: Expr
    tail: OccursTail
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Declaration:
    """`variable from source [where condition]`; the source sees the variables to its left."""

    variable: str
    source: Expr
    condition: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`select … from …`, `exists …`, `forall …`."""

    kind: OneOf["select", "exists", "forall"]
    declarations: tuple[Declaration, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`sum e over X from …`; `value` is None in the short form `sum X from numbers`."""

    kind: OneOf["sum", "average", "min", "max"]
    value: Expr | None
    declarations: tuple[Declaration, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value in body`."""

    name: str
    value: Expr
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Lambda:
    """`(a, b) => body`. In the resolved tree only `(key, value) => …` as the argument of `map`."""

    parameters: tuple[str, ...]
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain; `count` None means 1. `what` and `where` see the event as item scope."""

    label: str
    what: Expr
    when: OccursTail | None
    where: Expr | None
    count: int | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Chain:
    """`chain(array, key, [steps])`: the steps happen in strict order of the key field."""

    array: Expr
    key: Expr
    steps: tuple[Step, ...]
    span: Span = _span()


Expr = Union[
    Literal,
    ListLiteral,
    ObjectLiteral,
    Name,
    This,
    UpReference,
    Parameter,
    ContextReference,
    ProfileRef,
    EventsRef,
    MembershipRef,
    ItemRef,
    Variable,
    Field,
    Call,
    MethodCall,
    Filter,
    Negative,
    Not,
    And,
    Or,
    Binary,
    Moment,
    Period,
    Occurs,
    Comprehension,
    Aggregate,
    Let,
    Lambda,
    Chain,
]
Node = Union[Expr, OccursOn, OccursBetween, OccursRelative, OccursDistance, Declaration, Step]


def children(node: Node) -> list[Node]:
    """Return the direct children of a node, left to right."""
    found: list[Node] = []
    for name in part_names(node):
        add_nodes(getattr(node, name), found)
    return found


_PART_NAMES: dict[object, tuple[str, ...]] = {}


def part_names(node: object) -> tuple[str, ...]:
    """Return the names of the fields of a node, but for its span."""
    kind: object = type(node)
    found = _PART_NAMES.get(kind)
    if found is None:
        names = [item.name for item in fields(node)]  # type: ignore[arg-type]  # a node
        found = _PART_NAMES[kind] = tuple(name for name in names if name != "span")
    return found


def add_nodes(value: object, found: list[Any]) -> None:
    """Add the nodes of a part, which may be a node, a tuple of parts or a plain value."""
    if isinstance(value, tuple):
        for part in value:
            add_nodes(part, found)
    elif hasattr(value, "span"):
        found.append(value)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it, parents first."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(reversed(children(one)))


Placed = TypeVar("Placed")


def unplaced(node: Placed) -> Placed:
    """Return a node and everything below it without places in a text."""
    if isinstance(node, tuple):
        return tuple(unplaced(part) for part in node)  # type: ignore[return-value]  # a tuple too
    if not hasattr(node, "span"):
        return node
    found: Any = node
    parts = {one.name: unplaced(getattr(node, one.name)) for one in fields(found)}
    without: Placed = replace(found, **parts | {"span": NO_SPAN})
    return without
