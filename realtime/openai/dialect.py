"""In what servers that speak OpenAI's protocol differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from realtime.openai.beta import BETA_CODEC
from realtime.openai.codec import Codec, GaCodec
from realtime.openai.endpoint import Endpoint
from realtime.openai.xai import XAI_CODEC


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    transcription_model: what writes the user's words down unless a setting says otherwise; None
        where there is no choice
    has_temperature: whether sampling can be set
    confirm_timeout_s: how long `session.updated` is waited for before a session counts as open
        without; None: it always comes
    voices: the only ones that there are; None: the server knows best
    """

    transcription_model: str | None
    endpoint: Endpoint = field(default_factory=Endpoint)
    codec: Codec = field(default_factory=GaCodec)
    has_temperature: bool = False
    voices: tuple[str, ...] | None = None
    confirm_timeout_s: float | None = None


OPENAI_DIALECT: Final = Dialect(transcription_model="gpt-transcribe")
LOCAL_DIALECT: Final = Dialect(transcription_model=None, voices=("joe",))
BETA_DIALECT: Final = Dialect("whisper-1", codec=BETA_CODEC, has_temperature=True)

DIALECTS: Final = {
    "openai": OPENAI_DIALECT,
    "local": LOCAL_DIALECT,
    "openai-beta": BETA_DIALECT,
    # Servers that choose their recogniser themselves, and refuse names that they do not have.
    "openai-compatible": Dialect(transcription_model=None, confirm_timeout_s=1.0),
    "xai": Dialect(transcription_model=None, codec=XAI_CODEC),
}
"""By the name of the provider."""
