"""`/profiles`: what is stored of one profile."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.adapters.http.context import PROBLEMS, tenant_of
from app.adapters.http.errors import json_response
from app.adapters.http.schemas import ProfileMembership
from app.domain.model import ProfileKey
from app.service.profile_memberships import ProfileMemberships


def profiles_router(memberships: ProfileMemberships) -> APIRouter:
    """Return the routes of profiles; they have no base path."""
    router = APIRouter(tags=["Profiles"], responses=PROBLEMS)

    # A profile id may contain slashes, which arrive decoded.
    @router.get(
        "/profiles/{profileId:path}/membership", responses={200: {"model": ProfileMembership}}
    )
    async def get_membership(
        request: Request,
        profile_id: Annotated[str, Path(alias="profileId", description="Id of the profile.")],
    ) -> Response:
        """Return the stored segment memberships of a profile, as of its last evaluation."""
        key = ProfileKey(tenant_of(request), profile_id)
        stored = await memberships.of(key)
        return json_response({"profileId": profile_id, "segmentMembership": stored})

    return router
