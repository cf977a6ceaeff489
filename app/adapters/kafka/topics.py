"""The topics of the service: what they must be, making them, and comparing them with the broker's.

Making is idempotent. A topic that is there is never altered: another number of partitions would
send profiles to other owners, and its policies may be an operator's choice; the difference is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.domain.errors import ConfigurationError, Unavailable

# An update of any size must reach the dead letters whole, so both topics take far more than the
# limit that the service sets itself (SEG_MAX_RECORD_BYTES); so must a map of many memberships, and
# a profile that is exported.
LARGE_MESSAGE_BYTES = 12 * 1024 * 1024
# Only closed segments are compacted: with the broker's usual 1 GiB that would hardly ever happen.
_COMPACT_SEGMENT_BYTES = 64 * 1024 * 1024
_START_TIMEOUT_S = 20.0
_VISIBLE_TIMEOUT_S = 15.0
_POLL_S = 0.05
_UNKNOWN_TOPIC = 3

_LARGE = {"max.message.bytes": str(LARGE_MESSAGE_BYTES)}
_DELETE = {"cleanup.policy": "delete"}
_COMPACT = {"cleanup.policy": "compact", "segment.bytes": str(_COMPACT_SEGMENT_BYTES)}

TOPICS: Mapping[str, Mapping[str, str]] = {
    "profile-updates": {**_DELETE, **_LARGE},
    "membership-changes": _DELETE,
    "memberships": {**_COMPACT, **_LARGE},
    "export-results": {**_DELETE, **_LARGE},
    "job-events": _DELETE,
    "definitions": _COMPACT,
    "commands": _DELETE,
    "dead-letters": {**_DELETE, **_LARGE},
}
"""Name without the prefix → configuration of its own; all else is the broker's default."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What is wanted.

    Attributes:
        prefix: For example `segmentation.`.
        partitions: Of every topic, so that one worker owns input, state and output of a profile.
        replication: Replicas; 0 leaves it to the broker.
    """

    prefix: str
    partitions: int
    replication: int = 0

    def names(self) -> list[str]:
        """Return the full names of all topics."""
        return [self.prefix + name for name in TOPICS]

    def new_topic(self, full_name: str) -> NewTopic:
        """Return what Kafka is asked to create."""
        return NewTopic(
            full_name,
            self.partitions,
            self.replication or -1,
            # aiokafka takes -1 replicas only when an assignment is given, be it empty.
            replica_assignments=None if self.replication else {},
            topic_configs=dict(TOPICS[full_name.removeprefix(self.prefix)]),
        )


@dataclass(slots=True)
class TopicReport:
    """What `ensure_topics` found and did.

    Attributes:
        created: Full names of topics that were made.
        missing: Full names of topics that are not there; only when checking.
        differences: One text per difference, with its remedy.
    """

    created: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def is_as_planned(self) -> bool:
        """Whether the topics are now as they should be."""
        return not self.missing and not self.differences

    def lines(self) -> list[str]:
        """Return the report for a person."""
        if self.is_as_planned and not self.created:
            return ["All topics are there and as they should be."]
        return [
            *(f"created  {name}" for name in self.created),
            *(f"missing  {name}: `segmentation topics` creates it" for name in self.missing),
            *(f"differs  {text}" for text in self.differences),
        ]


async def ensure_topics(
    options: Mapping[str, Any], plan: TopicPlan, *, check_only: bool = False
) -> TopicReport:
    """Create the topics that are missing and compare the others with the plan.

    Args:
        options: Arguments of aiokafka clients.
        plan: What is wanted.
        check_only: Create nothing.

    Raises:
        Unavailable: If Kafka does not answer.
        ConfigurationError: If Kafka refuses to create a topic; says why.
    """
    servers = options.get("bootstrap_servers", "")
    admin = AIOKafkaAdminClient(**options)
    try:
        await asyncio.wait_for(admin.start(), _START_TIMEOUT_S)
        return await _ensure(admin, plan, check_only=check_only)
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(
            f"Kafka at {servers} cannot be used: {error or 'no answer'}. Check that it runs and"
            " that SEG_KAFKA_BOOTSTRAP_SERVERS names it."
        ) from error
    finally:
        with suppress(KafkaError, OSError):
            await admin.close()


async def _ensure(admin: AIOKafkaAdminClient, plan: TopicPlan, *, check_only: bool) -> TopicReport:
    report = TopicReport()
    partitions = await _partition_counts(admin, plan.names())
    missing = [name for name in plan.names() if name not in partitions]
    if check_only:
        report.missing = missing
    elif missing:
        report.created = await _create(admin, plan, missing)
        partitions = await _visible(admin, plan)
    report.differences = _partition_differences(plan, partitions)
    report.differences += await _policy_differences(admin, plan, sorted(partitions))
    return report


async def _create(admin: AIOKafkaAdminClient, plan: TopicPlan, names: Sequence[str]) -> list[str]:
    response = await admin.create_topics([plan.new_topic(name) for name in names])
    created = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:
            reason = (rest[0] if rest else None) or error.__name__
            raise ConfigurationError(
                f"Kafka does not create topic {name}: {reason}. Create it by hand or give this"
                " user the right to (docs/operations.md)."
            )
    return created


async def _visible(admin: AIOKafkaAdminClient, plan: TopicPlan) -> dict[str, int]:
    """Wait until every broker's metadata has all topics: a client may start right after us."""
    deadline = time.monotonic() + _VISIBLE_TIMEOUT_S
    while True:
        partitions = await _partition_counts(admin, plan.names())
        if len(partitions) == len(TOPICS):
            return partitions
        if time.monotonic() > deadline:
            lost = ", ".join(sorted(set(plan.names()) - set(partitions)))
            raise Unavailable(f"Kafka created {lost} but does not list it yet: try again.")
        await asyncio.sleep(_POLL_S)


async def _partition_counts(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the number of partitions of each topic that is there and has its leaders."""
    counts = {}
    for topic in await admin.describe_topics(names):
        if topic["error_code"] == 0 and all(p["error_code"] == 0 for p in topic["partitions"]):
            counts[topic["topic"]] = len(topic["partitions"])
        elif topic["error_code"] not in (0, _UNKNOWN_TOPIC):
            raise for_code(topic["error_code"])(topic["topic"])
    return counts


def _partition_differences(plan: TopicPlan, partitions: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: {count} partitions, SEG_PARTITIONS is {plan.partitions}. If all topics have"
        f" {count}, set SEG_PARTITIONS={count}; else make the topic anew while it is empty."
        for name, count in sorted(partitions.items())
        if count != plan.partitions
    ]


async def _policy_differences(
    admin: AIOKafkaAdminClient, plan: TopicPlan, names: Sequence[str]
) -> list[str]:
    if not names:
        return []
    responses = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    differences = []
    for response in responses:
        for code, message, _type, name, entries in response.resources:
            if code:
                raise for_code(code)(message or name)
            actual = {entry[0]: entry[1] for entry in entries}
            differences += _config_differences(name, TOPICS[name.removeprefix(plan.prefix)], actual)
    return sorted(differences)


def _config_differences(
    name: str, wanted: Mapping[str, str], actual: Mapping[str, str | None]
) -> list[str]:
    wrong = []
    policy = actual.get("cleanup.policy") or ""
    if set(policy.split(",")) != {wanted["cleanup.policy"]}:
        wrong.append(("cleanup.policy", policy))
    limit = actual.get("max.message.bytes")
    if limit is not None and int(limit) < int(wanted.get("max.message.bytes", 0)):
        wrong.append(("max.message.bytes", limit))
    return [
        f"{name}: {key} is {value}, should be {wanted[key]}. Mend it with `kafka-configs.sh --alter"
        f" --entity-type topics --entity-name {name} --add-config {key}={wanted[key]}`."
        for key, value in wrong
    ]
