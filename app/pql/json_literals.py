"""Literals of pql/json: every spelling that the PQL reference has seen."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from typing import Any

from app.pql import ast
from app.pql.ast import Expr
from app.pql.json_form import PROFILE, JsonNode
from app.pql.json_places import At, JsonPlaces, shown

_INTEGERS = frozenset({"integer", "int", "long", "short", "byte"})
_NUMBERS = frozenset({"number", "double", "float", "decimal"})
_TEXTS = frozenset({"string", "querystring"})
_LISTS = frozenset({"list", "array"})
_LARGEST_INTEGER = 2**63 - 1
_LONGEST_NUMBER = 40
_NUMBER = re.compile(r"-?[0-9]+((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_TYPES = "String, Integer, Number, Boolean, List, XDMObject"


class LiteralReader(ABC):
    """Reads literals; the rest of the nodes is in its heirs."""

    def __init__(self) -> None:
        self.found = JsonPlaces()

    @abstractmethod
    def expression(self, given: Any, at: At) -> Expr:
        """Read any node that is an expression."""

    def literal(self, given: JsonNode, at: At) -> Expr:
        """Read a literal, whose type may be left out, or be written in any case."""
        if "value" not in given:
            return self.found.refuse("json-missing", "this literal has no `value`", at)
        value, place = given["value"], at.key("value")
        stated = given.get("literalType")
        if stated is None:
            return self._inferred(value, place)
        kind = stated.lower() if isinstance(stated, str) else ""
        if kind == "xdmobject":
            return self._profile(value, at)
        if kind in _LISTS and isinstance(value, list):
            return self.list_of_items(value, place)
        if kind in _TEXTS and isinstance(value, str):
            return self._text(value, place)
        if kind == "boolean":
            return self._boolean(value, place)
        if kind in _INTEGERS | _NUMBERS:
            return self._stated_number(value, place, whole=kind in _INTEGERS)
        if kind in _LISTS | _TEXTS:
            return self.found.refuse("json-type", f"this value is no {kind}", place)
        message = f"{shown(stated)} is no type of a literal"
        hint = f"use one of {_TYPES}"
        return self.found.refuse("json-value", message, at.key("literalType"), hint)

    def _inferred(self, value: Any, at: At) -> Expr:
        if isinstance(value, bool):
            return ast.Literal(value, span=self.found.span(at))
        if isinstance(value, int | float):
            return self.number(value, at)
        if isinstance(value, str):
            return self._text(value, at)
        if isinstance(value, list):
            return self.list_of_items(value, at)
        hint = "there is no null; use isNull or isNotNull" if value is None else f"use {_TYPES}"
        return self.found.refuse("json-type", "this value is no literal", at, hint)

    def list_of_items(self, value: list[Any], at: At) -> Expr:
        """Read the value of a list: scalars, lists, or nodes (ours)."""
        inner = self.found.enter(at)
        span = self.found.span(at)
        items = tuple(self._item(item, inner.key(index)) for index, item in enumerate(value))
        return ast.ListLiteral(items, span=span)

    def _item(self, item: Any, at: At) -> Expr:
        return self.expression(item, at) if isinstance(item, dict) else self._inferred(item, at)

    def _profile(self, value: Any, at: At) -> Expr:
        if value == PROFILE:
            return ast.Parameter(1, span=self.found.span(at))
        message, hint = f"{shown(value)} is no object known here", f"the profile is `{PROFILE}`"
        return self.found.refuse("json-value", message, at.key("value"), hint)

    def _boolean(self, value: Any, at: At) -> Expr:
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower())
        if isinstance(value, bool):
            return ast.Literal(value, span=self.found.span(at))
        return self.found.refuse("json-type", "this value is no Boolean", at, "use true or false")

    def _stated_number(self, value: Any, at: At, *, whole: bool) -> Expr:
        kind = "whole number" if whole else "number"
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
            value = _parsed(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.found.refuse("json-type", f"this value is no {kind}", at)
        if whole and isinstance(value, float):
            if not value.is_integer():
                return self.found.refuse("json-type", f"this value is no {kind}", at)
            value = int(value)
        return self.number(value, at)

    def number(self, value: int | float, at: At) -> Expr:
        """Return a number; one below zero is a minus before a number, as in a text."""
        if isinstance(value, float) and not math.isfinite(value):
            return self.found.refuse("number-range", "this number is not finite", at)
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            message, hint = "this number does not fit into 64 bits", f"at most {_LARGEST_INTEGER}"
            return self.found.refuse("number-range", message, at, hint)
        span = self.found.span(at)
        if math.copysign(1, value) < 0:
            return ast.Negative(ast.Literal(-value, span=span), span=span)
        return ast.Literal(value, span=span)

    def _text(self, value: str, at: At) -> Expr:
        if any("\ud800" <= character <= "\udfff" for character in value):
            message, hint = "this string holds half a character", "use whole characters"
            return self.found.refuse("json-value", message, at, hint)
        return ast.Literal(value, span=self.found.span(at))


def _parsed(text: str) -> int | float | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    return int(text) if not found[1] else float(text)
