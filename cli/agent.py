"""Command `agent`: one agent in the foreground, configured like one of the HTTP API."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from cli.app import chosen_agent, loaded_definitions
from cli.running import CommandError, log_near_misses, run, stop_on_signal
from cli.server_client import agent_token, ask_server, server_url
from config.agent import AgentConfig, agent_config, prepare_recordings
from config.definition import Definition
from config.local_model import LocalModelAddress
from config.settings import Settings
from config.skills import load_skills
from config.sound_files import load_sounds
from conversation.lifecycle import ExitReason
from logs import configure_logging, guard_standard_output
from logs.secrets import secrets_of
from untrusted.validation import first_fault

if TYPE_CHECKING:
    from control.api.schemas import StartAgentRequest

AGENT_OPTIONS: Final = (
    *("channel_name", "uid", "agent", "name", "system_message", "voice", "language", "provider"),
    *("model", "greeting", "toolset", "skills", "recording", "person_id"),
)
"""Options of `agent` that are fields of a start request, by the same names."""


def run_agent_command(options: argparse.Namespace, settings: Settings) -> int:
    """Run one agent in the foreground, against a running server."""
    from agent import RealtimeKitAgent
    from conversation.lifecycle import AgentStartError

    request = start_request(options)
    configure_logging(
        settings.log_level,
        log_format=settings.log_format,
        context={"channel": request.channel_name, "uid": request.uid},
        secrets=secrets_of(settings),
    )
    guard_standard_output()
    log_near_misses(options)
    config = config_by_options(options, request, settings)

    async def converse() -> ExitReason:
        agent = RealtimeKitAgent(config)
        with stop_on_signal(agent.stop):
            return await agent.run()

    try:
        run(converse())
    except AgentStartError as error:
        raise CommandError(f"{error.phase} failed ({error.code}): {error}") from error
    return 0


def config_by_options(
    options: argparse.Namespace, request: StartAgentRequest, settings: Settings
) -> AgentConfig:
    """Return the configuration of an agent in this process; load the app that it is of, if any.

    Raises:
        CommandError: The app cannot be loaded, or the server does not answer or refuses.
        ConfigError: The settings do not allow what the options ask for.
    """
    if options.app is not None:
        settings = settings.model_copy(update={"app": options.app})
    definition = chosen_agent(options.app, request.agent, settings)
    if definition is not None:
        request = request.model_copy(update={"agent": definition.name})
    config = foreground_config(request, settings, server_url(options, settings), definition)
    prepare_recordings(config.recordings_dir)
    if config.sounds.sound_names():
        load_sounds(config.sound_folders)
    return config


def start_request(options: argparse.Namespace) -> StartAgentRequest:
    """Return the options of `agent` as the start request of the HTTP API, checked by its rules.

    Raises:
        CommandError: An option has a value that the API refuses too.
    """
    from control.api.schemas import StartAgentRequest

    given = {name: value for name, value in vars(options).items() if value is not None}
    fields = {name: given[name] for name in AGENT_OPTIONS if name in given}
    try:
        return StartAgentRequest.model_validate(fields)
    except ValidationError as error:
        fault = first_fault(error)
        where = f"--{fault.place[0]}: " if fault.place else ""
        raise CommandError(f"{where}{fault.text.removeprefix('Value error, ')}") from error


def foreground_config(
    request: StartAgentRequest,
    settings: Settings,
    server_url: str,
    definition: Definition | None = None,
) -> AgentConfig:
    """Return the configuration of an agent in the foreground, as the HTTP API would make it.

    Asks the server for the address of its local model, and for a room token, where the settings
    give none.

    Raises:
        CommandError: The server does not answer, or refuses.
        ConfigError: The settings do not allow what the options ask for.
    """
    known = loaded_definitions() if definition else {}
    members = () if definition is None else (definition.members or (definition.name,))
    own = [known[name].provider for name in members if name in known] or [None]
    wanted = [request.provider or each or settings.model_provider for each in own]
    names = {*wanted, settings.fallback_provider}
    uri = settings.local_model_uri
    if "local" in names and uri is None:
        uri = _ask_local_model_uri(server_url, settings)
    local_model = LocalModelAddress(uri or "", settings.local_model_api_key)
    config = agent_config(
        settings,
        request.agent_request(),
        agent_id=f"foreground-{request.channel_name}-{request.uid}",
        room_url=server_url,
        room_token=None,
        local_model=local_model,
        skills=load_skills(settings.skills_dir) if request.skills or definition else {},
        definition=definition,
        definitions=known,
    )
    # Last: a wrong setting is reported although no server answers.
    token = agent_token(server_url, settings, request.channel_name, request.uid)
    return config.model_copy(update={"room_token": token})


def _ask_local_model_uri(server_url: str, settings: Settings) -> str:
    """Return the address of the running server's local model; a server with keys asks for one."""
    uri = ask_server(f"{server_url}/readyz", settings).get("local_model_uri")
    if not uri:
        raise CommandError(
            "the server names no local model: set LOCAL_MODEL_URI, or API_KEYS if it has keys"
        )
    return str(uri)
