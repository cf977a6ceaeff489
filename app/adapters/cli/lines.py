"""Lines of a file or of standard input, for an event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

from app.domain.errors import ConfigurationError

_CHUNK_BYTES = 256 * 1024
_CHUNKS_AHEAD = 8


@contextmanager
def opened(source: Path | None) -> Iterator[int]:
    """Yield the descriptor of a file; None and `-` are standard input.

    Raises:
        ConfigurationError: If the file cannot be read.
    """
    if source is None or str(source) == "-":
        yield sys.stdin.fileno()
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from error
    with file:
        yield file.fileno()


async def read_lines(descriptor: int, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield lines until the end of the input or until `stop` is set.

    A thread reads, so that an input which waits (a terminal, a pipe) blocks nothing. It reads the
    descriptor itself: a thread that waits inside a buffered file would hang the end of the program.

    Raises:
        ConfigurationError: If the input cannot be read to its end.
    """
    chunks: asyncio.Queue[bytes | OSError] = asyncio.Queue(_CHUNKS_AHEAD)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read, args=(descriptor, chunks, loop), daemon=True).start()
    stopped = asyncio.create_task(stop.wait())
    rest = b""
    try:
        while chunk := await _next_chunk(chunks, stopped):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
        if rest and not stop.is_set():
            yield rest
    finally:
        stopped.cancel()


async def _next_chunk(chunks: asyncio.Queue[bytes | OSError], stopped: asyncio.Task[bool]) -> bytes:
    """Return the next chunk; empty at the end and when stopped."""
    chunk = asyncio.create_task(chunks.get())
    await asyncio.wait({chunk, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        chunk.cancel()
        return b""
    read = chunk.result()
    if isinstance(read, OSError):
        raise ConfigurationError(f"The input cannot be read further: {read.strerror}") from read
    return read


def _read(
    descriptor: int, chunks: asyncio.Queue[bytes | OSError], loop: asyncio.AbstractEventLoop
) -> None:
    chunk: bytes | OSError = b"-"
    while chunk and not isinstance(chunk, OSError):
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except OSError as error:
            chunk = error
        putting = chunks.put(chunk)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        except (RuntimeError, CancelledError):  # the loop is gone
            putting.close()
            return
