"""What can be searched for: segment definitions, and whatever else has a name and a place."""

from __future__ import annotations

from dataclasses import dataclass

ROOT_FOLDER = "root"
"""Parent of whatever is in no folder (API reference)."""

SEGMENT_NAMESPACE = "AEPSegments"
"""Namespace of the segment definitions of this service, in search and as audiences (API
reference). That of memberships is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchDocument:
    """One object that a search can find: a segment or a folder.

    Attributes:
        namespace: Which kind of source it comes from; ids are unique in one.
        source_id: Its id where it comes from.
        parent_folder_id: Id of a folder of the same namespace, or `ROOT_FOLDER`.
        created_ms: Epoch milliseconds.
    """

    namespace: str
    entity_id: str
    source_id: str
    name: str
    description: str = ""
    is_folder: bool = False
    parent_folder_id: str = ROOT_FOLDER
    created_ms: int = 0
