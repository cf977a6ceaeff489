"""Settings from the environment and back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.config.settings import PREFIX, Setting, Settings, setting_table
from app.domain.errors import ConfigurationError

_TEST_PREFIX = "SEG_TEST_"


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
