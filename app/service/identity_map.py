"""What the identity map of a profile record names."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.model import JsonObject


def identities_of(attributes: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield namespace and item; what a merge patch made of the map may have any shape."""
    identity_map = attributes.get("identityMap")
    if isinstance(identity_map, dict):
        for namespace, items in identity_map.items():
            for item in items if isinstance(items, list) else ():
                if isinstance(item, dict):
                    yield namespace, item


def namespaces_of(attributes: JsonObject) -> list[str]:
    """Return the namespaces in which a profile has an identity."""
    identities = attributes.get("identityMap")
    if not isinstance(identities, dict):
        return []
    return [name for name, items in identities.items() if items]
