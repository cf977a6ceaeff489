"""pql/json to a parsed tree: tolerant of every spelling seen, with all that is wrong at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from app.pql.ast import Expr, Span
from app.pql.errors import PqlError, Problem
from app.pql.json_applications import ApplicationReader
from app.pql.json_form import VERSION, VERSION_KEY, JsonNode
from app.pql.json_places import HOLE, At, Enough, PqlJsonError, shown
from app.pql.limits import MAX_DEPTH, MAX_JSON_CHARACTERS, is_deeper_than
from app.pql.parser import parse
from app.pql.printer import to_text


@dataclass(frozen=True, slots=True)
class FromJson:
    """What a pql/json says.

    Attributes:
        tree: A parsed tree; the start of a span is an index into `places`.
        text: The same as PQL text: `parse(text) == tree`.
        places: JSON pointers.
    """

    tree: Expr
    text: str
    places: tuple[str, ...]


def read(value: str | Mapping[str, Any]) -> FromJson:
    """Read a pql/json, as text or as the object that it is.

    Raises:
        PqlJsonError: With every problem that can be found, each at its JSON pointer.
    """
    reader = _Reader()
    tree = reader.whole(_decoded(value) if isinstance(value, str) else value)
    if reader.found.problems:
        raise PqlJsonError(reader.found.problems, tuple(reader.found.places))
    return FromJson(tree, _text_of(tree), tuple(reader.found.places))


def _decoded(text: str) -> Any:
    if len(text) > MAX_JSON_CHARACTERS:
        message = f"the expression has {len(text)} characters, {MAX_JSON_CHARACTERS} are allowed"
        hint = "split it into segments joined by inSegment"
        raise _refusal("too-long", message, hint)
    try:
        # Not orjson: it makes a double of an integer that has more than 64 bits.
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, line {error.lineno}, column {error.colno}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # a constant, or an integer of thousands of digits
        reason = str(error)
    hint = "send the tree as JSON, or PQL text with format pql/text"
    raise _refusal("json-syntax", f"this is not JSON: {reason}", hint)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _text_of(tree: Expr) -> str:
    """Return the tree as a text, which has to be one that means the same and is in bounds."""
    if is_deeper_than(tree, MAX_DEPTH):
        message = f"the expression is more than {MAX_DEPTH} levels deep"
        hint = "flatten it, or move parts into segments joined by inSegment"
        raise _refusal("too-deep", message, hint)
    text = to_text(tree)
    try:
        again = parse(text)
    except PqlError as error:
        problem = error.problems[0]
        message = f"written as text, {problem.message}"
        raise _refusal(problem.code, message, problem.hint) from None
    if repr(again) != repr(tree):
        message = "this tree cannot be written as PQL text with the same meaning"
        raise _refusal("json-value", message, "name fields and variables otherwise")
    return text


def _refusal(code: str, message: str, hint: str) -> PqlJsonError:
    return PqlJsonError([Problem(code, message, Span(0, 0), hint)], ("",))


class _Reader(ApplicationReader):
    def whole(self, given: Any) -> Expr:
        at = At()
        try:
            if isinstance(given, Mapping):
                self._check_version(given, at)
            return self.expression(given, at)
        except Enough:
            return HOLE

    def _check_version(self, given: Mapping[str, Any], at: At) -> None:
        version = given.get(VERSION_KEY, VERSION)
        if version != VERSION:
            message = f"extensions of version {shown(version)} are not known here"
            hint = f"this service reads and writes version {VERSION}"
            self.found.refuse("json-version", message, at.key(VERSION_KEY), hint)

    def expression(self, given: Any, at: At) -> Expr:
        """Read any node that is an expression; what is no such node is noted."""
        inner = self.found.enter(at)
        if not isinstance(given, Mapping):
            hint = "a node is an object with a `nodeType`; a value is a literal"
            return self.found.refuse("json-node", "this is no node", at, hint)
        kind = self.found.text_of(given, "nodeType", at)
        read_node = _NODES.get(kind)
        if read_node is not None:
            return read_node(self, dict(given), inner)
        if kind:
            hint = _REMEDIES.get(kind, f"use one of {', '.join(_NODES)}")
            message = f"a node {shown(kind)} cannot stand here"
            self.found.refuse("json-node", message, at.key("nodeType"), hint)
        return HOLE


_NODES: dict[str, Callable[[_Reader, JsonNode, At], Expr]] = {
    "fnApply": _Reader.application,
    "fieldLookup": _Reader.field_lookup,
    "literal": _Reader.literal,
    "parameterReference": _Reader.parameter_reference,
    "varRef": _Reader.variable_reference,
    "select": _Reader.select,
    "quantification": _Reader.quantification,
    "fnCreate": _Reader.lambda_expression,
}
_REMEDIES = {
    "varDecl": "a declaration belongs into `variables` of a select or quantification",
    "set": "sets are of an older language; write a select",
}
