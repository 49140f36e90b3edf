"""Participants of a line, and the messages that they write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "agent", "listener"]
"""A listener hears the others; nothing that it sends reaches them."""


@dataclass(frozen=True)
class RemoteUser:
    """Another participant."""

    uid: int
    name: str
    role: Role
    is_muted: bool = False


@dataclass(frozen=True)
class ChatMessage:
    """A text to everybody else. sent_at_ms: the room's stamp, when received."""

    text: str
    message_id: str | None = None
    sent_at_ms: int | None = None
