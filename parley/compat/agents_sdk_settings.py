"""Settings of the Agents SDK's sessions, as fields of a definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from parley.compat.models import ModelChoice, provider_of

DEFAULT_MODEL: Final = "gpt-realtime"

_SAME: Final = ("speed", "max_output_tokens", "tool_choice", "parallel_tool_calls", "tracing")
_DETECTION: Final = (
    *("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "eagerness"),
    "idle_timeout_ms",
)


def choice_of(settings: Mapping[str, Any], model_config: Mapping[str, Any]) -> ModelChoice:
    """Return the model of a session."""
    model = settings.get("model_name", DEFAULT_MODEL)
    provider = settings.get("provider") or provider_of(model) or "openai"
    key = model_config.get("api_key")
    return ModelChoice(
        provider=provider,
        model=model,
        voice=settings.get("voice") or _output(settings).get("voice"),
        api_key=key if isinstance(key, str) else None,
        url=model_config.get("url"),
    )


def model_fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return turn detection, interruptions and further settings of the model."""
    listening = _part(settings, "input")
    detection = settings.get("turn_detection", listening.get("turn_detection"))
    given = {name: settings[name] for name in _SAME if settings.get(name) is not None}
    given |= _output_modality(settings)
    if (speed := _output(settings).get("speed")) is not None:
        given["speed"] = speed
    transcription = settings.get("input_audio_transcription", listening.get("transcription"))
    if transcription is not None:
        given["transcription"] = dict(transcription)
    noise = settings.get("input_audio_noise_reduction", listening.get("noise_reduction"))
    if noise is not None:
        given["noise_reduction"] = noise["type"]
    if (effort := settings.get("reasoning", {}).get("effort")) is not None:
        given["reasoning_effort"] = effort
    return {
        "turn_detection": None
        if detection is None
        else {name: detection[name] for name in _DETECTION if detection.get(name) is not None},
        # As theirs: any speech cuts the reply.
        "interrupt": {"mode": "immediate"},
        "model_settings": given or None,
    }


def _output_modality(settings: Mapping[str, Any]) -> dict[str, str]:
    wanted = settings.get("output_modalities") or settings.get("modalities") or ["audio"]
    return {} if "audio" in wanted else {"output_modality": "text"}


def _output(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(settings, "output")


def _part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = settings.get("audio", {}).get(name, {})
    return part
