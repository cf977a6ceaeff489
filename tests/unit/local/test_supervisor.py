"""The supervisor: what dies is started again, later each time; what cannot start is told."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from app.adapters.local import supervisor as module
from app.adapters.local.supervisor import Supervisor
from app.domain.errors import Unavailable


class _Unit:
    """A unit that the test kills; ready as soon as it runs."""

    log_file = Path("unit.log")

    def __init__(self, name="unit", journal=None, refuses=0):
        self.name = name
        self.is_running = False
        self.starts = 0
        self._refuses = refuses
        self._journal = journal if journal is not None else []

    def start(self):
        self.starts += 1
        if self.starts <= self._refuses:
            raise Unavailable("does not start")
        self.is_running = True

    def is_ready(self):
        return self.is_running

    def ask_to_stop(self):
        self._journal.append(f"ask {self.name}")

    def stop(self):
        self._journal.append(f"stop {self.name}")

    def how_it_ended(self):
        return f"{self.name} ended"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(module, "_TICK_S", 0.001)
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.001)


def test_a_unit_that_dies_is_started_again_and_readiness_told_again():
    unit, stop, told = _Unit(), Event(), []

    def on_ready():
        told.append(unit.starts)
        if len(told) == 3:
            stop.set()
        unit.is_running = False

    Supervisor([unit], on_ready).run(stop)

    assert told == [1, 2, 3]


def test_a_unit_that_never_works_ends_the_run_saying_why():
    unit = _Unit(refuses=100)

    with pytest.raises(Unavailable, match=r"after 5 starts\. does not start"):
        Supervisor([unit], lambda: None).run(Event())

    assert unit.starts == 5


def test_readiness_waits_for_every_unit():
    late, stop, told = _Unit(refuses=2), Event(), []

    def on_ready():
        told.append(late.is_running)
        stop.set()

    Supervisor([_Unit(), late], on_ready).run(stop)

    assert told == [True]


def test_services_stop_before_the_servers_that_they_use():
    journal: list[str] = []
    supervisor = Supervisor([_Unit("worker", journal), _Unit("api", journal)], lambda: None)
    supervisor.adopt(_Unit("redis", journal))
    supervisor.adopt(_Unit("kafka", journal))

    supervisor.stop_all()

    stops = [entry.split()[1] for entry in journal if entry.startswith("stop")]
    assert stops == ["api", "worker", "redis", "kafka"]
    assert journal.index("ask worker") < journal.index("stop api")


def test_the_delay_grows_with_every_failure_in_a_row_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_DELAY_S", 0.25)
    watched = module._Watched(_Unit(), was_ever_ready=True)
    delays = []

    for _ in range(8):
        watched.failed(0.0, "ended")
        delays.append(watched.start_at)

    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
