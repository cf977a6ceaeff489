"""Following what workers do until it is done, with a bar where somebody watches."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.adapters.cli.control.answers import placed
from app.adapters.cli.control.commands import Session
from app.adapters.cli.control.failures import NotLive
from app.adapters.cli.control.lists import text_of
from app.adapters.cli.control.output import Column, Output
from app.adapters.cli.control.paths import item
from app.adapters.cli.control.text import printable
from app.domain.errors import Unavailable
from app.domain.model import JsonObject

_POLL_S = 0.5
_STEP_PERCENT = 10

Wait = Annotated[bool, typer.Option("--wait", help="Until all profiles are evaluated by it.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0, help="Wait no longer than so many seconds.")
]
DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How the API and a command show definitions: as such, or as audiences.

    Attributes:
        collection: Path of all of them.
        fields: What is shown of one.
    """

    collection: str
    fields: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at in a document that is followed.

    Attributes:
        state: Field with its state.
        settled: States in which it stays.
        percent: How far it is, 0 to 100; None when that is not known.
    """

    state: str
    settled: frozenset[str]
    percent: Callable[[JsonObject], float | None]

    def state_of(self, document: JsonObject) -> str:
        """Return the state of a document, for people."""
        return printable(str(document.get(self.state)))

    def is_settled(self, document: JsonObject) -> bool:
        """Tell whether a document stays in its state."""
        return document.get(self.state) in self.settled


@dataclass(frozen=True, slots=True)
class Patience:
    """Whether a command waits, and how long."""

    wait: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Write:
    """A call that writes a definition.

    Attributes:
        body: As JSON.
        source: The expression in it, empty for none; refusals point into it.
    """

    method: str
    path: str
    body: Any
    source: str


def send_and_show(session: Session, kind: Kind, write: Write, patience: Patience) -> None:
    """Write, then show the answer with its warnings; wait before if that is wanted.

    Raises:
        Refused: The API does not take it.
        NotLive, Unavailable: As `show_when_live`.
    """
    written = session.api.send(write.method, write.path, write.body, write.source)
    note_warnings(session.out, written, write.source)
    if not patience.wait:
        session.out.document(written, kind.fields)
        return
    segment_id = text_of(session, written, "id")
    # Said first: whoever stops the waiting has to know.
    session.out.note(f"{segment_id} is written; waiting until it is LIVE")
    show_when_live(session, kind, segment_id, patience.timeout_s)


def show_when_live(session: Session, kind: Kind, segment_id: str, timeout_s: float) -> None:
    """Follow a definition until it is `LIVE`, then show it.

    Raises:
        NotLive: It failed, is not evaluated at all, or the time is over. It was shown all the same.
        Unavailable: The API does not answer, or did not at the end of the time.
    """
    document = followed(session, item(kind.collection, segment_id), timeout_s, _DEFINITION)
    session.out.document(document, kind.fields)
    problem = _problem(document, timeout_s)
    if problem:
        raise NotLive(problem)


def followed(session: Session, path: str, timeout_s: float, watch: Watch) -> JsonObject:
    """Return the document at a path as it is once it is settled, or at the end of the time.

    Raises:
        Unavailable: The API does not answer, or did not at the end of the time.
    """
    deadline = time.monotonic() + timeout_s
    document = session.api.get(path)
    with _view(session.out, watch) as show:
        while True:
            show(document)
            left = deadline - time.monotonic()
            if watch.is_settled(document) or left <= 0:
                return document
            time.sleep(min(_POLL_S, left))
            try:
                document = session.api.get(path)
            except Unavailable:
                # It may come back, as after a restart.
                if time.monotonic() >= deadline:
                    raise


def _problem(document: JsonObject, timeout_s: float) -> str:
    """Return why a definition is not live; empty when it is."""
    state, name = document.get("evaluationState"), document.get("id")
    if state == "LIVE":
        return ""
    if state == "FAILED":
        reason = document.get("evaluationStateReason") or "no reason is given"
        return f"{name} is FAILED: {printable(str(reason))}. Edit it to try again."
    if state == "OFF":
        return (
            f"{name} is OFF: a draft or inactive audience is not evaluated."
            f" Publish it: segmentation audiences publish {name}"
        )
    return (
        f"{name} is still {state} after {timeout_s:g} s. Go on waiting:"
        f" segmentation definitions watch {name}"
    )


def progress_percent(document: JsonObject) -> float | None:
    """Return how far the evaluation of a definition is, 0 to 100; None when it is not known."""
    if document.get("evaluationState") == "LIVE":
        return 100.0
    progress = document.get("evaluationProgress")
    percent = _number(progress.get("percent")) if isinstance(progress, dict) else None
    return None if percent is None else min(max(percent, 0.0), 100.0)


_DEFINITION = Watch("evaluationState", frozenset(("LIVE", "FAILED", "OFF")), progress_percent)


def progress_text(document: JsonObject) -> str | None:
    """Return how far an evaluation that goes on is, for people; None when there is none to tell."""
    percent = progress_percent(document)
    is_told = percent is not None and document.get("evaluationState") != "LIVE"
    return f"{percent:.0f} %" if is_told else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


@contextmanager
def _view(out: Output, watch: Watch) -> Iterator[Callable[[JsonObject], None]]:
    """Yield what shows the state of a document on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(out, watch).show
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("", total=None)

        def show(document: JsonObject) -> None:
            percent = watch.percent(document)
            # Without a total the bar runs to and fro.
            progress.update(
                task,
                description=watch.state_of(document),
                total=None if percent is None else 100,
                completed=percent or 0,
            )

        yield show


class _Lines:
    """A line for each state, and for each tenth of the way."""

    def __init__(self, out: Output, watch: Watch) -> None:
        self._out = out
        self._watch = watch
        self._last: tuple[str, float] | None = None

    def show(self, document: JsonObject) -> None:
        state, percent = self._watch.state_of(document), self._watch.percent(document)
        step = -1 if percent is None else percent // _STEP_PERCENT
        if self._last != (state, step):
            self._out.note(state if percent is None else f"{state} {percent:.0f} %")
        self._last = (state, step)


def note_warnings(out: Output, document: JsonObject, source: str) -> None:
    """Tell what is allowed but perhaps not meant (docs/api.md)."""
    warnings = document.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        lines = list(placed(warning, source))
        out.note("\n".join([f"warning: {lines[0]}", *(f"  {line}" for line in lines[1:])]))
