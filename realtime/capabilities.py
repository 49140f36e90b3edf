"""Capabilities of each model: a table by provider and model name; the first row that matches counts."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.events.commands import (
    MAX_METADATA,
    MAX_METADATA_NAME_CHARACTERS,
    MAX_METADATA_VALUE_CHARACTERS,
)
from realtime.model import (
    Capabilities,
    InvalidSettingsError,
    ModelSettings,
    UnsupportedCommandError,
)

_JPEG: Final = frozenset({"image/jpeg"})
_CORE_OPTIONS: Final = frozenset(
    {"output_modality", "voice", "tools", "tool_choice", "max_output_tokens"}
)
_ALL_OPTIONS: Final = _CORE_OPTIONS | {"input_items", "out_of_band"}

_OPENAI: Final = Capabilities(
    input_sample_rate_hz=24_000,
    output_sample_rate_hz=24_000,
    image_types=frozenset({"image/jpeg", "image/png"}),
    has_hosted_tools=True,
    has_truncation=True,
    has_turn_control=True,
    has_history_replay=True,
    reply_options=_ALL_OPTIONS,
    session_cap_s=3600.0,
)
# Of a server that speaks the old dialect only the core can be relied on.
_OPENAI_BETA: Final = replace(
    _OPENAI,
    image_types=frozenset(),
    has_hosted_tools=False,
    has_turn_control=False,
    reply_options=_CORE_OPTIONS,
    session_cap_s=1800.0,
)
# Of another server that speaks GA only what all of them have. Sessions end when the server says so.
_COMPATIBLE: Final = replace(_OPENAI_BETA, has_truncation=False, session_cap_s=None)
_XAI: Final = replace(_OPENAI_BETA, has_truncation=False, reply_options=frozenset())
# The local server hears and speaks on this machine: it sees nothing, and its sessions never expire.
_LOCAL: Final = replace(
    _OPENAI,
    image_types=frozenset(),
    has_hosted_tools=False,
    has_early_transcripts=True,
    session_cap_s=None,
)
_QWEN_OMNI: Final = Capabilities(
    input_sample_rate_hz=16_000,
    output_sample_rate_hz=24_000,
    has_text_input=False,
    image_types=_JPEG,
    reply_options=frozenset({"output_modality"}),
    session_cap_s=7200.0,
    idle_cut_s=300.0,
)
_QWEN_AUDIO: Final = replace(
    _QWEN_OMNI,
    has_text_input=True,
    image_types=frozenset(),
    has_tools=False,
    has_history_replay=True,
)
# Its sessions go on in another socket by their handle; the cap is that of one socket.
_GEMINI: Final = Capabilities(
    input_sample_rate_hz=16_000,
    output_sample_rate_hz=24_000,
    image_types=_JPEG,
    needs_response_after_tool=False,
    has_resumption=True,
    has_history_replay=True,
    session_cap_s=600.0,
)

_TABLE: Final = (
    ("openai", "*", _OPENAI),
    ("azure", "*", _OPENAI),
    ("openai-beta", "*", _OPENAI_BETA),
    ("openai-compatible", "*", _COMPATIBLE),
    ("xai", "*", _XAI),
    ("local", "*", _LOCAL),
    ("dashscope", "qwen-audio*", _QWEN_AUDIO),
    # These take `tools` and then silently drop them.
    ("dashscope", "qwen-omni-turbo*", replace(_QWEN_OMNI, has_tools=False)),
    ("dashscope", "qwen3-omni-flash*", replace(_QWEN_OMNI, has_tools=False)),
    ("dashscope", "*livetranslate*", replace(_QWEN_OMNI, has_tools=False)),
    ("dashscope", "*", _QWEN_OMNI),
    # Takes messages only before the conversation begins.
    ("gemini", "*gemini-3.1-flash-live*", replace(_GEMINI, has_history_replay=False)),
    ("gemini", "*", _GEMINI),
)


def capabilities_of(provider: str, model: str = "") -> Capabilities:
    """Return the capabilities of `model`; without a name, those of the provider's current models.

    Raises:
        LookupError: the table has no such provider.
    """
    for name, pattern, capabilities in _TABLE:
        if name == provider and fnmatchcase(model, pattern):
            return capabilities
    raise LookupError(f"no capabilities are known of provider {provider}")


def require_settings(settings: ModelSettings, capabilities: Capabilities) -> None:
    """Refuse tools that this model would not call.

    Raises:
        InvalidSettingsError: saying what the model lacks.
    """
    if settings.tools and not capabilities.has_tools:
        raise InvalidSettingsError("tools: this model calls no tools")
    if not capabilities.has_hosted_tools and any(
        tool.get("type") == "mcp" for tool in settings.tools
    ):
        raise InvalidSettingsError("tools: this provider calls no tools of MCP servers by itself")


def require_supported(command: ModelCommand, capabilities: Capabilities) -> None:
    """Refuse a command that this model cannot carry out, before anything is sent.

    Raises:
        UnsupportedCommandError: saying what the model lacks.
    """
    match command:
        case ours.AddImage() if not capabilities.has_image_input:
            raise UnsupportedCommandError("this model cannot see images")
        case ours.AddImage(mime_type=mime_type) if mime_type not in capabilities.image_types:
            known = (each.removeprefix("image/").upper() for each in capabilities.image_types)
            text = f"this model sees images in {' and '.join(sorted(known))} only"
            raise UnsupportedCommandError(text)
        case ours.AddText(role="user") if not capabilities.has_text_input:
            raise UnsupportedCommandError("this model takes no written messages, only speech")
        case ours.AddText(role="system" | "assistant") if not capabilities.has_history_replay:
            raise UnsupportedCommandError("nothing can be added to this model's conversation")
        case ours.TruncateItem() if not capabilities.has_truncation:
            raise UnsupportedCommandError("this model cannot forget what was not heard")
        case ours.AddToolOutput() if not capabilities.has_tools:
            raise UnsupportedCommandError("this model calls no tools")
        case ours.AnswerToolApproval() if not capabilities.has_hosted_tools:
            raise UnsupportedCommandError("this model calls no tools of its own")
        case ours.CreateResponse() if not command.is_plain:
            _require_reply_options(command, capabilities)
        case _:
            pass


def _require_reply_options(command: ours.CreateResponse, capabilities: Capabilities) -> None:
    for name in sorted(_ALL_OPTIONS - capabilities.reply_options):
        if getattr(command, name) is not None:
            words = "this model has it for a whole session only, not for one reply"
            if name == "out_of_band":
                words = "this model gives no reply outside of the conversation"
            raise UnsupportedCommandError(f"{name}: {words}")
    metadata = command.metadata or {}
    if len(metadata) > MAX_METADATA or not all(map(_is_metadata, metadata.items())):
        raise UnsupportedCommandError(
            f"metadata: at most {MAX_METADATA} pairs of text, names of up to "
            f"{MAX_METADATA_NAME_CHARACTERS} and values of up to {MAX_METADATA_VALUE_CHARACTERS} characters"
        )
    if command.tools and not capabilities.has_tools:
        raise UnsupportedCommandError("this model calls no tools")


def _is_metadata(pair: tuple[object, object]) -> bool:
    name, value = pair
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and 0 < len(name) <= MAX_METADATA_NAME_CHARACTERS
        and len(value) <= MAX_METADATA_VALUE_CHARACTERS
    )
