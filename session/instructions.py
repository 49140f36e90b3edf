"""What the model is told to be, once its session opens: prompt, skills, memory."""

from __future__ import annotations

import logging
from typing import Final

from config import AgentConfig
from conversation.prompt import compose

DEFAULT_INSTRUCTIONS: Final = (
    "You are a friendly voice assistant. Answer in one or two short spoken sentences."
)


def instructions_of(config: AgentConfig, log: logging.Logger) -> str:
    """The instructions of this agent; what found no room in them is logged, never its words."""
    prompt = config.system_message or DEFAULT_INSTRUCTIONS
    composed = compose(prompt, config.skills, config.memory)
    if composed.left_out:
        log.warning("skills without room in the instructions: %s", ", ".join(composed.left_out))
    if composed.forgotten:
        log.warning("%d memory texts without room in the instructions", composed.forgotten)
    return composed.text
