"""`segmentation explain`: why a profile is in a segment, or not."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from app.adapters.cli.control.commands import Session, command, family
from app.adapters.cli.control.paths import item

group = family()

ProfileId = Annotated[str, typer.Argument(metavar="PROFILE", help="Id of the profile.")]
SegmentId = Annotated[str, typer.Argument(metavar="SEGMENT", help="Id of the segment.")]
At = Annotated[
    str | None,
    typer.Option(help="Instant, ISO 8601 or epoch ms. [default: clock of the partition]"),
]
Limit = Annotated[
    int, typer.Option(min=0, max=1_000, help="Events shown of each condition, the newest.")
]


@command(group, "explain")
def explain_membership(
    session: Session, profile_id: ProfileId, segment_id: SegmentId, at: At = None, limit: Limit = 5
) -> None:
    """Show why a profile is in a segment, or not: values, events, what comes, what is missing."""
    asked = {"limit": str(limit), **({} if at is None else {"at": at})}
    path = item("/profiles", profile_id, *item("segments", segment_id, "explain").split("/"))
    answer = session.api.get(path, asked)
    if not isinstance(answer.get("qualifies"), bool):
        raise session.api.strange("an explanation without an answer")
    from app.adapters.cli.control.explain_view import parts_of

    session.out.parts(answer, partial(parts_of, answer))
