"""Writing a definition, and waiting until it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.adapters.cli.control.answers import placed
from app.adapters.cli.control.commands import Session
from app.adapters.cli.control.failures import NotLive
from app.adapters.cli.control.following import DEFAULT_TIMEOUT_S, Followed, follow, percent_of
from app.adapters.cli.control.lists import text_of
from app.adapters.cli.control.output import Column, Output
from app.adapters.cli.control.paths import item
from app.domain.model import JsonObject
from app.domain.text import printable

Wait = Annotated[bool, typer.Option("--wait", help="Until all profiles are evaluated by it.")]


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
class Patience:
    """Whether a command waits, and how long."""

    wait: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Write:
    """A call that writes a definition.

    Attributes:
        body: As JSON.
    """

    method: str
    path: str
    body: Any


def send_and_show(session: Session, kind: Kind, write: Write, patience: Patience) -> None:
    """Write, then show the answer with its warnings; wait before if that is wanted.

    Raises:
        Refused: The API does not take it.
        NotLive, Unavailable: As `show_when_live`.
    """
    written = session.api.send(write.method, write.path, write.body)
    note_warnings(session.out, written)
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
    path = item(kind.collection, segment_id)
    document = follow(session, path, timeout_s, _EVALUATION)
    session.out.document(document, kind.fields)
    problem = _problem(document, timeout_s)
    if problem:
        raise NotLive(problem)


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
    return percent_of(document.get("evaluationProgress"))


def progress_text(document: JsonObject) -> str | None:
    """Return how far an evaluation that goes on is, for people; None when there is none to tell."""
    percent = progress_percent(document)
    is_told = percent is not None and document.get("evaluationState") != "LIVE"
    return f"{percent:.0f} %" if is_told else None


_EVALUATION = Followed("evaluationState", frozenset({"LIVE", "FAILED", "OFF"}), progress_percent)


def note_warnings(out: Output, document: JsonObject) -> None:
    """Tell what is allowed but perhaps not meant (docs/api.md)."""
    warnings = document.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        lines = list(placed(warning))
        out.note("\n".join([f"warning: {lines[0]}", *(f"  {line}" for line in lines[1:])]))
