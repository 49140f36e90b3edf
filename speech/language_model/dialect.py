"""Fields of a request, and what to leave out of it for servers that refuse some. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from speech.dialogue.context import Tool
from speech.language_model.failures import Failure
from speech.language_model.protocol import ChatRequest
from speech.language_model.text_tools import messages_with_text_tools
from speech.options import LanguageModelOptions

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
AnswerFormat = Literal["json_schema", "json_object"]

_ADAPTABLE: Final = frozenset({400, 422, 500, 501})
_ROLE_WORDS: Final = re.compile(r"\brole|system|alternat|template|jinja|user query|last message")
_FORMAT_WORDS: Final = re.compile(r"response_format|json_schema|json_object|json schema|grammar")
_CALL_ID: Final = re.compile(r"tool[ _]call[ _]ids?\b.*(length|9)", re.DOTALL)
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Fields and roles that a server takes; learned from its refusals.

    has_usage: `stream_options`
    answer_format: `response_format` of replies that follow a schema; None: no such field
    has_native_tools: `tools`; otherwise the system text explains them
    has_late_system: system messages after the first; otherwise they go into the user's
    has_system: system messages at all
    has_free_call_ids: ids of tool calls in any form; otherwise nine letters and digits (Mistral)
    """

    token_limit_field: TokenLimitField | None = "max_tokens"
    has_usage: bool = True
    answer_format: AnswerFormat | None = "json_schema"
    has_temperature: bool = True
    has_tool_choice: bool = True
    has_native_tools: bool = True
    has_late_system: bool = True
    has_system: bool = True
    has_free_call_ids: bool = True


def first_dialect(options: LanguageModelOptions) -> Dialect:
    """Return what to try first. OpenAI itself has renamed the token limit, others have not."""
    host = urlsplit(options.base_url).hostname or ""
    is_openai = host == "openai.com" or host.endswith((".openai.com", ".openai.azure.com"))
    return Dialect("max_completion_tokens" if is_openai else "max_tokens")


def request_fields(
    request: ChatRequest,
    messages: Sequence[Mapping[str, Any]],
    options: LanguageModelOptions,
    dialect: Dialect,
) -> dict[str, Any]:
    """Return the body of the request, without `extra_body`.

    messages: those of the request that fit
    """
    fields: dict[str, Any] = {"model": options.model, "stream": True}
    if request.tools and not dialect.has_native_tools:
        messages = messages_with_text_tools(messages, request.tools, request.tool_choice)
    if not dialect.has_free_call_ids:
        messages = [_with_short_call_ids(message) for message in messages]
    fields["messages"] = _with_accepted_roles(messages, dialect)
    if dialect.has_usage:
        fields["stream_options"] = {"include_usage": True}
    if options.temperature is not None and dialect.has_temperature:
        fields["temperature"] = options.temperature
    max_tokens = request.max_tokens or options.max_reply_tokens
    if max_tokens is not None and dialect.token_limit_field is not None:
        fields[dialect.token_limit_field] = max_tokens
    if request.answer_schema is not None and dialect.answer_format is not None:
        fields["response_format"] = _response_format(request.answer_schema, dialect.answer_format)
    if request.tools and dialect.has_native_tools:
        fields["tools"] = [_tool(tool) for tool in request.tools]
        # `auto` is the default everywhere.
        if request.tool_choice != "auto" and dialect.has_tool_choice:
            fields["tool_choice"] = _tool_choice(request.tool_choice)
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or _NO_PARAMETERS,
    }
    return {"type": "function", "function": function}


def _response_format(schema: Mapping[str, Any], answer_format: AnswerFormat) -> dict[str, Any]:
    if answer_format == "json_object":
        return {"type": "json_object"}
    named = {"name": "answer", "schema": dict(schema), "strict": _is_strict(schema)}
    return {"type": "json_schema", "json_schema": named}


def _is_strict(schema: Any) -> bool:
    """True if all objects are closed and need all of their properties, as OpenAI's `strict` wants it."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    is_object = schema.get("type") == "object"
    if is_object and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", ()))
    ):
        return False
    return all(map(_is_strict, schema.values()))


def _tool_choice(choice: str) -> Any:
    if choice in {"none", "required"}:
        return choice
    return {"type": "function", "function": {"name": choice}}


def _with_short_call_ids(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if "tool_call_id" in message:
        return {**message, "tool_call_id": _short_id(message["tool_call_id"])}
    if "tool_calls" in message:
        calls = [{**call, "id": _short_id(call["id"])} for call in message["tool_calls"]]
        return {**message, "tool_calls": calls}
    return message


def _short_id(call_id: str) -> str:
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


# -- roles -------------------------------------------------------------------------------------


def _with_accepted_roles(
    messages: Sequence[Mapping[str, Any]], dialect: Dialect
) -> list[Mapping[str, Any]]:
    """Put system messages that the server refuses into the user's words."""
    kept = list(messages)
    if not dialect.has_late_system:
        kept = _folded(kept[:1], kept[1:])
    if not dialect.has_system:
        kept = _folded([], kept)
    return kept


def _folded(
    first: list[Mapping[str, Any]], rest: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    folded = list(first)
    for message in rest:
        is_system = message["role"] == "system"
        text = f"[Instructions: {message['content']}]" if is_system else message["content"]
        role = "user" if is_system else message["role"]
        if role == "user" and folded and folded[-1]["role"] == "user":
            folded[-1] = {"role": "user", "content": f"{folded[-1]['content']}\n\n{text}"}
        else:
            folded.append({**message, "role": role, "content": text})
    return folded


# -- refusals ----------------------------------------------------------------------------------


def adapted(dialect: Dialect, fields: Mapping[str, Any], failure: Failure) -> Dialect | None:
    """Return a dialect without what the server refused; None: it does not say anything of that."""
    if failure.status not in _ADAPTABLE or failure.is_failed_call:
        return None
    text = failure.details.casefold()
    if dialect.has_free_call_ids and _CALL_ID.search(text):
        return replace(dialect, has_free_call_ids=False)
    if "stream_options" in fields and ("stream_options" in text or "include_usage" in text):
        return replace(dialect, has_usage=False)
    if (limit := dialect.token_limit_field) in fields and limit is not None and limit in text:
        other: TokenLimitField = "max_completion_tokens" if limit == "max_tokens" else "max_tokens"
        is_other_known = other in text or limit == "max_completion_tokens"
        is_other_known = is_other_known and "too large" not in text
        return replace(dialect, token_limit_field=other if is_other_known else None)
    if "response_format" in fields and _FORMAT_WORDS.search(text):
        is_first = dialect.answer_format == "json_schema"
        return replace(dialect, answer_format="json_object" if is_first else None)
    if "temperature" in fields and "temperature" in text:
        return replace(dialect, has_temperature=False)
    return _adapted_tools(dialect, fields, text) or _adapted_roles(dialect, fields, text)


def _adapted_tools(dialect: Dialect, fields: Mapping[str, Any], text: str) -> Dialect | None:
    if "tools" not in fields:
        return None
    # vLLM without a parser for calls: "auto" tool choice requires --enable-auto-tool-choice.
    if "tool_choice" in fields and "tool_choice" in text:
        return replace(dialect, has_tool_choice=False)
    if "tool" in text or "function" in text:
        return replace(dialect, has_native_tools=False)
    return None


def _adapted_roles(dialect: Dialect, fields: Mapping[str, Any], text: str) -> Dialect | None:
    if not _ROLE_WORDS.search(text):
        return None
    roles = [message["role"] for message in fields["messages"]]
    if "system" in roles[1:]:
        return replace(dialect, has_late_system=False)
    if "system" in roles:
        return replace(dialect, has_late_system=False, has_system=False)
    return None
