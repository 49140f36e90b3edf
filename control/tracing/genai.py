"""Attributes by OpenTelemetry's semantic conventions for generative AI (semconv 1.38 and later), by
which tools such as Langfuse know agents, replies and tool calls. Pure.

The messages are opt-in, and bounded: the newest texts of each are kept.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from config.agent import AgentConfig
from conversation.events.parts import ToolResult, ToolUse

Value = str | int | float | bool | tuple[str, ...]

MAX_TEXT_CHARACTERS: Final = 8_000
MAX_MESSAGES: Final = 100

_PROVIDERS: Final = {"azure": "azure.ai.openai", "gemini": "gcp.gen_ai", "xai": "x_ai"}
"""Names of the conventions, where ours differ; `openai-beta` and the like are OpenAI's protocol at
another server, which has no name there.
"""

_FINISH_REASONS: Final = {"completed": "stop", "incomplete": "length", "failed": "error"}


class GenAi:
    """Attributes of one call's spans."""

    def __init__(self, config: AgentConfig, *, has_content: bool) -> None:
        """has_content: with the words of people and agent, and what tools were given and returned"""
        self._config = config
        self._has_content = has_content
        # Of the whole call, and since the last reply.
        self._inputs: deque[dict[str, Any]] = deque(maxlen=MAX_MESSAGES)
        self._outputs: deque[dict[str, Any]] = deque(maxlen=MAX_MESSAGES)
        self._next_inputs: deque[dict[str, Any]] = deque(maxlen=MAX_MESSAGES)
        # Parts of replies that go on, by their ids.
        self._parts: dict[str, list[dict[str, Any]]] = {}

    def of_call(self) -> dict[str, Value]:
        """Return the attributes of a call that begins."""
        config = self._config
        system = config.system_message
        content: dict[str, Value] = {}
        if self._has_content and system:
            content["gen_ai.system_instructions"] = json.dumps([_text(system)], ensure_ascii=False)
        agent = {"gen_ai.agent.id": config.agent_id, "gen_ai.agent.name": config.name}
        return {**self._shared("invoke_agent"), **self._model(), **agent, **content}

    def end_of_call(self) -> dict[str, Value]:
        """Return the attributes of a call that ends."""
        return self._messages(self._inputs, self._outputs)

    def of_response(self, response_id: str) -> dict[str, Value]:
        """Return the attributes of a reply that begins."""
        if self._has_content and len(self._parts) < MAX_MESSAGES:
            self._parts.setdefault(response_id, [])
        about: dict[str, Value] = {"gen_ai.response.id": response_id}
        return {**self._shared("chat"), **self._model(), **about}

    def end_of_response(
        self, response_id: str, *, status: str, input_tokens: int, output_tokens: int
    ) -> dict[str, Value]:
        """Return the attributes of a reply that the model has ended."""
        reason = _FINISH_REASONS.get(status, status)
        parts = self._parts.pop(response_id, [])
        if status == "completed" and any(part["type"] == "tool_call" for part in parts):
            reason = "tool_call"
        output = {"role": "assistant", "parts": parts, "finish_reason": reason}
        outputs = [output] if parts else []
        content = self._messages(self._next_inputs, outputs)
        self._outputs.extend(outputs)
        self._next_inputs.clear()
        figures: dict[str, Value] = {
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.response.finish_reasons": (reason,),
        }
        return {**figures, **content}

    def of_tool(self, response_id: str, use: ToolUse) -> dict[str, Value]:
        """Return the attributes of a tool call."""
        about: dict[str, Value] = {
            "gen_ai.tool.name": use.name,
            "gen_ai.tool.call.id": use.id,
            "gen_ai.tool.type": "function",
        }
        if self._has_content:
            arguments = json.dumps(use.input, ensure_ascii=False)[:MAX_TEXT_CHARACTERS]
            about["gen_ai.tool.call.arguments"] = arguments
            part = {"type": "tool_call", "id": use.id, "name": use.name, "arguments": arguments}
            self._add_part(response_id, part)
        return {**self._shared("execute_tool"), **about}

    def end_of_tool(self, result: ToolResult) -> dict[str, Value]:
        """Return the attributes of a tool call that has its result."""
        if not self._has_content:
            return {}
        output = result.output[:MAX_TEXT_CHARACTERS]
        part = {"type": "tool_call_response", "id": result.id, "response": output}
        self._next_inputs.append({"role": "tool", "parts": [part]})
        return {"gen_ai.tool.call.result": output}

    def hear(self, words: str) -> None:
        """Note the words of a user's turn."""
        if self._has_content and words.strip():
            message = {"role": "user", "parts": [_text(words)]}
            self._next_inputs.append(message)
            self._inputs.append(message)

    def say(self, response_id: str, words: str) -> None:
        """Note the words of a reply, heard or not."""
        if self._has_content and words.strip():
            self._add_part(response_id, _text(words))

    def _add_part(self, response_id: str, part: dict[str, Any]) -> None:
        parts = self._parts.get(response_id)
        if parts is not None and len(parts) < MAX_MESSAGES:
            parts.append(part)

    def _messages(
        self, inputs: Iterable[Mapping[str, Any]], outputs: Iterable[Mapping[str, Any]]
    ) -> dict[str, Value]:
        found = {"gen_ai.input.messages": [*inputs], "gen_ai.output.messages": [*outputs]}
        return {
            name: json.dumps(messages, ensure_ascii=False)
            for name, messages in found.items()
            if messages
        }

    def _shared(self, operation: str) -> dict[str, Value]:
        config = self._config
        return {
            "gen_ai.operation.name": operation,
            "gen_ai.conversation.id": config.thread_id or config.agent_id,
        }

    def _model(self) -> dict[str, Value]:
        provider = self._config.provider
        return {
            "gen_ai.provider.name": _PROVIDERS.get(provider.name, provider.name),
            "gen_ai.request.model": provider.model,
        }


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "content": words[:MAX_TEXT_CHARACTERS]}
