"""How definitions are stored: whole documents, and the rows that workers read."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import orjson

from app.domain.definitions import (
    BACKFILLING,
    FAILED,
    LIVE,
    OFF,
    REMOVING,
    EvaluationMethods,
    SentExpression,
    StoredDefinition,
)
from app.domain.external import ExternalAudience, ImportField, ImportSource
from app.domain.model import EvaluationState


def worker_row(definition: StoredDefinition) -> bytes:
    """All of a definition that workers see: equal rows need no new tag. Empty: they see none."""
    if not definition.is_evaluated:
        return b""
    row = (definition.ordinal, definition.version, definition.expression, definition.name)
    if definition.exclude_opt_out and definition.external is None:
        return orjson.dumps((*row, definition.membership_namespace, True))
    return orjson.dumps((*row, *_namespace(definition)))


def worker_stub(definition: StoredDefinition, number: int, *, is_inactive: bool = True) -> bytes:
    """What stays known of a definition that left the evaluated set with a catalogue number."""
    stub = (definition.ordinal, definition.version, number, is_inactive)
    return orjson.dumps((*stub, *_namespace(definition)))


def _namespace(definition: StoredDefinition) -> tuple[str, ...]:
    return () if definition.external is None else (definition.external.namespace,)


def encoded(definition: StoredDefinition) -> bytes:
    """Return a definition as it is stored."""
    document = asdict(definition)
    del document["state"], document["state_reason"], document["progress"]
    for name in ("external", "sent"):
        if document[name] is None:
            del document[name]
    return orjson.dumps(document)


def decoded(document: Any, *, pending: bool, reason: bytes | None) -> StoredDefinition:
    """Return what `encoded` wrote, with its state."""
    return with_state(from_document(document), pending=pending, reason=reason)


def from_document(document: Any) -> StoredDefinition:
    """Return what `encoded` wrote; its state is stored elsewhere and not in it yet."""
    fields = orjson.loads(document)
    fields["methods"] = EvaluationMethods(**fields["methods"])
    fields["uses"] = tuple(fields["uses"])
    fields["labels"] = tuple(fields.get("labels", ()))
    # Written before opt-outs were looked at: they were not.
    fields.setdefault("exclude_opt_out", False)
    if "external" in fields:
        fields["external"] = external_from(fields["external"])
    if "sent" in fields:
        fields["sent"] = SentExpression(**fields["sent"])
    definition = StoredDefinition(**fields)
    return with_state(definition, pending=False, reason=None)


def with_state(
    definition: StoredDefinition, *, pending: bool, reason: bytes | None
) -> StoredDefinition:
    """Return a definition in the state that workers brought it to.

    Args:
        definition: As `from_document` returns it.
        pending: Whether profiles have yet to be brought up to it.
        reason: Why it failed, if it did.
    """
    if not definition.is_evaluated:
        return _in(definition, REMOVING if pending else OFF)
    if reason is not None:
        return replace(definition, state=FAILED, state_reason=reason.decode())
    return _in(definition, BACKFILLING if pending else LIVE)


def _in(definition: StoredDefinition, state: EvaluationState) -> StoredDefinition:
    return definition if definition.state == state else replace(definition, state=state)


def external_from(document: Any) -> ExternalAudience:
    """Return the external part of a stored document."""
    fields = [{**one, "labels": tuple(one["labels"])} for one in document["fields"]]
    return ExternalAudience(
        **document
        | {
            "fields": tuple(ImportField(**one) for one in fields),
            "source": ImportSource(**document["source"]) if document["source"] else None,
            "tags": tuple(document["tags"]),
        }
    )
