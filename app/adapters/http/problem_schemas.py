"""Bodies of refusals."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.adapters.http.schemas import Body


class ProblemEntry(Body):
    """One fault; those of an expression carry their position, those of a list their item."""

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    pointer: str | None = Field(
        default=None, description="JSON pointer in a tree; absent for the whole of it."
    )
    length: int | None = Field(default=None, description="Characters of that line.")
    excerpt: str | None = Field(
        default=None, description="The line and, below it, the place underlined."
    )
    hint: str | None = None
    item: int | None = Field(default=None, description="Which of the list, from 0.")


class Problem(Body):
    """The service's error body."""

    request_id: str
    errors: dict[str, list[ProblemEntry]]
    type: str
    title: str
    status: int


class GatewayError(BaseModel):
    """What the gateway layer refuses: header and token problems."""

    model_config = ConfigDict(extra="forbid")

    error_code: str = Field(description="Begins with the status.")
    message: str


class PlatformError(BaseModel):
    """The answer to a body that is not declared as JSON."""

    model_config = ConfigDict(extra="forbid")

    type: str
    status: int
    title: str
    detail: str
