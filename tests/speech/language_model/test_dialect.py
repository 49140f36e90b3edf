"""Requests without what servers refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.language_model.dialect import Dialect, adapted, first_dialect, request_fields
from speech.language_model.failures import (
    Failure,
    connection_failure,
    one_line,
    retry_delay_s,
    status_failure,
)
from speech.language_model.protocol import ChatRequest
from speech.language_model.text_tools import messages_with_text_tools
from speech.options import LanguageModelOptions
from tests.speech.language_model.replies import SYSTEM, TIME

OPTIONS = LanguageModelOptions(
    base_url="http://127.0.0.1:9/v1", model="m", temperature=0.5, max_reply_tokens=9
)
USER = {"role": "user", "content": "Hi"}
LATE = {"role": "system", "content": "Be brief."}
REQUEST = ChatRequest([SYSTEM, USER, LATE], (TIME,), "required")
CALL = {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
ROUND: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "a", "content": "8"},
    {"role": "tool", "tool_call_id": "b", "content": "9"},
]
FULL = Dialect()


def _fields(dialect: Dialect, request: ChatRequest = REQUEST) -> dict[str, Any]:
    return request_fields(request, request.messages, OPTIONS, dialect)


def _adapted(details: str, dialect: Dialect = FULL, status: int = 400) -> Dialect | None:
    failure = status_failure(status, {}, details, "")
    return adapted(dialect, _fields(dialect), failure)


@pytest.mark.parametrize(
    ("details", "changes"),
    [
        ("Unrecognized request argument supplied: stream_options", {"has_usage": False}),
        ('[{"loc": ["body", "stream_options", "include_usage"]}]', {"has_usage": False}),
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            {"token_limit_field": "max_completion_tokens"},
        ),
        ("max_tokens must be at least 64", {"token_limit_field": None}),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 9. The maximum context length is 4.",
            {"token_limit_field": None},
        ),
        ("Unsupported value: 'temperature'", {"has_temperature": False}),
        ("tool_choice is not supported", {"has_tool_choice": False}),
        ("this model does not support tools", {"has_native_tools": False}),
        ("Function calling is not enabled for this model", {"has_native_tools": False}),
        ("Conversation roles must alternate user/assistant", {"has_late_system": False}),
        ("System message must be at the beginning.", {"has_late_system": False}),
        (
            "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
            {"has_free_call_ids": False},
        ),
        ('{"code": "tool_use_failed", "message": "Failed to call a function."}', None),
        ("out of memory", None),
        ("", None),
    ],
)
def test_refusals(details: str, changes: dict[str, Any] | None) -> None:
    assert _adapted(details) == (None if changes is None else replace(FULL, **changes))


def test_the_other_name_of_the_token_limit_is_tried_both_ways() -> None:
    other = replace(FULL, token_limit_field="max_completion_tokens")
    assert _adapted("Unknown field max_completion_tokens", other) == FULL


def test_a_server_that_knows_no_system_role() -> None:
    details = "System role not supported"
    late = _adapted(details)
    assert late == replace(FULL, has_late_system=False)
    none = _adapted(details, late)
    assert none == replace(FULL, has_late_system=False, has_system=False)
    assert _adapted(details, none) is None


def test_only_some_statuses_speak_of_fields() -> None:
    assert _adapted("stream_options", status=500) is not None
    assert _adapted("stream_options", status=401) is None
    assert _adapted("stream_options", status=429) is None


def test_vllm_without_a_parser_for_calls() -> None:
    details = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser'
    assert _adapted(details) == replace(FULL, has_native_tools=False)


@given(st.text(max_size=60), st.sampled_from([400, 404, 422, 500]))
def test_adapting_always_ends(details: str, status: int) -> None:
    dialect: Dialect | None = FULL
    for _ in range(12):
        dialect = _adapted(f"{details} system tool max_tokens temperature", dialect or FULL, status)
        if dialect is None:
            return
    pytest.fail("it goes round in circles")


def test_late_instructions_join_the_users_words() -> None:
    messages = _fields(replace(FULL, has_late_system=False))["messages"]
    assert messages == [SYSTEM, {"role": "user", "content": "Hi\n\n[Instructions: Be brief.]"}]
    messages = _fields(replace(FULL, has_late_system=False, has_system=False))["messages"]
    assert messages == [
        {
            "role": "user",
            "content": "[Instructions: Be kind.]\n\nHi\n\n[Instructions: Be brief.]",
        }
    ]


def test_ids_of_calls_in_mistrals_form() -> None:
    request = replace(REQUEST, messages=[SYSTEM, USER, *ROUND[:2]])
    said, output = _fields(replace(FULL, has_free_call_ids=False), request)["messages"][2:]
    call_id = said["tool_calls"][0]["id"]
    assert call_id == output["tool_call_id"]
    assert len(call_id) == 9
    assert call_id.isalnum()


def test_fields_of_a_full_request() -> None:
    fields = _fields(FULL)
    assert fields.keys() == {
        *("model", "stream", "messages", "stream_options", "temperature", "max_tokens"),
        *("tools", "tool_choice"),
    }
    assert "tool_choice" not in _fields(FULL, replace(REQUEST, tool_choice="auto"))
    assert _fields(FULL, replace(REQUEST, tools=())).keys() & {"tools", "tool_choice"} == set()
    assert _fields(FULL, replace(REQUEST, max_tokens=5))["max_tokens"] == 5


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://openai.com.example.org/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
def test_the_token_limit_of_openai(base_url: str, expected: str) -> None:
    options = OPTIONS.model_copy(update={"base_url": base_url})
    assert first_dialect(options).token_limit_field == expected


def test_tools_calls_and_results_as_text() -> None:
    messages = messages_with_text_tools([SYSTEM, USER, *ROUND, USER], [TIME], "auto")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].startswith("Be kind.\n\nYou may call tools.")
    assert messages[2]["content"] == '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
    assert messages[3]["content"] == (
        "<tool_response>8</tool_response>\n<tool_response>9</tool_response>\nHi"
    )
    assert "get_time" in messages_with_text_tools([SYSTEM], [TIME], "get_time")[-1]["content"]
    assert "without" in messages_with_text_tools([SYSTEM], [TIME], "none")[-1]["content"]


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "is_too_long"),
    [
        ("This model's maximum context length is 8192 tokens.", True),
        ('{"error": {"code": "context_length_exceeded"}}', True),
        ("the request exceeds the available context size (2048 tokens)", True),
        ("exceed_context_size_error", True),
        ("prompt is too long: 9000 tokens", True),
        ("Please reduce the length of the messages", True),
        ("max_tokens is too large", False),
        ("'max_tokens' is too large: 9000. The maximum context length is 4096", False),
    ],
)
def test_prompts_that_are_too_long(details: str, is_too_long: bool) -> None:
    assert status_failure(400, {}, details, "").is_context_too_long is is_too_long
    assert not status_failure(429, {}, details, "").is_context_too_long
    assert status_failure(413, {}, "", "").is_context_too_long


def test_refusals_with_a_kind_of_their_own() -> None:
    failed_call = '{"error": {"code": "tool_use_failed", "failed_generation": "<function=x"}}'
    failure = status_failure(400, {}, failed_call, "Failed to call a function.")
    assert (failure.kind, failure.retries) == ("invalid", 1)
    filtered = '{"error": {"code": "content_filter"}}'
    assert status_failure(400, {}, filtered, "").kind == "empty"
    assert status_failure(404, {}, "", "").message == (
        "status 404 (most servers want an address that ends in /v1)"
    )
    assert status_failure(404, {}, "", "no model x").message == "status 404: no model x"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "300", "retry-after": "9"}, 0.3),
        ({"retry-after": "3"}, None),
        ({"retry-after": "-1"}, 0.25),
        ({"retry-after": "Sun, 29 Nov 2026 08:00:00 GMT"}, 0.25),
        ({"retry-after": "inf"}, 0.25),
    ],
)
def test_waits(headers: dict[str, str], expected: float | None) -> None:
    failure = status_failure(429, headers, "", "")
    assert retry_delay_s(failure, 0, 10.0) == expected
    assert retry_delay_s(failure, 1, 10.0) is None
    assert retry_delay_s(failure, 0, -1.0) is None


def test_a_loading_model_is_waited_for_as_long_as_there_is_time() -> None:
    failure = status_failure(503, {}, '{"error": {"message": "Loading model"}}', "Loading model")
    assert retry_delay_s(failure, 7, 10.0) == 0.5
    assert retry_delay_s(failure, 7, 0.4) is None


def test_causes_of_lost_connections() -> None:
    error = RuntimeError("y")
    error.__cause__ = TimeoutError("x")
    assert connection_failure(error) == Failure("timeout", "no connection in time")
    error.__cause__ = error
    assert connection_failure(error).message == "connection lost (RuntimeError)"
    assert connection_failure(OSError("secret")).message == "connection lost (OSError)"


@given(st.text(max_size=2_000))
def test_texts_for_the_log_are_one_short_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert line.isprintable()
