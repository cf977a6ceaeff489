"""Settings, read from environment variables `SEG_*`: the only reader of the environment.

One field of `Settings` is one setting: its name in capitals after `SEG_` is the variable, and its
metadata says what it means and which values it takes. `docs/operations.md` lists the same table and
a test holds the two together.

Invariants: an unknown `SEG_*` variable is an error, so that a misspelt one is never ignored
(`SEG_TEST_*` belongs to the tests); a secret is in no `repr`; a secret can be read from a file,
named by the variable with `_FILE` added.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.domain.errors import ConfigurationError

PREFIX = "SEG_"
_TEST_PREFIX = "SEG_TEST_"
_FILE_SUFFIX = "_FILE"
_MIB = 1024 * 1024
_TOPIC_LIMIT_BYTES = 12 * _MIB

EXACTLY_ONCE = "exactly_once"
AT_LEAST_ONCE = "at_least_once"


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that a setting takes.

    Attributes:
        expected: The values in words, for messages and the docs.
        parse: Turns the text into the value; raises ValueError for any other text.
    """

    expected: str
    parse: Callable[[str], object]


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


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("empty")
    return value.strip()


def _integer(low: int, high: int) -> Kind:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError("out of range")
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def _choice(*values: str) -> Kind:
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError("not one of them")
        return value

    return Kind("one of " + ", ".join(values), parse)


def _url(*schemes: str) -> Kind:
    def parse(value: str) -> str:
        parts = urlsplit(value)
        # Reading the port raises ValueError where it is no number.
        if parts.scheme not in schemes or parts.port == 0:
            raise ValueError("not such a URL")
        if not (parts.hostname or (parts.scheme == "unix" and parts.path.strip("/"))):
            raise ValueError("not such a URL")
        return value

    return Kind("a URL that starts with " + " or ".join(f"{name}://" for name in schemes), parse)


def _api_url(value: str) -> str:
    parts = urlsplit(value)
    is_web = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    # A password in it would show where the URL is shown.
    if not is_web or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("not such a URL")
    return value


def _servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not 0 < int(port) < 65_536:
            raise ValueError("not host:port")
    return ",".join(servers)


def _datasets(value: str) -> str:
    if not isinstance(json.loads(value), dict):
        raise ValueError("not an object")
    return value


def _topic_prefix(value: str) -> str:
    if len(value) > 200 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in value):
        raise ValueError("not a topic name")
    return value


def _key_prefix(value: str) -> str:
    if not value or any(c in "{}:* " or not c.isprintable() for c in value):
        raise ValueError("not a key prefix")
    return value


def _readable_file(value: str) -> str:
    if not os.access(value, os.R_OK) or not Path(value).is_file():
        raise ValueError("no such file")
    return value


def _readable_folder(value: str) -> str:
    if not os.access(value, os.R_OK | os.X_OK) or not Path(value).is_dir():
        raise ValueError("no such folder")
    return value


_TEXT = Kind("any text but the empty one", _text)
_FILE = Kind("the path of a file that can be read", _readable_file)
_FOLDER = Kind("the path of a folder that can be read", _readable_folder)
_API_URL = Kind("a URL with http:// or https://, without user, password and query", _api_url)
_SERVERS = Kind("host:port, several with commas between", _servers)
_TOPIC_PREFIX = Kind("up to 200 letters, digits, dots, hyphens and underscores", _topic_prefix)
_KEY_PREFIX = Kind("text without braces, colons, stars or spaces", _key_prefix)
_DATASETS = Kind("a JSON object of data sets by id (docs/operations.md)", _datasets)
_PORT = _integer(0, 65_535)


def _setting(kind: Kind, default: object, doc: str, *, secret: bool = False) -> Any:
    return field(
        default=default, repr=not secret, metadata={"kind": kind, "doc": doc, "secret": secret}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; build it with `read_settings`."""

    kafka_bootstrap_servers: str = _setting(_SERVERS, "localhost:9092", "Kafka brokers to ask.")
    kafka_security_protocol: str = _setting(
        _choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        "PLAINTEXT",
        "How connections to Kafka are secured.",
    )
    kafka_sasl_mechanism: str = _setting(
        _choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
        "PLAIN",
        "SASL mechanism, where the protocol is SASL_*.",
    )
    kafka_sasl_username: str = _setting(_TEXT, "", "SASL user.")
    kafka_sasl_password: str = _setting(_TEXT, "", "SASL password.", secret=True)
    kafka_ssl_ca_file: str = _setting(
        _FILE, "", "CA certificates (PEM) that Kafka's is checked against; the system's if unset."
    )
    kafka_ssl_cert_file: str = _setting(_FILE, "", "Client certificate (PEM), for mutual TLS.")
    kafka_ssl_key_file: str = _setting(_FILE, "", "Key (PEM) of the client certificate.")
    redis_url: str = _setting(
        _url("redis", "rediss", "unix"),
        "redis://localhost:6379/0",
        "Redis or Valkey, with user and password where it has them; `rediss://` for TLS.",
        secret=True,
    )
    redis_key_prefix: str = _setting(_KEY_PREFIX, "seg", "What every Redis key begins with.")
    topic_prefix: str = _setting(
        _TOPIC_PREFIX, "segmentation.", "What the name of every topic begins with."
    )
    application_id: str = _setting(
        _TOPIC_PREFIX, "segmentation", "Consumer group, and first part of each transactional id."
    )
    partitions: int = _setting(
        _integer(1, 1_000),
        8,
        "Partitions of every topic sharded by profile. Fixed once there is state.",
    )
    topic_replication: int = _setting(
        _integer(0, 9),
        0,
        "Replicas of the topics that `segmentation topics` creates; 0 leaves it to the broker.",
    )
    processing_guarantee: str = _setting(
        _choice(EXACTLY_ONCE, AT_LEAST_ONCE),
        EXACTLY_ONCE,
        "`at_least_once` is faster; changes may then repeat with the same `changeId`.",
    )
    default_org_id: str = _setting(
        _TEXT, "", "Organisation of updates that name none; unset refuses them."
    )
    default_sandbox_name: str = _setting(_TEXT, "prod", "Sandbox of updates that name none.")
    retention_days: int = _setting(
        _integer(1, 3_650), 30, "Days for which the events of a profile are kept."
    )
    retention_events: int = _setting(
        _integer(1, 100_000), 5_000, "Newest events kept for a profile."
    )
    dedup_ids: int = _setting(
        _integer(0, 100_000), 1_000, "Newest event ids remembered for a profile."
    )
    max_record_bytes: int = _setting(
        _integer(1_024, _TOPIC_LIMIT_BYTES),
        _MIB,
        "A larger update goes to the dead letters.",
    )
    max_profile_bytes: int = _setting(
        _integer(_MIB, 128 * _MIB),
        64 * _MIB,
        "Updates of a profile whose stored state and events are larger go to the dead letters.",
    )
    batch_max_records: int = _setting(
        _integer(1, 100_000), 2_000, "Records of one partition that are committed together."
    )
    batch_max_bytes: int = _setting(
        _integer(_MIB, 64 * _MIB), 8 * _MIB, "Bytes fetched of one partition at once."
    )
    batch_linger_ms: int = _setting(
        _integer(0, 1_000), 5, "Least time between two polls: larger batches for more latency."
    )
    scan_max_profiles: int = _setting(
        _integer(1, 10_000),
        4_096,
        "Profiles that a worker brings to changed definitions at once, between live updates.",
    )
    job_history_days: int = _setting(
        _integer(1, 3_650), 30, "Days for which a segment job that has ended can be looked up."
    )
    schedule_runs_per_day: int = _setting(
        _integer(1, 86_400), 1, "A schedule that would run more often on a day is refused."
    )
    datasets: str = _setting(
        _DATASETS,
        "",
        "Where exports write: URL and options of fsspec by `datasetId` (docs/operations.md).",
        secret=True,
    )
    preview_sample_profiles: int = _setting(
        _integer(1, 10_000_000),
        25_000,
        "Profiles of a partition that a preview looks at; its counts are exact where there are no"
        " more.",
    )
    preview_kept_matches: int = _setting(
        _integer(1, 1_000_000),
        10_000,
        "Matching profiles that a preview keeps to be shown, as many of each partition.",
    )
    preview_ttl_minutes: int = _setting(
        _integer(1, 43_200), 60, "Minutes for which a preview and its estimate can be looked up."
    )
    preview_max_running: int = _setting(
        _integer(1, 1_000), 10, "Unfinished previews of a sandbox; more are refused."
    )
    session_timeout_ms: int = _setting(
        _integer(1_000, 600_000),
        10_000,
        "A worker silent for so long loses its partitions to the others.",
    )
    cache_profiles: int = _setting(
        _integer(0, 10_000_000), 10_000, "Profiles of a partition kept in memory by its worker."
    )
    api_host: str = _setting(_TEXT, "127.0.0.1", "Address that the API listens on.")
    api_port: int = _setting(_PORT, 8080, "Port of the API; 0 takes any free one.")
    worker_host: str = _setting(
        _TEXT, "127.0.0.1", "Address that a worker's health and metrics listen on."
    )
    worker_port: int = _setting(
        _PORT, 8081, "Port of a worker's health and metrics; 0 takes any free one."
    )
    credentials_file: str = _setting(
        _FILE, "", "JSON file with the credentials that the API accepts (docs/operations.md)."
    )
    jwt_key: str = _setting(
        _TEXT,
        "",
        "Key that bearer JWTs are verified with: PEM of a public key, or a shared secret.",
        secret=True,
    )
    jwt_algorithm: str = _setting(
        _choice("RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA", "HS256", "HS384", "HS512"),
        "RS256",
        "The one algorithm that a JWT may be signed with.",
    )
    jwt_audience: str = _setting(_TEXT, "", "The `aud` that a JWT must carry.")
    import_root: str = _setting(
        _FOLDER,
        "",
        "Landing zone: folder with `<organisation>/<sandbox>/…` that external audiences are"
        " imported from.",
    )
    import_connections_file: str = _setting(
        _FILE,
        "",
        "JSON file of the object stores that external audiences are imported from"
        " (docs/operations.md).",
    )
    expression_max_characters: int = _setting(
        _integer(1, 20_000), 20_000, "Characters of an expression; a longer one is refused."
    )
    expression_max_depth: int = _setting(
        _integer(1, 100), 100, "Levels of an expression; a path of n parts is n levels deep."
    )
    expression_max_nodes: int = _setting(
        _integer(1, 20_000), 5_000, "Parts of an expression: constants, fields, operators, calls."
    )
    expression_max_steps: int = _setting(_integer(1, 6), 6, "Steps of one chain.")
    expression_max_list_items: int = _setting(
        _integer(1, 20_000), 1_000, "Items of one list in an expression."
    )
    expression_max_state_bytes: int = _setting(
        _integer(1, 1_073_741_824),
        _MIB,
        "Estimated state of a profile for one definition (`estimatedStateBytes`); one that needs"
        " more is refused.",
    )
    expression_max_event_loops: int = _setting(
        _integer(1, 3),
        2,
        "Loops over the events of a profile, nested in each other; the time of an evaluation grows"
        " with the number of events to that power.",
    )
    schemas_file: str = _setting(
        _FILE, "", "JSON file with the schemas that paths are checked by (docs/operations.md)."
    )
    schemas_url: str = _setting(_API_URL, "", "The same over HTTP, in place of a file.")
    schemas_token: str = _setting(
        _TEXT, "", "Bearer token that SEG_SCHEMAS_URL is asked with.", secret=True
    )
    schemas_refresh_s: int = _setting(
        _integer(1, 86_400), 60, "Seconds between two readings of the schemas."
    )
    client_url: str = _setting(
        _API_URL,
        "http://127.0.0.1:8080",
        "API that the commands of the control plane call (docs/cli.md).",
    )
    client_token: str = _setting(_TEXT, "", "Access token of these commands.", secret=True)
    client_api_key: str = _setting(_TEXT, "", "API key of these commands.", secret=True)
    client_org_id: str = _setting(_TEXT, "", "Organisation that these commands work in.")
    client_sandbox_name: str = _setting(_TEXT, "prod", "Sandbox that these commands work in.")
    client_ready_file: str = _setting(
        _TEXT, "", "Ready file of a local stack, in place of the other `SEG_CLIENT_*`."
    )
    log_level: str = _setting(
        _choice("debug", "info", "warning", "error"), "info", "Least severe messages logged."
    )
    log_format: str = _setting(
        _choice("console", "json"), "console", "Lines for people, or one JSON object a line."
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


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from the environment variables `SEG_*`.

    Args:
        environment: In place of the environment of this process.

    Raises:
        ConfigurationError: With every problem found: the variable, its value unless it is a
            secret, and what is expected.
    """
    given = os.environ if environment is None else environment
    table = setting_table()
    problems = _unknown_variables(given, table)
    values: dict[str, Any] = {}
    for setting in table:
        try:
            text = _given_text(setting, given)
            if text is not None:
                values[setting.name] = _parse(setting, text)
        except ConfigurationError as error:
            problems.append(error.message)
    if not problems:
        settings = Settings(**values)
        problems = _contradictions(settings)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process that is to have these settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**others, **to_environment(settings)}


def is_set(name: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a setting was given, be it with its default value."""
    given = os.environ if environment is None else environment
    [setting] = [each for each in setting_table() if each.name == name]
    return bool(given.get(setting.variable) or given.get(setting.file_variable))


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make `read_settings` answer `settings` again.

    Values equal to the default are left out. Meant for the environment of a child process.
    """
    return {
        setting.variable: str(getattr(settings, setting.name))
        for setting in setting_table()
        if getattr(settings, setting.name) != setting.default
    }


def _unknown_variables(given: Mapping[str, str], table: tuple[Setting, ...]) -> list[str]:
    known = {setting.variable for setting in table}
    known |= {setting.file_variable for setting in table if setting.is_secret}
    problems = []
    for variable in sorted(given):
        if not variable.startswith(PREFIX) or variable.startswith(_TEST_PREFIX):
            continue
        if variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else "docs/operations.md lists all settings."
            problems.append(f"There is no setting {variable}. {hint}")
    return problems


def _given_text(setting: Setting, given: Mapping[str, str]) -> str | None:
    """Return the text of a setting; an empty variable counts as unset, as compose files need."""
    text = given.get(setting.variable) or None
    path = given.get(setting.file_variable) if setting.is_secret else None
    if not path:
        return text
    if text is not None:
        raise ConfigurationError(
            f"{setting.variable} and {setting.file_variable} are both set: keep one of them."
        )
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{setting.file_variable}={path!r} cannot be read: {error}."
            " Name a text file that this process may read."
        ) from error


def _parse(setting: Setting, text: str) -> object:
    try:
        return setting.kind.parse(text)
    except ValueError as error:
        # A URL may hold a password where none belongs.
        is_hidden = setting.is_secret or ("@" in text and "://" in text)
        shown = "(a secret, not shown)" if is_hidden else repr(text)
        raise ConfigurationError(
            f"{setting.variable}={shown} cannot be used: expected {setting.kind.expected}."
        ) from error


def _contradictions(settings: Settings) -> list[str]:
    """Return what is wrong between settings that are each right."""
    sasl = settings.kafka_security_protocol.startswith("SASL_")
    credentials = bool(settings.kafka_sasl_username and settings.kafka_sasl_password)
    checks = {
        "SEG_KAFKA_SECURITY_PROTOCOL is a SASL one: set SEG_KAFKA_SASL_USERNAME and"
        " SEG_KAFKA_SASL_PASSWORD as well.": sasl and not credentials,
        "SEG_KAFKA_SASL_USERNAME is set, but SEG_KAFKA_SECURITY_PROTOCOL uses no SASL: set it to"
        " SASL_SSL or SASL_PLAINTEXT.": bool(settings.kafka_sasl_username) and not sasl,
        "SEG_KAFKA_SSL_CERT_FILE and SEG_KAFKA_SSL_KEY_FILE belong together: set both or none.": (
            bool(settings.kafka_ssl_cert_file) != bool(settings.kafka_ssl_key_file)
        ),
        "SEG_JWT_KEY is set: set SEG_JWT_AUDIENCE to the `aud` that tokens for this service"
        " carry.": bool(settings.jwt_key) and not settings.jwt_audience,
        "SEG_SCHEMAS_FILE and SEG_SCHEMAS_URL are both set: keep one of them.": bool(
            settings.schemas_file and settings.schemas_url
        ),
        "SEG_CLIENT_READY_FILE says where the API is and who calls it: unset it, or the other"
        " SEG_CLIENT_*.": bool(settings.client_ready_file) and _names_client(settings),
        "SEG_BATCH_MAX_BYTES is less than SEG_MAX_RECORD_BYTES: raise it, so that one record"
        " fits into a batch.": settings.batch_max_bytes < settings.max_record_bytes,
    }
    return [text for text, is_wrong in checks.items() if is_wrong]


def _names_client(settings: Settings) -> bool:
    return any(
        getattr(settings, row.name) != row.default
        for row in setting_table()
        if row.name.startswith("client_") and row.name != "client_ready_file"
    )
