from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from control.api.schemas import MAX_TOOLS, StartAgentRequest, TokenRequest
from control.http.errors import invalid_request

MINIMAL = {"channel_name": "demo", "uid": 1000}
TOOL = {"name": "look", "description": "looks", "parameters": {"type": "object", "properties": {}}}


def test_the_smallest_request_leaves_everything_to_the_server() -> None:
    wanted = StartAgentRequest.model_validate(MINIMAL)
    assert (wanted.channel_name, wanted.uid, wanted.language, wanted.wait) == (
        "demo",
        1000,
        None,
        True,
    )
    assert wanted.provider is None
    assert wanted.tools == ()


def test_everything_at_once() -> None:
    wanted = StartAgentRequest.model_validate(
        MINIMAL
        | {
            "language": "pt-BR",
            "provider": "openai",
            "model": "gpt-realtime-2.1",
            "voice": "marin",
            "system_message": "Be kind.",
            "greeting": "Hello!",
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
            "tools": [TOOL, {"type": "function", "name": "nod"}],
            "toolset": "everyday",
            "user_uid": 7,
            "max_duration_s": 60,
            "rejoin_grace_s": 0,
            "wait": False,
        }
    )
    assert [tool["name"] for tool in wanted.tool_declarations()] == ["look", "nod"]
    assert wanted.turn_detection is not None
    assert wanted.turn_detection.model_dump(exclude_none=True) == {
        "type": "server_vad",
        "silence_duration_ms": 200,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"channel_name": ""}, "channel_name"),
        ({"channel_name": "../etc"}, "channel_name"),
        ({"channel_name": "a" * 65}, "channel_name"),
        ({"channel_name": "line\n"}, "channel_name"),
        ({"uid": -1}, "uid: use 1 to 4294967295, or 0 for the server's choice"),
        ({"uid": 2**32}, "uid: use 1 to 4294967295, or 0 for the server's choice"),
        ({"uid": "5"}, "uid"),
        ({"uid": True}, "uid"),
        ({"uid": 1.5}, "uid"),
        ({"language": "english please"}, "language"),
        ({"provider": "os.path"}, "provider"),
        ({"model": "x?y=z"}, "model"),
        ({"voice": "a b"}, "voice"),
        ({"system_message": "x" * 32_001}, "system_message"),
        ({"instructions": "x" * 32_001}, "instructions"),
        ({"instructions": "a", "system_message": "b"}, "system_message"),
        ({"instructions": "Hi {nmae}"}, "instructions: {nmae} has no value"),
        ({"system_message": "Hi {nmae}"}, "{nmae} has no value"),
        ({"greeting": ""}, "greeting"),
        ({"greeting": "Hello {customer}!"}, "greeting: {customer} has no value"),
        ({"greeting": "{} hello", "metadata": {"a": "b"}}, "write {{"),
        ({"goodbye": "Bye {customer}."}, "goodbye: {customer} has no value"),
        ({"tool_results_from": "everybody"}, "tool_results_from"),
        ({"tool_results_from": [0]}, "tool_results_from"),
        ({"tool_results_from": ["7"]}, "tool_results_from"),
        ({"tool_results_from": list(range(1, 50))}, "tool_results_from"),
        ({"tool_approvals_from": {}}, "tool_approvals_from"),
        ({"show_tools": "some"}, "show_tools"),
        ({"user_wait_s": 0}, "user_wait_s"),
        ({"user_wait_s": 86_401}, "user_wait_s"),
        ({"rejoin_grace_s": 86_401}, "rejoin_grace_s"),
        ({"turn_detection": {"type": "psychic"}}, "turn_detection"),
        ({"interrupt": {"mode": "sometimes"}}, "interrupt"),
        ({"interrupt": {"min_words": 0}}, "interrupt"),
        ({"turn_detection": {"type": "server_vad", "threshold": 2}}, "threshold"),
        ({"tools": [TOOL] * 2}, "already a tool named look"),
        ({"tools": [TOOL | {"name": "no spaces"}]}, "name"),
        ({"tools": [TOOL | {"module": "os"}]}, "module"),
        ({"tools": [TOOL | {"parameters": {"type": "array"}}]}, "object"),
        ({"tools": [{"name": f"t{n}"} for n in range(MAX_TOOLS + 1)]}, "tools"),
        (
            {"tools": [{"name": f"t{n}", "description": "x" * 4000} for n in range(40)]},
            "larger than",
        ),
        (
            {"toolset": "everyday", "tools": [{"name": "set_timer"}]},
            "already a tool named set_timer",
        ),
        ({"toolset": "os.system"}, "known are: everyday"),
        ({"user_uid": 1000}, "user_uid"),
        ({"max_duration_s": 0}, "max_duration_s"),
        ({"max_duration_s": float("inf")}, "max_duration_s"),
        ({"rejoin_grace_s": -1}, "rejoin_grace_s"),
        ({"agents": []}, "agents"),
        ({"thread_id": "no spaces"}, "thread_id"),
        ({"thread_id": "../x"}, "thread_id"),
    ],
)
def test_invalid_fields_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StartAgentRequest.model_validate(MINIMAL | change)
    error = invalid_request(caught.value)
    assert (error.status, error.code) == (400, "invalid_request")
    assert any(field in f"{one.field}: {one.msg}" for one in error.details)
    assert field in str(error)


@pytest.mark.parametrize("change", [{"role": "admin"}, {"ttl_s": 0}, {"ttl_s": 10**9}, {"uid": 0}])
def test_tokens_are_for_known_roles_and_limited_times(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TokenRequest.model_validate({"channel_name": "demo"} | change)


def test_model_settings_carry_only_what_is_given() -> None:
    given = {"speed": 1.1, "noise_reduction": False, "extra": {"top_p": 0.9}}
    wanted = StartAgentRequest.model_validate(
        {"channel_name": "demo", "uid": 1, "model_settings": given}
    )
    assert wanted.model_settings.given() == given


@pytest.mark.parametrize("wrong", [{"speed": 9}, {"colour": "red"}, {"extra": {"x": "y" * 40_000}}])
def test_wrong_model_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="model_settings"):
        StartAgentRequest.model_validate(
            {"channel_name": "demo", "uid": 1, "model_settings": wrong}
        )
