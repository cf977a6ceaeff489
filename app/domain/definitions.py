"""Segment definitions as the control plane keeps them, and the port of their store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from app.domain.external import ExternalAudience
from app.domain.model import SEGMENT_NAMESPACE, EvaluationState, JsonObject, Tenant

BACKFILLING: EvaluationState = "BACKFILLING"
LIVE: EvaluationState = "LIVE"
FAILED: EvaluationState = "FAILED"
REMOVING: EvaluationState = "REMOVING"
OFF: EvaluationState = "OFF"

LifecycleState: TypeAlias = Literal["draft", "published", "inactive"]
DRAFT: LifecycleState = "draft"
PUBLISHED: LifecycleState = "published"
INACTIVE: LifecycleState = "inactive"


@dataclass(frozen=True, slots=True)
class EvaluationMethods:
    """`evaluationInfo`: stored, returned and filtered on; nothing else reads it."""

    batch: bool = True
    continuous: bool = False
    synchronous: bool = False


@dataclass(frozen=True, slots=True)
class SentExpression:
    """An expression as its author sent it.

    Attributes:
        format: `pql/text` or `pql/json`.
        value: The text, or the tree as JSON.
    """

    format: str
    value: str


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far the profiles have been brought to a definition that is `BACKFILLING`.

    Attributes:
        percent: Of all profiles, below 100 until the last partition is done.
    """

    partitions_done: int
    partitions: int
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDefinition:
    """One segment definition with everything the API shows of it.

    Attributes:
        ordinal: Small number, unique in the tenant, never used again.
        version: 1, 2, 3, …; grows when what is evaluated changes.
        expression: PQL text, which is what is evaluated.
        uses: Segment ids that the expression asks with `inSegment`, sorted.
        created_ms, updated_ms: Epoch milliseconds.
        version_ms: When the current version was made.
        lifecycle: Only a published definition is evaluated.
        labels: Usage and access labels such as `core/C1`, in the order given.
        override_performance_warnings: Stored and returned.
        exclude_opt_out: Profiles with a general opt-out are left out.
        created_by, modified_by: Names of the callers who wrote it first and last; empty for what
            was written before they were kept.
        state_reason: Why the state is `FAILED`; empty otherwise.
        progress: While `BACKFILLING`, once a worker has reported; None otherwise.
        external: Of an external audience, which has no expression; None for all others.
        sent: The expression as the API shows it; None where that is `expression` itself.
    """

    segment_id: str
    ordinal: int
    version: int
    name: str
    description: str
    expression: str
    schema_name: str
    methods: EvaluationMethods
    merge_policy_id: str
    profile_instance_id: str
    uses: tuple[str, ...]
    created_ms: int
    updated_ms: int
    version_ms: int
    lifecycle: LifecycleState = PUBLISHED
    labels: tuple[str, ...] = ()
    override_performance_warnings: bool = False
    exclude_opt_out: bool = True
    created_by: str = ""
    modified_by: str = ""
    state: EvaluationState = BACKFILLING
    state_reason: str = ""
    progress: BackfillProgress | None = None
    external: ExternalAudience | None = None
    sent: SentExpression | None = None

    @property
    def membership_namespace(self) -> str:
        """Namespace of its memberships."""
        return SEGMENT_NAMESPACE if self.external is None else self.external.namespace

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"{self.name!r} ({self.segment_id})"

    @property
    def is_evaluated(self) -> bool:
        """Whether workers evaluate it."""
        return self.lifecycle == PUBLISHED


@dataclass(frozen=True, slots=True)
class CatalogueHead:
    """What a write was decided on; a write with an outdated head is refused by the store.

    Attributes:
        revision: Random, new with each write.
        number: Of the catalogue tag; 0 before the first write.
        next_ordinal: For the next definition created.
    """

    revision: str
    number: int
    next_ordinal: int


@dataclass(frozen=True, slots=True)
class DefinitionWrite:
    """One definition to store.

    Attributes:
        published: Value of the record on the `definitions` topic.
        previous: What it replaces, None when it is new.
    """

    definition: StoredDefinition
    published: JsonObject
    previous: StoredDefinition | None = None


@dataclass(frozen=True, slots=True)
class DefinitionRecord:
    """One record that waits to be published on the `definitions` topic.

    Attributes:
        position: In the tenant's outbox; later records have later positions.
        value: None for a tombstone.
    """

    position: bytes
    key: str
    value: bytes | None


class DefinitionStore(Protocol):
    """Definitions of all tenants. Every method raises `Unavailable` when the store is away."""

    async def head(self, tenant: Tenant) -> CatalogueHead:
        """Return what the next write has to be decided on; read it before anything else."""
        ...

    async def get(self, tenant: Tenant, ids: Sequence[str]) -> dict[str, StoredDefinition]:
        """Return the definitions among `ids` that exist, by id, in the order asked for.

        External audiences are among them.
        """
        ...

    async def page(
        self, tenant: Tenant, offset: int, limit: int, *, newest_first: bool
    ) -> tuple[int, list[StoredDefinition]]:
        """Return how many have an expression, and `limit` from `offset` by creation time."""
        ...

    async def all(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every definition that has an expression, oldest first, without progress."""
        ...

    async def external(self, tenant: Tenant) -> list[StoredDefinition]:
        """Return every external audience, oldest first, without progress."""
        ...

    async def with_progress(
        self, tenant: Tenant, definitions: Sequence[StoredDefinition]
    ) -> list[StoredDefinition]:
        """Return the same, with how far those are that are `BACKFILLING`."""
        ...

    async def owner_of_name(self, tenant: Tenant, name: str) -> str | None:
        """Return the id of the definition with this name."""
        ...

    async def existing(self, tenant: Tenant, ids: Collection[str]) -> frozenset[str]:
        """Return those of `ids` that exist."""
        ...

    async def uses(self, tenant: Tenant) -> Mapping[str, tuple[str, ...]]:
        """Return what each definition asks with `inSegment`; those that ask nothing are absent."""
        ...

    async def versions(self, tenant: Tenant, segment_id: str) -> list[StoredDefinition]:
        """Return the kept versions of a definition, oldest first."""
        ...

    async def segment_ids(self, tenant: Tenant) -> dict[int, str]:
        """Return the id by ordinal of each existing definition that was ever published."""
        ...

    async def namespaces(self, tenant: Tenant) -> dict[int, str]:
        """Return by ordinal the namespace of memberships of those that are external."""
        ...

    async def put(self, tenant: Tenant, head: CatalogueHead, write: DefinitionWrite) -> bool:
        """Store a definition with history, name, tag and outbox record, all or nothing.

        Returns:
            False, with nothing written, when `head` is outdated.
        """
        ...

    async def remove(
        self, tenant: Tenant, head: CatalogueHead, definition: StoredDefinition
    ) -> bool:
        """Remove a definition; its ordinal stays taken. False as in `put`."""
        ...
