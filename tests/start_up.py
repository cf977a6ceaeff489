"""What a command loads: it decides how soon the command answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

ENGINE = frozenset(
    (
        *("faust", "mode", "aiokafka", "redis", "tantivy", "fastapi", "starlette", "uvicorn"),
        *("app.engine", "app.pql", "app.service", "app.adapters.kafka", "app.adapters.http"),
    )
)
"""Modules that only workers and API need."""

_PROGRAM = """
import json, sys
from app.__main__ import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code or 0, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded_by(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, set[str]]:
    """Run a command in a process of its own; return its status, and the modules it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    status, modules = json.loads(done.stderr.splitlines()[-1])
    return status, set(modules)
