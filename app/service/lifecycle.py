"""The life of an audience: draft, published, inactive, deleted.

Only what is published is evaluated (docs/decisions/0202). Deleted is no state here: what was
deleted is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.domain.definitions import DRAFT, INACTIVE, PUBLISHED, LifecycleState, StoredDefinition
from app.domain.errors import UserError
from app.service.expressions import ExpressionProblem, RefusedDefinition

REFUSED = "audience-invalid"
"""Code of everything about an audience that is refused although its shape is right."""

_BY_NAME: dict[str, LifecycleState] = {
    DRAFT: DRAFT,
    PUBLISHED: PUBLISHED,
    INACTIVE: INACTIVE,
}
_DELETED = frozenset({"delete", "deleted", "archived"})

_NEXT: dict[LifecycleState, tuple[LifecycleState, ...]] = {
    DRAFT: (PUBLISHED,),
    PUBLISHED: (INACTIVE,),
    INACTIVE: (PUBLISHED,),
}
"""Where each state can go, apart from being deleted. Source: API reference, lifecycle."""

_USABLE: dict[LifecycleState, frozenset[LifecycleState]] = {
    DRAFT: frozenset({DRAFT, PUBLISHED}),
    PUBLISHED: frozenset({PUBLISHED}),
    INACTIVE: frozenset({DRAFT, PUBLISHED, INACTIVE}),
}
"""Which states `inSegment` of a definition in each state may ask."""


def lifecycle_of(text: str) -> LifecycleState:
    """Parse a lifecycle state.

    Raises:
        UserError: `audience-invalid`: it is none, or stands for deleted.
    """
    if text in _DELETED:
        raise UserError(
            f"lifecycleState cannot be set to {text!r}; send DELETE to remove an audience",
            code=REFUSED,
        )
    if text not in _BY_NAME:
        raise UserError(
            f"lifecycleState {text!r} is none of {', '.join(_BY_NAME)}; send one of these",
            code=REFUSED,
        )
    return _BY_NAME[text]


def check_transition(now: LifecycleState, wanted: LifecycleState) -> None:
    """Refuse a step that no audience takes.

    Raises:
        UserError: `audience-invalid`.
    """
    if wanted == now or wanted in _NEXT[now]:
        return
    possible = ", ".join(_NEXT[now])
    hint = "; create a copy to go on with a draft" if wanted == DRAFT else ""
    raise UserError(
        f"an audience that is {now} cannot become {wanted}, only {possible} or deleted{hint}",
        code=REFUSED,
    )


def check_left_alone(dependents: Sequence[StoredDefinition]) -> None:
    """Refuse to take an audience out of evaluation that others which are in use ask.

    Args:
        dependents: The definitions that ask it.

    Raises:
        UserError: `audience-invalid`, naming them.
    """
    using = [one.label for one in dependents if one.lifecycle != INACTIVE]
    if using:
        raise UserError(
            f"the audience is used by {', '.join(using)}; deactivate, change or remove those first",
            code=REFUSED,
        )


def check_usable(lifecycle: LifecycleState, asked: Iterable[StoredDefinition]) -> None:
    """Refuse `inSegment` of audiences that one in this state cannot be built on.

    Raises:
        RefusedDefinition: With one problem for each of them.
    """
    problems = [
        ExpressionProblem(
            "segment-not-published",
            f"inSegment asks {one.label}, which is {one.lifecycle}",
            hint="Publish that one first.",
        )
        for one in asked
        if one.lifecycle not in _USABLE[lifecycle]
    ]
    if problems:
        text = f"what is {lifecycle} cannot be built on audiences in another state"
        raise RefusedDefinition(text, problems)
