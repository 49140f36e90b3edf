"""The part of the agent's voice that a listener has heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Heard:
    """The audio that a listener heard last: `heard_ms` of `key`."""

    key: Any
    heard_ms: float
