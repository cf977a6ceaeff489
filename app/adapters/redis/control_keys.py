"""Names of the control plane's Redis keys; all keys of one tenant share a slot."""

from __future__ import annotations

from app.domain.model import Tenant


def tenant_text(tenant: Tenant) -> str:
    """Return `<org>/<sandbox>`; neither part can contain a slash."""
    return f"{tenant.org_id}/{tenant.sandbox_name}"


def tenant_from(text: str) -> Tenant:
    """Return the tenant that `tenant_text` wrote."""
    org_id, _, sandbox_name = text.partition("/")
    return Tenant(org_id, sandbox_name)


class ControlKeys:
    """Key names under a prefix.

    Attributes:
        tenants: Set of every tenant that ever had a definition.
        changes: Pub/sub channel; a message is the tenant whose definitions changed.
        job_changes: Pub/sub channel; a message is the tenant whose jobs started or were cancelled.
        preview_tenants: Set of every tenant that ever had a preview.
        preview_changes: Pub/sub channel; a message is the tenant whose previews began or went.
        relay_lock, job_relay_lock: Who relays the outboxes of definitions and of jobs to Kafka.
        schedule_tenants: Set of every tenant that ever had a schedule.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.tenants = f"{prefix}:tenants"
        self.changes = f"{prefix}:definitions-changed"
        self.job_changes = f"{prefix}:jobs-changed"
        self.preview_tenants = f"{prefix}:preview-tenants"
        self.preview_changes = f"{prefix}:previews-changed"
        self.job_relay_lock = f"{prefix}:job-relay"
        self.relay_lock = f"{prefix}:definition-relay"
        self.schedule_tenants = f"{prefix}:schedule-tenants"

    def _of(self, tenant: Tenant, name: str) -> str:
        return f"{self._prefix}:{{t:{tenant_text(tenant)}}}:{name}"

    def job(self, tenant: Tenant, part: str) -> str:
        """One of the keys of segment and export jobs.

        Hashes by job id: `documents` as asked for, `states`, `results`. Sorted sets of ids: `order`
        of segment jobs and `exports` by creation time, `queue` of the unfinished by number, `ended`
        by time. `origins`: hash of ids by origin. `counts`: hash by partition, of the job that is
        being done. `leftovers`: hash of data set and batch by id, of exports without success.
        `outbox`: stream of the records of the `job-events` topic that Kafka has not acknowledged.
        `number`: of the last job.
        """
        return self._of(tenant, f"job-{part}")

    def previews(self, tenant: Tenant) -> str:
        """Sorted set: query ids of all previews by the time in ms at which they expire."""
        return self._of(tenant, "previews")

    def preview_queue(self, tenant: Tenant) -> str:
        """Sorted set: query ids of the unfinished previews, as `previews`."""
        return self._of(tenant, "preview-queue")

    def preview(self, tenant: Tenant, query_id: str) -> str:
        """Hash: `task`, `state`, `error`, `done` partitions, and by partition what was looked at.

        The latter are `cursor:<p>`, a hash or `done`, and `row:<p>` (`app.domain.previews.Share`).
        Expires.
        """
        return self._of(tenant, f"preview:{query_id}")

    def preview_matches(self, tenant: Tenant, query_id: str) -> str:
        """Sorted set: `[profile id, related id, …]` by the hash of the profile id. Expires."""
        return self._of(tenant, f"preview-matches:{query_id}")

    def catalogue(self, tenant: Tenant) -> str:
        """Hash: `revision`, `number`, `tag`, `next-ordinal`."""
        return self._of(tenant, "catalogue")

    def tags(self, tenant: Tenant) -> str:
        """Hash: tag by catalogue number, the newest thousand."""
        return self._of(tenant, "catalogue-tags")

    def definitions(self, tenant: Tenant) -> str:
        """Hash: document by segment id."""
        return self._of(tenant, "definitions")

    def order(self, tenant: Tenant) -> str:
        """Sorted set: segment id by creation time in ms."""
        return self._of(tenant, "definition-order")

    def audience_metrics(self, tenant: Tenant) -> str:
        """Hash: what other systems told, by `<kind> <segment id>`."""
        return self._of(tenant, "audience-metrics")

    def external_order(self, tenant: Tenant) -> str:
        """Sorted set: segment id of external audiences by creation time in ms."""
        return self._of(tenant, "external-order")

    def external(self, tenant: Tenant, part: str) -> str:
        """One of the keys of imports.

        Hashes: `operations` and `runs`, documents by id; `running`, run by segment id of the
        audience. Sorted sets: `work`, what is unfinished by creation time in ms, `operation:<id>`
        or `run:<id>`; `runs:<segment id>`, ids by creation time; `operation-order`.
        `lease:<work>`: who is at it.
        """
        return self._of(tenant, f"external-{part}")

    def names(self, tenant: Tenant) -> str:
        """Hash: segment id by name."""
        return self._of(tenant, "definition-names")

    def versions(self, tenant: Tenant, segment_id: str) -> str:
        """Hash: document by version."""
        return self._of(tenant, f"definition-versions:{segment_id}")

    def evaluated(self, tenant: Tenant) -> str:
        """Hash: `[ordinal, version, expression, name, …]` by id of the published; all workers need.

        That of an external audience has its namespace at the end.
        """
        return self._of(tenant, "evaluated")

    def uses(self, tenant: Tenant) -> str:
        """Hash: list of segment ids asked with `inSegment`, by the segment that asks."""
        return self._of(tenant, "definition-uses")

    def removed(self, tenant: Tenant) -> str:
        """Hash: `[ordinal, version, catalogue number, is inactive]` by segment id.

        That of an external audience has its namespace at the end.

        Deleted definitions while `REMOVING`, inactive ones for as long as they are.
        """
        return self._of(tenant, "removed")

    def ordinals(self, tenant: Tenant) -> str:
        """Hash: segment id by ordinal, those of removed definitions too."""
        return self._of(tenant, "ordinals")

    def since(self, tenant: Tenant) -> str:
        """Hash: catalogue number that brought the current version, by segment id."""
        return self._of(tenant, "definition-since")

    def pending(self, tenant: Tenant) -> str:
        """Set: segment ids whose definition is `BACKFILLING`, or inactive and `REMOVING`."""
        return self._of(tenant, "backfilling")

    def backfill(self, tenant: Tenant) -> str:
        """Hash: `partitions`, and by partition `[completed, scanning, millionths scanned]`.

        The first two are catalogue numbers.
        """
        return self._of(tenant, "backfill")

    def failures(self, tenant: Tenant) -> str:
        """Hash: reason by segment id of the definitions that are `FAILED`."""
        return self._of(tenant, "failed")

    def outbox(self, tenant: Tenant) -> str:
        """Stream: records of the `definitions` topic that Kafka has not acknowledged."""
        return self._of(tenant, "definition-outbox")

    def schedules(self, tenant: Tenant) -> str:
        """Hash: document by schedule id."""
        return self._of(tenant, "schedules")

    def schedule_order(self, tenant: Tenant) -> str:
        """Sorted set: schedule id by creation time in ms."""
        return self._of(tenant, "schedule-order")

    def schedules_due(self, tenant: Tenant) -> str:
        """Sorted set: schedule id by its next run in ms; only of those that have one."""
        return self._of(tenant, "schedules-due")

    def schedule_runs(self, tenant: Tenant) -> str:
        """Hash: the last run, `[due ms, ms, outcome, job id, reason]`, by schedule id."""
        return self._of(tenant, "schedule-runs")

    def open_firings(self, tenant: Tenant) -> str:
        """Hash: `[segments, lease ms, token, attempts]` by `<schedule id>:<due ms>`.

        Firings that were claimed and not closed; that of an export has its request at the end.
        """
        return self._of(tenant, "open-firings")
