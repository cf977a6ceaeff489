"""Kinds of values that settings take."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that a setting takes.

    Attributes:
        expected: The values in words, for messages and the docs.
        parse: Turns the text into the value; raises ValueError for any other text.
    """

    expected: str
    parse: Callable[[str], object]


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("empty")
    return value.strip()


def integer(low: int, high: int) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def choice(*values: str) -> Kind:
    """Return the kind of these words."""

    def parse(value: str) -> str:
        if value not in values:
            raise ValueError("not one of them")
        return value

    return Kind("one of " + ", ".join(values), parse)


def url(*schemes: str) -> Kind:
    """Return the kind of URLs with one of these schemes."""

    def parse(value: str) -> str:
        parts = urlsplit(value)
        # Reading the port raises ValueError where it is no number.
        if parts.scheme not in schemes or parts.port == 0:
            raise ValueError("not such a URL")
        if not (parts.hostname or (parts.scheme == "unix" and parts.path.strip("/"))):
            raise ValueError("not such a URL")
        return value

    return Kind("a URL that starts with " + " or ".join(f"{name}://" for name in schemes), parse)


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    is_web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    # A password in it would show where the URL is shown.
    if not is_web or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("not such a URL")
    return value


def _servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not 0 < int(port) < 65_536:
            raise ValueError("not host:port")
    return ",".join(servers)


def _datasets(value: str) -> str:
    if not isinstance(json.loads(value), dict):
        raise ValueError("not an object")
    return value


def _topic_prefix(value: str) -> str:
    if len(value) > 200 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in value):
        raise ValueError("not a topic name")
    return value


def _key_prefix(value: str) -> str:
    if not value or any(c in "{}:* " or not c.isprintable() for c in value):
        raise ValueError("not a key prefix")
    return value


def _readable_file(value: str) -> str:
    if not os.access(value, os.R_OK) or not Path(value).is_file():
        raise ValueError("no such file")
    return value


def _readable_folder(value: str) -> str:
    if not os.access(value, os.R_OK | os.X_OK) or not Path(value).is_dir():
        raise ValueError("no such folder")
    return value


TEXT = Kind("any text but the empty one", _text)
FILE = Kind("the path of a file that can be read", _readable_file)
FOLDER = Kind("the path of a folder that can be read", _readable_folder)
API_URL = Kind("a URL with http:// or https://, without user, password and query", _api_url)
SERVERS = Kind("host:port, several with commas between", _servers)
TOPIC_PREFIX = Kind("up to 200 letters, digits, dots, hyphens and underscores", _topic_prefix)
KEY_PREFIX = Kind("text without braces, colons, stars or spaces", _key_prefix)
DATASETS = Kind("a JSON object of data sets by id (docs/operations.md)", _datasets)
PORT = integer(0, 65_535)
