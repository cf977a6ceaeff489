"""Use cases of previews: begin, read page by page, estimate, remove.

Workers do a preview (docs/decisions/0306); here it is only asked for, and shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.definitions import PUBLISHED, DefinitionStore
from app.domain.errors import NotFound, UserError
from app.domain.model import Tenant
from app.domain.previews import (
    PreviewLimits,
    PreviewMatch,
    PreviewStore,
    PreviewTask,
    StoredPreview,
)
from app.service.expression_forms import TEXT_FORMAT, accepted_expression
from app.service.expressions import AcceptedExpression, ExpressionRules
from app.service.lifecycle import check_usable

APPLICATION = "segmentation"
EXECUTION = 0
"""A preview is executed once."""

_QUERY = re.compile(rf"0:{APPLICATION}:([0-9a-f-]{{36}}):{EXECUTION}")


class TooManyPreviews(UserError):
    """So many previews of the tenant are unfinished, or kept, that no other may begin."""

    code = "previews-busy"


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """Matches of a preview.

    Attributes:
        total: How many are kept; 0 until the preview is ready.
        matches: Those on the page.
    """

    preview: StoredPreview
    total: int
    matches: tuple[PreviewMatch, ...]


class Previews:
    """The previews of all tenants.

    Args:
        new_id: Returns a new id (a random UUID).
        now_ms: The wall clock in epoch milliseconds.
        rules: What expressions are held to.
    """

    def __init__(
        self,
        store: PreviewStore,
        definitions: DefinitionStore,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
        rules: ExpressionRules,
        limits: PreviewLimits,
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._new_id = new_id
        self._now_ms = now_ms
        self._rules = rules
        self._limits = limits

    async def create(
        self,
        tenant: Tenant,
        expression: str,
        *,
        is_stitched: bool,
        excludes_opt_out: bool = True,
        stated_format: str = TEXT_FORMAT,
    ) -> StoredPreview:
        """Begin a preview; returns it as it is then.

        Profiles with a general opt-out are left out by default, as of a definition.

        Raises:
            RefusedDefinition: The expression cannot be accepted, or asks what is not published.
            TooManyPreviews: As the name says.
        """
        accepted = await self._accepted(tenant, expression, stated_format)
        asked = await self._definitions.get(tenant, accepted.segment_ids)
        check_usable(PUBLISHED, asked.values())
        ordinals = {segment_id: one.ordinal for segment_id, one in asked.items()}
        task = PreviewTask(self._new_id(), accepted.text, ordinals, is_stitched, excludes_opt_out)
        said = await self._store.create(tenant, task, self._limits, self._now_ms())
        if said != "ok":
            raise self._too_many(said)
        return StoredPreview(task, "NEW")

    async def get(self, tenant: Tenant, preview_id: str) -> StoredPreview:
        """Return a preview; raises `NotFound`."""
        found = await self._store.get(tenant, _query_id(preview_id))
        if found is None:
            raise _not_found(preview_id)
        return found

    async def page(self, tenant: Tenant, preview_id: str, offset: int, limit: int) -> PreviewPage:
        """Return a preview and its matches from `offset` on; raises `NotFound`.

        Until it is ready none are shown: their order would change between two pages.
        """
        preview = await self.get(tenant, preview_id)
        if preview.state != "RESULT_READY":
            return PreviewPage(preview, 0, ())
        total, found = await self._store.matches(tenant, preview.task.query_id, offset, limit)
        return PreviewPage(preview, total, tuple(found))

    async def delete(self, tenant: Tenant, preview_id: str) -> None:
        """Cancel and remove a preview; raises `NotFound`."""
        if not await self._store.delete(tenant, _query_id(preview_id)):
            raise _not_found(preview_id)

    async def _accepted(
        self, tenant: Tenant, expression: str, stated_format: str
    ) -> AcceptedExpression:
        return await accepted_expression(
            tenant, expression, stated_format, self._rules, self._definitions.existing
        )

    def _too_many(self, what: str) -> TooManyPreviews:
        if what == "running":
            return TooManyPreviews(
                f"{self._limits.running} previews of this sandbox are not finished yet; try again"
                " when some are, or delete some"
            )
        minutes = self._limits.kept_ms // 60_000
        return TooManyPreviews(
            f"{self._limits.stored} previews of this sandbox are kept; delete some, or wait until"
            f" some expire, which each does {minutes} minutes after it was created"
        )


def preview_id_of(query_id: str) -> str:
    """Return the id of a preview; source: API reference, composite identifiers."""
    text = f"0:{APPLICATION}:{query_id}:{EXECUTION}"
    return base64.b64encode(text.encode()).decode().rstrip("=")


def _query_id(preview_id: str) -> str:
    """Return the query id that a preview id names, padded or not; raises `NotFound`."""
    bare = preview_id.rstrip("=")
    try:
        text = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise _not_found(preview_id) from None
    found = _QUERY.fullmatch(text)
    if found is None:
        raise _not_found(preview_id)
    return found[1]


def _not_found(preview_id: str) -> NotFound:
    text = f"there is no preview {preview_id!r} in this sandbox; it may have expired"
    return NotFound(text, code="preview-not-found")
