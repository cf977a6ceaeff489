"""How an explanation says things."""

from __future__ import annotations

from typing import Any

import orjson

_LONGEST = 60


def fewer_events(target: int, count: int, such: str) -> str:
    """Say how many of some events have to go; `such` is a condition, or empty."""
    named = f"the {count} kept event{'' if count == 1 else 's'}"
    if such:
        named = f"{named} that satisf{'ies' if count == 1 else 'y'} {such}"
    return f"{named} must go" if target == 0 else f"of {named} at most {target} may stay"


def more_events(more: int, such: str) -> str:
    """Say how many events have to come; `such` is a condition, or empty."""
    if not such:
        return f"{more} more event{'' if more == 1 else 's'}"
    return f"{more} more event{' that satisfies' if more == 1 else 's that satisfy'} {such}"


def code(text: str) -> str:
    """Return a piece of an expression for a sentence."""
    return f"`{text if len(text) <= 2 * _LONGEST else text[: 2 * _LONGEST] + '…'}`"


def shown(value: Any) -> str:
    """Return a value for a sentence."""
    if value is None:
        return "missing"
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
