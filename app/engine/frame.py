"""What compiled expressions see while one profile is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.domain.model import JsonObject
from app.engine.bounds import NEVER
from app.engine.tables import DetailTable, MatchTable

MAX_SLOTS = 256
"""Nested items and variables; the parser's depth limit lies below."""


class Frame:
    """One profile at one instant.

    Attributes:
        attributes: The profile record.
        before: Bit set over ordinals at the beginning of the step; this and
        details: what is remembered of memberships are only set where a definition needs them.
        matches: Timeline key → matching events.
        members: Bit set over ordinals: what `inSegment` sees.
        external: By ordinal of an external audience, until when the profile is in it.
        events: Bodies of the kept events in sight, oldest first; only set where a definition
            needs them.
        next_ms: Lowered by every use of the clock to the instant at which its answer changes.
        memo: Values of tracked leaves at this instant, by key.
        proofs: Of chains at this instant, by key: whether it happened, and when that can change.
        slots: Current items and variables, by the slot the compiler gave them.
    """

    __slots__ = (
        "attributes",
        "before",
        "details",
        "events",
        "external",
        "matches",
        "members",
        "memo",
        "next_ms",
        "now_ms",
        "proofs",
        "slots",
    )

    def __init__(self) -> None:
        self.attributes: JsonObject = {}
        self.before = 0
        self.details = DetailTable()
        self.matches = MatchTable()
        self.members = 0
        self.external: Mapping[int, int] = {}
        self.events: Sequence[JsonObject] = ()
        self.now_ms = 0
        self.next_ms = NEVER
        self.memo: dict[int, Any] = {}
        self.proofs: dict[int, tuple[bool, int]] = {}
        self.slots: list[Any] = [None] * MAX_SLOTS


Evaluator: TypeAlias = Callable[[Frame], Any]
Test: TypeAlias = Callable[[Frame], bool]


@dataclass(frozen=True, slots=True)
class Tracked:
    """A leaf whose answer can change by itself at an instant that only its evaluation tells.

    Attributes:
        sees_events: It reads the kept events themselves, so that it may also change whenever the
            oldest of them leaves.
    """

    key: int
    evaluate: Evaluator
    sees_events: bool
