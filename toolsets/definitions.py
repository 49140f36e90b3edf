"""Definitions of the agents in `AGENTS_FILE`, to which a conversation can be transferred."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from toolsets.registry import toolset_names
from untrusted.validation import first_validation_error

MAIN: Final = "main"
"""Name of the agent that answered the call; the start request defines it."""

TRANSFER_PREFIX: Final = "transfer_to_"
"""Prefix of the tools that transfer a conversation."""

MAX_FILE_BYTES: Final = 1_000_000


class AgentDefinition(BaseModel):
    """One agent.

    description: for the model, when to transfer to this agent
    voice: used only if nothing was said yet and the provider allows a change
    toolset: a registered name; tools of MCP servers belong to the agent that answered the call
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    description: str = Field(min_length=1, max_length=1_000)
    instructions: str = Field(min_length=1, max_length=32_000)
    voice: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    toolset: str | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name == MAIN:
            raise ValueError(f"{MAIN} is the agent that answered the call")
        return name

    @field_validator("toolset")
    @classmethod
    def _check_toolset(cls, name: str | None) -> str | None:
        if name is not None and name not in (known := toolset_names()):
            raise ValueError(f"unknown, known are: {', '.join(known)}")
        return name


_DEFINITIONS: Final = TypeAdapter(tuple[AgentDefinition, ...])


def read_definitions(path: str) -> tuple[AgentDefinition, ...]:
    """Read a JSON file: a list of objects with the fields of `AgentDefinition`.

    Raises:
        ValueError: The file cannot be read or is invalid.
    """
    try:
        with Path(path).open("rb") as file:
            definitions = _DEFINITIONS.validate_json(file.read(MAX_FILE_BYTES))
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ValueError(first_validation_error(error, whole="the file")) from None
    names = [definition.name for definition in definitions]
    if len(set(names)) < len(names):
        raise ValueError("two agents have the same name")
    return definitions
