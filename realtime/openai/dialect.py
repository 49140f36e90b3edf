"""In what servers that speak OpenAI's protocol differ, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.codec import Codec, GaCodec
from realtime.endpoint import Endpoint
from realtime.openai.beta import BETA_CODEC


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    transcription_model: what writes the user's words down unless a setting says otherwise; None
        where there is no choice
    has_temperature: whether sampling can be set
    voices: the only ones that there are; None: the server knows best
    """

    transcription_model: str | None
    endpoint: Endpoint = field(default_factory=Endpoint)
    codec: Codec = field(default_factory=GaCodec)
    has_temperature: bool = False
    voices: tuple[str, ...] | None = None


OPENAI_DIALECT = Dialect(transcription_model="gpt-transcribe")
LOCAL_DIALECT = Dialect(transcription_model=None, voices=("joe",))
BETA_DIALECT = Dialect("whisper-1", codec=BETA_CODEC, has_temperature=True)
