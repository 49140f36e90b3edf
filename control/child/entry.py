"""Entry of agent processes, apart from their code: a server names it, and never loads it itself."""

from __future__ import annotations

from typing import Final

DEFAULT_ENTRY: Final = "agent:RealtimeKitAgent"
"""`module:name` of the agent's class."""
