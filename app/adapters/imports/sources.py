"""Places that files come from: the landing zone, and connections to object stores.

The landing zone is a local folder with one of its own for each tenant, `<root>/<organisation>/
<sandbox>`; nothing outside of it can be named, be it by `..` or by a link. A connection is an entry
of a file of settings, open to one organisation and some of its sandboxes. What it needs to log in
stays in here: it is neither logged nor told.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

import fsspec
from fsspec.spec import AbstractFileSystem

from app.adapters.imports.connections import PROTOCOLS, Connection
from app.adapters.imports.readers import Row, format_of, is_compressed, rows_of
from app.domain.external import ImportSource, SourceFile
from app.domain.model import Tenant
from app.service.import_sources import FoundFile, Rows, SourceProblem

LANDING_ZONE = "DLZ"
MOST_LISTED = 50_000

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a source is: a file system, and the path in it.

    Attributes:
        root: What no path leaves; a resolved folder where the file system has links.
        realpath: Resolves the links of a path; None where there are none.
        name: What the root is called.
        lists_links: Links are listed as what they lead to.
    """

    system: AbstractFileSystem
    root: str
    path: str
    realpath: Callable[[str], str] | None = None
    name: str = "the root of the connection"
    lists_links: bool = False

    def shown(self, path: str) -> str:
        """Return a path as the client knows it."""
        return path.removeprefix(self.root).lstrip("/")

    def checked(self, path: str) -> str:
        """Return the real path of a file, which has to be inside."""
        if self.realpath is None:
            return path
        real = self.realpath(path)
        if not PurePosixPath(real).is_relative_to(self.root or "/"):
            raise SourceProblem(f"{self.shown(path)} leads out of {self.name}")
        return real


class FileSources:
    """Implements `app.service.import_sources.ImportSources`.

    Args:
        landing_zone: Root of the local folders; None where there is none.
        connections: By id.
    """

    def __init__(
        self, landing_zone: Path | None, connections: Mapping[str, Connection] | None = None
    ) -> None:
        self._landing_zone = landing_zone
        self._connections = connections or {}
        self._systems: dict[str, AbstractFileSystem] = {}
        self._making = threading.Lock()

    def check(self, tenant: Tenant, source: ImportSource) -> None:
        """See `ImportSources.check`."""
        parts = source.path.replace("\\", "/").split("/")
        if ".." in parts or "\0" in source.path or not any(parts):
            raise SourceProblem(
                "sourceSpec.params.path has to name a file or folder below the root, without .."
            )
        if source.cloud_type == LANDING_ZONE:
            if self._landing_zone is None:
                raise SourceProblem(
                    "no landing zone is configured: set SEG_IMPORT_ROOT for the API, or name a"
                    " connection"
                )
            if {".", ".."} & set(tenant):
                raise SourceProblem("this sandbox has no folder in the landing zone")
            return
        self._connection(tenant, source)

    def _connection(self, tenant: Tenant, source: ImportSource) -> Connection:
        found = self._connections.get(source.connection_id)
        # One of another tenant is as unknown as any other.
        if found is None or not found.is_open_to(tenant) or found.cloud_type != source.cloud_type:
            raise SourceProblem(
                f"there is no {source.cloud_type} connection {source.connection_id!r} for this"
                " sandbox: name one of SEG_IMPORT_CONNECTIONS_FILE"
            )
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep connections while the context is open; nothing may be read after it."""
        try:
            yield
        finally:
            for system in self._systems.values():
                if hasattr(system, "close"):
                    await asyncio.to_thread(system.close)

    async def files(self, tenant: Tenant, source: ImportSource) -> list[FoundFile]:
        """See `ImportSources.files`."""
        self.check(tenant, source)
        return await asyncio.to_thread(
            _guarded, source, lambda: _listed(self._place(tenant, source), source)
        )

    @asynccontextmanager
    async def open(
        self, tenant: Tenant, source: ImportSource, file: SourceFile, columns: Sequence[str]
    ) -> AsyncIterator[Rows]:
        """See `ImportSources.open`."""
        self.check(tenant, source)
        opened = await asyncio.to_thread(
            _guarded, source, lambda: _opened(self._place(tenant, source), file)
        )
        try:
            rows = _FileRows(source, rows_of(_decompressed(opened, file.path), file.path, columns))
            try:
                yield rows
            finally:
                await asyncio.to_thread(rows.close)
        finally:
            await asyncio.to_thread(opened.close)

    def _place(self, tenant: Tenant, source: ImportSource) -> _Place:
        path = source.path.strip("/")
        if source.cloud_type == LANDING_ZONE:
            assert self._landing_zone is not None
            root = os.path.realpath(self._landing_zone / tenant.org_id / tenant.sandbox_name)
            system = fsspec.filesystem("file")
            return _Place(
                system, root, f"{root}/{path}", os.path.realpath, "the landing zone", True
            )
        connection = self._connection(tenant, source)
        system = self._system(source.connection_id, connection)
        if connection.cloud_type == "SFTP":
            root = system.realpath(connection.root).rstrip("/")
            return _Place(system, root, f"{root}/{path}", system.realpath)
        return _Place(system, connection.root, f"{connection.root}/{path}")

    def _system(self, connection_id: str, connection: Connection) -> AbstractFileSystem:
        """Return the file system of a connection; one takes a second to make."""
        with self._making:
            found = self._systems.get(connection_id)
            if found is None:
                found = self._systems[connection_id] = _system_of(connection)
            return found


def _system_of(connection: Connection) -> AbstractFileSystem:
    if connection.cloud_type == "SFTP":
        # Only who has such servers pays for the import.
        from app.adapters.imports.sftp import SftpFiles

        return SftpFiles(connection.options)
    # What a store said once is not believed for ever.
    options = {**connection.options, "use_listings_cache": False}
    protocol = PROTOCOLS[connection.cloud_type]
    return fsspec.filesystem(protocol, **options, skip_instance_cache=True)


def _guarded(source: ImportSource, read: Callable[[], _Result]) -> _Result:
    """Turn what a file system says into a problem of the source, without its words."""
    try:
        return read()
    except SourceProblem:
        raise
    except FileNotFoundError:
        raise SourceProblem(f"there is no {source.type} {source.path}") from None
    except PermissionError:
        raise SourceProblem(f"{source.path} may not be read by this service") from None
    except (UnicodeDecodeError, EOFError):
        raise SourceProblem(f"{source.path} cannot be decoded: it may be cut off") from None
    except Exception as error:
        # What an object store raises is anything; its text may name what it was called with.
        raise SourceProblem(
            f"{source.path} cannot be read: the store answered {type(error).__name__}"
        ) from None


def _listed(place: _Place, source: ImportSource) -> list[FoundFile]:
    path = place.checked(place.path)
    info = place.system.info(path)
    if info["type"] != ("file" if source.type == "file" else "directory"):
        wanted = "a file" if source.type == "file" else "a folder"
        raise SourceProblem(f"{source.path} is not {wanted}: correct sourceSpec.params.type")
    if source.type == "file":
        infos = {path: info}
        if format_of(path) is None:
            raise SourceProblem(
                f"{source.path} has no known format: let it end in .csv, .jsonl, .ndjson, .json or"
                " .parquet, text also with .gz"
            )
    else:
        infos = dict(_walked(place, path))
    return [_found(place, one, infos[one]) for one in sorted(infos)]


def _walked(place: _Place, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the files below a folder; links are only followed where they stay inside."""
    count = 0
    for _, _, files in place.system.walk(path, detail=True, on_error="raise"):
        for info in files.values():
            count += 1
            if count > MOST_LISTED:
                raise SourceProblem(f"the folder has more than {MOST_LISTED} files: move some away")
            if info["type"] == "file":
                if place.lists_links:
                    place.checked(info["name"])
                yield info["name"], info


def _found(place: _Place, path: str, info: Mapping[str, Any]) -> FoundFile:
    stamp, modified_s = _stamp(place, info)
    file = SourceFile(place.shown(path), stamp)
    return FoundFile(file, modified_s, format_of(path) is not None)


def _stamp(place: _Place, info: Mapping[str, Any]) -> tuple[str, float]:
    modified = info.get("mtime") or info.get("LastModified") or info.get("last_modified")
    if modified is None:
        modified = place.system.modified(info["name"])
    modified_s = modified if isinstance(modified, int | float) else modified.timestamp()
    return f"{info['size']}-{modified_s}-{info.get('ETag', '')}", float(modified_s)


def _opened(place: _Place, file: SourceFile) -> IO[bytes]:
    path = place.checked(f"{place.root}/{file.path}")
    if _stamp(place, place.system.info(path))[0] != file.stamp:
        raise SourceProblem(f"{file.path} has changed since the run began: start another run")
    opened: IO[bytes] = place.system.open(path, "rb")
    # A folder on the way may have become a link in between.
    if place.checked(path) != path:
        opened.close()
        raise SourceProblem(f"{file.path} leads out of {place.name}")
    return opened


def _decompressed(file: IO[bytes], path: str) -> IO[bytes]:
    """Return what is in a file; it is left to the caller to close the file."""
    if not is_compressed(path):
        return file
    return cast(IO[bytes], gzip.GzipFile(fileobj=file))


class _FileRows:
    """Implements `app.service.import_sources.Rows`; reads in a thread."""

    def __init__(self, source: ImportSource, rows: Generator[Row]) -> None:
        self._source = source
        self._rows = rows
        # Whoever waits for a thread may give up; the thread goes on to the end of what it reads.
        self._reading = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        with self._reading:
            self._rows.close()

    async def skip(self, count: int) -> None:
        left = count
        while left:
            # In pieces: a thread that reads for long cannot be stopped.
            taken = len(await self.take(min(left, 5_000)))
            if not taken:
                return
            left -= taken

    async def take(self, count: int) -> Sequence[Row]:
        def read() -> list[Row]:
            with self._reading:
                return list(islice(self._rows, count))

        return await asyncio.to_thread(_guarded, self._source, read)
