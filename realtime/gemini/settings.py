"""A session's settings, from our words to Gemini's. Pure.

Only what is set is written, besides the transcripts of both sides, a sliding context window (which
lifts the session's cap) and resumption: a field that a model lacks fails its whole setup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic import ValidationError

from realtime.gemini import wire
from realtime.gemini.model_quirks import GeminiQuirks
from realtime.gemini.wire import JsonObject
from realtime.model import InvalidSettingsError, ModelSettings
from realtime.openai.settings import check_names, merge_extra, turn_detection_object
from untrusted.validation import first_validation_error

MIDDLE_THRESHOLD: Final = 0.5
"""OpenAI's default of how sure a voice must be; below Gemini's is high sensitivity, above low."""

_CHANGEABLE: Final = frozenset({"instructions", "tools"})
_SCHEDULING: Final = frozenset({"SILENT", "WHEN_IDLE", "INTERRUPT"})
_BEHAVIORS: Final = frozenset({"BLOCKING", "NON_BLOCKING"})
_NO_SUCH: Final = "this provider has no such setting"


def initial_setup(
    settings: ModelSettings, quirks: GeminiQuirks, *, model: str, resumption_handle: str | None
) -> wire.Setup:
    """The first message of a session.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    setup: JsonObject = {
        "model": model,
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }
    if resumption_handle is not None:
        setup["sessionResumption"] = {"handle": resumption_handle}
    for field in fields(ModelSettings):
        value = getattr(settings, field.name)
        if value is not None and (writer := _WRITERS.get(field.name)) is not None:
            writer(setup, value, quirks)
    merge_extra(setup, settings.extra)
    try:
        return wire.Setup.model_validate(setup)
    except ValidationError as error:
        raise InvalidSettingsError(first_validation_error(error)) from None


def changed_context(changes: Mapping[str, Any]) -> wire.ContextUpdate:
    """Return the settings that may change within a session: instructions and tools.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    for name in check_names(changes):
        if name not in _CHANGEABLE:
            raise InvalidSettingsError(f"{name}: cannot change while the session lasts")
    update: JsonObject = {}
    if (text := changes.get("instructions")) is not None:
        update["system_instruction"] = instruction(text)
    if (tools := changes.get("tools")) is not None:
        update["tools"] = wire.ToolSet(tools=declared_tools(tools))
    return wire.ContextUpdate(**update)


def instruction(text: str) -> wire.Content:
    """Words that steer the model."""
    return wire.Content(parts=[wire.Part(text=text)])


def declared_tools(tools: Any) -> list[JsonObject]:
    """Function declarations in Gemini's form: all in one tool.

    Raises:
        InvalidSettingsError: naming the tool that is none.
    """
    declarations = [_declaration(tool) for tool in tools]
    return [{"functionDeclarations": declarations}] if declarations else []


def _declaration(tool: Mapping[str, Any]) -> JsonObject:
    name = tool.get("name")
    if tool.get("type", "function") != "function" or not isinstance(name, str):
        raise InvalidSettingsError("tools: only functions with a name can be declared")
    declaration: JsonObject = {"name": name}
    if description := tool.get("description"):
        declaration["description"] = description
    parameters = tool.get("parameters")
    if isinstance(parameters, Mapping) and parameters.get("properties"):
        declaration["parametersJsonSchema"] = dict(parameters)
    if behavior := _one_of(tool, "behavior", _BEHAVIORS):
        declaration["behavior"] = behavior
    return declaration


def scheduling_of(tool: Mapping[str, Any]) -> str | None:
    """Return how this tool's result is delivered (`scheduling`): an extra key of the declaration.

    Raises:
        InvalidSettingsError: it is none of Gemini's ways.
    """
    return _one_of(tool, "scheduling", _SCHEDULING)


def _one_of(tool: Mapping[str, Any], key: str, allowed: frozenset[str]) -> str | None:
    value = tool.get(key)
    if value is not None and value not in allowed:
        raise InvalidSettingsError(f"tools: {key} must be one of {', '.join(sorted(allowed))}")
    return value


# -- one writer a setting ----------------------------------------------------------------------


def _write_instructions(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    setup["systemInstruction"] = instruction(value).model_dump(exclude_unset=True)


def _write_voice(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    setup["generationConfig"]["speechConfig"] = {
        "voiceConfig": {"prebuiltVoiceConfig": {"voiceName": value}}
    }


def _write_tools(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if tools := declared_tools(value):
        setup["tools"] = tools


def _write_tool_choice(_setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if value != "auto":
        raise InvalidSettingsError("tool_choice: this provider leaves the choice to the model")


def _write_turn_detection(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if value is True:
        return
    if value is False:
        setup["realtimeInputConfig"] = {"automaticActivityDetection": {"disabled": True}}
        return
    given = turn_detection_object(value).model_dump(exclude_unset=True)
    if given.get("create_response") is False:
        raise InvalidSettingsError("turn_detection.create_response: every turn is answered here")
    if given.get("idle_timeout_ms") is not None:
        raise InvalidSettingsError(f"turn_detection.idle_timeout_ms: {_NO_SUCH}")
    config: JsonObject = {}
    if detection := _activity_detection(given):
        config["automaticActivityDetection"] = detection
    if given.get("interrupt_response") is False:
        config["activityHandling"] = "NO_INTERRUPTION"
    if config:
        setup["realtimeInputConfig"] = config


def _activity_detection(given: Mapping[str, Any]) -> JsonObject:
    detection: JsonObject = {}
    threshold = given.get("threshold")
    if threshold is not None and threshold != MIDDLE_THRESHOLD:
        level = "HIGH" if threshold < MIDDLE_THRESHOLD else "LOW"
        detection["startOfSpeechSensitivity"] = f"START_SENSITIVITY_{level}"
    if (eagerness := given.get("eagerness")) in ("low", "high"):
        detection["endOfSpeechSensitivity"] = f"END_SENSITIVITY_{eagerness.upper()}"
    for ours, theirs in (
        ("prefix_padding_ms", "prefixPaddingMs"),
        ("silence_duration_ms", "silenceDurationMs"),
    ):
        if (value := given.get(ours)) is not None:
            detection[theirs] = value
    return detection


def _write_max_tokens(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    setup["generationConfig"]["maxOutputTokens"] = value


def _write_temperature(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    setup["generationConfig"]["temperature"] = value


def _write_modality(setup: JsonObject, value: Any, quirks: GeminiQuirks) -> None:
    if value == "text":
        if not quirks.has_text_output:
            raise InvalidSettingsError("output_modality: this model only speaks")
        setup["generationConfig"]["responseModalities"] = ["TEXT"]
        del setup["outputAudioTranscription"]


def _write_transcription(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if value is False:
        del setup["inputAudioTranscription"]
    elif isinstance(value, Mapping):
        known = {"keywords": "customVocabulary", "languages": "languageCodes"}
        if unknown := value.keys() - known.keys():
            raise InvalidSettingsError(f"transcription.{min(unknown)}: {_NO_SUCH}")
        setup["inputAudioTranscription"] = {known[name]: each for name, each in value.items()}


def _write_reasoning(setup: JsonObject, value: Any, quirks: GeminiQuirks) -> None:
    if not quirks.has_thinking_level or value == "xhigh":
        raise InvalidSettingsError("reasoning_effort: not a choice with this model")
    setup["generationConfig"]["thinkingConfig"] = {"thinkingLevel": value.upper()}


def _write_truncation(setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if value == "disabled":
        del setup["contextWindowCompression"]
    elif isinstance(value, Mapping):
        known = {"trigger_tokens", "target_tokens"}
        if unknown := value.keys() - known:
            raise InvalidSettingsError(f"truncation.{min(unknown)}: {_NO_SUCH}")
        compression = setup["contextWindowCompression"]
        if "trigger_tokens" in value:
            compression["triggerTokens"] = value["trigger_tokens"]
        if "target_tokens" in value:
            compression["slidingWindow"] = {"targetTokens": value["target_tokens"]}
    elif value != "auto":
        raise InvalidSettingsError(
            "truncation: use auto, disabled, or {trigger_tokens, target_tokens}"
        )


def _refuser(name: str) -> Callable[[JsonObject, Any, GeminiQuirks], None]:
    def refuse(_setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
        # To ask for something to be off that does not exist is no mistake.
        if value is not False:
            raise InvalidSettingsError(f"{name}: {_NO_SUCH}")

    return refuse


def _write_parallel_calls(_setup: JsonObject, value: Any, _quirks: GeminiQuirks) -> None:
    if value is False:
        raise InvalidSettingsError("parallel_tool_calls: calls may always come side by side")


# `language` is a hint that these models do not need, and some refuse: they hear it. `extra` is
# merged last.
_WRITERS: Final[dict[str, Callable[[JsonObject, Any, GeminiQuirks], None]]] = {
    "instructions": _write_instructions,
    "voice": _write_voice,
    "tools": _write_tools,
    "tool_choice": _write_tool_choice,
    "turn_detection": _write_turn_detection,
    "speed": _refuser("speed"),
    "max_output_tokens": _write_max_tokens,
    "output_modality": _write_modality,
    "transcription": _write_transcription,
    "noise_reduction": _refuser("noise_reduction"),
    "parallel_tool_calls": _write_parallel_calls,
    "reasoning_effort": _write_reasoning,
    "temperature": _write_temperature,
    "truncation": _write_truncation,
    "tracing": _refuser("tracing"),
    "prompt": _refuser("prompt"),
}
