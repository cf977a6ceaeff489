"""Following something of the API until it is settled, with a bar where somebody watches."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.adapters.cli.control.commands import Session
from app.adapters.cli.control.output import Output
from app.domain.errors import Unavailable
from app.domain.model import JsonObject
from app.domain.text import printable

_POLL_S = 0.5
_STEP_PERCENT = 10

Timeout = Annotated[
    float, typer.Option("--timeout", min=0, help="Wait no longer than so many seconds.")
]
DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Followed:
    """How a document tells where it stands.

    Attributes:
        state: Name of its field that has the state.
        settled: States that do not change by themselves.
        percent: Returns how far it is, 0 to 100; None when that is not known.
    """

    state: str
    settled: frozenset[str]
    percent: Callable[[JsonObject], float | None]

    def state_of(self, document: JsonObject) -> str:
        """Return the state of a document, fit for a terminal."""
        return printable(str(document.get(self.state)))


def percent_of(progress: object) -> float | None:
    """Return `percent` of an object that tells of progress, 0 to 100; None when it is not known."""
    value: Any = progress.get("percent") if isinstance(progress, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return min(max(float(value), 0.0), 100.0)


def job_percent(job: JsonObject) -> float | None:
    """Return how far a segment or export job is, 0 to 100; None when it is not known."""
    return 100.0 if job.get("status") == "SUCCEEDED" else percent_of(job.get("progress"))


def job_progress(job: JsonObject) -> str | None:
    """Return how far a job is that is being done, for people; None when there is none to tell."""
    progress = job.get("progress")
    percent = percent_of(progress)
    if percent is None or not isinstance(progress, dict):
        return None
    return f"{percent:.0f} %, {progress.get('profiles')} profiles"


def follow(session: Session, path: str, timeout_s: float, followed: Followed) -> JsonObject:
    """Return the document as it is once it is settled, or at the end of the time.

    Raises:
        Refused: By the API, such as when it is removed meanwhile.
        Unavailable: The API does not answer, or did not at the end of the time.
    """
    deadline = time.monotonic() + timeout_s
    document = session.api.get(path)
    with _view(session.out, followed) as show:
        while True:
            show(document)
            left = deadline - time.monotonic()
            if document.get(followed.state) in followed.settled or left <= 0:
                return document
            time.sleep(min(_POLL_S, left))
            try:
                document = session.api.get(path)
            except Unavailable:
                # It may come back, as after a restart.
                if time.monotonic() >= deadline:
                    raise


@contextmanager
def _view(out: Output, followed: Followed) -> Iterator[Callable[[JsonObject], None]]:
    """Yield what shows the state of a document on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(out, followed).show
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("", total=None)

        def show(document: JsonObject) -> None:
            percent = followed.percent(document)
            # Without a total the bar runs to and fro.
            progress.update(
                task,
                description=followed.state_of(document),
                total=None if percent is None else 100,
                completed=percent or 0,
            )

        yield show


class _Lines:
    """A line for each state, and for each tenth of the way."""

    def __init__(self, out: Output, followed: Followed) -> None:
        self._out = out
        self._followed = followed
        self._last: tuple[str, float] | None = None

    def show(self, document: JsonObject) -> None:
        state, percent = self._followed.state_of(document), self._followed.percent(document)
        step = -1 if percent is None else percent // _STEP_PERCENT
        if self._last != (state, step):
            self._out.note(state if percent is None else f"{state} {percent:.0f} %")
        self._last = (state, step)
