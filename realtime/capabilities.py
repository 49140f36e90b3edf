"""What each model can do: a table by provider and model name, the first row that matches counts."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.model import (
    Capabilities,
    InvalidSettingsError,
    ModelSettings,
    UnsupportedCommandError,
)

_OPENAI: Final = Capabilities(
    input_sample_rate_hz=24_000,
    output_sample_rate_hz=24_000,
    has_image_input=True,
    has_hosted_tools=True,
    has_truncation=True,
    has_turn_control=True,
    has_history_replay=True,
    session_cap_s=3600.0,
)
# Of a server that speaks the old dialect only the core can be relied on.
_OPENAI_BETA: Final = replace(
    _OPENAI,
    has_image_input=False,
    has_hosted_tools=False,
    has_turn_control=False,
    session_cap_s=1800.0,
)
# The local server hears and speaks on this machine: it sees nothing, and its sessions never expire.
_LOCAL: Final = replace(
    _OPENAI,
    has_image_input=False,
    has_hosted_tools=False,
    has_early_transcripts=True,
    session_cap_s=None,
)
_QWEN_OMNI: Final = Capabilities(
    input_sample_rate_hz=16_000,
    output_sample_rate_hz=24_000,
    has_text_input=False,
    has_image_input=True,
    session_cap_s=7200.0,
    idle_cut_s=300.0,
)
_QWEN_AUDIO: Final = replace(
    _QWEN_OMNI,
    has_text_input=True,
    has_image_input=False,
    has_tools=False,
    has_history_replay=True,
)
# Its sessions go on in another socket by their handle; the cap is that of one socket.
_GEMINI: Final = Capabilities(
    input_sample_rate_hz=16_000,
    output_sample_rate_hz=24_000,
    has_image_input=True,
    needs_response_after_tool=False,
    has_resumption=True,
    has_history_replay=True,
    session_cap_s=600.0,
)

_TABLE: Final = (
    ("openai", "*", _OPENAI),
    ("azure", "*", _OPENAI),
    ("openai-beta", "*", _OPENAI_BETA),
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
    """What `model` can do; without a name, what the provider's current models can.

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
        case _:
            pass
