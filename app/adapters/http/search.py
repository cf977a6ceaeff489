"""`/search`: full text over segment definitions, and the folders that they are in.

The routes are plain functions, which the framework runs in threads: a search waits for nothing,
but one that finds everything takes milliseconds in which others should be answered.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from app.adapters.http.context import BASE_PATH, MAX_START, PROBLEMS, tenant_of
from app.adapters.http.errors import json_response
from app.adapters.http.search_schemas import EntityList, NamespaceList, TaxonomyAnswer
from app.domain.errors import UserError
from app.domain.model import JsonObject
from app.domain.search import SearchDocument
from app.service.search import (
    MAX_LIMIT,
    SUCCESS,
    EntityPage,
    EntityQuery,
    Search,
    encoded_source_id,
)

SEARCH_VERSION = "1.0"
SEARCHED_SCHEMA = "_xdm.context.segmentdefinition"

SchemaName = Annotated[
    str | None,
    Query(
        alias="schema.name",
        description=f"Required: `{SEARCHED_SCHEMA}`.",
        json_schema_extra={"enum": [SEARCHED_SCHEMA]},
    ),
]
Namespace = Annotated[str, Query(min_length=1, description="Such as `AEPSegments`.")]
Text = Annotated[
    str | None,
    Query(alias="s", description="Lucene query, such as `segmentName:winter*`; all without it."),
]
_STATUSES: dict[int | str, dict[str, Any]] = {
    status: PROBLEMS[status] for status in (400, 403, 503)
}


def search_router(search: Search) -> APIRouter:
    """Return the routes of search."""
    router = APIRouter(
        prefix=f"{BASE_PATH}/search",
        tags=["Segment search"],
        responses=_STATUSES,
        dependencies=[Depends(_check_version)],
    )

    @router.get("/namespaces", responses={200: {"model": NamespaceList}})
    def count_by_namespace(
        request: Request, schema_name: SchemaName = None, text: Text = None
    ) -> Response:
        """Count what a search finds in each namespace; those without a match are left out."""
        _check_schema("schema.name", schema_name)
        found = search.namespaces(tenant_of(request), text)
        return json_response(_namespaces_document(found))

    @router.get("/entities", responses={200: {"model": EntityList}})
    def find_entities(request: Request, query: EntityParameters) -> Response:
        """Find segments and folders of a namespace; folders come first."""
        page = search.entities(tenant_of(request), query)
        return json_response(_entities_document(query, page))

    @router.get("/taxonomy", responses={200: {"model": TaxonomyAnswer}})
    def show_taxonomy(
        request: Request,
        namespace: Namespace,
        entity_id: Annotated[
            str, Query(alias="entityId", min_length=1, description="Id of a segment or folder.")
        ],
        schema_name: SchemaName = None,
    ) -> Response:
        """Return the folders from the top down to an object, and the object itself."""
        _check_schema("schema.name", schema_name)
        found = search.taxonomy(tenant_of(request), namespace, entity_id)
        path = [_place(document) for document in found.path]
        return json_response({"taxonomy": path, "status": {"message": found.message}})

    return router


async def _check_version(
    version: Annotated[
        str | None,
        Header(alias="x-ups-search-version", description=f"`{SEARCH_VERSION}`, the only one."),
    ] = None,
) -> None:
    if version not in (None, SEARCH_VERSION):
        text = f"x-ups-search-version is {version!r}; send {SEARCH_VERSION}"
        raise UserError(text, code="invalid-parameter")


def _check_schema(parameter: str, value: str | None) -> None:
    if value is None:
        text = f"{parameter} is missing; send {SEARCHED_SCHEMA}"
        raise UserError(text, code="invalid-parameter")
    if value != SEARCHED_SCHEMA:
        text = f"{parameter} is {value!r}; what can be searched is {SEARCHED_SCHEMA}"
        raise UserError(text, code="invalid-parameter")


async def _entity_query(
    namespace: Namespace,
    schema_name: SchemaName = None,
    schema_class: Annotated[
        str | None,
        Query(
            alias="schemaClass",
            description="The same as `schema.name`.",
            json_schema_extra={"enum": [SEARCHED_SCHEMA]},
        ),
    ] = None,
    text: Text = None,
    folder_id: Annotated[
        str | None,
        Query(alias="entityId", min_length=1, description="Only what is inside this folder."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Objects on a page.")] = MAX_LIMIT,
    page: Annotated[int, Query(ge=0, le=MAX_START, description="Page to return, from 0.")] = 0,
) -> EntityQuery:
    if schema_class is not None:  # the published document's name for it; the guides' is the other
        _check_schema("schemaClass", schema_class)
    if schema_class is None or schema_name is not None:
        _check_schema("schema.name", schema_name)
    return EntityQuery(namespace=namespace, text=text, folder_id=folder_id, limit=limit, page=page)


def _namespaces_document(found: list[tuple[str, int]]) -> JsonObject:
    return {
        "namespaces": [
            {"namespace": name, "displayName": name, "count": count} for name, count in found
        ],
        "totalCount": len(found),
        "status": {"message": SUCCESS},
    }


def _entities_document(query: EntityQuery, page: EntityPage) -> JsonObject:
    return {
        "entities": [
            {
                **_place(document),
                "sourceId": document.source_id,
                "isFolder": document.is_folder,
                "description": document.description,
            }
            for document in page.items
        ],
        "page": {
            "totalCount": page.total,
            "totalPages": -(-page.total // query.limit),
            "pageOffset": query.page,
            "pageSize": len(page.items),
        },
        "status": {"message": page.message},
    }


def _place(document: SearchDocument) -> JsonObject:
    return {
        "id": document.entity_id,
        "base64EncodedSourceId": encoded_source_id(document),
        "name": document.name,
        "parentFolderId": document.parent_folder_id,
    }


EntityParameters = Annotated[EntityQuery, Depends(_entity_query)]
