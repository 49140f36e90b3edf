"""Tools for servers without them: explained in the system text, called in the reply's text. Pure.

The form is the one of Hermes and Qwen models, which many other models know too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from speech.dialogue.context import Tool
from speech.language_model.protocol import ToolChoice

_HOW: Final = (
    "You may call tools. To call one, answer with nothing but\n"
    '<tool_call>{{"name": "...", "arguments": {{...}}}}</tool_call>\n'
    "and its result follows in <tool_response>. Tools:\n{tools}"
)


def messages_with_text_tools(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool], choice: ToolChoice
) -> list[Mapping[str, Any]]:
    """Return the messages with tools, calls and results in their text."""
    described = "\n".join(
        json.dumps(
            {"name": one.name, "description": one.description, "parameters": dict(one.parameters)},
            ensure_ascii=False,
        )
        for one in tools
    )
    system = dict(messages[0])
    system["content"] = f"{system['content']}\n\n{_HOW.format(tools=described)}"
    written: list[Mapping[str, Any]] = [system]
    for message in messages[1:]:
        _add(written, _as_text(message))
    if must := _must(choice):
        written.append({"role": "system", "content": must})
    return written


def _must(choice: ToolChoice) -> str:
    match choice:
        case "auto":
            return ""
        case "none":
            return "Answer in words now, without calling a tool."
        case "required":
            return "Call a tool now."
        case _:
            return f"Call the tool {choice} now."


def _as_text(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if message["role"] == "tool":
        text = f"<tool_response>{message['content']}</tool_response>"
        return {"role": "user", "content": text}
    if calls := message.get("tool_calls"):
        parts = [message["content"] or "", *(_call_text(call["function"]) for call in calls)]
        return {"role": "assistant", "content": "\n".join(part for part in parts if part)}
    return message


def _call_text(function: Mapping[str, str]) -> str:
    name = json.dumps(function["name"], ensure_ascii=False)
    return f'<tool_call>{{"name": {name}, "arguments": {function["arguments"]}}}</tool_call>'


def _add(messages: list[Mapping[str, Any]], message: Mapping[str, Any]) -> None:
    """Add a message; results that follow each other are one."""
    last = messages[-1]
    if message["role"] == last["role"] == "user":
        messages[-1] = {**last, "content": f"{last['content']}\n{message['content']}"}
    else:
        messages.append(message)
