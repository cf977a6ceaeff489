"""Words of the language that more than one module needs."""

from __future__ import annotations

from typing import Final

from app.pql.ast import Unit

RESERVED: Final = frozenset(
    {"and", "or", "not", "in", "notin", "like", "matches", "occurs", "true", "false"}
    | {"now", "today", "yesterday", "tomorrow", "this"}
)
"""Lower-case words that never are a bare name; as a field they follow a dot."""

INFIX_WORDS: Final = ("and", "or", "in", "notIn", "like", "matches", "occurs")
"""Operators that are words."""

PER_ITEM_METHODS: Final = frozenset(
    {"filter", "exists", "map", "groupBy", "topN", "bottomN", "sum", "average", "min", "max"}
)
"""Methods whose first argument is evaluated once per item, which is its innermost scope."""

UNITS: Final[dict[str, Unit]] = {
    "millisecond": "millisecond",
    "milliseconds": "millisecond",
    "second": "second",
    "seconds": "second",
    "minute": "minute",
    "minutes": "minute",
    "hour": "hour",
    "hours": "hour",
    "day": "day",
    "days": "day",
    "week": "week",
    "weeks": "week",
    "month": "month",
    "months": "month",
    "year": "year",
    "years": "year",
    "decade": "decade",
    "decades": "decade",
    "century": "century",
    "centuries": "century",
    "millennium": "millennium",
    "millenium": "millennium",
    "millenniums": "millennium",
    "millennia": "millennium",
}

PLURALS: Final[dict[str, str]] = {"century": "centuries", "millennium": "millennia"}
"""Units whose plural is not formed with an s."""

MIRRORED: Final[dict[str, str]] = {
    "=": "=",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
"""The comparison with its sides exchanged."""
