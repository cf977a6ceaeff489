"""Which known name was perhaps meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHORTEST = 3
_CLOSE = 0.65


def close_name(name: str, known: Iterable[str], cutoff: float = _CLOSE) -> str | None:
    """Return the known name that is most like another one; None when none is.

    Case counts for little: a name that differs in case only is the best there is.

    Args:
        cutoff: How like it has to be, from 0 to 1.
    """
    by_lower_case = {one.lower(): one for one in known}
    by_lower_case.pop("", None)
    wanted = name.lower()
    if wanted in by_lower_case:
        return by_lower_case[wanted]
    if len(name) < _SHORTEST:
        return None
    close = difflib.get_close_matches(wanted, by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return `did you mean …?`, or something else when no known name is like it."""
    close = close_name(name, known)
    return otherwise if close is None else f"did you mean {close}?"
