"""`AzureRealtimeModel`: OpenAI's models at Azure, by its GA address or its dated preview."""

from __future__ import annotations

from typing import Final

from realtime.model import RealtimeModelConfig
from realtime.openai.beta import BETA_CODEC
from realtime.openai.dialect import Dialect
from realtime.openai.endpoint import Endpoint, api_key_or_token
from realtime.openai.model import OpenAIRealtimeModel

_GA: Final = Dialect(
    transcription_model="gpt-transcribe",
    endpoint=Endpoint("openai/v1/realtime", "model", api_key_or_token),
)
_PREVIEW: Final = Dialect(
    transcription_model="whisper-1",
    endpoint=Endpoint("openai/realtime", "deployment", api_key_or_token),
    codec=BETA_CODEC,
    has_temperature=True,
)


class AzureRealtimeModel(OpenAIRealtimeModel):
    """`RealtimeModelConfig.model` is the name of a deployment.

    An `api-version` in the config's query asks for the dated preview of that name, which speaks the
    beta dialect. An Entra token in place of the key is recognised by its dots.
    """

    def _dialect_for(self, config: RealtimeModelConfig) -> Dialect:
        return _PREVIEW if "api-version" in config.query else _GA
