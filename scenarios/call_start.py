"""The beginning of a scenario's call: what runs share, the channel, and the start of the agent."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scenarios.engines import Engines
from scenarios.format import Scenario, Turn
from scenarios.seams import PersonaCaller
from scenarios.server_api import ServerApi


@dataclass(frozen=True)
class Surroundings:
    """The parts that the runs of a command share. is_own_server: it was started by the command, and may be hurt"""

    api: ServerApi
    engines: Engines
    is_own_server: bool
    persona: PersonaCaller | None = None


def new_channel_name(scenario: Scenario) -> str:
    """Return a name that no other call has."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", scenario.name).strip("-")[:40] or "scenario"
    return f"test-{plain}-{secrets.token_hex(4)}"


def start_body(
    scenario: Scenario, channel_name: str, language_model: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return the body of the start. language_model: address and name of the scripted model"""
    body: dict[str, Any] = {
        "channel_name": channel_name,
        "show_tools": "full",
        "tool_results_from": "anyone",
        "tool_approvals_from": "anyone",
        **scenario.start,
    }
    if scenario.agent is not None:
        body["agent"] = scenario.agent
    if language_model is not None:
        body["provider"] = "local"
        cascade = dict(scenario.start.get("cascade") or {})
        body["cascade"] = {**cascade, "language_model": dict(language_model)}
    return body


def words_of(turn: Turn) -> str:
    """Return what a turn says or does, for people."""
    match turn.kind:
        case "say" | "type":
            return turn.say or turn.type or ""
        case "wav":
            return f"({turn.wav})"
        case "persona":
            return ""
        case kind:
            value = getattr(turn, kind)
            shown = (
                value.model_dump(exclude_defaults=True) if hasattr(value, "model_dump") else value
            )
            return f"({kind})" if value is True else f"({kind}: {shown})"
