"""Where data sets are: from the text of the setting SEG_DATASETS to file systems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.errors import ConfigurationError
from app.domain.model import Tenant

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# The library takes any host key for the right one.
_UNCHECKED = ("sftp", "ssh")


@dataclass(frozen=True, slots=True)
class Location:
    """One data set.

    Attributes:
        options: Of the file system of fsspec, such as keys; never shown.
        tenants: `<org>/<sandbox>` of those who may write there; None for all.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tenants: frozenset[str] | None = None

    def is_for(self, tenant: Tenant) -> bool:
        """Tell whether a tenant may write there."""
        return self.tenants is None or f"{tenant.org_id}/{tenant.sandbox_name}" in self.tenants

    def open(self) -> tuple[Any, str]:
        """Return the file system and the path of the data set in it."""
        import fsspec

        fs, path = fsspec.core.url_to_fs(self.url, **self.options)
        return fs, path.rstrip("/")


def parse_locations(text: str) -> dict[str, Location]:
    """Read `{"<datasetId>": {"url": "…", "options": {…}}}`; a URL alone may stand for the object.

    Raises:
        ConfigurationError: Says what is wrong with which data set, and nothing of its options.
    """
    try:
        found: Any = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise _refusal(f"is no JSON (character {error.pos})") from None
    if not isinstance(found, dict):
        raise _refusal("is not an object of data sets by id")
    return {name: _location(name, value) for name, value in found.items()}


def _location(name: str, value: Any) -> Location:
    if not _ID.fullmatch(name):
        raise _refusal(f"has the id {name!r}; use letters, digits, dots, hyphens, underscores")
    given = {"url": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not given.keys() <= {"url", "options", "tenants"}:
        raise _refusal(f"needs url, options and tenants, and nothing else, for {name!r}")
    url, options = given.get("url"), given.get("options", {})
    if not isinstance(url, str) or not url or not isinstance(options, dict):
        raise _refusal(f"needs a text as url and an object as options for {name!r}")
    import fsspec

    protocol = fsspec.utils.get_protocol(url)
    if protocol not in fsspec.available_protocols():
        raise _refusal(f"has a url of the unknown kind {protocol!r} for {name!r}")
    if protocol in _UNCHECKED:
        raise _refusal(
            f"has a url of the kind {protocol!r} for {name!r}: members would be sent to whichever"
            " server answers; use a folder or an object store"
        )
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError:
        raise _refusal(
            f"has a url of the kind {protocol!r} for {name!r}, which needs a package that is not"
            " installed"
        ) from None
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise _refusal(f"has credentials in the url of {name!r}; give them as options")
    return Location(url, options, _tenants(name, given.get("tenants")))


def _tenants(name: str, found: Any) -> frozenset[str] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(_is_tenant(one) for one in found):
        raise _refusal(f"needs a list of <organisation>/<sandbox> as tenants for {name!r}")
    return frozenset(found)


def _is_tenant(text: Any) -> bool:
    return isinstance(text, str) and all(text.partition("/"))


def names_for(locations: Mapping[str, Location], tenant: Tenant) -> list[str]:
    """Return the ids of the data sets that a tenant may write to."""
    return [name for name, location in locations.items() if location.is_for(tenant)]


def _refusal(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"SEG_DATASETS {problem}. Write a JSON object such as"
        ' {"members": {"url": "s3://bucket/members", "options": {"key": "…", "secret": "…"}}}.'
    )
