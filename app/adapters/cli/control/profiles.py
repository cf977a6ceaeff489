"""`segmentation profiles`: what is stored of a profile."""

from __future__ import annotations

from typing import Annotated

import typer

from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.output import ID_WIDTH, named
from app.adapters.cli.control.paths import item
from app.domain.model import JsonObject

group = family()

_COLUMNS = (
    named("SEGMENT", "segment", ID_WIDTH),
    named("STATUS", "status", 8),
    named("SINCE", "lastQualificationTime"),
)

ProfileId = Annotated[str, typer.Argument(metavar="ID", help="Of the profile.")]


@command(group, "membership")
def show_membership(session: Session, profile_id: ProfileId) -> None:
    """Show the segments that a profile is in, or was, as of its last evaluation."""
    answer = session.api.get(item("/profiles", profile_id, "membership"))
    if session.out.json:
        session.out.document(answer, ())
        return
    session.out.rows([_rows(session, answer)], _COLUMNS, "It is in no segment.")


def _rows(session: Session, answer: JsonObject) -> list[JsonObject]:
    held = answer.get("segmentMembership")
    if not isinstance(held, dict) or not all(isinstance(one, dict) for one in held.values()):
        raise session.api.strange("an answer without segmentMembership")
    return [
        {"segment": segment_id, **membership}
        for namespace in held.values()
        for segment_id, membership in sorted(namespace.items())
    ]
