"""Order of speakers in a conversation with several agents. Pure.

A moderator is asked after each turn for the agent that speaks next; None leaves the floor to the
people. Agents can go on by themselves only `max_agent_turns` times in a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_TURNS: Final = 64
"""Turns that a moderator is shown, the newest last."""

DEFAULT_MAX_AGENT_TURNS: Final = 4


class ModeratorRule(StrEnum):
    """addressed: the agent whose name was said, else the one that spoke last; agents go on only when
    they address one another. round_robin: each agent in turn, unless one was addressed.
    """

    ADDRESSED = "addressed"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True)
class RoomTurn:
    """One turn as it was heard. speaker: name of the agent, or of the person; may be empty"""

    speaker: str
    text: str
    is_agent: bool
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class RoomView:
    """A conversation as a moderator sees it.

    agents: names by which requests know the agents -> names by which people address them
    turns: the last ones, the newest last; never empty
    """

    agents: Mapping[str, str]
    turns: Sequence[RoomTurn]

    @property
    def last_agent(self) -> str | None:
        """The agent that spoke last, if any did."""
        spoken = (turn.speaker for turn in reversed(self.turns) if turn.is_agent)
        return next(spoken, None)


def addressed_agent(text: str, agents: Mapping[str, str], *, but: str | None = None) -> str | None:
    """Return the agent whose name is said first in `text`, as a word of its own; None if none is.

    but: an agent that is not meant, since the text is its own
    """
    best: tuple[int, str] | None = None
    for agent, name in agents.items():
        if agent == but:
            continue
        for spoken in {name, agent}:
            found = re.search(rf"(?<!\w){re.escape(spoken)}(?!\w)", text, re.IGNORECASE)
            if found is not None and (best is None or found.start() < best[0]):
                best = (found.start(), agent)
    return None if best is None else best[1]


def next_speaker(rule: ModeratorRule, view: RoomView) -> str | None:
    """Return the agent that speaks after the last turn of `view`, by a built-in rule."""
    last = view.turns[-1]
    own = last.speaker if last.is_agent else None
    if (named := addressed_agent(last.text, view.agents, but=own)) is not None:
        return named
    if rule is ModeratorRule.ROUND_ROBIN:
        return _following(view)
    if last.is_agent:
        return None
    return view.last_agent or next(iter(view.agents))


def _following(view: RoomView) -> str | None:
    agents = list(view.agents)
    if (last := view.last_agent) not in agents:
        return agents[0]
    following = agents[(agents.index(last) + 1) % len(agents)]
    # A lone agent would answer itself.
    return None if following == last and view.turns[-1].is_agent else following


class AgentTurns:
    """Counts the turns that agents took since a person last said something."""

    def __init__(self, limit: int = DEFAULT_MAX_AGENT_TURNS) -> None:
        self._limit = limit
        self._count = 0

    def note(self, turn: RoomTurn) -> None:
        """Count a turn; one of a person starts anew."""
        self._count = self._count + 1 if turn.is_agent else 0

    @property
    def is_spent(self) -> bool:
        """True if the agents have to wait for a person."""
        return self._count >= self._limit
