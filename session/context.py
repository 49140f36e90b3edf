"""Shared context of the parts of one conversation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config.agent import AgentConfig
from conversation.history import History
from conversation.turn_taking.turn_state import Turns
from line.line import Line
from realtime.model import RealtimeModel
from session.publisher import Publisher
from untrusted.boundary import Boundary

if TYPE_CHECKING:
    from session.owner import Owner

Handler = Callable[[Any], Awaitable[None]]

Handlers = Mapping[type, Handler]
"""Model event class -> reaction. Each part of a session contributes its own."""


@dataclass(frozen=True, slots=True)
class SessionContext:
    """A line joined to a model, and the state of the conversation.

    boundary: guards everything triggered by participants, the model, the API, tools and the room
    owner: None for an agent without a definition
    """

    config: AgentConfig
    line: Line
    model: RealtimeModel
    publisher: Publisher
    log: logging.Logger
    boundary: Boundary
    history: History = field(default_factory=History)
    turns: Turns = field(default_factory=Turns)
    owner: Owner | None = None
