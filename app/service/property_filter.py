"""Filters on a property of an event: `web.webPageDetails.isHomepage=true`.

Source: public guide of profile access, query parameter `property`. How values of other types,
lists and dates compare is our choice (docs/decisions/0204).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import UserError
from app.service.paths import values_at

MAX_FILTERS = 3
"""Most filters of one request (guide)."""

_FORM = re.compile(r"([^=!<>\s]+)\s*(<=|>=|!=|=|<|>)\s*([^=<>\s].*)", re.DOTALL)
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
_DATE_IN_FRONT = re.compile(r"\d{4}-\d{2}-\d{2}")
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """One filter.

    Attributes:
        text: As it was given.
        path: Names from the top; a list on the way stands for each of its items.
        operation: A key of the table of operators.
        value: A Boolean, a number, or text; a date as `yyyy-mm-dd` if `is_date`.
    """

    text: str
    path: tuple[str, ...]
    operation: str
    value: bool | float | str
    is_date: bool = False

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Tell whether some value at the path compares as asked; one of another type never does."""
        return any(self._compares(value) for value in values_at(event, self.path))

    def _compares(self, value: Any) -> bool:
        if self.is_date:
            found = _DATE_IN_FRONT.match(value) if isinstance(value, str) else None
            return found is not None and _OPERATORS[self.operation](found.group(), self.value)
        is_same_kind = _kind(value) is not None and _kind(value) == _kind(self.value)
        return is_same_kind and _OPERATORS[self.operation](value, self.value)


def parse_filter(text: str) -> PropertyFilter:
    """Parse `path operator value`; a value in quotes is text.

    Raises:
        UserError: It has another form, or orders Booleans.
    """
    found = _FORM.fullmatch(text.strip())
    path = tuple(found[1].split(".")) if found is not None else ()
    if found is None or not all(path):
        raise UserError(
            f"property is {text!r}; write a dotted path, one of {', '.join(_OPERATORS)}, and a"
            ' value, such as commerce.order.priceTotal>=20 or city="Oslo"',
            code="invalid-parameter",
        )
    value = _literal(found[3])
    if isinstance(value, bool) and found[2] not in ("=", "!="):
        text = f"property is {text!r}; true and false are compared with = and != only"
        raise UserError(text, code="invalid-parameter")
    date = _DATE.fullmatch(value) if isinstance(value, str) else None
    if date is not None:
        return PropertyFilter(text, path, found[2], "-".join(date.groups()), is_date=True)
    return PropertyFilter(text, path, found[2], value)


def _literal(text: str) -> bool | float | str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _kind(value: Any) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None
