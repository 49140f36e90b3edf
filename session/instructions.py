"""Instructions for the model: prompt, skills, memory."""

from __future__ import annotations

import logging
from typing import Final

from config.agent import AgentConfig
from conversation.prompt import compose

DEFAULT_INSTRUCTIONS: Final = (
    "You are a friendly voice assistant. Answer in one or two short spoken sentences."
)


def instructions_of(config: AgentConfig, log: logging.Logger) -> str:
    """Return the instructions of an agent. Parts that did not fit are logged by name, never by
    content.
    """
    prompt = config.system_message or DEFAULT_INSTRUCTIONS
    composed = compose(prompt, config.skills, config.memory)
    if composed.left_out:
        log.warning("skills without room in the instructions: %s", ", ".join(composed.left_out))
    if composed.forgotten:
        log.warning("%d memory texts without room in the instructions", composed.forgotten)
    return composed.text
