"""Expressions that use the clock: `occurs` and `currentYear()`.

Each lowers `frame.next_ms` to the first instant at which its own answer can change.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

from app.engine.frame import Evaluator, Frame
from app.engine.scope import Scope
from app.engine.windows import (
    Anchor,
    Window,
    anchor_of,
    day_anchor,
    instant_anchor,
    times_of,
    window_between,
    window_of,
)
from app.pql import ast
from app.pql.calendar import Day, parse_timestamp, unit_start_after
from app.pql.functions import FUNCTIONS
from app.pql.values import any_pair, leaves

if TYPE_CHECKING:
    from app.engine.compiler import Compiler


def compile_occurs(
    compiler: Compiler, operand: Any, tail: ast.OccursTail, scope: Scope
) -> Evaluator:
    """Compile `operand occurs tail`; a list on either side asks for any of its items."""
    value = compiler.value(operand, scope)
    window = window_of(tail)
    if window is not None:
        return _in_window(value, window)
    times = [_time(compiler, time, scope) for time in times_of(tail)]

    def test(frame: Frame) -> bool:
        found = [time(frame) for time in times]
        if not all(found):
            return False
        at = value(frame)
        return any(
            _accepts(at, window_between(tail, anchors), frame) for anchors in product(*found)
        )

    return test


def _in_window(value: Evaluator, window: Window) -> Evaluator:
    return lambda frame: _accepts(value(frame), window, frame)


def _accepts(value: Any, window: Window, frame: Frame) -> bool:
    if isinstance(value, list):
        return any_pair(lambda item, _: _accepts(item, window, frame), value, True)
    at_ms = parse_timestamp(value)
    if at_ms is None:
        return False
    change_ms = window.next_change(at_ms, frame.now_ms)
    if change_ms < frame.next_ms:
        frame.next_ms = change_ms
    return window.contains(at_ms, frame.now_ms)


def _time(compiler: Compiler, time: ast.Expr, scope: Scope) -> Callable[[Frame], list[Anchor]]:
    """Compile a time expression to its anchors: any of them will do, none is null."""
    known = anchor_of(time)
    if known is not None:
        constant = [known]
        return lambda frame: constant
    value = compiler.value(time, scope)

    def anchors(frame: Frame) -> list[Anchor]:
        found = value(frame)
        candidates = leaves(found) if isinstance(found, list) else (found,)
        found_anchors = [_anchor(candidate) for candidate in candidates]
        return [anchor for anchor in found_anchors if anchor is not None]

    return anchors


def _anchor(value: Any) -> Anchor | None:
    if type(value) is Day:
        return day_anchor(int(value))
    at_ms = parse_timestamp(value)
    return None if at_ms is None else instant_anchor(at_ms)


def compile_clock_function(name: str) -> Evaluator | None:
    """Compile `currentYear()` and its like; None for a function that does not use the clock."""
    spec = FUNCTIONS.get(name)
    if spec is None or not spec.needs_now or spec.implementation is None:
        return None
    read = spec.implementation

    def value(frame: Frame) -> Any:
        _lower(frame, unit_start_after(frame.now_ms, "day"))
        return read(frame.now_ms)

    return value


def _lower(frame: Frame, change_ms: int) -> None:
    if change_ms < frame.next_ms:
        frame.next_ms = change_ms
