"""All live definitions of a tenant, compiled together."""

from __future__ import annotations

from app.domain.limits import EngineLimits
from app.domain.model import DefinitionSet


class Catalogue:
    """Immutable; shared by all profiles of a tenant and swapped whole.

    Attributes:
        tag: Tag of the definition set it was compiled from.
        failures: Reason by segment id for definitions that could not be compiled; the others run.
    """

    tag: str
    failures: dict[str, str]


def compile_catalogue(
    definitions: DefinitionSet, limits: EngineLimits, previous: Catalogue | None = None
) -> Catalogue:
    """Compile a set; what `previous` has compiled already is taken over."""
    raise AssertionError
