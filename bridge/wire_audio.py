"""Encodings of audio on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Encoding = Literal["pcm16", "opus", "ulaw", "alaw"]

OPUS_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
G711_RATE_HZ: Final = 8_000
DEFAULT_RATE_HZ: Final = 24_000


class WireAudio(BaseModel):
    """Mono audio in one direction.

    pcm16: little-endian samples, cut anywhere between two samples
    opus: one packet for each WebSocket message or event; `rate` is the one it is decoded at
    ulaw, alaw: G.711 at 8000 Hz
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: Encoding = "pcm16"
    rate: int = Field(default=DEFAULT_RATE_HZ, ge=8_000, le=48_000, description="samples a second")

    @model_validator(mode="before")
    @classmethod
    def _default_rate(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("encoding") in ("ulaw", "alaw"):
            return {"rate": G711_RATE_HZ, **values}
        return values

    @model_validator(mode="after")
    def _check_rate(self) -> WireAudio:
        if self.encoding == "opus" and self.rate not in OPUS_RATES_HZ:
            raise ValueError(f"rate: Opus has {', '.join(map(str, OPUS_RATES_HZ))} Hz")
        if self.encoding in ("ulaw", "alaw") and self.rate != G711_RATE_HZ:
            raise ValueError(f"rate: G.711 has {G711_RATE_HZ} Hz")
        return self


def _of_name(value: Any) -> Any:
    """Take a bare encoding for an object with its default rate."""
    return {"encoding": value} if isinstance(value, str) else value


AudioChoice = Annotated[WireAudio, BeforeValidator(_of_name)]
"""A `WireAudio` as clients write it: an object, or the name of an encoding."""
