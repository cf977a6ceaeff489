"""State of the owned partitions in Redis: loaded and committed for all of them in one round trip.

The owner of a partition is the only writer. Whoever became owner later has raised the epoch, and
the commit script refuses all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.adapters.redis.commits import Argument, Commit, commit_arguments
from app.adapters.redis.connection import redis_errors
from app.adapters.redis.keys import PartitionKeys, profile_of, sample_hash
from app.adapters.redis.profile_scan import RedisProfileScan
from app.adapters.redis.scripts import BEGIN_RECOVERY, CLAIM, COMMIT, RESTORE
from app.domain.errors import ConfigurationError, Fenced
from app.domain.model import ProfileKey, Tenant
from app.domain.previews import ScannedProfiles


@dataclass(slots=True)
class StoredPartition:
    """What Redis knows of a partition.

    Attributes:
        meta: The hash; texts.
        outbox, recovery: None where the key is absent.
        head_ms: Due time of the earliest timer, or None.
    """

    meta: dict[str, str]
    outbox: bytes | None
    recovery: bytes | None
    head_ms: int | None


class RedisPartitionStore:
    """Reads and writes partition keys.

    All methods raise `Unavailable` when Redis does not answer; every one may then be repeated.
    """

    def __init__(self, redis: Redis, prefix: str = "seg") -> None:
        self._redis = redis
        self._profiles = RedisProfileScan(redis, prefix)
        self._prefix = prefix
        self._keys: dict[int, PartitionKeys] = {}

    def keys(self, partition: int) -> PartitionKeys:
        """Return the key names of a partition."""
        found = self._keys.get(partition)
        if found is None:
            found = self._keys[partition] = PartitionKeys(self._prefix, partition)
        return found

    async def meta(self, partition: int) -> dict[str, str]:
        """Return the partition's hash; empty where there is none."""
        with redis_errors():
            found: Any = await self._redis.hgetall(self.keys(partition).meta)
        return {name.decode(): value.decode() for name, value in found.items()}

    async def claim(
        self, partition: int, partitions: int, least_epoch: int, *, may_begin: bool
    ) -> int:
        """Raise the epoch above `least_epoch` and Redis' own.

        Args:
            partition: Which one.
            partitions: The number of partitions of the topics.
            least_epoch: The epoch that Kafka's group knows, 0 where it knows none.
            may_begin: Whether an empty key space is a new one.

        Returns:
            The new epoch.

        Raises:
            ConfigurationError: Redis is empty although there was state, or the number of
                partitions differs from the one that the state was made with.
        """
        status, detail = await self._script(
            CLAIM, partition, [str(partitions), str(least_epoch), "1" if may_begin else "0"]
        )
        if status == "empty":
            raise ConfigurationError(
                f"Redis has no state of partition {partition}, but Kafka shows that there was"
                " some: restore Redis, or run `segmentation recover`, which seeds it from the"
                " memberships topic"
            )
        if status == "partitions":
            raise ConfigurationError(
                f"the state in Redis was made with {detail} partitions, the topics have"
                f" {partitions}: give the topics {detail} partitions again, or begin anew with"
                " another SEG_APPLICATION_ID and SEG_REDIS_KEY_PREFIX, which reads the updates"
                " that are kept from the beginning"
            )
        return int(detail)

    async def load(self, partition: int) -> StoredPartition:
        """Return everything an owner goes on from, read at one instant."""
        keys = self.keys(partition)
        pipe = self._redis.pipeline(transaction=True)
        pipe.hgetall(keys.meta)
        pipe.get(keys.outbox)
        pipe.get(keys.recovery)
        pipe.zrange(keys.timers, 0, 0, withscores=True)
        with redis_errors():
            meta, outbox, recovery, head = await pipe.execute()
        return StoredPartition(
            {name.decode(): value.decode() for name, value in meta.items()},
            outbox,
            recovery,
            int(head[0][1]) if head else None,
        )

    async def begin_recovery(
        self, partition: int, epoch: int, sequence: int, recovery: bytes
    ) -> None:
        """Enter the replay of lost writes.

        Raises:
            Fenced: A later owner exists.
        """
        status, detail = await self._script(
            BEGIN_RECOVERY, partition, [str(epoch), str(sequence), recovery]
        )
        if status != "ok":
            raise Fenced(f"partition {partition}: Redis answers {status} {detail}")

    async def put_restored(
        self, partition: int, states: Mapping[ProfileKey, bytes], gone: Sequence[ProfileKey]
    ) -> None:
        """Write and delete profiles of a partition that nobody owns, before `begin_restored`."""
        keys = self.keys(partition)
        pipe = self._redis.pipeline(transaction=False)
        for key, packed in states.items():
            pipe.set(keys.state(key), packed)
            pipe.zadd(keys.profiles(key.tenant), {key.profile_id: sample_hash(key.profile_id)})
        for key in gone:
            pipe.delete(keys.state(key))
            pipe.zrem(keys.profiles(key.tenant), key.profile_id)
        with redis_errors():
            await pipe.execute()

    async def begin_restored(
        self, partition: int, meta: Mapping[str, Argument], recovery: bytes
    ) -> None:
        """Let the next owner find a restored partition; `recovery` is empty for none.

        Raises:
            ConfigurationError: Redis has state of the partition by now.
        """
        fields = [str(part) for pair in meta.items() for part in pair]
        status, _ = await self._script(RESTORE, partition, [recovery, *fields])
        if status != "ok":
            raise ConfigurationError(
                f"Redis has got state of partition {partition} meanwhile: nothing may write to it"
                " during a recovery"
            )

    async def states(
        self, wanted: Mapping[int, Sequence[ProfileKey]]
    ) -> dict[int, dict[ProfileKey, bytes | None]]:
        """Load packed profiles of several partitions in one round trip."""
        return await self._values(wanted, is_events=False)

    async def events(
        self, wanted: Mapping[int, Sequence[ProfileKey]]
    ) -> dict[int, dict[ProfileKey, bytes | None]]:
        """Load event frames of several partitions in one round trip."""
        return await self._values(wanted, is_events=True)

    async def event_bytes(self, partition: int, keys: Sequence[ProfileKey]) -> list[int]:
        """Return how many bytes the event frames of profiles have."""
        names = self.keys(partition)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.strlen(names.events(key))
        with redis_errors():
            return await pipe.execute()

    async def due(
        self, until_ms: Mapping[int, int], limit: int
    ) -> dict[int, dict[ProfileKey, int]]:
        """Return the profiles whose timer is at or before the given time, with its due time."""
        pipe = self._redis.pipeline(transaction=False)
        for partition, until in until_ms.items():
            pipe.zrangebyscore(
                self.keys(partition).timers, "-inf", until, start=0, num=limit, withscores=True
            )
        with redis_errors():
            found = await pipe.execute()
        return {
            partition: {profile_of(member.decode()): int(score) for member, score in members}
            for partition, members in zip(until_ms, found, strict=True)
        }

    async def scan(
        self, partition: int, tenant: Tenant, start: int, limit: int
    ) -> tuple[list[ProfileKey], int | None]:
        """Return the next profiles by the hash of their ids, see `RedisProfileScan.ids`."""
        ids, following = await self._profiles.ids(partition, tenant, start, limit)
        return [ProfileKey(tenant, one) for one in ids], following

    async def stored(
        self, partition: int, tenant: Tenant, start: int, limit: int
    ) -> ScannedProfiles:
        """Return the same profiles with their packed states."""
        return await self._profiles.profiles(partition, tenant, start, limit, with_events=False)

    async def commit(self, commits: Sequence[Commit]) -> list[int | Fenced | None]:
        """Write the batches of several partitions in one round trip.

        A batch that is stored already counts as written, so a call that failed may be repeated.

        Returns:
            For each batch the due time of the partition's earliest timer afterwards (None
            without timers), or a `Fenced` where nothing was written.
        """
        arguments = [
            [*self._named(batch.partition), *commit_arguments(batch, self.keys(batch.partition))]
            for batch in commits
        ]
        answers = await self._scripts(COMMIT, arguments)
        return [
            _head(detail)
            if status in (b"ok", b"done")
            else Fenced(
                f"partition {batch.partition}, epoch {batch.epoch}, sequence {batch.sequence}:"
                f" Redis answers {status.decode()} {detail.decode()}"
            )
            for batch, (status, detail) in zip(commits, answers, strict=True)
        ]

    async def _values(
        self, wanted: Mapping[int, Sequence[ProfileKey]], *, is_events: bool
    ) -> dict[int, dict[ProfileKey, bytes | None]]:
        pipe = self._redis.pipeline(transaction=False)
        for partition, keys in wanted.items():
            names = self.keys(partition)
            name_of = names.events if is_events else names.state
            pipe.execute_command("MGET", *[name_of(key) for key in keys])
        with redis_errors():
            found = await pipe.execute()
        return {
            partition: dict(zip(keys, values, strict=True))
            for (partition, keys), values in zip(wanted.items(), found, strict=True)
        }

    def _named(self, partition: int) -> tuple[Argument, ...]:
        keys = self.keys(partition)
        return (4, keys.meta, keys.outbox, keys.timers, keys.recovery)

    async def _script(
        self, script: str, partition: int, arguments: Sequence[Argument]
    ) -> tuple[str, str]:
        answers = await self._scripts(script, [[*self._named(partition), *arguments]])
        status, detail = answers[0]
        return status.decode(), detail.decode()

    async def _scripts(
        self, script: str, calls: Sequence[Sequence[Argument]]
    ) -> list[tuple[bytes, bytes]]:
        """Run one script several times; where the server does not know it yet, tell it first."""
        digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
        with redis_errors():
            answers = await self._evalsha(digest, calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await self._redis.script_load(script)
                answers = await self._evalsha(digest, calls)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    async def _evalsha(self, digest: str, calls: Sequence[Sequence[Argument]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for arguments in calls:
            pipe.execute_command("EVALSHA", digest, *arguments)
        return await pipe.execute(raise_on_error=False)


def _head(score: bytes) -> int | None:
    return int(float(score)) if score else None
