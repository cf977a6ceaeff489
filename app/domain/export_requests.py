"""What is asked of an export, by a call or by a schedule, and the port that starts one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from app.domain.exports import EventSelection
from app.domain.model import SEGMENT_NAMESPACE, JsonObject, Status, Tenant


@dataclass(frozen=True, slots=True)
class AskedSegment:
    """A segment whose members are asked for."""

    segment_id: str
    namespace: str = SEGMENT_NAMESPACE
    statuses: tuple[Status, ...] = ("realized",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is asked of an export; see `ExportTask` for the rest.

    Attributes:
        merge_policy: Id and version; empty and 0 where they are not given.
        per_segment: A batch for each segment.
        evaluates: A segment job runs before.
        shown: Filter and so on as they were given, to be shown.
    """

    segments: tuple[AskedSegment, ...] = ()
    from_ms: int | None = None
    until_ms: int | None = None
    updated_after_ms: int | None = None
    with_empty: bool = False
    fields: tuple[str, ...] | None = None
    events: EventSelection | None = None
    dataset_id: str = ""
    per_segment: bool = False
    merge_policy: tuple[str, int] = ("", 0)
    evaluates: bool = False
    shown: JsonObject

    @property
    def own_segments(self) -> list[str]:
        """The ids of definitions of this service among its segments, each once."""
        asked = [one.segment_id for one in self.segments if one.namespace == SEGMENT_NAMESPACE]
        return list(dict.fromkeys(asked))

    def document(self) -> JsonObject:
        """Return the whole request in the shape of the API."""
        found = dict(self.shown)
        if self.dataset_id:
            found["destination"] = {
                "datasetId": self.dataset_id,
                "segmentPerBatch": self.per_segment,
            }
        policy_id, version = self.merge_policy
        if policy_id:
            found["mergePolicy"] = {"id": policy_id} | ({"version": version} if version else {})
        return found


class ExportStarter(Protocol):
    """Starts exports for what does so by itself."""

    async def check(self, tenant: Tenant, request: ExportRequest) -> None:
        """Refuse what cannot be exported now.

        Raises:
            UserError: The message says why.
            Conflict: It cannot be told now; later it may.
            Unavailable: Try again.
        """
        ...

    async def start(self, tenant: Tenant, request: ExportRequest, *, origin: str) -> str:
        """Start an export, once for each origin as long as it can be looked up.

        Args:
            tenant: Whose profiles.
            request: What to export.
            origin: Idempotency key; `schedule:<id>:<due time in ms>` of a schedule.

        Returns:
            Id of the export; of the one that is there already for the origin.

        Raises:
            UserError, Conflict, Unavailable: As `check`; also while too many jobs are unfinished.
        """
        ...
