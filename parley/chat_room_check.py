"""Problems of chat rooms with the agents of their app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.load_problem import Problem


def problems_of_rooms(rooms: Sequence[ChatRoom], agents: Mapping[str, Agent]) -> Iterator[Problem]:
    """Yield what contradicts the agents, or another room."""
    taken = dict.fromkeys(agents, "an agent")
    for room in rooms:
        if room.name in taken:
            text = f"{taken[room.name]} has the name already"
            yield Problem(f"chat room {room.name}: {text}", room.file, room.line)
        taken[room.name] = "another chat room"
        for text in _faults_of(room, agents):
            yield Problem(f"chat room {room.name}: {text}", room.file, room.line)


def _faults_of(room: ChatRoom, agents: Mapping[str, Agent]) -> Iterator[str]:
    members = []
    for name in room.member_names:
        if name not in agents:
            yield f"agents: there is no agent {name}; there is {', '.join(agents) or 'none'}"
        else:
            members.append(agents[name])
    for member in members:
        if member.handoffs:
            yield f"agents: {member.name} has handoffs, but all agents of a room are present"
    yield from shared_tool_faults(members)


def shared_tool_faults(members: Sequence[Agent]) -> Iterator[str]:
    """Yield a text for each name of two different tools: the agents' calls run in one place."""
    owners: dict[str, tuple[Agent, object]] = {}
    for member in members:
        for tool in member.tools:
            other, known = owners.setdefault(tool.name, (member, tool))
            if known is not tool and not _is_same(known, tool):
                yield (
                    f"agents: {other.name} and {member.name} have different tools named "
                    f"{tool.name}: rename one"
                )


def _is_same(one: object, other: object) -> bool:
    function = getattr(one, "function", None)
    return function is not None and function is getattr(other, "function", None)
