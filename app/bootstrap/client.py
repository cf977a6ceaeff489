"""What the commands of the control plane call."""

from __future__ import annotations

from pathlib import Path

from app.adapters.cli.control.connection import ApiAccess
from app.config import Settings


def api_access(settings: Settings) -> ApiAccess:
    """Return what the commands of the control plane call, unless options say otherwise."""
    return ApiAccess(
        url=settings.client_url,
        token=settings.client_token,
        api_key=settings.client_api_key,
        org_id=settings.client_org_id,
        sandbox_name=settings.client_sandbox_name,
        ready_file=Path(settings.client_ready_file) if settings.client_ready_file else None,
    )
