"""Settings on the wire: what is set, nothing else, and clear words about what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from realtime import struct as wire
from realtime.model import InvalidSettingsError, ModelSettings
from realtime.openai.dialect import BETA_DIALECT, LOCAL_DIALECT, OPENAI_DIALECT
from realtime.openai.settings import changed_session, initial_session

PCM = {"type": "audio/pcm", "rate": 24000}
TOOL = {
    "type": "function",
    "name": "add",
    "description": "Add.",
    "parameters": {"type": "object", "properties": {}},
}


def as_sent(session: wire.Session) -> dict[str, Any]:
    """The session as the wire carries it, once the official package accepted it."""
    text = wire.serialize(wire.SessionUpdate(session=session))
    adapter: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
    adapter.validate_json(text, strict=True)
    return dict(json.loads(text)["session"])


def test_nothing_set_leaves_the_providers_defaults() -> None:
    assert as_sent(initial_session(ModelSettings(), OPENAI_DIALECT)) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "tools": [],
        "audio": {
            "input": {"format": PCM, "transcription": {"model": "gpt-transcribe"}},
            "output": {"format": PCM},
        },
    }


def test_everything_set_arrives() -> None:
    settings = ModelSettings(
        instructions="Be brief.",
        voice="joe",
        language="fr",
        tools=[TOOL],
        tool_choice={"type": "function", "name": "add"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 300},
        speed=1.2,
        max_output_tokens=200,
    )
    assert as_sent(initial_session(settings, LOCAL_DIALECT)) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "add"},
        "max_output_tokens": 200,
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"language": "fr"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            },
            "output": {"format": PCM, "voice": "joe", "speed": 1.2},
        },
    }


def test_manual_turns_are_an_explicit_null() -> None:
    sent = as_sent(initial_session(ModelSettings(turn_detection=False), LOCAL_DIALECT))
    assert sent["audio"]["input"]["turn_detection"] is None


def test_changes_carry_only_what_changes() -> None:
    assert as_sent(changed_session({"instructions": ""}, OPENAI_DIALECT)) == {
        "type": "realtime",
        "instructions": "",
    }
    assert as_sent(changed_session({"language": "de"}, OPENAI_DIALECT)) == {
        "type": "realtime",
        "audio": {"input": {"transcription": {"model": "gpt-transcribe", "language": "de"}}},
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour: there is no such setting"),
        ({"speed": 9}, "audio.output.speed"),
        ({"turn_detection": {"type": "telepathy"}}, "turn_detection"),
        ({"turn_detection": {"type": "server_vad", "threshold": 7}}, "threshold"),
        ({"tools": [{"type": "function"}]}, "tools.0.function.name"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_cannot_be_set_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettingsError, match=words):
        changed_session(changes, OPENAI_DIALECT)


def test_everything_that_ga_has_arrives() -> None:
    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://x.example"}
    settings = ModelSettings(
        language="fr",
        tools=[mcp],
        turn_detection={"type": "semantic_vad", "eagerness": "low", "interrupt_response": False},
        output_modality="text",
        transcription={"model": "gpt-realtime-whisper", "keywords": ["Parley"], "delay": "low"},
        noise_reduction="near_field",
        parallel_tool_calls=True,
        reasoning_effort="low",
        truncation={"type": "retention_ratio", "retention_ratio": 0.8},
        tracing={"workflow_name": "calls"},
        prompt={"id": "pmpt_1", "version": "2"},
        extra={"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
    )
    sent = as_sent(initial_session(settings, OPENAI_DIALECT))
    assert sent == {
        "type": "realtime",
        "output_modalities": ["text"],
        "tools": [mcp],
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low"},
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "tracing": {"workflow_name": "calls"},
        "prompt": {"id": "pmpt_1", "version": "2"},
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": {"type": "near_field"},
                "transcription": {
                    "model": "gpt-realtime-whisper",
                    "language": "fr",
                    "keywords": ["Parley"],
                    "delay": "low",
                },
                "turn_detection": {
                    "type": "semantic_vad",
                    "eagerness": "low",
                    "interrupt_response": False,
                },
            },
            "output": {"format": PCM},
        },
    }


def test_what_can_be_turned_off_is_an_explicit_null() -> None:
    changes = {"transcription": False, "noise_reduction": False, "tracing": False}
    assert as_sent(changed_session(changes, OPENAI_DIALECT)) == {
        "type": "realtime",
        "tracing": None,
        "audio": {"input": {"noise_reduction": None, "transcription": None}},
    }


def test_fields_that_we_do_not_know_pass_through_extra() -> None:
    sent = changed_session({"extra": {"of_the_future": {"deep": [1]}}}, OPENAI_DIALECT)
    assert sent.model_dump()["of_the_future"] == {"deep": [1]}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([1], "extra: must be a JSON object"),
        ({"x": object()}, "extra: .*not JSON serializable"),
        ({"x": float("nan")}, "extra: "),
        ({"x": "y" * 70_000}, "extra: larger than"),
        ({"audio": {"output": {"speed": 9}}}, r"audio\.output\.speed"),
    ],
)
def test_extra_must_be_json_and_what_we_know_of_it_right(extra: Any, words: str) -> None:
    with pytest.raises(InvalidSettingsError, match=words):
        changed_session({"extra": extra}, OPENAI_DIALECT)


def test_temperature_is_for_dialects_that_have_it() -> None:
    with pytest.raises(InvalidSettingsError, match="temperature"):
        initial_session(ModelSettings(temperature=0.5), OPENAI_DIALECT)
    assert as_sent_raw(ModelSettings(temperature=0.5))["temperature"] == 0.5


def as_sent_raw(settings: ModelSettings) -> dict[str, Any]:
    text = wire.serialize(wire.SessionUpdate(session=initial_session(settings, BETA_DIALECT)))
    return dict(json.loads(text)["session"])


def test_a_voice_that_a_server_does_not_have_is_refused_before_it_is_asked_for() -> None:
    with pytest.raises(InvalidSettingsError, match="voice: this provider has joe only"):
        initial_session(ModelSettings(voice="marin"), LOCAL_DIALECT)
    with pytest.raises(InvalidSettingsError, match="voice"):
        changed_session({"voice": "marin"}, LOCAL_DIALECT)
