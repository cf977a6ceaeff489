"""Names of one partition's Redis keys; all of a partition share the slot of the tag `{p}`.

A member (in a key name or a sorted set) is `<org>/<sandbox>/<profile>`: the first two can hold no
slash, so it reads back without escaping.
"""

from __future__ import annotations

from hashlib import blake2b

from app.domain.model import ProfileKey, Tenant


def member_of(key: ProfileKey) -> str:
    """Return `<org>/<sandbox>/<profile>`."""
    return f"{key.tenant.org_id}/{key.tenant.sandbox_name}/{key.profile_id}"


def profile_of(member: str) -> ProfileKey:
    """Return the key that `member_of` wrote."""
    org_id, sandbox_name, profile_id = member.split("/", 2)
    return ProfileKey(Tenant(org_id, sandbox_name), profile_id)


def sample_hash(profile_id: str) -> int:
    """Return a 52-bit hash of a profile id: exact as the double that a sorted set keeps.

    The k smallest hashes of a partition are a uniform sample of its profiles.
    """
    return int.from_bytes(blake2b(profile_id.encode(), digest_size=8).digest(), "big") >> 12


class PartitionKeys:
    """Key names of one partition.

    Attributes:
        meta: Hash: epoch, sequence, offsets, clock, positions of the outputs.
        outbox: The output of the last batch that had any.
        recovery: There while lost writes are being replayed (docs/decisions/0301).
        timers: Sorted set of members by due time in ms.
    """

    def __init__(self, prefix: str, partition: int) -> None:
        self._tag = f"{prefix}:{{{partition}}}"
        self.meta = f"{self._tag}:meta"
        self.outbox = f"{self._tag}:outbox"
        self.recovery = f"{self._tag}:recovery"
        self.timers = f"{self._tag}:timers"
        self._state = f"{self._tag}:state:"
        self._events = f"{self._tag}:events:"

    def state(self, key: ProfileKey) -> str:
        """Packed profile."""
        tenant = key.tenant
        return f"{self._state}{tenant.org_id}/{tenant.sandbox_name}/{key.profile_id}"

    def events(self, key: ProfileKey) -> str:
        """Event frames of a profile."""
        tenant = key.tenant
        return f"{self._events}{tenant.org_id}/{tenant.sandbox_name}/{key.profile_id}"

    def profiles(self, tenant: Tenant) -> str:
        """Sorted set of the tenant's profile ids in this partition by `sample_hash`."""
        return f"{self._tag}:profiles:{tenant.org_id}/{tenant.sandbox_name}"
