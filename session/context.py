"""What the parts of one conversation share."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from boundary import Boundary
from config import AgentConfig
from conversation.history import History
from conversation.turns import Turns
from realtime.model import RealtimeModel
from rtc.channel import Channel
from session.publisher import Publisher

Handler = Callable[[Any], Awaitable[None]]

Handlers = Mapping[type, Handler]
"""Model event class -> reaction. Each part of a session contributes its own."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """A channel joined to a model, with what is known of the conversation so far.

    boundary: around all that people, the model, the owner, tools and the room trigger
    """

    config: AgentConfig
    channel: Channel
    model: RealtimeModel
    publisher: Publisher
    log: logging.Logger
    boundary: Boundary
    history: History = field(default_factory=History)
    turns: Turns = field(default_factory=Turns)
