"""Keeps processes running: starts them, notices when one dies, starts it again with back-off.

A process that is there but not ready (Kafka is away, a rebalance runs, an operator stopped it) is
left alone: it recovers by itself, and killing it would only cost another rebalance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

import structlog

from app.domain.errors import Unavailable

_log = structlog.get_logger(__name__)

_TICK_S = 0.1
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 10.0
# One that has worked for so long is taken to be well: its next failure is a first one.
_STEADY_S = 30.0
_FIRST_TRIES = 5
_FIRST_READY_S = 120.0


class Unit(Protocol):
    """Something to keep running."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        ...

    def start(self) -> None:
        """Start the process; raises Unavailable if that fails."""
        ...

    @property
    def log_file(self) -> Path:
        """What it writes."""
        ...

    def is_ready(self) -> bool:
        """Whether it does its work."""
        ...

    def ask_to_stop(self) -> None:
        """Ask it to stop, without waiting, where it need not wait for others."""
        ...

    def stop(self) -> None:
        """Stop it, and return when it is gone."""
        ...

    def how_it_ended(self) -> str:
        """Say how it ended."""
        ...


@dataclass(slots=True)
class _Watched:
    """A unit and what happened to it; times are of the monotonic clock, in seconds."""

    unit: Unit
    is_ready: bool = False
    was_ever_ready: bool = False
    failures: int = 0
    start_at: float | None = 0.0
    changed_at: float = field(default_factory=time.monotonic)

    def failed(self, now: float, how: str) -> None:
        """Plan the next start, later with every failure in a row."""
        if self.is_ready and now - self.changed_at > _STEADY_S:
            self.failures = 0
        self.failures += 1
        if not self.was_ever_ready and self.failures >= _FIRST_TRIES:
            raise Unavailable(f"Gave up after {self.failures} starts. {how}")
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** (self.failures - 1))
        lines = how.splitlines()
        reason = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
        _log.warning("starting again", unit=self.unit.name, delay_s=delay, reason=reason)
        self.is_ready = False
        self.start_at = now + delay
        self.changed_at = now


class Supervisor:
    """Runs units until told to stop.

    Args:
        units: In the order of starting; they are stopped in the opposite order.
        on_ready: Called each time all units have become ready: at first, and after a restart.
    """

    def __init__(self, units: Sequence[Unit], on_ready: Callable[[], None]) -> None:
        self._watched = [_Watched(unit) for unit in units]
        self._on_ready = on_ready
        self._is_announced = False

    def adopt(self, unit: Unit) -> None:
        """Watch a unit that was started already, before all others."""
        self._watched.insert(0, _Watched(unit, is_ready=True, was_ever_ready=True, start_at=None))

    def run(self, stop: Event) -> None:
        """Keep the units running until `stop` is set.

        Raises:
            Unavailable: If a unit cannot be got to work in the first place; says what it wrote.
        """
        while not stop.is_set():
            for watched in self._watched:
                if stop.is_set():
                    return
                self._look_after(watched)
            is_ready = all(watched.is_ready for watched in self._watched)
            if is_ready and not self._is_announced:
                self._on_ready()
            self._is_announced = is_ready
            stop.wait(_TICK_S)

    def stop_all(self) -> None:
        """Stop everything; those that need not wait for others, at the same time."""
        units = [watched.unit for watched in reversed(self._watched)]
        for unit in units:
            unit.ask_to_stop()
        for unit in units:
            unit.stop()

    def _look_after(self, watched: _Watched) -> None:
        now = time.monotonic()
        unit = watched.unit
        if watched.start_at is not None:
            if now >= watched.start_at:
                self._start(watched, now)
        elif not unit.is_running:
            watched.failed(now, unit.how_it_ended())
        elif not watched.is_ready:
            self._look_whether_ready(watched, now)

    def _start(self, watched: _Watched, now: float) -> None:
        watched.start_at = None
        watched.changed_at = now
        try:
            watched.unit.start()
        except Unavailable as error:
            watched.failed(time.monotonic(), error.message)

    def _look_whether_ready(self, watched: _Watched, now: float) -> None:
        if watched.unit.is_ready():
            watched.is_ready = watched.was_ever_ready = True
            watched.changed_at = now
        elif not watched.was_ever_ready and now - watched.changed_at > _FIRST_READY_S:
            raise Unavailable(
                f"{watched.unit.name} runs but was not ready after {_FIRST_READY_S:.0f} s;"
                f" its log says why: {watched.unit.log_file}"
            )
