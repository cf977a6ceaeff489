"""Previews and estimates as the API shows them. Source: API reference, previews and estimates."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from app.domain.model import JsonObject
from app.domain.previews import PreviewMatch, Share, StoredPreview
from app.service.estimation import Estimate, Stratum, estimate
from app.service.previews import APPLICATION, EXECUTION, PreviewPage, preview_id_of

CONFIDENCE = "95%"
PREVIEW_PATH = "/preview"
_ENTITIES_PATH = "/access/entities"


def created_document(preview: StoredPreview) -> JsonObject:
    """Return the answer to the creation of a preview."""
    query_id = preview.task.query_id
    return {
        "state": preview.state,
        "previewQueryId": query_id,
        "previewQueryStatus": preview.state,
        "previewId": preview_id_of(query_id),
        "previewExecutionId": EXECUTION,
    }


def preview_document(base_path: str, page: PreviewPage, offset: int, limit: int) -> JsonObject:
    """Return a page of a preview.

    Args:
        base_path: Of the API; links begin with it.
    """
    path = f"{base_path}{PREVIEW_PATH}/{preview_id_of(page.preview.task.query_id)}"

    def link(start: int) -> str:
        return f"{path}?{urlencode({'limit': limit, 'offset': start})}"

    following = offset + limit
    return {
        "results": [_result(base_path, match) for match in page.matches],
        "state": page.preview.state,
        "links": {
            "_self": link(offset),
            "next": link(following) if following < page.total else "",
            "prev": link(max(offset - limit, 0)) if offset else "",
        },
        "page": {"offset": offset, "size": len(page.matches)},
    }


def _result(base_path: str, match: PreviewMatch) -> JsonObject:
    related = {one: {"_href": _href(base_path, one)} for one in match.related}
    own = {"_href": _href(base_path, match.profile_id), "endCustomerIds": related}
    return {match.profile_id: own}


def _href(base_path: str, profile_id: str) -> str:
    query = {"schema.name": "_xdm.context.profile", "entityId": profile_id}
    return f"{base_path}{_ENTITIES_PATH}?{urlencode(query)}"


def estimate_document(base_path: str, preview: StoredPreview) -> JsonObject:
    """Return the estimate of a preview as far as it is known; all counts are of what was read."""
    shares, query_id = preview.shares, preview.task.query_id
    found = estimate([_stratum(one) for one in shares])
    return {
        "estimatedSize": found.size,
        "numRowsToRead": sum(one.wanted for one in shares),
        "totalRows": sum(_stratum(one).total for one in shares),
        "profilesReadSoFar": sum(one.read for one in shares),
        "profilesMatchedSoFar": sum(one.matched for one in shares),
        "profilesSkipped": sum(one.skipped for one in shares),
        "estimatedNamespaceDistribution": _namespaces(shares),
        "state": "RUNNING" if preview.state == "NEW" else preview.state,
        "standardError": round(found.standard_error),
        "error": {"description": _problem(preview), "traceback": ""},
        "confidenceInterval": CONFIDENCE,
        "confidenceLimits": _limits(found),
        "_links": {
            "preview": f"{base_path}{PREVIEW_PATH}/{APPLICATION}/execution/{EXECUTION}"
            f"?previewQueryId={query_id}"
        },
    }


def _limits(found: Estimate) -> JsonObject:
    return {"lower": found.low, "upper": found.high}


def _stratum(share: Share) -> Stratum:
    # Some may have come since they were counted.
    return Stratum(max(share.total, share.read + share.skipped), share.read, share.matched)


def _namespaces(shares: Sequence[Share]) -> list[JsonObject]:
    counts: dict[str, int] = {}
    for share in shares:
        for name, count in share.by_namespace.items():
            counts[name] = counts.get(name, 0) + count
    return [
        {"namespaceId": name, "profilesMatchedSoFar": count}
        for name, count in sorted(counts.items())
    ]


def _problem(preview: StoredPreview) -> str:
    if preview.error:
        return preview.error
    skipped = sum(one.skipped for one in preview.shares)
    if not skipped:
        return ""
    return f"{skipped} profiles could not be evaluated; the log of the workers says why"
