"""A search query as a tree: the forms of Lucene that the API reference lists.

Positions are character offsets into the text that a client sent, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Column: TypeAlias = Literal["name", "description", "id", "location", "parent"]
"""What of a document can be searched: `location` is the path of a folder, by names."""

Occur: TypeAlias = Literal["should", "must", "must_not"]


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of the query language looks at.

    Attributes:
        folders: True for folders alone, False for segments alone, None for both.
    """

    column: Column
    folders: bool | None = None


FIELDS: dict[str, Field] = {
    "name": Field("name"),
    "segmentName": Field("name", folders=False),
    "segmentDescription": Field("description", folders=False),
    "segmentId": Field("id", folders=False),
    "folderId": Field("id", folders=True),
    "folderLocation": Field("location", folders=True),
    "parentFolderId": Field("parent"),
}
"""Fields that a query may name (API reference; `name` is in its samples)."""

ANYWHERE: tuple[Field, ...] = (
    Field("name"),
    Field("description"),
    Field("id"),
    Field("location"),
)
"""Where a word without a field is looked for: all but the parent, which is `root` for most."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or several where the text has punctuation in it, as `e-mail` has.

    Attributes:
        distance: Edits that a match may be away, 0 to 2.
    """

    text: str
    fields: tuple[Field, ...]
    distance: int = 0


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A word with gaps.

    Attributes:
        pattern: `*` stands for any characters, `?` for one, and a backslash takes the meaning of
            the character after it away.
    """

    pattern: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow each other.

    Attributes:
        slop: Places by which they may be apart, or out of order.
    """

    text: str
    fields: tuple[Field, ...]
    slop: int = 0


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression for one whole word.

    Attributes:
        offset: Of the pattern in the query.
    """

    pattern: str
    fields: tuple[Field, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Everything:
    """`*:*`."""


@dataclass(frozen=True, slots=True)
class Boost:
    """A part of the query that counts `factor` times for the order of what is found."""

    node: Node
    factor: float


@dataclass(frozen=True, slots=True)
class Clauses:
    """Parts of a query: all that must and none that must not be met, at least one where none must.

    With nothing but `must_not` parts it is everything that meets none of them.
    """

    clauses: tuple[tuple[Occur, Node], ...]


Node: TypeAlias = "Word | Wildcard | Phrase | Regex | Everything | Boost | Clauses"


class QueryProblem(Exception):
    """A query that cannot be read.

    Attributes:
        offset: Where, in characters from 0.
        hint: How to mend it; may be empty.
    """

    def __init__(self, offset: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.hint = hint
