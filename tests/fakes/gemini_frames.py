"""Frames of Gemini Live as plain dictionaries, written from its documentation.

Uses nothing of ours, so that a misreading of ours cannot hide in it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

Frame = dict[str, Any]

SETUP_FIELDS = frozenset(
    [
        "model",
        "generationConfig",
        "systemInstruction",
        "tools",
        "realtimeInputConfig",
        "sessionResumption",
        "contextWindowCompression",
        "inputAudioTranscription",
        "outputAudioTranscription",
        "proactivity",
        "historyConfig",
        "explicitVadSignal",
        "avatarConfig",
        "safetySettings",
        "labels",
    ]
)
GENERATION_FIELDS = frozenset(
    [
        "responseModalities",
        "temperature",
        "topP",
        "topK",
        "maxOutputTokens",
        "mediaResolution",
        "seed",
        "speechConfig",
        "thinkingConfig",
        "enableAffectiveDialog",
        "translationConfig",
    ]
)
DETECTION_FIELDS = frozenset(
    [
        "disabled",
        "startOfSpeechSensitivity",
        "endOfSpeechSensitivity",
        "prefixPaddingMs",
        "silenceDurationMs",
    ]
)
REALTIME_FIELDS = frozenset(
    ["audio", "video", "text", "audioStreamEnd", "activityStart", "activityEnd", "mediaChunks"]
)
CLIENT_KEYS = frozenset(
    ["setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate"]
)

# What is inside these belongs to the user, not to the protocol.
_OPAQUE = frozenset({"args", "response", "parameters", "parametersJsonSchema", "labels"})


class InvalidArgumentError(Exception):
    """What the server closes with 1007 for."""


def to_camel(value: Any) -> Any:
    """A message with camelCase names at all depths, as protobuf reads either."""
    if isinstance(value, list):
        return [to_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    named = (
        (re.sub(r"_([a-z])", lambda m: m[1].upper(), key), each) for key, each in value.items()
    )
    return {key: each if key in _OPAQUE else to_camel(each) for key, each in named}


def read(data: str | bytes) -> tuple[str, Frame]:
    """The one key of a client message and what it holds."""
    try:
        message = to_camel(json.loads(data))
    except ValueError as error:
        raise InvalidArgumentError("Invalid JSON payload received.") from error
    if not isinstance(message, dict) or len(message) != 1:
        raise InvalidArgumentError("Request must have exactly one message type.")
    key, content = next(iter(message.items()))
    if key not in CLIENT_KEYS:
        raise InvalidArgumentError(f'Invalid JSON payload received. Unknown name "{key}"')
    return key, content


def check_setup(setup: Frame) -> None:
    """Refuse what this server does not know."""
    detection = setup.get("realtimeInputConfig", {}).get("automaticActivityDetection", {})
    for known, given in (
        (SETUP_FIELDS, setup),
        (GENERATION_FIELDS, setup.get("generationConfig", {})),
        (DETECTION_FIELDS, detection),
    ):
        for name in given:
            if name not in known:
                raise InvalidArgumentError(f'Invalid JSON payload received. Unknown name "{name}"')
    if not setup.get("model"):
        raise InvalidArgumentError("setup.model is required.")
    if len(setup.get("generationConfig", {}).get("responseModalities", ["AUDIO"])) != 1:
        raise InvalidArgumentError("Exactly one response modality is allowed.")


def audio(pcm: bytes, rate_hz: int = 24_000) -> Frame:
    """A piece of the model's voice."""
    blob = {"mimeType": f"audio/pcm;rate={rate_hz}", "data": base64.b64encode(pcm).decode()}
    return content(modelTurn={"parts": [{"inlineData": blob}]})


def content(**fields: Any) -> Frame:
    """A `serverContent` message."""
    return {"serverContent": fields}


def heard(text: str, **fields: Any) -> Frame:
    """A piece of the user's words."""
    return content(inputTranscription={"text": text, **fields})


def spoken(text: str, **fields: Any) -> Frame:
    """A piece of the model's words."""
    return content(outputTranscription={"text": text, **fields})


def calls(*functions: Frame) -> Frame:
    """The model wants functions called."""
    return {"toolCall": {"functionCalls": list(functions)}}


def usage(prompt: int = 10, response: int = 20) -> Frame:
    """What a turn cost."""
    return {
        "promptTokenCount": prompt,
        "responseTokenCount": response,
        "totalTokenCount": prompt + response,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": prompt}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": response}],
    }
