"""External audiences: where their members come from, and the runs that import them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias

from app.domain.model import JsonObject, Tenant

CUSTOM_UPLOAD = "CUSTOM_UPLOAD"
DEFAULT_NAMESPACE = "CustomerAudienceUpload"
DEFAULT_TTL_DAYS = 30

Progress: TypeAlias = Literal["PROCESSING", "SUCCESS", "FAILED"]
PROCESSING: Progress = "PROCESSING"
SUCCESS: Progress = "SUCCESS"
FAILED: Progress = "FAILED"

FieldType: TypeAlias = Literal["string", "number", "long", "integer", "date", "datetime", "boolean"]


@dataclass(frozen=True, slots=True)
class ImportField:
    """A column of the source.

    Attributes:
        identity_ns: Identity namespace of the one column that names the profile; empty for others.
    """

    name: str
    type: FieldType
    identity_ns: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportSource:
    """Where the rows are.

    Attributes:
        path: Relative to the root of the landing zone or of the connection.
        connection_id: Of a configured connection; empty for the landing zone.
    """

    path: str
    type: Literal["file", "folder"]
    cloud_type: Literal["S3", "DLZ", "GCS", "SFTP"]
    source_type: str = "Cloud Storage"
    connection_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAudience:
    """What an audience has that is made elsewhere.

    Attributes:
        namespace: Of its memberships; never changes.
        audience_id: The client's id for it; equals the segment id where none was given.
        fields: Columns of the source.
        source: None for one whose members another service tells.
        ttl_days: How long a membership holds after the run that told it.
        linked: `linkedAudienceRef`, stored and returned.
        meta: `audienceMeta`, stored and returned.
    """

    namespace: str = DEFAULT_NAMESPACE
    audience_id: str = ""
    origin_name: str = CUSTOM_UPLOAD
    fields: tuple[ImportField, ...] = ()
    source: ImportSource | None = None
    ttl_days: int = DEFAULT_TTL_DAYS
    tags: tuple[str, ...] = ()
    linked: JsonObject | None = None
    meta: JsonObject | None = None


@dataclass(slots=True, kw_only=True)
class Operation:
    """The creation of an external audience from a source.

    Attributes:
        details: Echo of the request.
        segment_id: Of the audience to be made; known from the start.
        reason: Why it failed; empty otherwise.
        created_ms, updated_ms: Epoch milliseconds.
    """

    operation_id: str
    segment_id: str
    name: str
    description: str
    labels: tuple[str, ...]
    external: ExternalAudience
    details: JsonObject
    author: str
    created_ms: int
    updated_ms: int
    status: Progress = PROCESSING
    reason: str = ""


class SourceFile(NamedTuple):
    """One file of a run.

    Attributes:
        stamp: Changes when the file does.
    """

    path: str
    stamp: str


@dataclass(slots=True, kw_only=True)
class Run:
    """One import of the rows of an audience's source.

    Attributes:
        is_first: No run of the audience has succeeded before.
        from_s, to_s: Files last changed between these are taken, epoch seconds; None for no end.
        until_ms: When the memberships that it tells end.
        files: What it takes, fixed when it begins; None until then.
        ignored: Files of no known format that a folder has.
        file, row: The next row to read: number of the file, and of the row in it, from 0.
        accepted, rejected: Rows so far.
        problems: Of the first rejected rows: where and why.
        positions: Offset after the last record by partition of the input topic.
        is_read: All rows are in the input topic.
        heard: Catalogue number of the audience when the first row was told; 0 before.
        reason: Why it failed; empty otherwise.
    """

    run_id: str
    segment_id: str
    author: str
    is_first: bool
    from_s: int
    to_s: int | None
    until_ms: int
    created_ms: int
    updated_ms: int
    status: Progress = PROCESSING
    files: tuple[SourceFile, ...] | None = None
    ignored: int = 0
    file: int = 0
    row: int = 0
    accepted: int = 0
    rejected: int = 0
    problems: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    is_read: bool = False
    heard: int = 0
    reason: str = ""


class Work(NamedTuple):
    """Something unfinished: an operation or a run, by id."""

    kind: Literal["operation", "run"]
    id: str


class ExternalStore(Protocol):
    """Operations and runs of all tenants. Every method raises `Unavailable`."""

    async def begin_operation(self, tenant: Tenant, operation: Operation) -> None:
        """Store a new operation as unfinished work."""
        ...

    async def operation(self, tenant: Tenant, operation_id: str) -> Operation | None:
        """Return one operation."""
        ...

    async def begin_run(self, tenant: Tenant, run: Run) -> bool:
        """Store a new run as unfinished work; False while another of the audience is unfinished."""
        ...

    async def run(self, tenant: Tenant, run_id: str) -> Run | None:
        """Return one run."""
        ...

    async def runs(self, tenant: Tenant, segment_id: str) -> list[Run]:
        """Return the runs of an audience, newest first."""
        ...

    async def forget_audience(self, tenant: Tenant, segment_id: str) -> None:
        """Remove the runs of an audience that is gone."""
        ...

    async def waiting(self) -> list[tuple[Tenant, Work]]:
        """Return what is unfinished, oldest first in each tenant."""
        ...

    async def claim(self, tenant: Tenant, work: Work, token: str, lease_ms: int) -> bool:
        """Take the lease of unfinished work, or renew it; False while another holds it."""
        ...

    async def release(self, tenant: Tenant, work: Work, token: str) -> None:
        """Give a lease up."""
        ...

    async def discard(self, tenant: Tenant, work: Work) -> None:
        """Forget work of which nothing is stored any more."""
        ...

    async def save_operation(self, tenant: Tenant, operation: Operation, token: str) -> bool:
        """Store an operation, unless the lease was lost; a finished one is no work any more."""
        ...

    async def save_run(self, tenant: Tenant, run: Run, token: str) -> bool:
        """Store a run, unless the lease was lost or it was forgotten; as `save_operation`."""
        ...

    async def heard_since(self, tenant: Tenant, segment_id: str) -> int | None:
        """Return the catalogue number under which every partition's owner knows the audience.

        None while some owner does not know it yet: what is said of its members would fall on deaf
        ears. Another number later says that it was away meanwhile.
        """
        ...

    async def is_applied(self, positions: Sequence[tuple[int, int]]) -> bool:
        """Tell whether the owners have applied the input up to an offset, by partition."""
        ...
