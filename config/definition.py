"""`Definition`: an owner's agent as described by the process that loaded it, and as a start uses it.

Order of precedence: start request, definition, settings. Limits are the tightest of all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from config.cascade import Cascade
from config.settings import AgentConfigError
from config.sounds import Sounds
from conversation.prompt import PromptError, fill
from conversation.turn_taking.interrupt_policy import InterruptPolicy

if TYPE_CHECKING:
    from config.agent import AgentRequest

N = TypeVar("N", int, float)


class Definition(BaseModel):
    """Description of a definition (`parley.description`).

    file, line: where the owner declared it
    has_dynamic_instructions: a function of the call returns them
    has_api_key: it brings the key of its provider
    members, moderator, max_agent_turns: of a chat room, which has nothing else; the moderator is a rule,
        or `function`
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    file: str = ""
    line: int = 0
    display_name: str = ""
    description: str = ""
    instructions: str | None = None
    has_dynamic_instructions: bool = False
    provider: str | None = None
    model: str | None = None
    voice: str | None = None
    language: str | None = None
    greeting: str | None = None
    goodbye: str | None = None
    model_settings: dict[str, Any] | None = None
    cascade: Cascade | None = None
    turn_detection: dict[str, Any] | None = None
    interrupt: dict[str, Any] | None = None
    sounds: dict[str, Any] | None = None
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    summarise: bool | None = None
    extract: dict[str, Any] | None = None
    skills: tuple[str, ...] = ()
    loadable_skills: tuple[str, ...] = ()
    toolsets: tuple[str, ...] = ()
    mcp_servers: tuple[str, ...] = Field(default=(), description="names")
    http_hosts: tuple[str, ...] = Field(default=(), description="that its HTTP tools call")
    has_api_key: bool = False
    tools: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    handoffs: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    moderator: str = ""
    max_agent_turns: int = 0

    @property
    def shown_name(self) -> str:
        """Name that people see."""
        return self.display_name or self.name


def find_definition(definitions: Mapping[str, Definition], name: str) -> Definition:
    """Return the definition of this name.

    Raises:
        AgentConfigError: There is none.
    """
    if name not in definitions:
        known = ", ".join(definitions) or "none"
        text = f"agent: there is no {name}; known are {known}"
        raise AgentConfigError(text, code="unknown_agent")
    return definitions[name]


def filled_request(
    request: AgentRequest, definition: Definition, default_provider: str
) -> AgentRequest:
    """Return `request` with the definition's values where it has none.

    Args:
        default_provider: `MODEL_PROVIDER`.

    Raises:
        AgentConfigError: Metadata that a text of the definition needs is missing.
    """
    # Model and voice are of the definition's provider; another one has others.
    is_own = is_own_provider(request, definition, default_provider)
    return replace(
        request,
        name=request.name or definition.shown_name,
        provider=request.provider or definition.provider,
        model=request.model or (definition.model if is_own else None),
        voice=request.voice or (definition.voice if is_own else None),
        language=request.language or definition.language,
        system_message=_text(request, request.system_message, definition, "instructions"),
        greeting=_text(request, request.greeting, definition, "greeting"),
        goodbye=_text(request, request.goodbye, definition, "goodbye"),
        skills=request.skills or definition.skills,
        loadable_skills=request.loadable_skills or definition.loadable_skills,
        cascade=_merged_cascade(request.cascade, definition.cascade if is_own else None),
        turn_detection=request.turn_detection or definition.turn_detection,
        interrupt=_merged_interrupt(request.interrupt, definition.interrupt),
        sounds=_merged_sounds(request.sounds, definition.sounds),
        model_settings={**(definition.model_settings or {}), **(request.model_settings or {})},
        toolset=request.toolset or next(iter(definition.toolsets), None),
        max_duration_s=tightest(request.max_duration_s, definition.max_duration_s),
        idle_timeout_s=tightest(request.idle_timeout_s, definition.idle_timeout_s),
        max_tokens=tightest(request.max_tokens, definition.max_tokens),
        max_cost=tightest(request.max_cost, definition.max_cost),
        summarise=definition.summarise if request.summarise is None else request.summarise,
        extract=definition.extract if request.extract is None else request.extract,
    )


def is_own_provider(request: AgentRequest, definition: Definition, default_provider: str) -> bool:
    """Return true unless `request` chooses another provider than the definition's."""
    return request.provider in (None, definition.provider or default_provider)


def tightest(*limits: N | None) -> N | None:
    """Return the smallest limit; None if there is none."""
    return min((one for one in limits if one is not None), default=None)


def _text(
    request: AgentRequest, wanted: str | None, definition: Definition, name: str
) -> str | None:
    """Return the request's text, else the definition's with metadata in it."""
    own: str | None = getattr(definition, name)
    if wanted is not None or own is None:
        return wanted
    try:
        return fill(own, request.metadata)
    except PromptError as error:
        message = f"agent {definition.name}: {name}: {error}"
        raise AgentConfigError(message, code="invalid_request") from error


def _merged_cascade(wanted: Cascade | None, own: Cascade | None) -> Cascade | None:
    return own if wanted is None else wanted.over(own)


def _merged_interrupt(
    wanted: InterruptPolicy | None, own: Mapping[str, Any] | None
) -> InterruptPolicy | None:
    if own is None:
        return wanted
    given = {} if wanted is None else wanted.model_dump(exclude_unset=True)
    return InterruptPolicy.model_validate({**own, **given})


def _merged_sounds(wanted: Sounds | None, own: Mapping[str, Any] | None) -> Sounds | None:
    if own is None:
        return wanted
    sounds = Sounds.model_validate(own)
    return sounds if wanted is None else wanted.over(sounds)
