"""Rows of a source: the profile that each names, or why it cannot be taken.

What is refused never shows the value: rows are about people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

from app.domain.external import FieldType, ImportField

MAX_ID_BYTES = 1_024
_LONG = 1 << 63
_INTEGER = 1 << 31


class BadRow(Exception):
    """A row that is not taken; the message says why."""


class RowCheck:
    """Checks the rows of a source against its columns.

    Args:
        fields: One of them has an identity namespace.
    """

    def __init__(self, fields: Sequence[ImportField]) -> None:
        self._identity = next(one.name for one in fields if one.identity_ns)
        self._fields = [(one.name, one.type, _TESTS[one.type]) for one in fields]

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [name for name, _, _ in self._fields]

    def profile_id(self, row: Mapping[str, object]) -> str:
        """Return the profile that a row names.

        Args:
            row: Value by column; text, as in CSV, or of the column's own type.

        Raises:
            BadRow: A value is not of its type, or there is no profile id.
        """
        for name, kind, test in self._fields:
            value = row.get(name)
            if value is not None and value != "" and not test(value):
                raise BadRow(f"column {name} is no {kind}")
        return self._identified(row.get(self._identity))

    def _identified(self, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int):
            if value is None:
                raise BadRow(f"column {self._identity} is empty: it names the profile")
            raise BadRow(f"column {self._identity} names the profile: it must be text or whole")
        profile_id = str(value).strip()
        if not profile_id:
            raise BadRow(f"column {self._identity} is empty: it names the profile")
        try:
            size = len(profile_id.encode())
        except UnicodeEncodeError:
            raise BadRow(f"column {self._identity} is not Unicode text") from None
        if size > MAX_ID_BYTES:
            raise BadRow(f"column {self._identity} has {size} bytes, the limit is {MAX_ID_BYTES}")
        return profile_id


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _is_whole(limit: int) -> Callable[[object], bool]:
    def test(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return False
        try:
            return -limit <= int(value) < limit
        except ValueError:
            return False

    return test


def _is_date(value: object) -> bool:
    if isinstance(value, date) and not isinstance(value, datetime):
        return True
    try:
        return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_datetime(value: object) -> bool:
    if isinstance(value, datetime):
        return True
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, str) and value.casefold() in ("true", "false")
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


_TESTS: dict[FieldType, Callable[[object], bool]] = {
    "string": _is_text,
    "number": _is_number,
    "long": _is_whole(_LONG),
    "integer": _is_whole(_INTEGER),
    "date": _is_date,
    "datetime": _is_datetime,
    "boolean": _is_boolean,
}
