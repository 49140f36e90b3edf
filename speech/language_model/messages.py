"""`Context` to chat messages: the conversation as heard, with a prefix that stays as it is. Pure.

The system text depends on nothing that changes from turn to turn, later turns are only appended, and
instructions of a single response come last: servers that cache prompts read each message once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from speech.dialogue.context import Context, Entry, ToolCall, ToolOutput, Turn
from speech.language_model.protocol import ChatRequest

Message = dict[str, Any]

CUT_MARK: Final = "—"
"""Ends a reply of which the user did not hear the rest."""

SPOKEN_STYLE: Final = (
    "Your words are spoken aloud by a voice and the user speaks to you. "
    "Answer in one to three short sentences of everyday spoken language unless more is asked for. "
    "Never use markdown, lists, headings, emoji, links or code. "
    "The user's words come from speech recognition and may contain mistakes. "
    f"A message of yours that ends in {CUT_MARK} was interrupted there: "
    "the user did not hear the rest. Never write that sign yourself."
)
"""Part of every system text of a spoken conversation; stable, so that prompt caches keep it."""

NO_RESULT_YET: Final = "There is no result yet."
"""Answers a call whose output is missing: chat servers refuse calls without one."""

_NO_OUTPUT: Final = "The tool gave no output."
_SPEAK_FIRST: Final = "The user has not said anything yet. Speak first."
_GO_ON: Final = "The user has not said anything since. Say what comes next."


def chat_request(
    context: Context, *, is_spoken: bool = True, max_tokens: int | None = None
) -> ChatRequest:
    """Return the request for the next reply.

    is_spoken: False where the reply is read instead of heard
    max_tokens: limit on this reply; None: the model's
    """
    return ChatRequest(
        messages=chat_messages(context, is_spoken=is_spoken),
        tools=context.tools,
        tool_choice=_tool_choice(context),
        max_tokens=max_tokens,
    )


def chat_messages(context: Context, *, is_spoken: bool = True) -> list[Message]:
    """Return the system text, every turn as heard, and the instructions of this response."""
    messages = [
        {"role": "system", "content": system_text(context, is_spoken=is_spoken)},
        *_turns(context.history),
    ]
    if last := _last_instructions(context.request, messages):
        messages.append({"role": "system", "content": last})
    return messages


def system_text(context: Context, *, is_spoken: bool = True) -> str:
    """Return the instructions of the session, how to speak, and the date.

    The time of day is left out: it would change the prompt's start with every turn.
    """
    now = context.now
    date = f"Today is {now:%A}, {now:%B} {now.day}, {now.year}, time zone {context.zone_name}."
    parts = (context.instructions.strip(), SPOKEN_STYLE if is_spoken else "", date)
    return "\n\n".join(part for part in parts if part)


def _tool_choice(context: Context) -> str:
    if not context.tools:
        return "auto"
    return context.forced_tool or ("required" if context.must_call_tool else "auto")


def _last_instructions(request: str, messages: Sequence[Message]) -> str:
    """Return what follows the turns. Many models are silent unless a user's turn is open."""
    if request.strip():
        return request.strip()
    if messages[-1]["role"] in {"user", "tool"}:
        return ""
    has_spoken = any(message["role"] in {"user", "assistant"} for message in messages)
    return _GO_ON if has_spoken else _SPEAK_FIRST


# -- turns -------------------------------------------------------------------------------------


def _turns(history: Sequence[Entry]) -> list[Message]:
    outputs = {entry.call_id: entry.output for entry in history if isinstance(entry, ToolOutput)}
    messages: list[Message] = []
    for entry in history:
        match entry:
            case Turn():
                _add_turn(messages, entry)
            case ToolCall():
                _add_call(messages, entry, outputs.pop(entry.call_id, None))
            case ToolOutput():
                # It goes with its call, and is dropped without one: servers refuse such requests.
                # A call after it is one of a later reply.
                if messages and "outputs" in messages[-1]:
                    messages[-1]["has_ended"] = True
    return [message for block in messages for message in _flattened(block)]


def _add_turn(messages: list[Message], turn: Turn) -> None:
    text = turn.text.strip()
    if not text:
        return
    if turn.role == "assistant" and turn.is_cut:
        text = f"{text}{CUT_MARK}"
    last = messages[-1] if messages else None
    if last is not None and last["role"] == turn.role and "tool_calls" not in last:
        last["content"] = f"{last['content']} {text}"
    else:
        messages.append({"role": turn.role, "content": text})


def _add_call(messages: list[Message], call: ToolCall, output: str | None) -> None:
    """Add a call to those of the same reply, or to what was said before it."""
    if not messages or messages[-1]["role"] != "assistant" or "has_ended" in messages[-1]:
        messages.append({"role": "assistant", "content": ""})
    message = messages[-1]
    calls = message.setdefault("tool_calls", [])
    taken = {each["id"] for each in calls}
    call_id = call.call_id if call.call_id not in taken else f"{call.call_id}_{len(calls)}"
    function = {"name": accepted_name(call.name), "arguments": _json_object(call.arguments)}
    calls.append({"id": call_id, "type": "function", "function": function})
    text = NO_RESULT_YET if output is None else output.strip() or _NO_OUTPUT
    message.setdefault("outputs", []).append(
        {"role": "tool", "tool_call_id": call_id, "content": text}
    )


def accepted_name(name: str) -> str:
    """Return the name of a tool as servers take it in the history of a conversation."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unknown"


def _flattened(message: Mapping[str, Any]) -> Iterator[Message]:
    """Yield a reply and then the outputs of its calls."""
    yield {key: value for key, value in message.items() if key not in {"outputs", "has_ended"}}
    yield from message.get("outputs", ())


def _json_object(arguments: str) -> str:
    """Return arguments that a server can parse: some answer status 500 to others."""
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return arguments
    return json.dumps({"input": arguments} if arguments.strip() else {}, ensure_ascii=False)
