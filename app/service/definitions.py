"""Use cases of segment definitions: create, read, list, overwrite, remove.

Optimistic: read the catalogue's head, decide, write; the store refuses the write when the head
moved meanwhile, and the decision is taken again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.domain.definitions import (
    PUBLISHED,
    CatalogueHead,
    DefinitionStore,
    DefinitionWrite,
    StoredDefinition,
)
from app.domain.errors import Conflict, NotFound
from app.domain.model import Tenant
from app.service.definition_document import published_document
from app.service.definition_input import DefinitionInput, Edit, carried_on, new_definition
from app.service.definition_query import DefinitionPage, DefinitionQuery, select
from app.service.expression_forms import TEXT_FORMAT, accepted_expression
from app.service.expressions import (
    DEFAULT_RULES,
    AcceptedExpression,
    ExpressionProblem,
    ExpressionRules,
    RefusedDefinition,
)
from app.service.lifecycle import check_left_alone, check_transition, check_usable
from app.service.references import cycle_through, dependents_by_id, dependents_of

ATTEMPTS = 200
"""Each lost attempt means that another writer of the tenant won, so few are ever needed."""

Result = TypeVar("Result")

Decide = Callable[[StoredDefinition | None], Awaitable[StoredDefinition]]
"""What is to be stored, by what is there; called again when another writer came between."""


@dataclass(frozen=True, slots=True)
class Written:
    """A definition as stored, with what its author should know about it."""

    definition: StoredDefinition
    warnings: tuple[ExpressionProblem, ...] = ()


class Definitions:
    """The definitions of all tenants.

    Args:
        new_id: Returns a new segment id (a random UUID).
        rules: What expressions are held to.
    """

    def __init__(
        self,
        store: DefinitionStore,
        new_id: Callable[[], str],
        rules: ExpressionRules = DEFAULT_RULES,
    ) -> None:
        self._store = store
        self._new_id = new_id
        self._rules = rules

    async def create(self, tenant: Tenant, given: DefinitionInput, now_ms: int) -> Written:
        """Store a new definition; if published it starts `BACKFILLING`.

        Raises:
            RefusedDefinition: The expression cannot be accepted, or asks what is not published.
            Conflict: `name-taken`.
        """
        segment_id = self._new_id()

        async def attempt(head: CatalogueHead) -> Written | None:
            accepted = await self._accepted(tenant, segment_id, given, self._rules)
            # There already: written by an attempt whose answer was lost.
            done = (await self._store.get(tenant, [segment_id])).get(segment_id)
            if done is not None:
                return Written(done, accepted.warnings)
            definition = new_definition(tenant, segment_id, given, accepted, now_ms)
            definition = replace(definition, ordinal=head.next_ordinal)
            await self._check_usable(tenant, definition)
            return await self._stored(tenant, head, definition, accepted.warnings)

        return await self._retried(tenant, attempt)

    async def check(
        self, tenant: Tenant, expression: str, stated_format: str = TEXT_FORMAT
    ) -> AcceptedExpression:
        """Say what would become of a new definition with this expression; store nothing.

        Raises:
            RefusedDefinition: As `create`.
        """
        accepted = await accepted_expression(
            tenant, expression, stated_format, self._rules, self._store.existing
        )
        asked = await self._store.get(tenant, accepted.segment_ids)
        check_usable(PUBLISHED, asked.values())
        return accepted

    async def get(self, tenant: Tenant, segment_id: str) -> StoredDefinition:
        """Return one definition; raises `NotFound`, also for an external audience."""
        found = await self.get_many(tenant, [segment_id])
        if segment_id not in found:
            raise _not_found(segment_id)
        return found[segment_id]

    async def get_many(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredDefinition]:
        """Return those of `ids` that exist and have an expression, by id."""
        found = await self._store.get(tenant, ids)
        return {name: one for name, one in found.items() if one.external is None}

    async def audience(self, tenant: Tenant, segment_id: str) -> StoredDefinition:
        """Return one definition or external audience; raises `NotFound`."""
        found = await self._store.get(tenant, [segment_id])
        if segment_id not in found:
            raise _not_found(segment_id)
        return found[segment_id]

    async def audiences(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredDefinition]:
        """Return those of `ids` that exist, external or not, by id."""
        return await self._store.get(tenant, ids)

    async def all_audiences(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every definition and every external audience, oldest first, without progress."""
        found = [*await self._store.all(tenant), *await self._store.external(tenant)]
        return sorted(found, key=lambda one: (one.created_ms, one.segment_id))

    async def with_progress(
        self, tenant: Tenant, found: Sequence[StoredDefinition]
    ) -> list[StoredDefinition]:
        """Return the same, with how far those are that are `BACKFILLING`."""
        return await self._store.with_progress(tenant, found)

    async def external(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every external audience, oldest first."""
        return await self._store.external(tenant)

    async def find(self, tenant: Tenant, query: DefinitionQuery) -> DefinitionPage:
        """Return one page; only filters and unusual orders read all definitions."""
        if query.by_creation_only:
            total, items = await self._store.page(
                tenant, query.offset, query.limit, newest_first=query.newest_first
            )
            return DefinitionPage(total, tuple(items))
        page = select(await self._store.all(tenant), query)
        shown = await self._store.with_progress(tenant, page.items)
        return DefinitionPage(page.total, tuple(shown))

    async def all(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every definition that has an expression, oldest first, without progress."""
        return await self._store.all(tenant)

    async def dependents(self, tenant: Tenant) -> dict[str, list[str]]:
        """Return by id the ids of the definitions that ask it with `inSegment`, sorted."""
        return dependents_by_id(await self._store.uses(tenant))

    async def versions(self, tenant: Tenant, segment_id: str) -> list[StoredDefinition]:
        """Return the kept versions of a definition, oldest first; raises `NotFound`."""
        await self.get(tenant, segment_id)
        return await self._store.versions(tenant, segment_id)

    async def overwrite(
        self, tenant: Tenant, segment_id: str, given: DefinitionInput, now_ms: int
    ) -> Written:
        """Replace everything a client may choose; raises as `change`."""
        return await self.change(tenant, segment_id, lambda _: given, now_ms)

    async def change(self, tenant: Tenant, segment_id: str, edit: Edit, now_ms: int) -> Written:
        """Replace everything a client may choose; a new version only if evaluation changes.

        Raises:
            NotFound, RefusedDefinition: As in `get` and `create`; a cycle of `inSegment` too.
            UserError: `audience-invalid`: the lifecycle state cannot become the one given.
            Conflict: `name-taken`.
        """

        async def attempt(head: CatalogueHead) -> Written | None:
            previous = await self.get(tenant, segment_id)
            given = edit(previous)
            rules = self._rules
            if given.expression in (previous.expression, previous.sent and previous.sent.value):
                rules = rules.for_what_is_stored()
            accepted = await self._accepted(tenant, segment_id, given, rules)
            new = new_definition(tenant, segment_id, given, accepted, now_ms, previous)
            definition = carried_on(new, previous, accepted)
            check_transition(previous.lifecycle, definition.lifecycle)
            if previous.is_evaluated and not definition.is_evaluated:
                check_left_alone(await self._dependents(tenant, segment_id))
            await self._check_usable(tenant, definition)
            return await self._stored(tenant, head, definition, accepted.warnings, previous)

        return await self._retried(tenant, attempt)

    async def owner_of_name(self, tenant: Tenant, name: str) -> str | None:
        """Return the id of the definition or audience with this name."""
        return await self._store.owner_of_name(tenant, name)

    async def put(self, tenant: Tenant, segment_id: str, decide: Decide) -> StoredDefinition:
        """Store what `decide` makes of what is there; nothing if it leaves it as it is.

        Expressions are not looked at: for external audiences.

        Raises:
            UserError: `audience-invalid`: the lifecycle state cannot become the one decided.
            Conflict: `name-taken`.
        """

        async def attempt(head: CatalogueHead) -> StoredDefinition | None:
            previous = (await self._store.get(tenant, [segment_id])).get(segment_id)
            definition = await decide(previous)
            if definition == previous:
                return definition
            if previous is None:
                definition = replace(definition, ordinal=head.next_ordinal)
            else:
                check_transition(previous.lifecycle, definition.lifecycle)
                if previous.is_evaluated and not definition.is_evaluated:
                    check_left_alone(await self._dependents(tenant, segment_id))
            written = await self._stored(tenant, head, definition, (), previous)
            return None if written is None else written.definition

        return await self._retried(tenant, attempt)

    async def delete(self, tenant: Tenant, segment_id: str) -> StoredDefinition:
        """Remove a definition and return what it was.

        Raises:
            NotFound: There is none.
            Conflict: `has-dependents`: other definitions ask it.
        """
        return await self._delete(tenant, segment_id, self.get)

    async def delete_audience(self, tenant: Tenant, segment_id: str) -> StoredDefinition:
        """Remove a definition or an external audience, as `delete` does."""
        return await self._delete(tenant, segment_id, self.audience)

    async def _delete(
        self,
        tenant: Tenant,
        segment_id: str,
        find: Callable[[Tenant, str], Awaitable[StoredDefinition]],
    ) -> StoredDefinition:
        async def attempt(head: CatalogueHead) -> StoredDefinition | None:
            definition = await find(tenant, segment_id)
            dependents = await self._dependents(tenant, segment_id)
            if dependents:
                named = [one.label for one in dependents]
                raise Conflict(
                    f"segment definition {segment_id!r} is used by {', '.join(named)}; "
                    "remove or change those first",
                    code="has-dependents",
                )
            removed = await self._store.remove(tenant, head, definition)
            return definition if removed else None

        return await self._retried(tenant, attempt)

    async def _retried(
        self, tenant: Tenant, attempt: Callable[[CatalogueHead], Awaitable[Result | None]]
    ) -> Result:
        for _ in range(ATTEMPTS):
            result = await attempt(await self._store.head(tenant))
            if result is not None:
                return result
        raise Conflict(
            "the definitions of this sandbox kept changing while this one was written; try again",
            code="catalogue-busy",
        )

    async def _stored(
        self,
        tenant: Tenant,
        head: CatalogueHead,
        definition: StoredDefinition,
        warnings: tuple[ExpressionProblem, ...],
        previous: StoredDefinition | None = None,
    ) -> Written | None:
        owner = await self._store.owner_of_name(tenant, definition.name)
        if owner not in (None, definition.segment_id):
            raise Conflict(
                f"the name {definition.name!r} is taken by segment definition {owner}; "
                "choose another, or PATCH that one",
                code="name-taken",
            )
        document = published_document(tenant, definition)
        write = DefinitionWrite(definition, document, previous)
        stored = await self._store.put(tenant, head, write)
        return Written(definition, warnings) if stored else None

    async def _dependents(self, tenant: Tenant, segment_id: str) -> list[StoredDefinition]:
        ids = dependents_of(segment_id, await self._store.uses(tenant))
        return list((await self._store.get(tenant, ids)).values())

    async def _check_usable(self, tenant: Tenant, definition: StoredDefinition) -> None:
        asked = await self._store.get(tenant, definition.uses)
        check_usable(definition.lifecycle, asked.values())

    async def _accepted(
        self, tenant: Tenant, segment_id: str, given: DefinitionInput, rules: ExpressionRules
    ) -> AcceptedExpression:
        accepted = await accepted_expression(
            tenant, given.expression, given.expression_format, rules, self._store.existing
        )
        if not accepted.segment_ids:
            return accepted
        uses = await self._store.uses(tenant)
        cycle = cycle_through(segment_id, accepted.segment_ids, uses)
        if cycle is not None:
            path = " → ".join(await self._named(tenant, cycle))
            text = f"inSegment would make a cycle: {path}"
            hint = "Remove one of these references; a segment cannot ask itself."
            raise RefusedDefinition(text, [ExpressionProblem("segment-cycle", text, hint=hint)])
        return accepted

    async def _named(self, tenant: Tenant, ids: Sequence[str]) -> list[str]:
        found = await self._store.get(tenant, ids)
        return [found[one].label if one in found else one for one in ids]


def _not_found(segment_id: str) -> NotFound:
    return NotFound(
        f"there is no segment definition {segment_id!r} in this sandbox",
        code="definition-not-found",
    )
