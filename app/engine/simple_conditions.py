"""Which attribute conditions the index can file under a constant."""

from __future__ import annotations

from typing import Any

from app.engine.attribute_index import AttributeIndex, PathReaders, may_be_coerced
from app.engine.rewrite import profile_path
from app.pql import ast
from app.pql.words import MIRRORED


def file_condition(
    index: AttributeIndex, expression: Any, rank: int, *, is_needed: bool = False
) -> bool:
    """File a definition under path and constant of a condition.

    Args:
        index: Where.
        expression: The condition.
        rank: Of the definition.
        is_needed: The definition holds only where the condition does.

    Returns:
        False if the condition has no form that the index knows; nothing was filed then.
    """
    match expression:
        case ast.Binary(operator, left, right) if operator in MIRRORED:
            return _file_comparison(index, operator, left, right, rank, is_needed=is_needed)
        case ast.Binary("in" | "notIn" as operator, left, ast.ListLiteral(items)):
            constants = [item.value for item in items if _is_constant(item)]  # type: ignore[union-attr]  # narrowed by _is_constant
            if len(constants) != len(items):
                return False
            return _file_equality(index, left, constants, operator == "notIn", rank)
        case ast.MethodCall(receiver, "equals" | "notEqualTo" as method, arguments):
            return _file_method(index, receiver, method == "notEqualTo", arguments, rank)
        case ast.MethodCall(receiver, "isNull" | "isNotNull", ()):
            readers = _readers(index, receiver)
            if readers is not None:
                readers.everyone.add(rank)
                readers.on_null.add(rank)
            return readers is not None
    return False


def guard_of(expression: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return path and constants of a condition that only those texts can satisfy, or None."""
    match expression:
        case ast.Binary("=", subject, ast.Literal() as constant):
            constants: tuple[Any, ...] = (constant,)
        case ast.Binary("=", ast.Literal() as constant, subject):
            constants = (constant,)
        case ast.Binary("in", subject, ast.ListLiteral(constants)):
            pass
        case ast.MethodCall(subject, "equals", constants):
            pass
        case _:
            return None
    path = profile_path(subject)
    texts = tuple(dict.fromkeys(one.value for one in constants if _is_plain_text(one)))
    return (path, texts) if path and len(texts) == len(constants) else None


def _is_plain_text(item: Any) -> bool:
    """Tell whether an item is a text that equals no number and no Boolean."""
    if not isinstance(item, ast.Literal) or not isinstance(item.value, str):
        return False
    return not may_be_coerced(item.value)


def _readers(index: AttributeIndex, expression: Any) -> PathReaders | None:
    path = profile_path(expression)
    return index.readers(path) if path else None


def _is_constant(item: Any) -> bool:
    return isinstance(item, ast.Literal) and not isinstance(item.value, bool)


def _file_comparison(
    index: AttributeIndex,
    operator: str,
    left: Any,
    right: Any,
    rank: int,
    *,
    is_needed: bool,
) -> bool:
    if isinstance(left, ast.Literal):
        left, right, operator = right, left, MIRRORED[operator]
    if not _is_constant(right):
        return False
    if operator in ("=", "!="):
        return _file_equality(index, left, [right.value], operator == "!=", rank)
    readers = _readers(index, left)
    if readers is None or isinstance(right.value, str):
        return False
    readers.add_range(operator, right.value, rank, is_needed=is_needed)
    return True


def _file_equality(
    index: AttributeIndex, left: Any, constants: list[Any], is_negative: bool, rank: int
) -> bool:
    readers = _readers(index, left)
    if readers is None:
        return False
    for constant in constants:
        readers.add_constant(constant, rank)
    if is_negative or not constants:
        readers.everyone.add(rank)
        readers.on_null.add(rank)
    return True


def _file_method(
    index: AttributeIndex, receiver: Any, is_negative: bool, arguments: tuple[Any, ...], rank: int
) -> bool:
    if not arguments or not all(isinstance(one, ast.Literal) for one in arguments):
        return False
    values = [one.value for one in arguments]
    folds = values[-1] is False
    if isinstance(values[-1], bool):
        values.pop()
    readers = _readers(index, receiver) if all(isinstance(v, str) for v in values) else None
    if readers is None or not values:
        return False
    for value in values:
        if folds:
            readers.add_folded(value, rank)
        else:
            readers.add_constant(value, rank)
    if is_negative:
        readers.on_null.add(rank)
    return True
