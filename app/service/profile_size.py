"""How large profiles are as they are stored, and which are too large to grow further.

A profile has one state and one string of events, and Redis keeps no value beyond 512 MiB: a write
beyond that would be refused for ever. Sizes are as of the last batch, so that a profile can exceed
the limit by what one batch adds to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.limits import EngineLimits
from app.domain.model import ProfileUpdate
from app.engine.working import Profile


def grows(update: ProfileUpdate) -> bool:
    """Tell whether an update adds to a profile: neither a deletion nor an external membership."""
    return not update.deletes and update.external is None


def is_unmeasured(profile: Profile, limits: EngineLimits) -> bool:
    """Tell whether the size of the events has to be asked for: there may be too many of them."""
    may_be_large = profile.state.frames * limits.event_bytes > limits.profile_bytes
    return may_be_large and profile.event_bytes is None


def is_oversized(profile: Profile, limits: EngineLimits) -> bool:
    """Tell whether nothing may be added to a profile."""
    state = profile.state
    size = state.base_bytes + state.log_bytes + (profile.event_bytes or 0)
    return size > limits.profile_bytes


def refused(updates: Iterable[tuple[ProfileUpdate, bool]]) -> list[bool]:
    """Tell of each update, in order, whether it is refused.

    Args:
        updates: With each, whether its profile is oversized; after a deletion it is no more.
    """
    emptied = set()
    found = []
    for update, is_large in updates:
        if update.deletes:
            emptied.add(update.key)
        found.append(is_large and grows(update) and update.key not in emptied)
    return found
