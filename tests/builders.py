"""Objects with defaults for everything, so that a test shows only what matters to it."""

from __future__ import annotations

from typing import Any

from app.domain.definitions import EvaluationMethods, StoredDefinition


def stored_definition(**given: Any) -> StoredDefinition:
    """Return a stored definition, with whatever fields are given."""
    defaults: dict[str, Any] = {
        "segment_id": "s",
        "ordinal": 0,
        "version": 1,
        "name": "n",
        "description": "",
        "expression": "a = 1",
        "schema_name": "_xdm.context.profile",
        "methods": EvaluationMethods(),
        "merge_policy_id": "m",
        "profile_instance_id": "ups",
        "uses": (),
        "created_ms": 0,
        "updated_ms": 0,
        "version_ms": 0,
    }
    return StoredDefinition(**(defaults | given))
