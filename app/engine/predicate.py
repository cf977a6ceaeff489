"""An expression evaluated on stored profiles that are not touched otherwise.

It is compiled as the terms that look at the kept events themselves are: nothing is accumulated, so
a predicate that nobody defined needs no state of its own. Property tests hold it to the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.domain.errors import InvalidDefinition
from app.domain.limits import EngineLimits
from app.domain.model import JsonObject
from app.engine.compiler import compile_test
from app.engine.consent import with_consent
from app.engine.forms import Segments
from app.engine.frame import Frame
from app.engine.history import read_frames
from app.engine.profile import first_order
from app.engine.rewrite import reads_of
from app.engine.state_codec import decode
from app.engine.state_glance import StateGlance, glance
from app.pql.checker import check
from app.pql.parser import parse


class Predicate:
    """One expression, ready to be asked of many profiles.

    Not shared between threads: it reuses its frame.

    Args:
        text: PQL.
        ordinals: Ordinal by segment id, for `inSegment`.
        limits: The retention is an outer window of every event condition.
        excludes_opt_out: Profiles with a general opt-out do not match.

    Attributes:
        reads_events: Whether it needs the event frames of profiles that have any.
        record: The profile record of the profile evaluated last.

    Raises:
        PqlError, InvalidDefinition: The text is no expression that can be evaluated.
    """

    def __init__(
        self,
        text: str,
        ordinals: Mapping[str, int],
        limits: EngineLimits,
        *,
        excludes_opt_out: bool = False,
    ) -> None:
        checked = check(parse(text), segments=ordinals.keys())
        if checked.expr is None or checked.problems:
            problems = tuple(str(problem) for problem in checked.problems)
            raise InvalidDefinition("; ".join(problems), problems)
        expr = with_consent(checked.expr) if excludes_opt_out else checked.expr
        reads = reads_of(expr)
        self.reads_events = reads.events
        self._reads_memberships = reads.memberships
        self._holds = compile_test(expr, Segments(ordinals))
        self._limits = limits
        self._frame = Frame()
        self.record: JsonObject = {}

    def holds(self, packed: bytes, frames: bytes | None, now_ms: int) -> bool | None:
        """Evaluate a stored profile.

        Args:
            packed: Its state.
            frames: Its event frames, None for none; not looked at unless `reads_events`.
            now_ms: The instant of the evaluation.

        Returns:
            Whether it matches; None where there is no profile: it was deleted.

        Raises:
            ConfigurationError: The state cannot be read.
        """
        state = glance(packed)
        if not state.created:
            return None
        frame = self._frame
        frame.attributes = self.record = orjson.loads(state.attributes_json)
        frame.members = int.from_bytes(state.members, "little")
        frame.now_ms = now_ms
        if self._reads_memberships:
            frame.before, frame.details = frame.members, decode(packed).details
        if self.reads_events:
            frame.events = self._events(state, frames, now_ms)
        return self._holds(frame)

    def _events(self, state: StateGlance, frames: bytes | None, now_ms: int) -> list[Any]:
        if not frames or not state.orders:
            return []
        cut = first_order(now_ms - self._limits.retention_ms + 1)
        orders = memoryview(state.orders).cast("q")
        return [one.body for one in read_frames(frames, [o for o in orders if o >= cut])]
