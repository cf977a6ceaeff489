"""`/data/core/ais`: external audiences, their operations and runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from app.adapters.http.context import INGESTION_PATH, caller_of, tenant_of
from app.adapters.http.definitions import now_ms
from app.adapters.http.errors import json_response
from app.adapters.http.ingestion_answers import (
    Ingested,
    MetadataAnswer,
    OperationAnswer,
    RunList,
    ShownRun,
    StartedRun,
    Submitted,
)
from app.adapters.http.ingestion_schemas import ExternalBody, ExternalPatch, MetadataBody, RunBody
from app.adapters.http.problem_schemas import Problem
from app.domain.definitions import StoredDefinition
from app.domain.errors import UserError
from app.service.external_audiences import ExternalAudiences
from app.service.external_document import (
    ingested_document,
    operation_document,
    run_document,
    started_document,
)
from app.service.external_input import ExternalInput

METADATA_VERSION = "application/vnd.adobe.external.audiences+json; version=2"

_COLLECTION = "/external-audience"
_ITEM = f"{_COLLECTION}/{{audienceId}}"
_RUNS = f"{_ITEM}/runs"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request is malformed.",
        401: "The caller may not do this.",
        404: "There is no such object.",
        409: "Name or id is taken.",
        422: "The request is well formed and cannot be done as things are.",
        502: "Redis does not answer; try again.",
    }.items()
}

AudienceId = Annotated[str, Path(alias="audienceId", description="As the operation says it.")]


def ingestion_router(external: ExternalAudiences) -> APIRouter:
    """Return the routes of external audience ingestion."""
    router = APIRouter(prefix=INGESTION_PATH, tags=["External audiences"], responses=_PROBLEMS)
    _add_collection(router, external)
    _add_item(router, external)
    _add_runs(router, external)
    return router


def _add_collection(router: APIRouter, external: ExternalAudiences) -> None:
    async def submit_external_audience(request: Request, body: ExternalBody) -> Response:
        """Ask for an external audience; the operation says when it is there."""
        given = body.to_input(caller_of(request))
        details = body.echo(given)
        operation = await external.submit(tenant_of(request), given, details, now_ms())
        answer = {"operationId": operation.operation_id, "operationDetails": details}
        return json_response(answer, 202)

    # The published path ends in a slash; who leaves it out means the same.
    for path, is_shown in ((f"{_COLLECTION}/", True), (_COLLECTION, False)):
        router.add_api_route(
            path,
            submit_external_audience,
            methods=["POST"],
            status_code=202,
            responses={202: {"model": Submitted}},
            include_in_schema=is_shown,
        )

    async def get_operation(
        request: Request, operation_id: Annotated[str, Path(alias="operationId")]
    ) -> Response:
        """Return an operation as it stands."""
        operation = await external.operation(tenant_of(request), operation_id)
        return json_response(operation_document(operation))

    # The guide writes it both ways.
    for name, is_shown in ((_COLLECTION, True), (f"{_COLLECTION}s", False)):
        router.add_api_route(
            f"{name}/operations/{{operationId}}",
            get_operation,
            methods=["GET"],
            responses={200: {"model": OperationAnswer}},
            include_in_schema=is_shown,
        )

    @router.post("/audiences", responses={200: {"model": MetadataAnswer}})
    async def create_metadata_audience(
        request: Request,
        body: MetadataBody,
        only_metadata: Annotated[
            bool, Query(alias="createAudienceMetaOnly", description="`true`.")
        ] = False,
        accept: Annotated[str, Header(description=f"`{METADATA_VERSION}`.")] = "",
    ) -> Response:
        """Make an audience whose members another service tells."""
        if not only_metadata or accept.replace(" ", "") != METADATA_VERSION.replace(" ", ""):
            text = f"send createAudienceMetaOnly=true and the header Accept: {METADATA_VERSION}"
            raise UserError(text, code="invalid-parameter")
        given = body.to_input(caller_of(request))
        made = await external.create(tenant_of(request), given, now_ms())
        answer = {"id": made.segment_id, "name": made.name, "audienceId": body.audience_id}
        return json_response(answer)


def _add_item(router: APIRouter, external: ExternalAudiences) -> None:
    @router.patch(_ITEM, responses={200: {"model": Ingested}})
    async def patch_external_audience(
        request: Request, audience_id: AudienceId, body: ExternalPatch
    ) -> Response:
        """Change description, labels, columns or days to live; what is not named stays."""
        author = caller_of(request)

        def edit(previous: StoredDefinition) -> ExternalInput:
            try:
                return body.over(previous, author)
            except ValueError as error:
                problem = {"loc": ("body", "fields"), "msg": str(error)}
                raise RequestValidationError([problem]) from None

        changed = await external.change(tenant_of(request), audience_id, edit, now_ms())
        return json_response(ingested_document(changed))

    @router.delete(_ITEM, status_code=204)
    async def delete_external_audience(request: Request, audience_id: AudienceId) -> Response:
        """Remove an external audience that no other one uses; its members leave."""
        await external.delete(tenant_of(request), audience_id)
        return Response(status_code=204)


def _add_runs(router: APIRouter, external: ExternalAudiences) -> None:
    @router.post(_RUNS, responses={200: {"model": StartedRun}})
    async def start_run(request: Request, audience_id: AudienceId, body: RunBody) -> Response:
        """Import the rows of the source; refused while another run is in progress."""
        audience, run = await external.start_run(
            tenant_of(request),
            audience_id,
            body.data_filter_start_time,
            body.data_filter_end_time,
            caller_of(request),
            now_ms(),
        )
        return json_response(started_document(audience.name, run))

    @router.get(_RUNS, responses={200: {"model": RunList}})
    async def list_runs(request: Request, audience_id: AudienceId) -> Response:
        """List the runs of an audience, newest first."""
        audience, runs = await external.runs(tenant_of(request), audience_id)
        listed = [run_document(audience.name, run, with_details=False) for run in runs]
        return json_response({"runs": listed})

    @router.get(f"{_RUNS}/{{runId}}", responses={200: {"model": ShownRun}})
    async def get_run(
        request: Request, audience_id: AudienceId, run_id: Annotated[str, Path(alias="runId")]
    ) -> Response:
        """Return a run as it stands."""
        audience, run = await external.run(tenant_of(request), audience_id, run_id)
        return json_response(run_document(audience.name, run, with_details=True))
