"""A tree to PQL text with the fewest parentheses: `parse(to_text(tree)) == tree`.

A resolved tree is printed as well, for messages: `ProfileRef` paths as bare paths at the root and
as `$1.path` inside item scopes, `ItemRef` as a bare field, `^.field` or `this`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from app.pql import ast
from app.pql.ast import Expr, Node, OccursTail
from app.pql.precedence import ADD, BINARY, NOT, OR, PRIMARY, RELATION, UNARY, WHOLE
from app.pql.precedence import AND as AND_LEVEL
from app.pql.words import PER_ITEM_METHODS, PLURALS, RESERVED

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_AGGREGATE = re.compile(r"(?<![.\w])(sum|average|min|max)\b", re.IGNORECASE)
_KEYWORD = re.compile(r"\b(sum|average|min|max|select|exists|forall)\b", re.IGNORECASE)
_DECLARES = re.compile(r"\w+ from\b", re.IGNORECASE)
_MISLEADING = re.compile(r"from\b|.*\bover\b", re.IGNORECASE | re.DOTALL)


def to_text(expression: Node) -> str:
    """Print a parsed or resolved tree, or a part of one."""
    return _Printer().node(expression, WHOLE)


def quoted(text: str) -> str:
    """Return a string literal."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{ord(character):04x}" if ord(character) < 0x20 else character


def _listed(texts: Iterable[str]) -> str:
    listed: list[str] = []
    for text in texts:
        # After a comma, `let from = …` would be one more variable of a clause before it.
        if listed and _DECLARES.match(text):
            listed[-1] = f"({listed[-1]})"
        listed.append(text)
    return ", ".join(listed)


class _Printer:
    """Keeps count of the open item scopes and of the bound variables."""

    def __init__(self) -> None:
        self._scopes = 0
        self._variables: list[str] = []

    def node(self, node: Node, level: int) -> str:
        strength, write = _WRITERS[type(node)]
        if isinstance(node, ast.Binary):
            strength = BINARY[node.operator]
        text = write(self, node)
        return f"({text})" if strength < level else text

    def _list(self, nodes: Iterable[Expr]) -> str:
        return _listed(self.node(node, WHOLE) for node in nodes)

    def literal(self, node: ast.Literal) -> str:
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        return quoted(node.value) if isinstance(node.value, str) else repr(node.value)

    def list_literal(self, node: ast.ListLiteral) -> str:
        return f"[{self._list(node.items)}]"

    def object_literal(self, node: ast.ObjectLiteral) -> str:
        entries = (f"{quoted(key)}: {self.node(value, WHOLE)}" for key, value in node.entries)
        return "{" + ", ".join(entries) + "}"

    def name(self, node: ast.Name) -> str:
        return node.name

    def variable(self, node: ast.Variable) -> str:
        return node.name

    def this(self, node: ast.This) -> str:
        return "this"

    def up_reference(self, node: ast.UpReference) -> str:
        return f"{'^' * node.levels}.{node.name}"

    def parameter(self, node: ast.Parameter) -> str:
        return f"${node.position}"

    def context_reference(self, node: ast.ContextReference) -> str:
        return f"@{{{node.text}}}"

    def profile_ref(self, node: ast.ProfileRef) -> str:
        return "$1"

    def events_ref(self, node: ast.EventsRef) -> str:
        return "xEvent" if "xEvent" not in self._variables else "$1.xEvent"

    def membership_ref(self, node: ast.MembershipRef) -> str:
        root = "segmentMembership"
        if self._scopes or not self._is_plain(root):
            root = f"$1.{root}"
        return f"{root}.get({quoted(node.namespace)}).get({quoted(node.segment_id)})"

    def item_ref(self, node: ast.ItemRef) -> str:
        return "this" if node.depth == 0 else f"{'^' * node.depth}.this"

    def field(self, node: ast.Field) -> str:
        owner = node.object
        if isinstance(owner, ast.ItemRef) and owner.depth > 0 and node.name != "this":
            return f"{'^' * owner.depth}.{node.name}"
        innermost = isinstance(owner, ast.ItemRef) or (
            isinstance(owner, ast.ProfileRef) and self._scopes == 0
        )
        if innermost and self._is_plain(node.name):
            return node.name
        return f"{self.node(owner, PRIMARY)}.{node.name}"

    def _is_plain(self, name: str) -> bool:
        taken = name == "xEvent" or name in self._variables
        return not taken and name.lower() not in RESERVED

    def call(self, node: ast.Call) -> str:
        return f"{node.function}({self._list(node.arguments)})"

    def method_call(self, node: ast.MethodCall) -> str:
        receiver = self.node(node.receiver, PRIMARY)
        opened = int(node.method in PER_ITEM_METHODS)
        self._scopes += opened
        arguments = self._list(node.arguments)
        self._scopes -= opened
        return f"{receiver}.{node.method}({arguments})"

    def filter(self, node: ast.Filter) -> str:
        return f"{self.node(node.array, PRIMARY)}[{self._scoped(node.condition)}]"

    def _scoped(self, node: Expr) -> str:
        self._scopes += 1
        text = self.node(node, WHOLE)
        self._scopes -= 1
        return text

    def negative(self, node: ast.Negative) -> str:
        return f"-{self.node(node.operand, UNARY)}"

    def negation(self, node: ast.Not) -> str:
        return f"not {self.node(node.operand, NOT)}"

    def conjunction(self, node: ast.And) -> str:
        return " and ".join(self.node(operand, AND_LEVEL + 1) for operand in node.operands)

    def disjunction(self, node: ast.Or) -> str:
        return " or ".join(self.node(operand, OR + 1) for operand in node.operands)

    def binary(self, node: ast.Binary) -> str:
        level = BINARY[node.operator]
        left, right = self.node(node.left, level), self.node(node.right, level + 1)
        return f"{left} {node.operator} {right}"

    def moment(self, node: ast.Moment) -> str:
        return node.word

    def period(self, node: ast.Period) -> str:
        return f"{node.which} {node.unit}"

    def occurs(self, node: ast.Occurs) -> str:
        return f"{self.node(node.operand, RELATION)} occurs {self.node(node.tail, WHOLE)}"

    def occurs_on(self, node: ast.OccursOn) -> str:
        time = self.node(node.time, ADD)
        return time if isinstance(node.time, ast.Moment | ast.Period) else f"on {time}"

    def occurs_between(self, node: ast.OccursBetween) -> str:
        return f"between {self.node(node.start, ADD)} and {self.node(node.end, ADD)}"

    def occurs_relative(self, node: ast.OccursRelative) -> str:
        return f"{node.direction} {self.node(node.time, ADD)}"

    def occurs_distance(self, node: ast.OccursDistance) -> str:
        unit = node.unit if node.amount == 1 else PLURALS.get(node.unit, f"{node.unit}s")
        time = self.node(node.time, ADD)
        return f"{node.comparison} {node.amount} {unit} {node.direction} {time}"

    def _bound(self, declarations: tuple[ast.Declaration, ...], value: Expr | None) -> str:
        bound_before = len(self._variables)
        texts = [self.node(declaration, WHOLE) for declaration in declarations]
        declared = ", ".join(texts)
        prefix = "" if value is None else f"{self._summed(value, declared)} over "
        del self._variables[bound_before:]
        return prefix + declared

    def _summed(self, value: Expr, declared: str) -> str:
        text = self.node(value, ADD)
        # A field called `sum` would begin a clause of its own, which ends at this `over`; so would
        # one called `select`, where the variable is called `from` or another `over` comes later.
        is_read_wrong = _AGGREGATE.search(text) or (
            _KEYWORD.search(text) and _MISLEADING.match(declared)
        )
        return f"({text})" if is_read_wrong else text

    def declaration(self, node: ast.Declaration) -> str:
        text = f"{node.variable} from {self.node(node.source, ADD)}"
        self._variables.append(node.variable)
        condition = node.condition
        return text if condition is None else f"{text} where {self.node(condition, OR)}"

    def comprehension(self, node: ast.Comprehension) -> str:
        return f"{node.kind} {self._bound(node.declarations, None)}"

    def aggregate(self, node: ast.Aggregate) -> str:
        return f"{node.kind} {self._bound(node.declarations, node.value)}"

    def let(self, node: ast.Let) -> str:
        value = self.node(node.value, ADD)
        self._variables.append(node.name)
        body = self.node(node.body, WHOLE)
        self._variables.pop()
        return f"let {node.name} = {value} in {body}"

    def function(self, node: ast.Lambda) -> str:
        self._variables.extend(node.parameters)
        body = self.node(node.body, WHOLE)
        del self._variables[len(self._variables) - len(node.parameters) :]
        return f"({', '.join(node.parameters)}) => {body}"

    def chain(self, node: ast.Chain) -> str:
        steps = ", ".join(self.node(step, WHOLE) for step in node.steps)
        array_and_key = _listed((self.node(node.array, WHOLE), self._scoped(node.key)))
        return f"chain({array_and_key}, [{steps}])"

    def step(self, node: ast.Step) -> str:
        text = f"{node.label}: WHAT({self._scoped(node.what)})"
        if node.when is not None:
            text += f" WHEN({self._tail(node.when)})"
        if node.where is not None:
            text += f" WHERE({self._scoped(node.where)})"
        return text if node.count is None else f"{text} COUNT({node.count})"

    def _tail(self, tail: OccursTail) -> str:
        return self.node(tail, WHOLE)


_WRITERS: dict[type[Any], tuple[int, Callable[[_Printer, Any], str]]] = {
    ast.Literal: (PRIMARY, _Printer.literal),
    ast.ListLiteral: (PRIMARY, _Printer.list_literal),
    ast.ObjectLiteral: (PRIMARY, _Printer.object_literal),
    ast.Name: (PRIMARY, _Printer.name),
    ast.This: (PRIMARY, _Printer.this),
    ast.UpReference: (PRIMARY, _Printer.up_reference),
    ast.Parameter: (PRIMARY, _Printer.parameter),
    ast.ContextReference: (PRIMARY, _Printer.context_reference),
    ast.ProfileRef: (PRIMARY, _Printer.profile_ref),
    ast.EventsRef: (PRIMARY, _Printer.events_ref),
    ast.MembershipRef: (PRIMARY, _Printer.membership_ref),
    ast.ItemRef: (PRIMARY, _Printer.item_ref),
    ast.Variable: (PRIMARY, _Printer.variable),
    ast.Field: (PRIMARY, _Printer.field),
    ast.Call: (PRIMARY, _Printer.call),
    ast.MethodCall: (PRIMARY, _Printer.method_call),
    ast.Filter: (PRIMARY, _Printer.filter),
    ast.Negative: (UNARY, _Printer.negative),
    ast.Not: (NOT, _Printer.negation),
    ast.And: (AND_LEVEL, _Printer.conjunction),
    ast.Or: (OR, _Printer.disjunction),
    ast.Binary: (RELATION, _Printer.binary),
    ast.Moment: (PRIMARY, _Printer.moment),
    ast.Period: (PRIMARY, _Printer.period),
    ast.Occurs: (RELATION, _Printer.occurs),
    ast.OccursOn: (PRIMARY, _Printer.occurs_on),
    ast.OccursBetween: (PRIMARY, _Printer.occurs_between),
    ast.OccursRelative: (PRIMARY, _Printer.occurs_relative),
    ast.OccursDistance: (PRIMARY, _Printer.occurs_distance),
    ast.Declaration: (PRIMARY, _Printer.declaration),
    ast.Comprehension: (WHOLE, _Printer.comprehension),
    ast.Aggregate: (WHOLE, _Printer.aggregate),
    ast.Let: (WHOLE, _Printer.let),
    ast.Lambda: (WHOLE, _Printer.function),
    ast.Chain: (PRIMARY, _Printer.chain),
    ast.Step: (PRIMARY, _Printer.step),
}
