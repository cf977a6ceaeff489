"""Looking at the profiles of a partition for a preview, and whose turn it is.

Nothing here writes a profile: the predicate is evaluated on what is stored
(docs/decisions/0306).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.model import JsonObject, Tenant
from app.domain.previews import PreviewMatch, PreviewTask, ScannedProfiles, Share
from app.engine.predicate import Predicate
from app.service.identity_map import identities_of, namespaces_of

Part = tuple[Tenant, str, int]
"""One preview in one partition: tenant, query id, partition."""


def begun(total: int, most: int, clock_ms: int) -> Share:
    """Return the share of a partition that is not looked at yet.

    Args:
        total: Profiles there are.
        most: Profiles to look at.
        clock_ms: The instant that all of them are evaluated at.
    """
    wanted = min(total, most)
    return Share(clock_ms, total, wanted, cursor=0 if wanted else None)


@dataclass(slots=True)
class Look:
    """One slice of a preview.

    Args:
        task: The preview.
        predicate: Of the task.
        share: Where the slice begins; not changed.
        kept: Most matches of a partition that are kept.

    Attributes:
        after: Where the slice ends, once `finish` was called.
        found: Matches to keep.
        failure: Of the first profile that could not be evaluated.
    """

    task: PreviewTask
    predicate: Predicate
    share: Share
    kept: int
    after: Share
    found: list[PreviewMatch]
    failure: Exception | None = None

    @classmethod
    def at(cls, task: PreviewTask, predicate: Predicate, share: Share, kept: int) -> Look:
        """Begin a slice."""
        return cls(task, predicate, share, kept, share.copy(), [])

    def over(self, scanned: ScannedProfiles, first: int, last: int) -> None:
        """Look at the profiles `first` up to `last` of what was read."""
        frames = scanned.frames
        share, predicate, clock_ms = self.after, self.predicate, self.share.clock_ms
        for index in range(first, min(last, len(scanned.ids))):
            packed = scanned.states[index]
            if packed is None:
                continue
            try:
                holds = predicate.holds(packed, frames[index] if frames else None, clock_ms)
            except Exception as error:
                # One profile, or a defect of ours, must not end what others are counted for.
                self.failure = self.failure or error
                share.skipped += 1
                continue
            if holds is None:
                continue
            share.read += 1
            if holds:
                self._add(scanned.ids[index], predicate.record)

    def _add(self, profile_id: str, record: JsonObject) -> None:
        share = self.after
        share.matched += 1
        for name in namespaces_of(record):
            share.by_namespace[name] = share.by_namespace.get(name, 0) + 1
        if share.matched > self.kept:
            return
        related = related_ids(profile_id, record) if self.task.is_stitched else ()
        self.found.append(PreviewMatch(profile_id, related))

    def finish(self, following: int | None) -> None:
        """End the slice; `following` is the smallest hash behind it, None for no more profiles."""
        share = self.after
        looked = share.read + share.skipped
        share.cursor = following
        if following is None:
            # All there are: some may have gone or come since they were counted.
            share.total = share.wanted = looked
        elif looked >= share.wanted:
            share.cursor = None


def related_ids(profile_id: str, record: JsonObject) -> tuple[str, ...]:
    """Return the ids that the identity map of a profile names beside its own, each once."""
    ids = (item.get("id") for _, item in identities_of(record))
    found = dict.fromkeys(one for one in ids if isinstance(one, str) and one)
    found.pop(profile_id, None)
    return tuple(found)


class Turns:
    """Shares out slices: tenants take turns, then the previews of one, then their partitions."""

    def __init__(self) -> None:
        self._served: dict[tuple[object, ...], int] = {}
        self._count = 0

    def choose(self, waiting: Iterable[Part]) -> Part | None:
        """Return whose turn it is; None where nobody waits."""
        served = self._served
        chosen = min(
            waiting,
            key=lambda part: tuple(served.get(part[:depth], 0) for depth in (1, 2, 3)),
            default=None,
        )
        if chosen is not None:
            self._count += 1
            served.update({chosen[:depth]: self._count for depth in (1, 2, 3)})
        return chosen

    def keep(self, query_ids: Iterable[str]) -> None:
        """Forget all but these previews."""
        known = set(query_ids)
        self._served = {
            part: at for part, at in self._served.items() if len(part) == 1 or part[1] in known
        }
