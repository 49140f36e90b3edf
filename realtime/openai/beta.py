"""OpenAI's beta dialect: its messages as GA messages and back. Pure, on plain JSON objects.

Still spoken by Azure's dated preview and by compatible servers; other dialects build on its names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from realtime.model import InvalidSettingsError
from realtime.openai.codec import JsonObject, TranslatingCodec

_GA_TYPES: Final = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "conversation.item.created": "conversation.item.added",
}
_GA_PARTS: Final = {"text": "output_text", "audio": "output_audio"}
_BETA_PARTS: Final = {new: old for old, new in _GA_PARTS.items()}
_GA_FORMATS: Final[dict[str, JsonObject]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24_000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_BETA_FORMATS: Final = {each["type"]: name for name, each in _GA_FORMATS.items()}

_Path = tuple[str, ...]

# Where a setting of the flat session is in the nested one.
SESSION_PATHS: Final[dict[str, _Path]] = {
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
}
_NOT_IN_BETA: Final = frozenset({"type", "truncation", "prompt", "include", "reasoning"})
_DEFAULT_FORMATS: Final = (("input_audio_format", "pcm16"), ("output_audio_format", "pcm16"))
_NOT_IN_TURN_DETECTION: Final = "idle_timeout_ms"


# -- what we send ------------------------------------------------------------------------------


def to_beta(message: JsonObject) -> JsonObject:
    """A client message of GA in beta's words.

    Raises:
        InvalidSettingsError: it sets what beta does not have.
    """
    match message["type"]:
        case "session.update":
            return message | {"session": session_to_beta(message["session"])}
        case "conversation.item.create":
            return message | {"item": item_to_beta(message["item"])}
        case "response.create" if "response" in message:
            return message | {"response": _response_params_to_beta(message["response"])}
        case _:
            return message


def session_to_beta(session: Mapping[str, Any]) -> JsonObject:
    """The flat session object.

    Raises:
        InvalidSettingsError: a setting that beta does not have.
    """
    detection = take(session, SESSION_PATHS["turn_detection"], {}) or {}
    if _NOT_IN_TURN_DETECTION in detection:
        raise InvalidSettingsError("turn_detection.idle_timeout_ms: not in the beta dialect")
    for name in sorted(session.keys() & _NOT_IN_BETA - {"type"}):
        raise InvalidSettingsError(f"{name}: not in the beta dialect")
    flat = flatten(session, _BETA_VALUES)
    # The default, which some servers refuse to be given.
    return {name: value for name, value in flat.items() if (name, value) not in _DEFAULT_FORMATS}


def flatten(
    session: Mapping[str, Any], values: Mapping[str, Callable[[Any], Any]] | None = None
) -> JsonObject:
    """A nested session with `SESSION_PATHS` made flat; absent stays absent, null stays null.

    values: how a setting's value changes on the way
    """
    moved = {path[0] for path in SESSION_PATHS.values()} | {"type"}
    flat = {name: value for name, value in session.items() if name not in moved}
    for name, path in SESSION_PATHS.items():
        if (value := take(session, path, _ABSENT)) is not _ABSENT:
            change = (values or {}).get(name)
            flat[name] = value if change is None or value is None else change(value)
    return flat


def item_to_beta(item: Mapping[str, Any]) -> JsonObject:
    """An item with beta's names for its parts."""
    return _with_parts(item, _BETA_PARTS)


def take(nested: Mapping[str, Any], path: _Path, default: Any = None) -> Any:
    """Remove and return the value at `path`, or `default` where a part of the path is missing."""
    here: Any = nested
    for step in path:
        if not isinstance(here, Mapping) or step not in here:
            return default
        here = here[step]
    return here


def _response_params_to_beta(params: Mapping[str, Any]) -> JsonObject:
    flat = flatten(params, _BETA_VALUES)
    if "max_response_output_tokens" in flat:  # a reply's own settings keep the new name
        flat["max_output_tokens"] = flat.pop("max_response_output_tokens")
    if "input" in flat:
        flat["input"] = [item_to_beta(item) for item in flat["input"]]
    return flat


# -- what we receive ---------------------------------------------------------------------------


def to_ga(message: JsonObject) -> list[JsonObject]:
    """A server message of beta in GA's words: one message, or an item's two."""
    kind = message.get("type")
    if not isinstance(kind, str):
        return [message]
    ga = dict(message, type=_GA_TYPES.get(kind, kind))
    for name, translate in _PARTS_OF_MESSAGES.items():
        if isinstance(ga.get(name), Mapping):
            ga[name] = translate(ga[name])
    if kind == "conversation.item.created" and _is_complete(ga.get("item")):
        return [ga, ga | {"type": "conversation.item.done"}]
    return [ga]


def session_to_ga(session: Mapping[str, Any]) -> JsonObject:
    """Return the nested session object; only fields that are not needed here are lost."""
    ga: JsonObject = {"type": "realtime"}
    # What is flat goes last: it is put into what is nested, should a server send both.
    for name, value in sorted(session.items(), key=lambda item: item[0] in SESSION_PATHS):
        here = ga
        *parents, last = SESSION_PATHS.get(name, (name,))
        for step in parents:
            if not isinstance(here.get(step), dict):
                here[step] = {}
            here = here[step]
        change = _GA_VALUES.get(name)
        here[last] = value if change is None or value is None else change(value)
    return ga


def _is_complete(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("status") == "completed"


def item_to_ga(item: Mapping[str, Any]) -> JsonObject:
    """An item with GA's names for its parts."""
    is_of_model = item.get("role") == "assistant"
    return _with_parts(item, _GA_PARTS) if is_of_model else dict(item)


def response_to_ga(response: Mapping[str, Any]) -> JsonObject:
    """A response with GA's names for its modalities, parts and counts."""
    ga = dict(response)
    if isinstance(output := ga.get("output"), list):
        ga["output"] = [item_to_ga(item) if isinstance(item, Mapping) else item for item in output]
    if isinstance(modalities := ga.pop("modalities", None), list):
        ga["output_modalities"] = _ga_modalities(modalities)
    if isinstance(usage := ga.get("usage"), Mapping):
        ga["usage"] = {_USAGE_NAMES.get(name, name): count for name, count in usage.items()}
    return ga


def _with_parts(item: Mapping[str, Any], names: Mapping[str, str]) -> JsonObject:
    content = item.get("content")
    if not isinstance(content, list):
        return dict(item)
    return dict(item) | {"content": [_renamed(part, names) for part in content]}


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return part | {"type": names.get(kind, kind)} if isinstance(kind, str) else part


def _ga_modalities(modalities: Any) -> list[str]:
    """Beta lists `text` beside `audio` where GA means a voice with its transcript."""
    is_list = isinstance(modalities, list | str)
    return ["audio"] if is_list and "audio" in modalities else ["text"]


def _beta_modalities(modalities: Any) -> list[str]:
    return ["text", "audio"] if "audio" in modalities else ["text"]


def _beta_format(value: Any) -> Any:
    return _BETA_FORMATS.get(value.get("type", ""), value)


def _ga_format(value: Any) -> Any:
    return _GA_FORMATS.get(value, value) if isinstance(value, str) else value


_ABSENT: Final = object()
_USAGE_NAMES: Final = {
    "input_tokens_details": "input_token_details",
    "output_tokens_details": "output_token_details",
}
_BETA_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    "input_audio_format": _beta_format,
    "output_audio_format": _beta_format,
    "modalities": _beta_modalities,
}
_GA_VALUES: Final[dict[str, Callable[[Any], Any]]] = {
    "input_audio_format": _ga_format,
    "output_audio_format": _ga_format,
    "modalities": _ga_modalities,
}
_PARTS_OF_MESSAGES: Final[dict[str, Callable[[Mapping[str, Any]], JsonObject]]] = {
    "session": session_to_ga,
    "item": item_to_ga,
    "response": response_to_ga,
}

BETA_CODEC: Final = TranslatingCodec(to_beta, to_ga)
