"""References between definitions: `inSegment` orders them, so a cycle has no meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def cycle_through(
    segment_id: str, asks: Iterable[str], uses: Mapping[str, tuple[str, ...]]
) -> list[str] | None:
    """Return the ids of a cycle that `segment_id` closes by asking `asks`, or None.

    Args:
        segment_id: The definition that is about to be written.
        asks: What it will ask.
        uses: What every other definition asks; the entry of `segment_id` itself is not looked at.

    Returns:
        `[segment_id, …, segment_id]`, each asking the next.
    """
    came_from = dict.fromkeys(asks, segment_id)
    waiting = list(came_from)
    while waiting:
        here = waiting.pop()
        if here == segment_id:
            return _path(segment_id, came_from)
        for asked in uses.get(here, ()):
            if asked not in came_from:
                came_from[asked] = here
                waiting.append(asked)
    return None


def _path(segment_id: str, came_from: Mapping[str, str]) -> list[str]:
    path = [segment_id, came_from[segment_id]]
    while path[-1] != segment_id:
        path.append(came_from[path[-1]])
    return path[::-1]


def dependents_by_id(uses: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return `dependents_of` every definition at once; those that nobody asks are absent."""
    found: dict[str, list[str]] = {}
    for one in sorted(uses):
        for asked in uses[one]:
            if asked != one:
                found.setdefault(asked, []).append(one)
    return found


def dependents_of(segment_id: str, uses: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the ids of the definitions that ask `segment_id`, sorted."""
    return sorted(one for one, asks in uses.items() if segment_id in asks and one != segment_id)
