"""Checks of operators, calls and times on resolved operands; each notes what it finds."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from app.pql import ast
from app.pql.ast import Expr, Node
from app.pql.calendar import day_interval, parse_timestamp
from app.pql.forms import gives_map
from app.pql.functions import FUNCTIONS, FunctionSpec
from app.pql.regex import RegexError, compile_java
from app.pql.scope import Findings
from app.pql.types import Type, comparable, described, fits
from app.pql.values import coerce, to_number

USE_OCCURS = "compare times with occurs: birthday occurs on date(2000, 1, 31)"
_ORDERINGS = frozenset({"<", "<=", ">", ">="})
_COMPARISONS = _ORDERINGS | {"=", "!="}


class Typed(NamedTuple):
    """A resolved expression and its inferred type."""

    expr: Expr
    type: Type


def check_binary(node: ast.Binary, left: Typed, right: Typed, findings: Findings) -> None:
    """Check the operands of an infix operator."""
    if "date" in {left.type, right.type}:
        findings.problem("type", f"a date cannot stand beside `{node.operator}`", node, USE_OCCURS)
    elif node.operator in {"=", "!="}:
        _check_equality(node, left, right, findings)
    elif node.operator in {"in", "notIn"}:
        _check_membership(node, right, findings)
    elif node.operator in {"like", "matches"}:
        _check_pattern(node, left, right, findings)
    else:
        for operand, side in ((node.left, left), (node.right, right)):
            _check_number(node.operator, operand, side, findings)
    if node.operator in _COMPARISONS:
        _warn(node, left, right, findings)


def _check_number(operator: str, node: Expr, side: Typed, findings: Findings) -> None:
    if side.type in {"any", "number"} or (side.type == "array" and operator in _ORDERINGS):
        return
    if operator in _ORDERINGS and isinstance(node, ast.Literal) and isinstance(node.value, str):
        hint = "strings have no order; for times use occurs"
        if to_number(node.value) is not None:
            hint = f"write the number without quotes: {node.value.strip()}"
        findings.problem("never-matches", f"`{operator}` never holds for a string", node, hint)
        return
    message = f"`{operator}` needs numbers, this is {described(side.type)}"
    findings.problem("type", message, node)


def _check_equality(node: ast.Binary, left: Typed, right: Typed, findings: Findings) -> None:
    if comparable(left.type, right.type) or _literal_fits(node, left, right):
        return
    message = f"{described(left.type)} never equals {described(right.type)}"
    findings.problem("never-matches", message, node, "compare values of one type")


def _literal_fits(node: ast.Binary, left: Typed, right: Typed) -> bool:
    """Tell whether a literal takes the type of the other side (PQL reference, coercion)."""
    samples = {"boolean": True, "number": 0, "string": ""}
    for literal, other in ((node.left, right), (node.right, left)):
        if isinstance(literal, ast.Literal) and other.type in samples:
            return coerce(literal.value, samples[other.type]) is not None
    return False


def _check_membership(node: ast.Binary, right: Typed, findings: Findings) -> None:
    if right.type not in {"any", "array", "object"}:
        message = f"`{node.operator}` needs a list, this is {described(right.type)}"
        findings.problem("type", message, node.right, "write a list: [1, 2]")
    elif node.operator == "in" and node.right == ast.ListLiteral(()):
        findings.problem("never-matches", "nothing is in an empty list", node.right, "add items")


def _check_pattern(node: ast.Binary, left: Typed, right: Typed, findings: Findings) -> None:
    for operand, side in ((node.left, left), (node.right, right)):
        if not fits(side.type, "string"):
            message = f"`{node.operator}` needs strings, this is {described(side.type)}"
            findings.problem("type", message, operand)
    if node.operator == "matches":
        check_regex(node.right, findings)


def check_regex(node: Expr, findings: Findings) -> None:
    """Refuse a literal pattern that is malformed or may take exponential time."""
    if isinstance(node, ast.Literal) and isinstance(node.value, str):
        try:
            compile_java(node.value)
        except RegexError as error:
            message = "this regular expression cannot be used"
            findings.problem("regex", message, node, str(error))


def _warn(node: ast.Binary, left: Typed, right: Typed, findings: Findings) -> None:
    if isinstance(node.left, ast.Binary) and node.left.operator in _COMPARISONS:
        message = "a chain of comparisons compares a Boolean with the last operand"
        findings.warning("chained-comparison", message, node, "join two comparisons with `and`")
    for one, other in ((left, right), (right, left)):
        if _crosses_events(one.expr) and other.type != "array":
            message = "this path has one value per event; the comparison holds if any of them does"
            findings.warning("any-element", message, node, "write xEvent[…] to say it explicitly")


def _crosses_events(node: Expr) -> bool:
    while isinstance(node, ast.Field):
        node = node.object
        if isinstance(node, ast.EventsRef):
            return True
    return False


def find_spec(node: ast.Call | ast.MethodCall, findings: Findings) -> FunctionSpec | None:
    """Look up a function or method; note when it is unknown."""
    is_method = isinstance(node, ast.MethodCall)
    name = node.method if isinstance(node, ast.MethodCall) else node.function
    spec = FUNCTIONS.get(name)
    wanted = "method" if is_method else "function"
    if spec is None or spec.kind != wanted:
        findings.problem("unknown-function", f"unknown {wanted} {name}", node, _remedy(name, spec))
        return None
    return spec


def _remedy(name: str, spec: FunctionSpec | None) -> str:
    if spec is not None and spec.kind == "method":
        return f"it is a method: value.{name}(…)"
    if spec is not None and spec.kind == "function":
        return f"it is a function: {name}(…)"
    known = [spec.name for spec in FUNCTIONS.values() if spec.kind != "operator"]
    by_lower_case = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"did you mean {by_lower_case[close[0]]}?" if close else "see the table of functions"


def check_arity(spec: FunctionSpec, node: ast.Call | ast.MethodCall, findings: Findings) -> bool:
    """Check the number of arguments."""
    given = len(node.arguments)
    if given >= spec.minimum and (spec.maximum is None or given <= spec.maximum):
        return True
    wanted = str(spec.minimum)
    if spec.maximum is None:
        wanted = f"at least {spec.minimum}"
    elif spec.maximum != spec.minimum:
        wanted = f"{spec.minimum} or {spec.maximum}"
    message = f"{spec.name} takes {wanted} arguments, {given} are given"
    findings.problem("arity", message, node, spec.doc)
    return False


def check_arguments(
    spec: FunctionSpec, nodes: Sequence[Expr], given: Sequence[Typed], findings: Findings
) -> None:
    """Check the types of the arguments and literal patterns."""
    for index, (node, argument) in enumerate(zip(nodes, given, strict=True)):
        wanted = spec.arguments[min(index, len(spec.arguments) - 1)]
        if argument.type == "date" and spec.name not in {"if", "map"}:
            findings.problem("type", f"{spec.name} takes no date", node, USE_OCCURS)
        elif not fits(argument.type, wanted):
            message = f"{spec.name} needs {described(wanted)}, this is {described(argument.type)}"
            findings.problem("type", message, node)
        elif spec.name in {"matches", "regexGroup"} and index == 0:
            check_regex(node, findings)


def check_method(
    node: ast.MethodCall, receiver: Typed, arguments: Sequence[Typed], findings: Findings
) -> None:
    """Check what only one method asks for; the number of arguments is right."""
    if node.method in {"topN", "bottomN"}:
        _check_amount(node, findings)
    if node.method == "regexGroup":
        _check_group(node, findings)
    for argument in arguments:
        if isinstance(argument.expr, ast.Lambda):
            _check_parameters(node, argument.expr, receiver, findings)


def _check_parameters(
    node: ast.MethodCall, function: ast.Lambda, receiver: Typed, findings: Findings
) -> None:
    if node.method != "map":
        message = f"the lambda of {node.method} has one parameter, the item"
        findings.problem("arity", message, function, "write item => …")
    elif len(function.parameters) > 2:
        message = "the lambda of map has one parameter, the item, or two, key and value"
        findings.problem("arity", message, function, "write (K, G) => …")
    elif receiver.type == "array":
        message = "a list has no keys: the lambda of map has one parameter here"
        findings.problem("type", message, function, "write item => …, or use groupBy before map")


def check_names(node: ast.Lambda, findings: Findings) -> None:
    """Check that the parameters of a lambda differ."""
    if len(set(node.parameters)) < len(node.parameters):
        message = "two parameters have one name"
        findings.problem("duplicate-name", message, node, "choose another name")


def result_type(node: Expr, spec: FunctionSpec) -> Type:
    """Return the type of a resolved call of a method."""
    if isinstance(node, ast.MembershipRef):
        return "object"
    if isinstance(node, ast.MethodCall) and node.method == "map" and node.arguments:
        return "object" if gives_map(node) else "array"
    return spec.result


def _check_amount(node: ast.MethodCall, findings: Findings) -> None:
    """Check the n of `topN` and `bottomN`: it is the same for all items."""
    amount = node.arguments[1]
    if not (isinstance(amount, ast.Literal) and type(amount.value) is int):
        hint = f"write {node.method}(price, 5)"
        findings.problem("type", f"{node.method} takes a whole number", amount, hint)


def _check_group(node: ast.MethodCall, findings: Findings) -> None:
    """Check that a literal pattern has the group that is asked for."""
    pattern, number = node.arguments
    if not (isinstance(pattern, ast.Literal) and isinstance(pattern.value, str)):
        return
    wanted = _constant(number)
    try:
        groups = compile_java(pattern.value).pattern.groups
    except RegexError:
        return
    if wanted is not None and wanted not in range(groups + 1):
        message = f"this regular expression has no group {wanted}"
        hint = f"its groups are 0 to {groups}; 0 is the whole match"
        findings.problem("never-matches", message, number, hint)


def check_receiver(spec: FunctionSpec, node: Expr, receiver: Typed, findings: Findings) -> None:
    """Check the value before the dot."""
    if not fits(receiver.type, spec.receiver):
        message = (
            f"{spec.name} works on {described(spec.receiver)}, this is {described(receiver.type)}"
        )
        findings.problem("type", message, node)


def check_date(node: ast.Call, findings: Findings) -> None:
    """Refuse a literal day that does not exist."""
    numbers = [_constant(argument) for argument in node.arguments]
    if any(isinstance(number, float) for number in numbers):
        findings.problem("type", "date takes whole numbers", node)
        return
    if any(number is None for number in numbers):
        return
    year, month, day = (int(number or 0) for number in numbers)
    if day_interval(year, month, day) is None:
        hint = "months are 1 to 12, days 1 to the end of the month, years 1 to 9999"
        findings.problem("never-matches", "there is no such day", node, hint)


def _constant(node: Expr) -> int | float | None:
    if isinstance(node, ast.Negative):
        found = _constant(node.operand)
        return None if found is None else -found
    if isinstance(node, ast.Literal) and not isinstance(node.value, str | bool):
        return node.value
    return None


def check_time(node: Node, time: Typed, findings: Findings) -> None:
    """Check an operand of `occurs`."""
    if isinstance(node, ast.Literal) and isinstance(node.value, str):
        if parse_timestamp(node.value) is None:
            hint = 'write "2026-01-31T12:00:00Z", "2026-01-31" or date(2026, 1, 31)'
            findings.problem("never-matches", "this string is no timestamp", node, hint)
    elif time.type in {"boolean", "string", "object"}:
        message = f"occurs needs times, this is {described(time.type)}"
        findings.problem("type", message, node, "name a timestamp field, now, today or date(…)")
