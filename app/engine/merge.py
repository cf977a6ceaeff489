"""Attributes merged into a profile record, and what that changed."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.domain.model import JsonObject


class AttributeChange(NamedTuple):
    """One value that a patch changed: a leaf, or a branch that came, went or was replaced.

    Attributes:
        path: Where it stands; everything above it is an object before and after.
        old, new: None for none.
    """

    path: tuple[str, ...]
    old: Any
    new: Any


def merge_patch(
    target: Any,
    patch: JsonObject,
    changes: list[AttributeChange] | None = None,
    path: tuple[str, ...] = (),
) -> JsonObject:
    """Return `target` with a JSON merge patch applied; `target` is left as it is.

    Most updates repeat what is known: what they do not change costs no more than a comparison.

    Args:
        target: What to patch; anything but an object counts as an empty one.
        patch: The patch (RFC 7396).
        changes: What the patch changes is appended here.
        path: Where `target` stands in the record.
    """
    found: list[AttributeChange] = [] if changes is None else changes
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        old = merged.get(name)
        if value is None:
            if name in merged:
                del merged[name]
                found.append(AttributeChange((*path, name), old, None))
        elif type(value) is dict:
            if type(old) is dict:
                merged[name] = merge_patch(old, value, found, (*path, name))
            else:
                merged[name] = merge_patch(None, value)
                found.append(AttributeChange((*path, name), old, merged[name]))
        elif type(old) is not type(value) or old != value or type(value) is list:
            # Lists may be equal although they hold 1 here and True there.
            merged[name] = value
            found.append(AttributeChange((*path, name), old, value))
    return merged
