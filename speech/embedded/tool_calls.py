"""The JSON object of a constrained answer as a tool call of OpenAI's shape. Pure."""

from __future__ import annotations

import json
import secrets
from typing import Any

from untrusted.json_reader import InvalidJsonError, read_object

_DATA = "data: "
_END = "[DONE]"


def as_tool_call(completion: dict[str, Any]) -> dict[str, Any]:
    """Return a completion whose content is a call with the call in its place.

    An object that was cut by the limit of tokens stays text, with `length` as its reason.
    """
    choice = completion["choices"][0]
    call = _call_of(choice["message"].get("content") or "")
    if call is None:
        return completion
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {**choice, "message": message, "finish_reason": "tool_calls"}
    return {**completion, "choices": [choice]}


class ToolCallStream:
    """Turns the events of a streamed answer into those of one tool call.

    Text is held back until the answer ends: a call is short, and useless before it is complete.
    """

    def __init__(self) -> None:
        self._content = ""

    def push(self, line: str) -> list[str]:
        """Take one line of the stream; return the events to send in its place."""
        data = line.removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == _END:
            return [line.strip()] if data else []
        event = read_object(data)
        choices = event.get("choices") or []
        if not choices:
            return [line.strip()]
        self._content += choices[0]["delta"].get("content") or ""
        if choices[0].get("finish_reason") is None:
            return []
        return [_event(each) for each in self._end(event, choices[0])]

    def _end(self, event: dict[str, Any], choice: dict[str, Any]) -> list[dict[str, Any]]:
        call = _call_of(self._content)
        if call is None:
            delta: dict[str, Any] = {"role": "assistant", "content": self._content}
            reason = choice["finish_reason"]
        else:
            delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
            reason = "tool_calls"
        first = {**event, "choices": [{"index": 0, "finish_reason": None, "delta": delta}]}
        first.pop("timings", None)
        last = {**event, "choices": [{**choice, "finish_reason": reason, "delta": {}}]}
        return [first, last]


def _event(event: dict[str, Any]) -> str:
    return _DATA + json.dumps(event, ensure_ascii=False)


def _call_of(content: str) -> dict[str, Any] | None:
    try:
        call = read_object(content)
        name, arguments = call["name"], call["arguments"]
    except (InvalidJsonError, KeyError):
        return None
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
