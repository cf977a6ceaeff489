"""A batch as the commit script takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.adapters.redis.keys import PartitionKeys, member_of, sample_hash
from app.domain.model import ProfileKey, Tenant
from app.service.outcome import Outcome

Argument = str | bytes | int


@dataclass(slots=True)
class Commit:
    """One batch of one partition, ready to be written.

    Attributes:
        meta: Further fields of the hash.
        outbox: New outbox, or None to leave the old one.
        recovery: New recovery state, empty to end it, None to leave it.
        stale_timers: Members to drop from the timers although the outcome says nothing of them.
    """

    partition: int
    epoch: int
    sequence: int
    outcome: Outcome
    meta: dict[str, Argument]
    outbox: bytes | None = None
    recovery: bytes | None = None
    stale_timers: list[ProfileKey] = field(default_factory=list)


def commit_arguments(batch: Commit, keys: PartitionKeys) -> list[Argument]:
    """Return the arguments of `COMMIT` behind the keys."""
    outcome = batch.outcome
    sets: list[Argument] = []
    deletes: list[Argument] = []
    state_name = keys.state
    for key, packed in outcome.states.items():
        if packed is None:
            deletes.append(state_name(key))
        else:
            sets.append(state_name(key))
            sets.append(packed)
    appends: list[Argument] = []
    for key, change in outcome.appended.items():
        appends.append(state_name(key))
        appends.append(change)
    for key, write in outcome.events.items():
        if write is None:
            deletes.append(keys.events(key))
        else:
            (sets if write.replace else appends).extend((keys.events(key), write.frames))
    out: list[Argument] = [str(batch.epoch), str(batch.sequence)]
    _add_list(out, sets)
    _add_list(out, deletes)
    _add_list(out, appends)
    _add_timers(out, batch)
    _add_profiles(out, outcome, keys)
    _add_list(out, () if batch.outbox is None else (batch.outbox,))
    _add_list(out, () if batch.recovery is None else (batch.recovery,))
    _add_list(out, [part for pair in batch.meta.items() for part in pair])
    return out


def _add_list(out: list[Argument], items: Sequence[Argument]) -> None:
    out.append(len(items))
    out.extend(items)


def _add_timers(out: list[Argument], batch: Commit) -> None:
    added: list[Argument] = []
    removed: list[Argument] = [
        member_of(key) for key in batch.stale_timers if key not in batch.outcome.timers
    ]
    for key, due_ms in batch.outcome.timers.items():
        if due_ms is None:
            removed.append(member_of(key))
        else:
            added.extend((due_ms, member_of(key)))
    _add_list(out, added)
    _add_list(out, removed)


def _add_profiles(out: list[Argument], outcome: Outcome, keys: PartitionKeys) -> None:
    added = _by_tenant(outcome.added)
    removed = _by_tenant(outcome.removed)
    tenants = {*added, *removed}
    out.append(len(tenants))
    for tenant in tenants:
        out.append(keys.profiles(tenant))
        _add_list(
            out, [part for name in added.get(tenant, ()) for part in (sample_hash(name), name)]
        )
        _add_list(out, removed.get(tenant, ()))


def _by_tenant(keys: Iterable[ProfileKey]) -> dict[Tenant, list[str]]:
    found: dict[Tenant, list[str]] = {}
    for key in keys:
        found.setdefault(key.tenant, []).append(key.profile_id)
    return found
