"""Connections to object stores: a file of settings. What they need to log in stays in them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from app.domain.errors import ConfigurationError
from app.domain.model import Tenant

PROTOCOLS = {"S3": "s3", "GCS": "gcs", "SFTP": "sftp"}
"""Name in fsspec by the published `cloudType`."""

GCS_PACKAGE = "gcsfs==2026.10.0"
"""The extra `gcs` of the project."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A place in an object store.

    Attributes:
        root: What paths are below, such as `bucket/prefix`; of SFTP a folder, which is below the
            home of the account unless it begins with a slash.
        options: Arguments of its fsspec file system, credentials among them.
    """

    cloud_type: str
    root: str
    org_id: str
    sandboxes: frozenset[str]
    options: Mapping[str, Any] = field(repr=False)

    def is_open_to(self, tenant: Tenant) -> bool:
        """Tell whether a tenant may use it."""
        return tenant.org_id == self.org_id and tenant.sandbox_name in self.sandboxes


def read_connections(path: Path) -> dict[str, Connection]:
    """Read the file of connections.

    Raises:
        ConfigurationError: It cannot be read; says nothing of its contents.
    """
    try:
        listed = orjson.loads(path.read_bytes())["connections"]
        return {entry["id"]: _connection(entry) for entry in listed}
    except OSError as error:
        text = f"the file of connections {path} cannot be read: {error.strerror}"
        raise ConfigurationError(text) from error
    except (ValueError, KeyError, TypeError, AttributeError):
        # The error itself may quote a secret.
        raise ConfigurationError(
            f'{path} is not {{"connections": [...]}} of objects with id, root, orgId, sandboxes (a'
            f" list of names), options (an object) and cloudType ({', '.join(PROTOCOLS)})"
        ) from None


def _connection(entry: Mapping[str, Any]) -> Connection:
    texts = [entry["id"], entry["cloudType"], entry["root"], entry["orgId"], *entry["sandboxes"]]
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("not texts")
    if entry["cloudType"] not in PROTOCOLS or isinstance(entry["sandboxes"], str):
        raise ValueError("not a connection")
    options = dict(entry.get("options", {}))
    if problem := _problem(entry["cloudType"], options):
        raise ConfigurationError(f"connection {entry['id']} cannot be used: {problem}")
    sandboxes = frozenset(entry["sandboxes"])
    root = entry["root"].strip("/") if entry["cloudType"] != "SFTP" else entry["root"]
    return Connection(entry["cloudType"], root, entry["orgId"], sandboxes, options)


def _problem(cloud_type: str, options: Mapping[str, Any]) -> str | None:
    if cloud_type == "GCS" and importlib.util.find_spec(GCS_PACKAGE.partition("==")[0]) is None:
        return (
            "GCS needs a package that does not come with the service. Install it beside the"
            f' service, by: pip install "{GCS_PACKAGE}"'
        )
    if cloud_type == "SFTP":
        # Only who has such servers pays for the import.
        from app.adapters.imports.sftp import check_options

        try:
            check_options(options)
        except ValueError as error:
            return str(error)
    return None
