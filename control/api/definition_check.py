"""Check of a definition by the rules of a start request and under the server's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import ValidationError

from config.agent import AgentConfig
from config.definition import Definition
from config.settings import AgentConfigError
from control.api.schemas import StartAgentRequest
from control.app_catalog import Verdict
from conversation.prompt import MAX_PROMPT_CHARACTERS, placeholders
from realtime.capabilities import capabilities_of
from session.turn_policy import TurnPolicy
from untrusted.validation import faults_of

MAX_DESCRIPTION_CHARACTERS: Final = 1_000

_SAME: Final = (
    *("instructions", "provider", "model", "voice", "language", "greeting", "goodbye"),
    *("model_settings", "turn_detection", "interrupt", "sounds", "skills"),
    *("max_duration_s", "idle_timeout_s", "max_tokens", "max_cost", "summarise", "extract"),
)
"""Fields that a definition and a start request share."""

_OF_SETTINGS: Final = frozenset(
    {
        *("missing_api_key", "provider_not_configured", "no_price", "http_host_not_allowed"),
        "no_language_model",
    }
)
"""Codes of refusals that another setting lifts, without a change of the app."""

Configure = Callable[[StartAgentRequest, Definition], AgentConfig]


def check_definition(definition: Definition, configure: Configure) -> Verdict:
    """Return what a start that names this definition alone would be refused for.

    configure: makes the configuration of an agent; raises AgentConfigError
    """
    problems = [*_faults(definition)]
    # A chat room has no values of its own: those of its agents are checked with them.
    if problems or definition.members:
        return Verdict(tuple(problems))
    warnings: list[str] = []
    for fields in _starts(definition):
        try:
            config = configure(StartAgentRequest.model_validate(fields), definition)
            problems += _faults_with_model(definition, config)
        except AgentConfigError as error:
            text = str(error).removeprefix(f"agent {definition.name}: ")
            (warnings if error.code in _OF_SETTINGS else problems).append(text)
    return Verdict(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(warnings)))


def _faults(definition: Definition) -> Iterator[str]:
    if len(definition.description) > MAX_DESCRIPTION_CHARACTERS:
        yield f"description: longer than {MAX_DESCRIPTION_CHARACTERS} characters"
    if len(definition.instructions or "") > MAX_PROMPT_CHARACTERS:
        yield f"instructions: longer than {MAX_PROMPT_CHARACTERS} characters"
        return
    fields = {name: value for name in _SAME if (value := getattr(definition, name)) is not None}
    fields |= {"name": definition.shown_name, "metadata": _metadata(definition)}
    yield from _faults_of_request(fields)
    for toolset in definition.toolsets:
        yield from _faults_of_request({"toolset": toolset})


def _faults_with_model(definition: Definition, config: AgentConfig) -> Iterator[str]:
    """Yield what the model of the definition does not allow, where its capabilities are known."""
    try:
        capabilities = capabilities_of(config.provider.name, config.provider.model)
    except LookupError:
        return
    policy = TurnPolicy.of(config, capabilities)
    if "user_turn_finished" in definition.hooks and not policy.leaves_answers(capabilities):
        yield (
            f"hooks: user_turn_finished runs before an answer, but {config.provider.model} answers by "
            "itself here; use openai, azure or local, and another interrupt mode than immediate"
        )


def _faults_of_request(fields: dict[str, Any]) -> Iterator[str]:
    try:
        StartAgentRequest.model_validate({"channel_name": "check", **fields})
    except ValidationError as error:
        for fault in faults_of(error):
            text = fault.text.removeprefix("Value error, ")
            field = (
                fault.field.replace("name", "display_name")
                if fault.place[:1] == ("name",)
                else fault.field
            )
            yield f"{field}: {text}" if field else text


def _starts(definition: Definition) -> Iterator[dict[str, Any]]:
    plain = {
        "channel_name": "check",
        "agent": definition.name,
        "metadata": _metadata(definition),
    }
    yield plain
    for toolset in definition.toolsets[1:]:
        yield plain | {"toolset": toolset}
    for skill in definition.loadable_skills:
        yield plain | {"skills": [skill]}


def _metadata(definition: Definition) -> dict[str, str]:
    """Return a value for each placeholder: a start gives the real ones."""
    texts = (definition.instructions, definition.greeting, definition.goodbye)
    names = set().union(*(placeholders(text) for text in texts if text))
    return dict.fromkeys(sorted(names), "-")
