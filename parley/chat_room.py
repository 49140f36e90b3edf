"""`ChatRoom`: several agents that share one conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal

from parley.agent import Agent, InvalidDefinitionError, check_name, place_of_caller
from parley.call import Call
from parley.live_definition import LiveDefinition

MAX_AGENTS: Final = 8
MAX_AGENT_TURNS: Final = 100
RULES: Final = ("addressed", "round_robin")

ModeratorFunction = Callable[..., str | Awaitable[str | None] | None]
"""Called with a view of the conversation (`agents`: names and spoken names; `turns`: what was heard,
each with `speaker`, `text`, `is_agent`, `is_cut`); returns the name of the agent that speaks next, or
None to leave the floor to the people."""

Moderator = Literal["addressed", "round_robin"] | ModeratorFunction

_QUESTION: Final = (
    "You moderate a spoken conversation of people with several assistants, and say nothing in it. "
    "{rule}\n\nThe assistants are: {agents}. You are shown the last turns, each with its speaker. "
    "Answer with the name of the assistant that speaks next and nothing else, or with PEOPLE if the "
    "assistants wait for a person."
)


class ModelModerator:
    """Asks the first agent's model for the next speaker, in a written reply beside the conversation,
    where it gives such replies (openai, azure, local).
    """

    __name__ = "ModelModerator"

    def __init__(self, instructions: str) -> None:
        """instructions: by which it chooses, in words for the model"""
        self._instructions = instructions

    async def __call__(self, call: Call, view: Any) -> str | None:
        """Return the name of the agent that speaks next, or None.

        Raises:
            CallError: The model gave no answer.
            ValueError: It named none of the agents.
        """
        agents: dict[str, str] = dict(view.agents)
        turns = [
            f"{agents.get(each.speaker, each.speaker) or 'person'}: {each.text}"
            for each in view.turns
        ]
        question = _QUESTION.format(rule=self._instructions, agents=", ".join(agents.values()))
        answer = await call.ask(question, text="\n".join(turns))
        word = answer.strip().strip(".!*\"'").casefold()
        for name, spoken in agents.items():
            if word in (name, spoken.casefold()):
                return name
        if word == "people":
            return None
        raise ValueError("the model named none of the agents")


@dataclass(slots=True, eq=False)
class ChatRoom(LiveDefinition):
    """Several agents in one conversation, which a start may name like one agent.

    Every agent has its own name, voice, model and tools. The first one's model hears the people; the
    others get what was said as text, with the speaker's name. Greeting, goodbye, limits, hooks and
    guardrails of the call are those of the first agent.

    Attributes:
        name: Name in requests, as that of an `Agent`.
        agents: Two to eight of them, or their names.
        moderator: Decides which agent speaks next. `addressed`: the one whose name was said, else the
            one that spoke last. `round_robin`: each in turn, unless one was addressed. A function
            (plain or async) of one's own, or a `ModelModerator`; where it fails, `addressed` decides.
        max_agent_turns: Turns that agents may take without a word of a person.
        file, line: Where it was made, for errors.
    """

    name: str
    _: KW_ONLY
    agents: Sequence[Agent | str]
    moderator: Moderator = "addressed"
    max_agent_turns: int = 4
    display_name: str = ""
    description: str = ""
    file: str = field(default="", init=False, repr=False)
    line: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidDefinitionError: A value is wrong.
        """
        self.file, self.line = place_of_caller()
        check_name("ChatRoom", self.name)
        names = self.member_names
        if not 2 <= len(names) <= MAX_AGENTS or len(set(names)) < len(names):
            text = f"chat room {self.name}: agents: name two to {MAX_AGENTS} different ones"
            raise InvalidDefinitionError(text)
        if isinstance(self.moderator, str) and self.moderator not in RULES:
            text = f"chat room {self.name}: moderator: use {' or '.join(RULES)}, or a function"
            raise InvalidDefinitionError(text)
        if not 0 <= self.max_agent_turns <= MAX_AGENT_TURNS:
            text = f"chat room {self.name}: max_agent_turns: use 0 to {MAX_AGENT_TURNS}"
            raise InvalidDefinitionError(text)

    @property
    def moderator_name(self) -> str:
        """Name of the rule; `function` for one of the owner's."""
        return self.moderator if isinstance(self.moderator, str) else "function"

    @property
    def member_names(self) -> list[str]:
        """Names of the agents, the one that hears the people first."""
        return [each.name if isinstance(each, Agent) else each for each in self.agents]
