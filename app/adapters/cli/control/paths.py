"""Paths of the API."""

from __future__ import annotations

from urllib.parse import quote

from app.adapters.cli.control.failures import Usage

BASE_PATH = "/data/core/ups"
INGESTION_PATH = "/data/core/ais"


def item(collection: str, object_id: str, *rest: str) -> str:
    """Return the path of one object, or of something of it.

    Raises:
        Usage: If the id cannot be part of a path.
    """
    if object_id in ("", ".", ".."):
        raise Usage(f"{object_id!r} is no id.")
    return "/".join([collection, quote(object_id, safe=""), *rest])
