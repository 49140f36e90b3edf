"""A session's settings, from our words to OpenAI's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from realtime import struct as wire
from realtime.model import ModelSettings

_TURN_DETECTION: TypeAdapter[wire.ServerVad | wire.SemanticVad] = TypeAdapter(wire.TurnDetection)
_KNOWN = frozenset(field.name for field in fields(ModelSettings))


class InvalidSettingsError(ValueError):
    """A setting cannot be expressed to the provider; the text names it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """In what a server that speaks OpenAI's protocol may differ.

    transcription_model: what writes the user's words down; None where there is no choice
    """

    transcription_model: str | None


def initial_session(settings: ModelSettings, dialect: Dialect) -> wire.Session:
    """All settings of a new session: 24 kHz PCM both ways and what `settings` sets.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    given = {name: value for name in _KNOWN if (value := getattr(settings, name)) is not None}
    given.setdefault("language", None)
    session = _merge({}, given, dialect)
    _at(session, "audio", "input")["format"] = wire.PcmFormat()
    _at(session, "audio", "output")["format"] = wire.PcmFormat()
    session["output_modalities"] = ["audio"]
    return _session(session)


def changed_session(changes: Mapping[str, Any], dialect: Dialect) -> wire.Session:
    """Only what `changes` (keys of `ModelSettings`) sets.

    Raises:
        InvalidSettingsError: naming the setting.
    """
    for name in changes:
        if name not in _KNOWN:
            raise InvalidSettingsError(f"{name}: there is no such setting")
    return _session(_merge({}, changes, dialect))


def _session(values: dict[str, Any]) -> wire.Session:
    try:
        return wire.Session.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise InvalidSettingsError(f"{where}: {first['msg']}") from None


def _merge(
    session: dict[str, Any], settings: Mapping[str, Any], dialect: Dialect
) -> dict[str, Any]:
    for name, value in settings.items():
        _WRITERS[name](session, value, dialect)
    return session


def _at(session: dict[str, Any], *path: str) -> dict[str, Any]:
    here = session
    for step in path:
        here = here.setdefault(step, {})
    return here


def _write_language(session: dict[str, Any], language: str | None, dialect: Dialect) -> None:
    given = {"model": dialect.transcription_model, "language": language}
    transcription = {name: value for name, value in given.items() if value is not None}
    _at(session, "audio", "input")["transcription"] = transcription


def _write_turn_detection(session: dict[str, Any], value: Any, _dialect: Dialect) -> None:
    if value is None or value is True:
        return
    _at(session, "audio", "input")["turn_detection"] = None if value is False else _vad(value)


def _vad(value: Any) -> wire.ServerVad | wire.SemanticVad:
    try:
        return _TURN_DETECTION.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(["turn_detection", *(str(step) for step in first["loc"])])
        raise InvalidSettingsError(f"{where}: {first['msg']}") from None


def _write_tools(session: dict[str, Any], value: Any, _dialect: Dialect) -> None:
    session["tools"] = [dict(tool) for tool in value]


def _writer(*path: str) -> Callable[[dict[str, Any], Any, Dialect], None]:
    *parents, name = path

    def write(session: dict[str, Any], value: Any, _dialect: Dialect) -> None:
        if value is not None:
            _at(session, *parents)[name] = value

    return write


_WRITERS: dict[str, Callable[[dict[str, Any], Any, Dialect], None]] = {
    "instructions": _writer("instructions"),
    "voice": _writer("audio", "output", "voice"),
    "speed": _writer("audio", "output", "speed"),
    "language": _write_language,
    "tools": _write_tools,
    "tool_choice": _writer("tool_choice"),
    "turn_detection": _write_turn_detection,
    "max_output_tokens": _writer("max_output_tokens"),
}
