"""The port to the files that members of external audiences are read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from app.domain.errors import UserError
from app.domain.external import ImportSource, SourceFile
from app.domain.model import Tenant
from app.service.import_rows import BadRow


class SourceProblem(UserError):
    """A source that cannot be read; says why, without credentials."""

    code = "external-unprocessable"


class FoundFile(NamedTuple):
    """A file of a source.

    Attributes:
        modified_s: When it was last changed, epoch seconds.
        is_known: It has a format that can be read.
    """

    file: SourceFile
    modified_s: float
    is_known: bool


class Rows(Protocol):
    """The rows of one open file."""

    async def skip(self, count: int) -> None:
        """Leave out the next rows."""
        ...

    async def take(self, count: int) -> Sequence[Mapping[str, object] | BadRow]:
        """Return the next rows, at most so many; none at the end."""
        ...


class ImportSources(Protocol):
    """Where files are. All methods raise `SourceProblem`."""

    def check(self, tenant: Tenant, source: ImportSource) -> None:
        """Refuse a source whose place is not configured for a tenant, or that leads out of it."""
        ...

    async def files(self, tenant: Tenant, source: ImportSource) -> list[FoundFile]:
        """Return the files of a source in the order of their paths; never none of a `file`."""
        ...

    def open(
        self, tenant: Tenant, source: ImportSource, file: SourceFile, columns: Sequence[str]
    ) -> AbstractAsyncContextManager[Rows]:
        """Open a file, unless it has changed since its stamp was taken.

        Args:
            tenant: Whose it is.
            source: Which it belongs to.
            file: Which.
            columns: That it has to have.
        """
        ...
