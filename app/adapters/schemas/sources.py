"""Where the schemas are read from: a file with others beside it, or a URL with others beside it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import httpx

from app.domain.errors import SegmentationError

MAX_BYTES = 8 * 1024 * 1024
"""Of one document."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_WHOLE_TIMEOUT_S = 20.0


class Unreadable(SegmentationError):
    """A document that cannot be read; the message says which and why."""

    code = "schema-unreadable"


class Source(Protocol):
    """Where documents are."""

    async def read(self, reference: str = "") -> bytes:
        """Return a document; the registry itself without a reference.

        Raises:
            Unreadable: It is not there, is larger than `MAX_BYTES`, or does not come in time.
        """
        ...


class FileSource:
    """A file; references are relative to its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, reference: str = "") -> bytes:
        """Return the content of a file, see `Source`."""
        path = self._path.parent / reference if reference else self._path
        return await asyncio.to_thread(_content, path)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreadable(f"{path} cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise Unreadable(f"{path} is larger than {MAX_BYTES} bytes")
    return content


class UrlSource:
    """A URL; references are relative to it and stay at its server, which is told the token.

    Redirects are not followed.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def read(self, reference: str = "") -> bytes:
        """Return what a URL answers, see `Source`."""
        url = urljoin(self._url, reference)
        if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
            raise Unreadable(f"{reference!r} is not at the server of {self._url}")
        try:
            async with asyncio.timeout(_WHOLE_TIMEOUT_S), self._connected() as client:
                return await _answer(client, url)
        except TimeoutError:
            raise Unreadable(f"{url} does not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # Its text may quote what was sent.
            raise Unreadable(f"{url} cannot be read: {type(error).__name__}") from None

    def _connected(self) -> httpx.AsyncClient:
        is_plain = urlsplit(self._url).scheme == "http"
        # Reading all certificate authorities takes longer than the call.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else True
        return httpx.AsyncClient(headers=self._headers, timeout=_TIMEOUT, verify=verify)


async def _answer(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise Unreadable(f"{url} answers with status {answer.status_code}")
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > MAX_BYTES:
                raise Unreadable(f"{url} answers with more than {MAX_BYTES} bytes")
        return bytes(content)
