"""`Agent`: an owner's definition of an agent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel

from parley.call import Call
from parley.guardrails import Guardrail
from parley.hooks import Hook, HookName
from parley.live_definition import LiveDefinition
from parley.mcp_server import McpServer
from parley.tool_definition import Tool, tool

NAME_PATTERN: Final = r"[a-z][a-z0-9_-]{0,31}"

Instructions = str | Callable[[Call], str | Awaitable[str]]
"""Text, or a plain or async function of the call that returns it."""

ApiKey = str | Callable[[], str | Awaitable[str]]
"""Key of the provider, or a plain or async function that returns one for each new session."""


class InvalidDefinitionError(ValueError):
    """A definition is wrong; the text names the field and the remedy."""


@dataclass(slots=True, eq=False)
class Agent(LiveDefinition):
    """An agent that a start may name.

    Values that are None are left to the start request, then to the server's settings; a start
    overrides what a definition sets, except limits, which it can only tighten.

    Attributes:
        name: Name in requests: lower case letters, digits, `_` and `-`.
        instructions: For the model; text may hold `{field}` placeholders of the metadata.
        display_name: Name that people see; empty: `name`.
        description: For other agents: when to hand over to this one.
        model_settings: Further settings of the model, as in `POST /start_agent`.
        cascade: Recogniser, language model and voice of the provider `local`, as in `POST
            /start_agent`; here an `engine` may also be `package.module:function`.
        turn_detection, interrupt, sounds: As in `POST /start_agent`.
        max_duration_s, idle_timeout_s, max_tokens, max_cost: Limits of the call.
        summarise: Have a language model summarise the call after its end.
        extract: What it extracts from the transcript: a pydantic model, or a JSON schema of type
            object.
        skills: Names of texts in `SKILLS_DIR` that join the instructions.
        loadable_skills: Names of skills that the model may load in mid-call.
        tools: Functions, `Tool`s and `HttpTool`s.
        toolsets: Names of tool sets of the server.
        mcp_servers: Names of MCP servers of `MCP_SERVERS`, or `McpServer`s with more to say.
        handoffs: Agents, or names of agents, to which the model may hand over.
        api_key: Key of the provider; None: from the settings.
        hooks: Functions by the moment at which they run (`parley.hooks`).
        file, line: Where it was made, for errors.
    """

    name: str
    _: KW_ONLY
    instructions: Instructions | None = None
    display_name: str = ""
    description: str = ""
    provider: str | None = None
    model: str | None = None
    voice: str | None = None
    language: str | None = None
    greeting: str | None = None
    goodbye: str | None = None
    model_settings: Mapping[str, Any] | None = None
    cascade: Mapping[str, Any] | None = field(default=None, repr=False)
    turn_detection: Mapping[str, Any] | None = None
    interrupt: Mapping[str, Any] | None = None
    sounds: Mapping[str, Any] | None = None
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    summarise: bool | None = None
    extract: type[BaseModel] | Mapping[str, Any] | None = None
    skills: Sequence[str] = ()
    loadable_skills: Sequence[str] = ()
    tools: Sequence[Any] = ()
    toolsets: Sequence[str] = ()
    mcp_servers: Sequence[str | McpServer] = ()
    guardrails: Sequence[Guardrail] = ()
    handoffs: Sequence[Agent | str] = ()
    api_key: ApiKey | None = field(default=None, repr=False)
    hooks: Mapping[HookName, Hook] = field(default_factory=dict)
    file: str = field(default="", init=False, repr=False)
    line: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidDefinitionError: A name is wrong, or a value is of the wrong kind.
        """
        self.file, self.line = place_of_caller()
        check_name("Agent", self.name)
        self.tools = [each if _is_declared(each) else tool(each) for each in self.tools]
        self.hooks = dict(self.hooks)
        for name in self.hooks:
            _check_hook(name)

    def on(self, name: HookName) -> Callable[[Hook], Hook]:
        """Declare the decorated function as the hook `name`.

        Raises:
            InvalidDefinitionError: There is no such hook, or it is set already.
        """
        _check_hook(name)

        def declare(hook: Hook) -> Hook:
            if name in self.hooks:
                raise InvalidDefinitionError(f"agent {self.name}: hook {name} is set twice")
            self.hooks = {**self.hooks, name: hook}
            return hook

        return declare


def check_name(what: str, name: str) -> None:
    """Refuse a name that no request can give.

    Raises:
        InvalidDefinitionError: It is malformed.
    """
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise InvalidDefinitionError(
            f"{what} name {name!r}: use a lower case letter, then up to 31 lower case letters, "
            "digits, hyphens and underscores"
        )


def place_of_caller() -> tuple[str, int]:
    """Return file and line of the call that made a definition, which may be of a subclass."""
    frame = inspect.currentframe()
    own_folder = str(Path(__file__).parent)
    while frame is not None and (
        frame.f_code.co_filename == "<string>"
        or str(Path(frame.f_code.co_filename).parent) == own_folder
    ):
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else ("", 0)


def _is_declared(candidate: Any) -> bool:
    return isinstance(candidate, Tool) or not callable(candidate)


def _check_hook(name: str) -> None:
    if name not in get_args(HookName):
        known = ", ".join(get_args(HookName))
        raise InvalidDefinitionError(f"there is no hook {name!r}; known are {known}")
