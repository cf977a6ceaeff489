"""`/audiences`: segment definitions with their governance and lifecycle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app.adapters.http.audience_metrics import add_metric_call
from app.adapters.http.audience_schemas import (
    Audience,
    AudienceBulkGetBody,
    AudienceList,
    AudienceReplacement,
    ExternalSegment,
    PatchOperation,
    audience_input,
)
from app.adapters.http.context import (
    BASE_PATH,
    MAX_START,
    PROBLEMS,
    caller_of,
    request_id_of,
    tenant_of,
)
from app.adapters.http.definitions import MAX_LIMIT, now_ms, warning_fields
from app.adapters.http.errors import Fault, json_response, problem_response
from app.adapters.http.external_schemas import (
    ExternalAudienceBody,
    ExternalReplacement,
    NewAudience,
    ReplacedAudience,
    edited,
)
from app.adapters.http.schemas import MAX_IDS, BulkGetAnswer
from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError
from app.domain.model import JsonObject, Tenant
from app.service.audience_document import (
    EDITABLE,
    EXTERNAL_EDITABLE,
    TYPE,
    audience_document,
    editable_document,
)
from app.service.audience_metrics import AudienceMetrics
from app.service.audience_query import (
    AUDIENCE_SORT_FIELDS,
    AudienceQuery,
    parse_property,
    select_audiences,
)
from app.service.definition_input import DefinitionInput
from app.service.definition_query import DefinitionPage, parse_sort
from app.service.definitions import Definitions, Written
from app.service.evaluation_report import report_fields, report_of
from app.service.external_audiences import ExternalAudiences
from app.service.external_document import EXTERNAL_TYPE
from app.service.external_input import ExternalInput
from app.service.json_patch import patched
from app.service.lifecycle import REFUSED

_COLLECTION = "/audiences"
_ITEM = f"{_COLLECTION}/{{audienceId}}"

AnyAudience = Audience | ExternalSegment
AudienceId = Annotated[
    str, Path(alias="audienceId", description="The `id` of the audience, never its `audienceId`.")
]


def audiences_router(
    definitions: Definitions, external: ExternalAudiences, metrics: AudienceMetrics
) -> APIRouter:
    """Return the routes of audiences."""
    # A taken name is 400 here.
    problems = {status: shown for status, shown in PROBLEMS.items() if status != 422}
    router = APIRouter(prefix=BASE_PATH, tags=["Audiences"], responses=problems)
    _add_list(router, definitions, metrics)
    _add_collection(router, definitions, external)
    add_metric_call(router, metrics)
    _add_item(router, definitions, external)
    _add_changes(router, definitions, external)
    return router


def _add_list(router: APIRouter, definitions: Definitions, metrics: AudienceMetrics) -> None:
    @router.get(_COLLECTION, responses={200: {"model": AudienceList}})
    async def list_audiences(request: Request, query: ListQuery) -> Response:
        """List audiences, newest first unless `sort` says otherwise; inactive ones are left out."""
        tenant = tenant_of(request)
        dependents = await definitions.dependents(tenant)

        def show(definition: StoredDefinition) -> JsonObject:
            asked_by = dependents.get(definition.segment_id, ())
            return audience_document(tenant, definition, asked_by)

        every = await definitions.all_audiences(tenant)
        if any(path.startswith("evaluationProgress") for path, _ in query.properties):
            every = await definitions.with_progress(tenant, every)
        page = select_audiences(every, query, show)
        shown = await definitions.with_progress(tenant, page.items)
        children = [show(one) | _report(one) for one in shown]
        if query.with_metrics:
            known = await metrics.documents(tenant, page.items)
            children = [one | known[str(one["id"])] for one in children]
        return json_response(_list_document(query, page, children))


def _add_collection(
    router: APIRouter, definitions: Definitions, external: ExternalAudiences
) -> None:
    @router.post(_COLLECTION, status_code=201, responses={201: {"model": AnyAudience}})
    async def create_audience(request: Request, body: NewAudience) -> Response:
        """Create an audience; a published one is evaluated within seconds."""
        tenant = tenant_of(request)
        if isinstance(body, ExternalAudienceBody):
            made = await external.create(tenant, body.to_input(caller_of(request)), now_ms())
            return json_response(await _written(definitions, tenant, Written(made)), 201)
        given = body.to_input(caller_of(request))
        written = await definitions.create(tenant, given, now_ms())
        return json_response(await _written(definitions, tenant, written), 201)

    # Before the routes with an id: `bulk-get` would be one.
    @router.post(
        f"{_COLLECTION}/bulk-get", status_code=207, responses={207: {"model": BulkGetAnswer}}
    )
    async def bulk_get_audiences(request: Request, body: AudienceBulkGetBody) -> Response:
        """Look up to 100 audiences up; 404 when none of them exists."""
        tenant = tenant_of(request)
        if not 1 <= len(body.ids) <= MAX_IDS:
            text = f"{len(body.ids)} ids are asked for; ask for 1 to {MAX_IDS}"
            raise UserError(text, code="audience-ids")
        ids = list(dict.fromkeys(reference.id for reference in body.ids))
        found = await definitions.audiences(tenant, ids)
        documents = await _shown(definitions, tenant, found.values())
        return _bulk_answer(request_id_of(request), ids, documents)


def _add_item(router: APIRouter, definitions: Definitions, external: ExternalAudiences) -> None:
    @router.get(_ITEM, responses={200: {"model": AnyAudience}})
    async def get_audience(request: Request, audience_id: AudienceId) -> Response:
        """Return one audience, inactive or not."""
        tenant = tenant_of(request)
        found = await definitions.audience(tenant, audience_id)
        documents = await _shown(definitions, tenant, [found])
        return json_response(documents[audience_id])

    @router.delete(_ITEM, status_code=204)
    async def delete_audience(request: Request, audience_id: AudienceId) -> Response:
        """Remove an audience that no other one uses."""
        tenant = tenant_of(request)
        if (await definitions.audience(tenant, audience_id)).external is None:
            await definitions.delete(tenant, audience_id)
        else:
            await external.delete(tenant, audience_id)
        return Response(status_code=204)


def _add_changes(router: APIRouter, definitions: Definitions, external: ExternalAudiences) -> None:
    @router.patch(_ITEM, responses={200: {"model": AnyAudience}})
    async def patch_audience(
        request: Request, audience_id: AudienceId, operations: list[PatchOperation]
    ) -> Response:
        """Change fields of an audience by JSON Patch, all of them or none."""
        tenant, author = tenant_of(request), caller_of(request)
        additions = [operation.to_addition() for operation in operations]

        def edit_external(previous: StoredDefinition) -> ExternalInput:
            kept = editable_document(tenant, previous)
            return edited(patched(kept, additions, EXTERNAL_EDITABLE), previous, author)

        def edit(previous: StoredDefinition) -> DefinitionInput:
            document = patched(editable_document(tenant, previous), additions, EDITABLE)
            return audience_input(document, author)

        if (await definitions.audience(tenant, audience_id)).external is not None:
            changed = await external.change(tenant, audience_id, edit_external, now_ms())
            return json_response(await _written(definitions, tenant, Written(changed)))
        written = await definitions.change(tenant, audience_id, edit, now_ms())
        return json_response(await _written(definitions, tenant, written))

    @router.put(_ITEM, responses={200: {"model": AnyAudience}})
    async def replace_audience(
        request: Request, audience_id: AudienceId, body: ReplacedAudience
    ) -> Response:
        """Replace an audience."""
        tenant, author = tenant_of(request), caller_of(request)
        _check_kind(body, await definitions.audience(tenant, audience_id))
        if isinstance(body, ExternalReplacement):
            replacement = body

            def edit_external(previous: StoredDefinition) -> ExternalInput:
                kept = editable_document(tenant, previous)
                return edited(replacement.over(previous, kept), previous, author)

            changed = await external.change(tenant, audience_id, edit_external, now_ms())
            return json_response(await _written(definitions, tenant, Written(changed)))
        whole = body

        def edit(previous: StoredDefinition) -> DefinitionInput:
            document = whole.over(audience_id, editable_document(tenant, previous))
            return audience_input(document, author)

        written = await definitions.change(tenant, audience_id, edit, now_ms())
        return json_response(await _written(definitions, tenant, written))


def _check_kind(
    body: AudienceReplacement | ExternalReplacement, audience: StoredDefinition
) -> None:
    """Refuse to make an external audience of another, or the other way round."""
    is_external = audience.external is not None
    if isinstance(body, ExternalReplacement) != is_external:
        own = EXTERNAL_TYPE if is_external else TYPE
        raise UserError(f"type of this audience is {own} and never changes: send it", code=REFUSED)


async def _shown(
    definitions: Definitions, tenant: Tenant, found: Iterable[StoredDefinition]
) -> dict[str, JsonObject]:
    dependents = await definitions.dependents(tenant)
    return {
        one.segment_id: audience_document(tenant, one, dependents.get(one.segment_id, ()))
        | _report(one)
        for one in found
    }


def _report(one: StoredDefinition) -> JsonObject:
    return {} if one.external is not None else report_fields(report_of(one.expression))


async def _written(definitions: Definitions, tenant: Tenant, written: Written) -> JsonObject:
    documents = await _shown(definitions, tenant, [written.definition])
    return documents[written.definition.segment_id] | warning_fields(written)


def _list_query(
    start: Annotated[int, Query(ge=0, le=MAX_START, description="Page to start from, from 0.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")] = 100,
    sort: Annotated[
        str | None, Query(description="`field:asc` or `field:desc`, joined by commas.")
    ] = None,
    property: Annotated[
        list[str] | None,
        Query(description="`field==value`, exactly; all of them if there are several."),
    ] = None,
    name: Annotated[str, Query(description="Part of the name, in any case.")] = "",
    description: Annotated[str, Query(description="Part of the description, in any case.")] = "",
    entity_type: Annotated[
        str, Query(alias="entityType", description="Class of the entities.")
    ] = "",
    with_metrics: Annotated[
        bool,
        Query(alias="withMetrics", description="Show what `bulk-patch-metric` told."),
    ] = False,
) -> AudienceQuery:
    return AudienceQuery(
        start=start,
        limit=limit,
        order=parse_sort(sort, AUDIENCE_SORT_FIELDS),
        name=name,
        description=description,
        entity_type=entity_type,
        properties=tuple(parse_property(text) for text in property or ()),
        with_metrics=with_metrics,
    )


def _list_document(
    query: AudienceQuery, page: DefinitionPage, children: list[JsonObject]
) -> JsonObject:
    pages = -(-page.total // query.limit)
    first = query.order[0]
    document: JsonObject = {
        "totalCount": page.total,
        "totalPages": pages,
        "sortField": first.field,
        "sort": "desc" if first.descending else "asc",
        "pageSize": len(children),
        "limit": query.limit,
        "start": str(query.start),
    }
    link: JsonObject = {}
    if query.start + 1 < pages:
        document["next"] = str(query.start + 1)
        link["href"] = _next_href(query, page.total)
    return {"children": children, "_page": document, "_links": {"next": link}}


def _next_href(query: AudienceQuery, total: int) -> str:
    parameters: list[tuple[str, Any]] = [
        ("start", query.start + 1),
        ("limit", query.limit),
        ("totalCount", total),
        ("sort", ",".join(f"{key.field}:{key.direction}" for key in query.order)),
        *(("property", f"{field}=={value}") for field, value in query.properties),
    ]
    given = {
        "name": query.name,
        "description": query.description,
        "entityType": query.entity_type,
    }
    parameters += [(name, text) for name, text in given.items() if text]
    if query.with_metrics:
        parameters.append(("withMetrics", "true"))
    return f"@{_COLLECTION}?{urlencode(parameters, safe=':,')}"


def _bulk_answer(request_id: str, ids: Sequence[str], documents: dict[str, JsonObject]) -> Response:
    if not documents:
        text = f"none of these audiences exists: {','.join(ids)}"
        code = "audiences-not-found"
        return problem_response(request_id, code, [Fault(code, text)])
    results = {one: documents.get(one) or _missing(request_id, one) for one in ids}
    return json_response({"results": results}, 207)


def _missing(request_id: str, segment_id: str) -> JsonObject:
    """Return what stands in place of an audience that does not exist, as the reference has it."""
    entry = {"code": 404, "message": f"there is no audience {segment_id!r} in this sandbox"}
    return {"requestId": request_id, "errors": {"404": [entry]}}


ListQuery = Annotated[AudienceQuery, Depends(_list_query)]
