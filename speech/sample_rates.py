"""Sample rates of the local model: of OpenAI's protocol on the wire, and of its engines."""

from __future__ import annotations

from typing import Final

WIRE_RATE_HZ: Final = 24_000
ENGINE_RATE_HZ: Final = 16_000
