"""Standard output as pipes want it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_on_closed_pipe() -> Iterator[None]:
    """End the program, with status 0, when the reader of its output went away (`… | head`)."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Else the interpreter tries to flush once more, and complains, when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
