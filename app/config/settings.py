"""The table of settings.

One field of `Settings` is one setting: its name in capitals after `SEG_` is the variable, and its
metadata says what it means and which values it takes. `docs/operations.md` lists the same table and
a test holds the two together.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from app.config.kinds import (
    API_URL,
    DATASETS,
    FILE,
    FOLDER,
    KEY_PREFIX,
    PORT,
    SERVERS,
    TEXT,
    TOPIC_PREFIX,
    Kind,
    choice,
    integer,
    url,
)

PREFIX = "SEG_"
_FILE_SUFFIX = "_FILE"
_MIB = 1024 * 1024
_TOPIC_LIMIT_BYTES = 12 * _MIB

EXACTLY_ONCE = "exactly_once"
AT_LEAST_ONCE = "at_least_once"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings."""

    name: str
    variable: str
    kind: Kind
    default: object
    doc: str
    is_secret: bool

    @property
    def shown_default(self) -> str:
        """The default as the docs show it."""
        return "unset" if self.default == "" else f"`{self.default}`"

    @property
    def file_variable(self) -> str:
        """The variable that names a file holding the value; only secrets have one."""
        return self.variable + _FILE_SUFFIX


def _setting(kind: Kind, default: object, doc: str, *, secret: bool = False) -> Any:
    return field(
        default=default, repr=not secret, metadata={"kind": kind, "doc": doc, "secret": secret}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; build it with `read_settings`."""

    kafka_bootstrap_servers: str = _setting(SERVERS, "localhost:9092", "Kafka brokers to ask.")
    kafka_security_protocol: str = _setting(
        choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "PLAINTEXT",
        "How connections to Kafka are secured.",
    )
    kafka_sasl_mechanism: str = _setting(
        choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
        "PLAIN",
        "SASL mechanism, where the protocol is SASL_*.",
    )
    kafka_sasl_username: str = _setting(TEXT, "", "SASL user.")
    kafka_sasl_password: str = _setting(TEXT, "", "SASL password.", secret=True)
    kafka_ssl_ca_file: str = _setting(
        FILE, "", "CA certificates (PEM) that Kafka's is checked against; the system's if unset."
    )
    kafka_ssl_cert_file: str = _setting(FILE, "", "Client certificate (PEM), for mutual TLS.")
    kafka_ssl_key_file: str = _setting(FILE, "", "Key (PEM) of the client certificate.")
    redis_url: str = _setting(
        url("redis", "rediss", "unix"),
        "redis://localhost:6379/0",
        "Redis or Valkey, with user and password where it has them; `rediss://` for TLS.",
        secret=True,
    )
    redis_key_prefix: str = _setting(KEY_PREFIX, "seg", "What every Redis key begins with.")
    topic_prefix: str = _setting(
        TOPIC_PREFIX, "segmentation.", "What the name of every topic begins with."
    )
    application_id: str = _setting(
        TOPIC_PREFIX, "segmentation", "Consumer group, and first part of each transactional id."
    )
    partitions: int = _setting(
        integer(1, 1_000),
        8,
        "Partitions of every topic sharded by profile. Fixed once there is state.",
    )
    topic_replication: int = _setting(
        integer(0, 9),
        0,
        "Replicas of the topics that `segmentation topics` creates; 0 leaves it to the broker.",
    )
    processing_guarantee: str = _setting(
        choice(EXACTLY_ONCE, AT_LEAST_ONCE),
        EXACTLY_ONCE,
        "`at_least_once` is faster; changes may then repeat with the same `changeId`.",
    )
    default_org_id: str = _setting(
        TEXT, "", "Organisation of updates that name none; unset refuses them."
    )
    default_sandbox_name: str = _setting(TEXT, "prod", "Sandbox of updates that name none.")
    retention_days: int = _setting(
        integer(1, 3_650), 30, "Days for which the events of a profile are kept."
    )
    retention_events: int = _setting(
        integer(1, 100_000), 5_000, "Newest events kept for a profile."
    )
    dedup_ids: int = _setting(
        integer(0, 100_000), 1_000, "Newest event ids remembered for a profile."
    )
    max_record_bytes: int = _setting(
        integer(1_024, _TOPIC_LIMIT_BYTES),
        _MIB,
        "A larger update goes to the dead letters.",
    )
    max_profile_bytes: int = _setting(
        integer(_MIB, 128 * _MIB),
        64 * _MIB,
        "Updates of a profile whose stored state and events are larger go to the dead letters.",
    )
    batch_max_records: int = _setting(
        integer(1, 100_000), 2_000, "Records of one partition that are committed together."
    )
    batch_max_bytes: int = _setting(
        integer(_MIB, 64 * _MIB), 8 * _MIB, "Bytes fetched of one partition at once."
    )
    batch_linger_ms: int = _setting(
        integer(0, 1_000), 5, "Least time between two polls: larger batches for more latency."
    )
    scan_max_profiles: int = _setting(
        integer(1, 10_000),
        4_096,
        "Profiles that a worker brings to changed definitions at once, between live updates.",
    )
    job_history_days: int = _setting(
        integer(1, 3_650), 30, "Days for which a segment job that has ended can be looked up."
    )
    schedule_runs_per_day: int = _setting(
        integer(1, 86_400), 1, "A schedule that would run more often on a day is refused."
    )
    datasets: str = _setting(
        DATASETS,
        "",
        "Where exports write: URL and options of fsspec by `datasetId` (docs/operations.md).",
        secret=True,
    )
    preview_sample_profiles: int = _setting(
        integer(1, 10_000_000),
        25_000,
        "Profiles of a partition that a preview looks at; its counts are exact where there are no"
        " more.",
    )
    preview_kept_matches: int = _setting(
        integer(1, 1_000_000),
        10_000,
        "Matching profiles that a preview keeps to be shown, as many of each partition.",
    )
    preview_ttl_minutes: int = _setting(
        integer(1, 43_200), 60, "Minutes for which a preview and its estimate can be looked up."
    )
    preview_max_running: int = _setting(
        integer(1, 1_000), 10, "Unfinished previews of a sandbox; more are refused."
    )
    session_timeout_ms: int = _setting(
        integer(1_000, 600_000),
        10_000,
        "A worker silent for so long loses its partitions to the others.",
    )
    cache_profiles: int = _setting(
        integer(0, 10_000_000), 10_000, "Profiles of a partition kept in memory by its worker."
    )
    api_host: str = _setting(TEXT, "127.0.0.1", "Address that the API listens on.")
    api_port: int = _setting(PORT, 8080, "Port of the API; 0 takes any free one.")
    worker_host: str = _setting(
        TEXT, "127.0.0.1", "Address that a worker's health and metrics listen on."
    )
    worker_port: int = _setting(
        PORT, 8081, "Port of a worker's health and metrics; 0 takes any free one."
    )
    credentials_file: str = _setting(
        FILE, "", "JSON file with the credentials that the API accepts (docs/operations.md)."
    )
    jwt_key: str = _setting(
        TEXT,
        "",
        "Key that bearer JWTs are verified with: PEM of a public key, or a shared secret.",
        secret=True,
    )
    jwt_algorithm: str = _setting(
        choice("RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"),
        "RS256",
        "The one algorithm that a JWT may be signed with.",
    )
    jwt_audience: str = _setting(TEXT, "", "The `aud` that a JWT must carry.")
    import_root: str = _setting(
        FOLDER,
        "",
        "Landing zone: folder with `<organisation>/<sandbox>/…` that external audiences are"
        " imported from.",
    )
    import_connections_file: str = _setting(
        FILE,
        "",
        "JSON file of the object stores that external audiences are imported from"
        " (docs/operations.md).",
    )
    expression_max_characters: int = _setting(
        integer(1, 20_000), 20_000, "Characters of an expression; a longer one is refused."
    )
    expression_max_depth: int = _setting(
        integer(1, 100), 100, "Levels of an expression; a path of n parts is n levels deep."
    )
    expression_max_nodes: int = _setting(
        integer(1, 20_000), 5_000, "Parts of an expression: constants, fields, operators, calls."
    )
    expression_max_steps: int = _setting(integer(1, 6), 6, "Steps of one chain.")
    expression_max_list_items: int = _setting(
        integer(1, 20_000), 1_000, "Items of one list in an expression."
    )
    expression_max_state_bytes: int = _setting(
        integer(1, 1_073_741_824),
        _MIB,
        "Estimated state of a profile for one definition (`estimatedStateBytes`); one that needs"
        " more is refused.",
    )
    expression_max_event_loops: int = _setting(
        integer(1, 3),
        2,
        "Loops over the events of a profile, nested in each other; the time of an evaluation grows"
        " with the number of events to that power.",
    )
    schemas_file: str = _setting(
        FILE, "", "JSON file with the schemas that paths are checked by (docs/operations.md)."
    )
    schemas_url: str = _setting(API_URL, "", "The same over HTTP, in place of a file.")
    schemas_token: str = _setting(
        TEXT, "", "Bearer token that SEG_SCHEMAS_URL is asked with.", secret=True
    )
    schemas_refresh_s: int = _setting(
        integer(1, 86_400), 60, "Seconds between two readings of the schemas."
    )
    client_url: str = _setting(
        API_URL,
        "http://127.0.0.1:8080",
        "API that the commands of the control plane call (docs/cli.md).",
    )
    client_token: str = _setting(TEXT, "", "Access token of these commands.", secret=True)
    client_api_key: str = _setting(TEXT, "", "API key of these commands.", secret=True)
    client_org_id: str = _setting(TEXT, "", "Organisation that these commands work in.")
    client_sandbox_name: str = _setting(TEXT, "prod", "Sandbox that these commands work in.")
    client_ready_file: str = _setting(
        TEXT, "", "Ready file of a local stack, in place of the other `SEG_CLIENT_*`."
    )
    log_level: str = _setting(
        choice("debug", "info", "warning", "error"), "info", "Least severe messages logged."
    )
    log_format: str = _setting(
        choice("console", "json"), "console", "Lines for people, or one JSON object a line."
    )


def setting_table() -> tuple[Setting, ...]:
    """Return every setting in the order of its declaration."""
    return tuple(
        Setting(
            name=item.name,
            variable=PREFIX + item.name.upper(),
            kind=item.metadata["kind"],
            default=None if item.default is MISSING else item.default,
            doc=item.metadata["doc"],
            is_secret=item.metadata["secret"],
        )
        for item in fields(Settings)
    )
