"""Logging: one structured stream on standard error, for people or as JSON, without secrets.

Records of the standard library (Faust, aiokafka, uvicorn) go through the same chain. Values under a
name that tells of a secret, and passwords inside URLs, are replaced before anything is written.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

_HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(
    r"(password|passwd|secret|token|api_?key|x-api-key|authorization|jwt_?key|credential)", re.I
)
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^\s@/]+(?=@)", re.I)
_BEARER = re.compile(r"(?P<head>\bBearer\s+)[\w.~+/=-]+", re.I)

# At debug these describe every record and fetch: the making of their log records alone shows up in
# a profile of the worker, so they stay quieter whatever the level is.
_CHATTY = (
    "aiokafka",
    "faust",
    "mode",
    "asyncio",
    "httpx",
    "httpcore",
    "paramiko",
    "uvicorn.access",
)


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Hide the secrets of a log event (a structlog processor)."""
    return {
        name: _HIDDEN if _SECRET_NAME.search(name) else _redacted(value)
        for name, value in event.items()
    }


def _redacted(value: Any) -> Any:
    match value:
        case str():
            return redact_text(value)
        case dict():
            return redact(None, "", value)
        case list() | tuple():
            return [_redacted(item) for item in value]
        case _:
            return value


def redact_text(text: str) -> str:
    """Return `text` without the passwords of URLs and without bearer tokens."""
    text = _URL_PASSWORD.sub(rf"\g<head>{_HIDDEN}", text)
    return _BEARER.sub(rf"\g<head>{_HIDDEN}", text)


def configure_logging(level: str, log_format: str, process: str) -> None:
    """Set up logging of this process; to be called once, before anything logs.

    Args:
        level: Least severe level written: debug, info, warning or error.
        log_format: `console` or `json`.
        process: Name of the process, in every line: `worker`, `api`, `local`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
