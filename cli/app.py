"""The owner's app in commands: `check`, and the agent that a command runs itself."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from cli.running import WRONG_APP, CommandError
from config.agent import AgentConfig, agent_config
from config.definition import Definition, find_definition
from config.local_model import LocalModelAddress
from config.settings import Settings
from config.skills import load_skills
from logs import configure_logging, say
from parley.load_problem import AppError, Problem

if TYPE_CHECKING:
    from control.api.schemas import StartAgentRequest

_NOWHERE: Final = "http://127.0.0.1"


@dataclass(frozen=True)
class CheckedApp:
    """An app without problems. warnings: of settings, without which some starts fail"""

    definitions: Mapping[str, Definition]
    warnings: tuple[str, ...]


def load_checked(name: str, settings: Settings) -> CheckedApp:
    """Import an app in this process, check it as the server does, and make it the current one.

    Raises:
        AppError: It cannot be loaded.
    """
    from control.api.definition_check import check_definition
    from control.forkserver.app_loading import load_app
    from parley.app import make_current

    settings = settings.model_copy(update={"app": name})
    os.environ.update(settings.app_environment)
    app, described = load_app(name)
    skills = load_skills(settings.skills_dir)

    def configure(request: StartAgentRequest, definition: Definition) -> AgentConfig:
        return agent_config(
            settings,
            request.agent_request(),
            agent_id="check",
            room_url=_NOWHERE,
            room_token=None,
            local_model=LocalModelAddress(_NOWHERE, SecretStr("check")),
            skills=skills,
            definition=definition,
            definitions={one.name: one for one in definitions},
        )

    problems: list[Problem] = []
    warnings: list[str] = []
    definitions = [Definition.model_validate_json(json.dumps(each)) for each in described]
    for one in definitions:
        verdict = check_definition(one, configure)
        of = f"agent {one.name}: "
        problems += [Problem(of + text, one.file, one.line) for text in verdict.problems]
        warnings += [of + text for text in verdict.warnings]
    if problems:
        raise AppError(problems)
    make_current(app)
    return CheckedApp({one.name: one for one in definitions}, tuple(warnings))


def chosen_agent(app: str | None, name: str | None, settings: Settings) -> Definition | None:
    """Return the agent that options name, with its app loaded into this process; None if they name
    neither an app nor an agent. An app with a single agent needs no name.

    Raises:
        AgentConfigError: The app has no such agent.
        CommandError: The app cannot be loaded, or is not named.
    """
    if app is None and name is None:
        return None
    app = app or settings.app
    if app is None:
        raise CommandError("--agent: name the app that declares it, with --app or APP")
    try:
        definitions = load_checked(app, settings).definitions
    except AppError as error:
        raise CommandError(str(error), WRONG_APP) from error
    if name is None and len(definitions) > 1:
        raise CommandError(f"--agent: name one of {', '.join(definitions)}")
    return find_definition(definitions, name or next(iter(definitions)))


def loaded_definitions() -> dict[str, Definition]:
    """Return the definitions of the app that this process has loaded, by name."""
    from parley.app import current
    from parley.description import describe

    described = [] if (app := current()) is None else describe(app)
    return {each["name"]: Definition.model_validate(each) for each in described}


def run_check_command(options: argparse.Namespace, settings: Settings) -> int:
    """Check an app without a server."""
    configure_logging("WARNING")
    name = options.app or settings.app
    if name is None:
        raise CommandError("--app: name the file, folder or module to check", WRONG_APP)
    report: dict[str, Any] = {"app": name, "agents": [], "problems": [], "warnings": []}
    try:
        checked = load_checked(name, settings)
    except AppError as error:
        report["problems"] = [each.to_json() for each in error.problems]
        lines = [str(each) for each in error.problems]
    else:
        report["agents"] = [one.model_dump(mode="json") for one in checked.definitions.values()]
        report["warnings"] = [*checked.warnings]
        lines = [_summary(one) for one in checked.definitions.values()]
        lines += [f"warning: {text}" for text in checked.warnings]
    for line in [json.dumps(report, indent=2)] if options.json else lines:
        say(line)
    return WRONG_APP if report["problems"] else 0


def _summary(definition: Definition) -> str:
    """Return the agent in one line."""
    parts = {
        "tools": definition.tools,
        "tool sets": definition.toolsets,
        "MCP servers": definition.mcp_servers,
        "hooks": definition.hooks,
        "guardrails": definition.guardrails,
        "hands over to": definition.handoffs,
        "shared by": definition.members,
    }
    shown = "; ".join(f"{label} {', '.join(names)}" for label, names in parts.items() if names)
    kind = "chat room" if definition.members else "agent"
    return f"{kind} {definition.name}" + (f": {shown}" if shown else "")
