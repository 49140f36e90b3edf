"""A session's settings, from our words to OpenAI's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from realtime import struct as wire
from realtime.model import InvalidSettingsError, ModelSettings
from realtime.openai.dialect import Dialect
from untrusted.validation import first_validation_error

_TURN_DETECTION: TypeAdapter[wire.ServerVad | wire.SemanticVad] = TypeAdapter(wire.TurnDetection)
_KNOWN = frozenset(field.name for field in fields(ModelSettings))
_MAX_EXTRA_BYTES = 64 * 1024

JsonObject = dict[str, Any]


def initial_session(settings: ModelSettings, dialect: Dialect) -> wire.Session:
    """All settings of a new session: 24 kHz PCM both ways and what `settings` sets.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    given = {name: value for name in _KNOWN if (value := getattr(settings, name)) is not None}
    given.setdefault("output_modality", "audio")
    given.setdefault("transcription", True)
    session = _written(given, dialect)
    _at(session, "audio", "input").setdefault("format", wire.PcmFormat().model_dump())
    _at(session, "audio", "output").setdefault("format", wire.PcmFormat().model_dump())
    return _session(session)


def changed_session(changes: Mapping[str, Any], dialect: Dialect) -> wire.Session:
    """Only what `changes` (keys of `ModelSettings`) sets.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    return _session(_written(check_names(changes), dialect))


def check_names(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`changes`, if every name in it is a setting.

    Raises:
        InvalidSettingsError: naming the one that is none.
    """
    for name in changes:
        if name not in _KNOWN:
            raise InvalidSettingsError(f"{name}: there is no such setting")
    return changes


def merge_extra(session: JsonObject, extra: Any) -> None:
    """Put the provider's own fields over ours, object by object.

    Raises:
        InvalidSettingsError: `extra` is not a JSON object, or too large.
    """
    if not isinstance(extra, Mapping):
        raise InvalidSettingsError("extra: must be a JSON object")
    try:
        text = wire.to_json_text(dict(extra))
    except ValueError as error:
        raise InvalidSettingsError(f"extra: {error}") from error
    if len(text) > _MAX_EXTRA_BYTES:
        raise InvalidSettingsError(f"extra: larger than {_MAX_EXTRA_BYTES} bytes")
    _merge(session, extra)


def turn_detection_object(value: Any) -> wire.ServerVad | wire.SemanticVad:
    """Turn detection as OpenAI has it.

    Raises:
        InvalidSettingsError: naming the wrong field.
    """
    try:
        return _TURN_DETECTION.validate_python(value)
    except ValidationError as error:
        raise _invalid(error, "turn_detection") from None


def _session(values: JsonObject) -> wire.Session:
    try:
        return wire.Session.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError, *prefix: str) -> InvalidSettingsError:
    return InvalidSettingsError(first_validation_error(error, within=prefix))


def _written(settings: Mapping[str, Any], dialect: Dialect) -> JsonObject:
    if settings.get("temperature") is not None and not dialect.has_temperature:
        raise InvalidSettingsError("temperature: this provider has no such setting")
    if dialect.voices is not None and settings.get("voice") not in (None, *dialect.voices):
        raise InvalidSettingsError(f"voice: this provider has {', '.join(dialect.voices)} only")
    session: JsonObject = {}
    for name, value in settings.items():
        if (writer := _WRITERS.get(name)) is not None:
            writer(session, value)
    if {"language", "transcription"} & settings.keys():
        _at(session, "audio", "input")["transcription"] = _transcription(
            settings.get("transcription"), settings.get("language"), dialect.transcription_model
        )
    merge_extra(session, settings.get("extra") or {})
    return session


def _merge(target: JsonObject, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        here = target.get(name)
        if isinstance(value, Mapping) and isinstance(here, dict):
            _merge(here, value)
        else:
            target[name] = value


def _at(session: JsonObject, *path: str) -> JsonObject:
    here = session
    for step in path:
        here = here.setdefault(step, {})
    return here


def _transcription(given: Any, language: Any, model: str | None) -> JsonObject | None:
    if given is False:
        return None
    known = {"model": model, "language": language}
    options = given if isinstance(given, Mapping) else {}
    return {name: value for name, value in known.items() if value is not None} | dict(options)


def _write_turn_detection(session: JsonObject, value: Any) -> None:
    if value is None or value is True:
        return
    detection = None if value is False else turn_detection_object(value)
    _at(session, "audio", "input")["turn_detection"] = (
        None if detection is None else detection.model_dump(exclude_unset=True)
    )


def _write_tools(session: JsonObject, value: Any) -> None:
    session["tools"] = [dict(tool) for tool in value]


def _write_noise_reduction(session: JsonObject, value: Any) -> None:
    _at(session, "audio", "input")["noise_reduction"] = {"type": value} if value else None


def _write_modality(session: JsonObject, value: Any) -> None:
    session["output_modalities"] = [value]


def _write_reasoning(session: JsonObject, value: Any) -> None:
    session["reasoning"] = {"effort": value}


def _write_tracing(session: JsonObject, value: Any) -> None:
    session["tracing"] = value or None


def _writer(*path: str) -> Callable[[JsonObject, Any], None]:
    *parents, name = path

    def write(session: JsonObject, value: Any) -> None:
        if value is not None:
            _at(session, *parents)[name] = value

    return write


# `language`, `transcription` and `extra` are written last, since they depend on others.
_WRITERS: dict[str, Callable[[JsonObject, Any], None]] = {
    "instructions": _writer("instructions"),
    "voice": _writer("audio", "output", "voice"),
    "speed": _writer("audio", "output", "speed"),
    "tools": _write_tools,
    "tool_choice": _writer("tool_choice"),
    "turn_detection": _write_turn_detection,
    "max_output_tokens": _writer("max_output_tokens"),
    "output_modality": _write_modality,
    "noise_reduction": _write_noise_reduction,
    "parallel_tool_calls": _writer("parallel_tool_calls"),
    "reasoning_effort": _write_reasoning,
    "temperature": _writer("temperature"),
    "truncation": _writer("truncation"),
    "tracing": _write_tracing,
    "prompt": _writer("prompt"),
}
