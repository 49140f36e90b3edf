"""Settings of one reply: the session's, overridden by the request's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from realtime import struct as wire
from speech.abilities import OPENAI_VOICES
from speech.conversation import Kept
from speech.dialogue.context import Tool
from speech.errors import ClientError
from speech.response import ResponseSettings
from speech.session_config import (
    refuse_setting,
    refuse_unknown_fields,
    refuse_unsupported_tools,
)
from speech.usage import input_tokens

Config = dict[str, Any]
"""A session's settings, as in `session.created`."""


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """Settings of one reply: the session's, overridden by the request's."""

    instructions: str
    request: str
    tools: tuple[Tool, ...]
    forced_tool: str | None
    must_call_tool: bool


def plan_reply(config: Config, params: wire.ResponseParams, max_characters: int) -> ReplyPlan:
    """Join session and request.

    Raises:
        ClientError: a setting that this server does not have, a tool that is not a function, or a
            choice of a tool that is not offered.
    """
    refuse_unknown_fields(params, "response")
    refuse_setting(params.prompt, "response.prompt")
    refuse_setting(params.reasoning, "response.reasoning")
    refuse_unsupported_tools(params.tools, "response.tools")
    if len(params.instructions or "") > max_characters:
        raise ClientError(
            "string_above_max_length",
            f"Instructions have at most {max_characters} characters.",
            param="response.instructions",
        )
    tools = [tool.model_dump() for tool in params.tools] if params.tools is not None else None
    offered = tuple(
        Tool(tool["name"], tool.get("description") or "", tool.get("parameters") or {})
        for tool in (config["tools"] if tools is None else tools)
    )
    choice: Any = params.tool_choice if params.tool_choice is not None else config["tool_choice"]
    if isinstance(choice, wire.WireObject):
        choice = choice.model_dump()
    forced = choice.get("name") if isinstance(choice, dict) else None
    if forced is not None and forced not in {tool.name for tool in offered}:
        raise ClientError(
            "invalid_value",
            f"Tool {forced!r} is chosen but not offered.",
            param="response.tool_choice",
        )
    return ReplyPlan(
        instructions=config["instructions"] or "",
        request=params.instructions or "",
        tools=() if choice == "none" else offered,
        forced_tool=forced,
        must_call_tool=choice == "required",
    )


def response_settings(
    config: Config, params: wire.ResponseParams, instructions: str, started_from: list[Kept]
) -> ResponseSettings:
    """Return the delivery settings of this reply.

    Raises:
        ClientError: an audio format or a voice that is not here.
    """
    output = params.audio.output if params.audio is not None else None
    if output is not None and output.format is not None and output.format.type != "audio/pcm":
        raise ClientError(
            "unsupported_audio_format",
            f"{output.format.type} is not available here: use audio/pcm at 24000 Hz.",
            param="response.audio.output.format",
        )
    if output is not None:
        _refuse_other_voice(output.voice, config["audio"]["output"]["voice"])
    limit = params.max_output_tokens or config["max_output_tokens"]
    return ResponseSettings(
        modality=(params.output_modalities or config["output_modalities"])[0],
        voice=config["audio"]["output"]["voice"],
        speed=config["audio"]["output"]["speed"],
        max_output_tokens=None if limit == "inf" else limit,
        is_in_conversation=params.conversation != "none",
        metadata=params.metadata,
        input_tokens=input_tokens(params.instructions or instructions, started_from),
    )


def _refuse_other_voice(asked: Any, voice: str) -> None:
    """A reply has the session's voice; the defaults of OpenAI's clients mean it.

    Raises:
        ClientError: another voice.
    """
    if asked is None or asked == voice or (isinstance(asked, str) and asked in OPENAI_VOICES):
        return
    raise ClientError(
        "unsupported_voice",
        f"Replies have the session's voice, {voice!r}: change it with session.update.",
        param="response.audio.output.voice",
    )
