"""The catalogues that the profiles of a tenant may have been evaluated with."""

from __future__ import annotations

from typing import Final

from app.domain.limits import EngineLimits
from app.engine.catalogue import EMPTY, Catalogue
from app.engine.step import Stepper

_RECENT: Final = 16


class TenantCatalogues:
    """Catalogue of one tenant and the ones before it, whose profiles may still turn up.

    Attributes:
        stepper: Evaluates with the current catalogue.
        recent: Catalogues by tag.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self.stepper = Stepper(EMPTY, limits)
        self.recent: dict[str, Catalogue] = {EMPTY.tag: EMPTY}
        self._rebuilds: dict[str, bool] = {}

    def swap(self, catalogue: Catalogue) -> None:
        """Let this catalogue be the current one."""
        if catalogue.tag == self.stepper.catalogue.tag:
            return
        self.stepper = Stepper(catalogue, self._limits)
        self.recent[catalogue.tag] = catalogue
        while len(self.recent) > _RECENT:
            del self.recent[next(iter(self.recent))]
        self._rebuilds.clear()

    def needs_events(self, tag: str) -> bool:
        """Tell whether a profile last evaluated with catalogue `tag` is needed with its events."""
        catalogue = self.stepper.catalogue
        if catalogue.history_ranks:
            return True
        if tag == catalogue.tag:
            return False
        known = self._rebuilds.get(tag)
        if known is None:
            known = self._rebuilds[tag] = self.stepper.needs_rebuild(self.recent.get(tag))
        return known
