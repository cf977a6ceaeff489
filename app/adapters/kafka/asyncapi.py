"""The published contract of the topics: JSON Schemas, and the AsyncAPI document made from them.

`python -m app.adapters.kafka.asyncapi` writes `asyncapi.json` anew; a test holds the file to what
`document` returns, and the schemas to what is really produced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from app import __version__
from app.adapters.kafka.topics import TOPICS
from app.domain.model import JsonObject

_SCHEMAS = "app.adapters.kafka.schemas"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_BINDING_VERSION = "0.5.0"
_DEFAULT_PREFIX = "segmentation."


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of record on a topic.

    Attributes:
        payload: Schema name of the value; None for a value of null, or one of any bytes.
        headers: Schema name of the headers; None where there are none to name.
    """

    title: str
    payload: str | None = None
    headers: str | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic.

    Attributes:
        direction: As the service sees it.
        key: What the record key is.
        messages: By name; none while nothing is written there yet.
    """

    title: str
    direction: Literal["receive", "send"]
    key: str
    description: str
    messages: Mapping[str, Message]


_NOT_YET = (
    " Reserved: the topic is created, nothing is written to it yet, and its payload is not decided."
)

CHANNELS: Mapping[str, Channel] = {
    "profile-updates": Channel(
        "Profile updates",
        "receive",
        "profile id",
        "Attributes and experience events of profiles, partitioned by murmur2 of the profile id.",
        {
            "profileUpdate": Message("Profile update", "profile-update"),
            "profileUpdateEnvelope": Message(
                "Profile update in a streaming-ingestion envelope", "profile-update-envelope"
            ),
            "profileDeletion": Message(
                "Deletion of a profile",
                headers="tombstone-headers",
                summary="The value is null.",
            ),
        },
    ),
    "membership-changes": Channel(
        "Membership changes",
        "send",
        "profile id",
        "Every entry into and exit from a segment, in order per profile; read it read_committed.",
        {"membershipChange": Message("Membership change", "membership-change", "output-headers")},
    ),
    "memberships": Channel(
        "Memberships",
        "send",
        "org/sandbox/profile id",
        "The whole membership map of a profile after each change; compacted.",
        {
            "memberships": Message("Memberships of a profile", "memberships", "output-headers"),
            "membershipsDeletion": Message(
                "The profile was deleted", headers="output-headers", summary="The value is null."
            ),
        },
    ),
    "definitions": Channel(
        "Segment definitions",
        "send",
        "org/sandbox/segment id",
        "The current version of every segment definition; compacted.",
        {
            "definition": Message("Segment definition", "definition"),
            "definitionDeletion": Message(
                "The definition was deleted", summary="The value is null."
            ),
        },
    ),
    "dead-letters": Channel(
        "Dead letters",
        "send",
        "key of the original record",
        "Records of the profile update topic that could not be applied, byte for byte.",
        {
            "deadLetter": Message(
                "Dead letter",
                headers="dead-letter-headers",
                summary="The value is that of the original record and may be anything.",
            )
        },
    ),
    "export-results": Channel(
        "Export results",
        "send",
        "job id",
        "Profiles that export jobs found, numbered in each partition; read it read_committed.",
        {
            "exportPartitionStart": Message(
                "Start of a partition", "export-partition-start", "output-headers"
            ),
            "exportProfile": Message("Exported profile", "export-profile", "output-headers"),
            "exportPartitionEnd": Message(
                "End of a partition", "export-partition-end", "output-headers"
            ),
            "exportJobEnd": Message("End of an export", "export-job-end", "output-headers"),
        },
    ),
    "job-events": Channel(
        "Job events",
        "send",
        "job id",
        "Every change of the state of a segment or export job, in order per job.",
        {"jobEvent": Message("Job event", "job-event")},
    ),
    "commands": Channel(
        "Commands",
        "send",
        "partition",
        "Internal: work for the owner of a partition." + _NOT_YET,
        {},
    ),
}
"""By topic name without the prefix."""


def schema_names() -> list[str]:
    """Return the names of all schemas, sorted."""
    files = resources.files(_SCHEMAS).iterdir()
    return sorted(file.name[:-5] for file in files if file.name.endswith(".json"))


def schema(name: str) -> JsonObject:
    """Return one JSON Schema (draft 2020-12).

    Raises:
        FileNotFoundError: If there is no schema of that name.
    """
    text = resources.files(_SCHEMAS).joinpath(f"{name}.json").read_text(encoding="utf-8")
    loaded: JsonObject = json.loads(text)
    return loaded


def document(prefix: str = _DEFAULT_PREFIX) -> JsonObject:
    """Return the AsyncAPI 3.0 document of all topics."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Segmentation Service: topics",
            "version": __version__,
            "description": "Profile updates in, membership changes out. Topic names carry a"
            f" prefix, {prefix} unless SEG_TOPIC_PREFIX sets another. Explained in docs/topics.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_camel(name): _channel(prefix, name) for name in CHANNELS},
        "operations": {
            _operation_name(name): _operation(name) for name in CHANNELS if CHANNELS[name].messages
        },
        "components": {
            "messages": {
                key: _message(key, message, channel)
                for channel in CHANNELS.values()
                for key, message in channel.messages.items()
            },
            "schemas": {
                _camel(name): {"schemaFormat": _SCHEMA_FORMAT, "schema": schema(name)}
                for name in schema_names()
            },
        },
    }


def _channel(prefix: str, name: str) -> JsonObject:
    channel = CHANNELS[name]
    topic = TOPICS[name]
    configuration: JsonObject = {"cleanup.policy": [topic["cleanup.policy"]]}
    if "max.message.bytes" in topic:
        configuration["max.message.bytes"] = int(topic["max.message.bytes"])
    return {
        "address": prefix + name,
        "title": channel.title,
        "description": f"{channel.description} Record key: {channel.key}.",
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in channel.messages},
        "bindings": {
            "kafka": {
                "topic": prefix + name,
                "topicConfiguration": configuration,
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }


def _operation_name(name: str) -> str:
    return CHANNELS[name].direction + _camel(name)[:1].upper() + _camel(name)[1:]


def _operation(name: str) -> JsonObject:
    channel = f"#/channels/{_camel(name)}"
    return {
        "action": CHANNELS[name].direction,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{key}"} for key in CHANNELS[name].messages],
    }


def _message(key: str, message: Message, channel: Channel) -> JsonObject:
    made: JsonObject = {
        "name": key,
        "title": message.title,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": channel.key},
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }
    if message.summary:
        made["summary"] = message.summary
    if message.payload:
        made["payload"] = _reference(message.payload)
    if message.headers:
        made["headers"] = _reference(message.headers)
    return made


def _reference(schema_name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{_camel(schema_name)}"}


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)


def rendered(contract: Mapping[str, Any]) -> str:
    """Return the document as the text of `asyncapi.json`."""
    return json.dumps(contract, indent=2, ensure_ascii=False) + "\n"


DOCUMENT_FILE = Path(__file__).with_name("asyncapi.json")


if __name__ == "__main__":
    DOCUMENT_FILE.write_text(rendered(document()), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT_FILE}\n")
