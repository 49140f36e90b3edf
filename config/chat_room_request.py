"""Chat room that a start asks for: one of the owner's app, or agents that the request names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from config.definition import Definition, find_definition
from config.settings import AgentConfigError
from conversation.moderation import DEFAULT_MAX_AGENT_TURNS, ModeratorRule

if TYPE_CHECKING:
    from config.agent import AgentRequest

_OF_EACH_AGENT: Final = (
    *("provider", "model", "voice", "system_message", "skills", "model_settings", "cascade"),
)
"""Fields of a request that several agents cannot share."""


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """The agents of a conversation, the one that hears the people first.

    name: of the owner's chat room, empty for agents that the request names
    moderator: the rule that decides where no function of the owner's does
    """

    name: str
    shown_name: str
    members: tuple[Definition, ...]
    moderator: ModeratorRule
    max_agent_turns: int


def room_of(
    request: AgentRequest, definition: Definition | None, definitions: Mapping[str, Definition]
) -> RoomRequest | None:
    """Return the chat room that a request asks for; None if it asks for one agent.

    definition: the one that the request names

    Raises:
        AgentConfigError: There is no such agent, or the request gives what each agent has itself.
    """
    room = definition if definition is not None and definition.members else None
    names = room.members if room is not None else request.agents
    if not names:
        return None
    if request.agents and definition is not None:
        raise _refusal("agents: name either an agent, or several agents")
    for field in _OF_EACH_AGENT:
        if getattr(request, field):
            shown = "instructions" if field == "system_message" else field
            raise _refusal(f"{shown}: each of several agents has its own; leave it out")
    members = tuple(find_definition(definitions, name) for name in names)
    if any(member.members for member in members):
        raise _refusal("agents: a chat room cannot be an agent of another one")
    return RoomRequest(
        name="" if room is None else room.name,
        shown_name=", ".join(member.shown_name for member in members)
        if room is None
        else room.shown_name,
        members=members,
        moderator=request.moderator or _rule_of(room),
        max_agent_turns=_turns_of(request, room),
    )


def _rule_of(room: Definition | None) -> ModeratorRule:
    known = {rule.value for rule in ModeratorRule}
    name = "" if room is None else room.moderator
    return ModeratorRule(name) if name in known else ModeratorRule.ADDRESSED


def _turns_of(request: AgentRequest, room: Definition | None) -> int:
    if request.max_agent_turns is not None:
        return request.max_agent_turns
    return DEFAULT_MAX_AGENT_TURNS if room is None else room.max_agent_turns


def _refusal(text: str) -> AgentConfigError:
    return AgentConfigError(text, code="invalid_request")
