"""A simulated caller whose words a language model makes up, by a character and a goal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from config.settings import Settings
from scenarios.caller import CallerError
from scenarios.format import Persona
from scenarios.owners_model import Message, OwnersModel, owners_options
from scenarios.seams import Line

MAX_WORDS: Final = 60
MAX_TOKENS: Final = 400
"""Of one turn, what a model thinks aloud included."""

_AGENT: Final = "agent"
_END: Final = "HANG UP"
_INSTRUCTIONS: Final = (
    "You play a person who calls a voice agent on the telephone. Stay in this role; never say that you are "
    "a language model, and never answer for the agent.\n"
    "Who you are: {character}\nWhat you want: {goal}\n"
    "The user messages are what you hear from the agent. Answer with what you say next and nothing else: one "
    "or two short spoken sentences, no lists, no quotes, no stage directions.\n"
    f"As soon as you have got what you want, or when it is clear that you will not get it, answer {_END}."
)
_HANGS_UP: Final = re.compile(r"\bHANG\W?UP\b")
_DECORATION: Final = re.compile(r"^\s*(?:\w+:\s+)?[\"“*(]*|[\"”*)\s]*$")


class LanguageModelPersona:
    """The `PersonaCaller` of a run. Holds nothing of a call."""

    def __init__(self, model: OwnersModel) -> None:
        self._model = model

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._model.close()

    async def next_words(self, persona: Persona, lines: Sequence[Line]) -> str | None:
        """See `PersonaCaller.next_words`. Words beside the end are not said: the agent would answer them.

        Raises:
            CallerError: The model says nothing that a person could; the run fails, others go on.
        """
        answer = await self._model.text(persona_messages(persona, lines), max_tokens=MAX_TOKENS)
        words = " ".join(_DECORATION.sub("", answer).split()[:MAX_WORDS])
        has_spoken = any(line.speaker != _AGENT for line in lines)
        if _HANGS_UP.search(answer):
            if has_spoken:
                return None
            raise CallerError("persona: the model hangs up before it has said a word")
        if not re.search(r"[^\W_]", words):
            raise CallerError("persona: the model says nothing that can be spoken")
        return words


def persona_of(settings: Settings) -> LanguageModelPersona | None:
    """Return the persona's model that the settings name; None: they name no language model.

    Its temperature is that of `LLM_TEMPERATURE`: runs of one scenario may differ, as people do.
    """
    options = owners_options(settings, temperature=None)
    return None if options is None else LanguageModelPersona(OwnersModel(options, "persona"))


def persona_messages(persona: Persona, lines: Sequence[Line]) -> list[Message]:
    """Return the request for the next words: the agent is the model's user."""
    instructions = _INSTRUCTIONS.format(
        character=persona.character.strip(), goal=persona.goal.strip()
    )
    messages: list[dict[str, str]] = [{"role": "system", "content": instructions}]
    if not lines or lines[0].speaker != _AGENT:
        messages.append({"role": "user", "content": "(The agent has picked up.)"})
    for line in lines:
        role = "user" if line.speaker == _AGENT else "assistant"
        if messages[-1]["role"] == role:
            # Many servers want both to take turns.
            messages[-1]["content"] += f"\n{line.text}"
        else:
            messages.append({"role": role, "content": line.text})
    if messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": "(The agent says nothing.)"})
    return list(messages)
