"""How often the processes look for garbage."""

from __future__ import annotations

import gc

_THRESHOLD = 50_000


def collect_rarely() -> None:
    """Let the collector run rarely, and through everything that lives long more rarely still.

    Profiles and definitions that are kept are many objects: to look through all of them takes some
    tenths of a second, in which nothing else is done.
    """
    gc.set_threshold(_THRESHOLD, 20, 100)
