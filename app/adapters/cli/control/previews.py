"""`segmentation previews`: which profiles meet a predicate, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from app.adapters.cli.control.bodies import read_object
from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.failures import NotReady, Usage
from app.adapters.cli.control.following import Followed, Timeout, follow
from app.adapters.cli.control.lists import (
    Asked,
    Limit,
    Page,
    PageSize,
    limited,
    objects,
    text_of,
)
from app.adapters.cli.control.options import Expression, File
from app.adapters.cli.control.output import Column, named
from app.adapters.cli.control.paths import BASE_PATH, item
from app.domain.model import JsonObject
from app.domain.text import printable

DEFAULT_TIMEOUT_S = 120.0

_COLLECTION = f"{BASE_PATH}/preview"
_ESTIMATES = f"{BASE_PATH}/estimate"
_READY = "RESULT_READY"

group = family()

PreviewId = Annotated[str, typer.Argument(metavar="ID", help="Of the preview.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until all profiles are read.")]
Graph = Annotated[
    str | None, typer.Option(help="none, or pdg for results with their other identities.")
]


def _size(document: JsonObject) -> str:
    limits = document.get("confidenceLimits")
    if not isinstance(limits, dict) or limits.get("lower") == limits.get("upper"):
        return str(document.get("estimatedSize"))
    bounds = f"{limits.get('lower')} to {limits.get('upper')}"
    return f"{document.get('estimatedSize')} ({document.get('confidenceInterval')}: {bounds})"


def _namespaces(document: JsonObject) -> list[str]:
    counts = document.get("estimatedNamespaceDistribution")
    return [
        f"{one.get('namespaceId')} {one.get('profilesMatchedSoFar')}"
        for one in (counts if isinstance(counts, list) else [])
        if isinstance(one, dict)
    ]


def _problem(document: JsonObject) -> str:
    error = document.get("error")
    return str(error.get("description") or "") if isinstance(error, dict) else ""


def _percent(document: JsonObject) -> float | None:
    if document.get("state") == _READY:
        return 100.0
    read, wanted = document.get("profilesReadSoFar"), document.get("numRowsToRead")
    if not isinstance(read, int) or not isinstance(wanted, int) or wanted <= 0:
        return None
    return min(100.0 * read / wanted, 100.0)


_FOLLOWED = Followed("state", frozenset((_READY, "FAILED")), _percent)
_CREATED = (named("id", "previewId"), named("state", "state"))
_ESTIMATE = (
    named("state", "state"),
    Column("size", _size),
    named("error", "standardError"),
    named("profiles", "totalRows"),
    named("read", "profilesReadSoFar"),
    named("matched", "profilesMatchedSoFar"),
    Column("skipped", lambda document: document.get("profilesSkipped") or None),
    Column("namespaces", _namespaces),
    Column("problem", _problem),
)
_RESULTS = (
    Column("PROFILE", lambda one: next(iter(one), None), 36),
    Column("OTHER IDENTITIES", lambda one: _related(one)),
)


def _related(result: JsonObject) -> list[str]:
    found = next(iter(result.values()), None)
    related = found.get("endCustomerIds") if isinstance(found, dict) else None
    return list(related) if isinstance(related, dict) else []


@command(group, "create")
def create_preview(
    session: Session,
    expression: Expression = None,
    graph: Graph = None,
    file: File = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Begin a preview of the profiles that meet a predicate."""
    body = read_object(file) if file is not None else {}
    given = {"predicateExpression": expression, "graphType": graph}
    body |= {name: value for name, value in given.items() if value is not None}
    if "predicateExpression" not in body:
        raise Usage("Give --expression, or --file with the whole body as JSON.")
    created = session.api.send("POST", _COLLECTION, body)
    if not wait:
        session.out.document(created, _CREATED)
        return
    preview_id = text_of(session, created, "previewId")
    # Said first: whoever stops the waiting has to know.
    session.out.note(f"{preview_id} is begun; waiting until it is {_READY}")
    _show_when_ready(session, preview_id, timeout)


@command(group, "get")
def get_preview(
    session: Session, preview_id: PreviewId, limit: Limit = None, page_size: PageSize = 1_000
) -> None:
    """List the profiles that a preview found."""
    asked = Asked(item(_COLLECTION, preview_id), {}, limit, page_size)
    pages = limited(_pages(session, asked, preview_id), limit)
    session.out.rows(pages, _RESULTS, "No profile meets the predicate.")


@command(group, "estimate")
def get_estimate(
    session: Session,
    preview_id: PreviewId,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Show how many profiles meet the predicate of a preview, as far as it is known."""
    if wait:
        _show_when_ready(session, preview_id, timeout)
    else:
        session.out.document(session.api.get(item(_ESTIMATES, preview_id)), _ESTIMATE)


@command(group, "delete")
def delete_preview(session: Session, preview_id: PreviewId) -> None:
    """Cancel a preview and remove it with its results."""
    answer = session.api.send("DELETE", item(_COLLECTION, preview_id))
    session.out.done(answer, f"Preview {preview_id} was removed.")


def _pages(session: Session, asked: Asked, preview_id: str) -> Iterator[Page]:
    for page in session.api.linked_pages(asked.path, asked.query, "links"):
        state = text_of(session, page, "state")
        if state != _READY:
            raise NotReady(
                f"{preview_id} is {printable(state)}: it has results once it is {_READY}. See:"
                f" segmentation previews estimate {preview_id}"
            )
        yield objects(session, page, "results")


def _show_when_ready(session: Session, preview_id: str, timeout_s: float) -> None:
    """Follow a preview until it is ready, then show its estimate.

    Raises:
        NotReady: It failed, or the time is over. It was shown all the same.
        Unavailable: The API does not answer, or did not at the end of the time.
    """
    document = follow(session, item(_ESTIMATES, preview_id), timeout_s, _FOLLOWED)
    session.out.document(document, _ESTIMATE)
    state = document.get("state")
    if state == "FAILED":
        raise NotReady(f"{preview_id} is FAILED: {printable(_problem(document))}")
    if state != _READY:
        raise NotReady(
            f"{preview_id} is still {printable(str(state))} after {timeout_s:g} s. Go on waiting:"
            f" segmentation previews estimate {preview_id} --wait"
        )
