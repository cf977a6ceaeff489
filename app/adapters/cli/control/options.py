"""Options that several families have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str | None, typer.Option(help="Unique in the sandbox.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
Expression = Annotated[
    str | None, typer.Option(help="PQL, such as 'age > 30', or the same as pql/json.")
]
File = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="JSON as the API takes it; `-` is standard input."),
]
