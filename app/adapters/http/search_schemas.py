"""Answers of the routes of search."""

from __future__ import annotations

from pydantic import Field

from app.adapters.http.schemas import Body


class SearchStatus(Body):
    """What there is to say of a search: `Success`, or why nothing can be found."""

    message: str


class NamespaceCount(Body):
    """How many objects of one namespace a search finds."""

    namespace: str
    display_name: str
    count: int


class NamespaceList(Body):
    """What a search finds, by namespace."""

    namespaces: list[NamespaceCount]
    total_count: int = Field(description="How many namespaces.")
    status: SearchStatus


class Place(Body):
    """An object and the folder that it is in."""

    id: str
    base64_encoded_source_id: str = Field(alias="base64EncodedSourceId")
    name: str
    parent_folder_id: str = Field(description="`root` at the top.")


class Entity(Place):
    """A segment or folder."""

    source_id: str
    is_folder: bool
    description: str


class EntityPageInfo(Body):
    """Where a page is among what was found."""

    total_count: int
    total_pages: int
    page_offset: int = Field(description="Number of this page, from 0.")
    page_size: int = Field(description="Objects on this page.")


class EntityList(Body):
    """One page of what a search finds: folders, then segments."""

    entities: list[Entity]
    page: EntityPageInfo
    status: SearchStatus


class TaxonomyAnswer(Body):
    """The way to an object: folders from the top, then the object."""

    taxonomy: list[Place]
    status: SearchStatus
