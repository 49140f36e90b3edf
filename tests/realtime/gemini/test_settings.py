"""Settings in Gemini's words: only what is set, and a clear no to what it has not."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.gemini import wire
from realtime.gemini.model_quirks import quirks_of
from realtime.gemini.settings import changed_context, initial_setup
from realtime.model import InvalidSettingsError, ModelSettings
from tests.fakes.gemini_frames import check_setup

MODEL = "gemini-3.8-live"
TOOL = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a_b": {"type": "number"}}},
}


def setup_of(model: str = MODEL, handle: str | None = None, **settings: Any) -> dict[str, Any]:
    given = ModelSettings(**settings)
    setup = initial_setup(
        given, quirks_of(model), model=f"models/{model}", resumption_handle=handle
    )
    written: dict[str, Any] = setup.model_dump(by_alias=True, exclude_unset=True)
    check_setup(written)
    return written


def test_nothing_but_the_defaults_is_sent() -> None:
    assert setup_of() == {
        "model": f"models/{MODEL}",
        "generationConfig": {"responseModalities": ["AUDIO"]},
        "sessionResumption": {},
        "contextWindowCompression": {"slidingWindow": {}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    }


def _detection(**fields: Any) -> dict[str, Any]:
    return {"realtimeInputConfig": {"automaticActivityDetection": fields}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"instructions": "Hi."}, {"systemInstruction": {"parts": [{"text": "Hi."}]}}),
        ({"handle": "h"}, {"sessionResumption": {"handle": "h"}}),
        ({"language": "en", "speed": False, "parallel_tool_calls": True}, {}),
        ({"noise_reduction": False, "tracing": False, "tool_choice": "auto"}, {}),
        ({"turn_detection": True}, {}),
        ({"turn_detection": {"type": "server_vad"}}, {}),
        ({"turn_detection": False}, _detection(disabled=True)),
        (
            {
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.8,
                    "prefix_padding_ms": 100,
                    "silence_duration_ms": 400,
                }
            },
            _detection(
                startOfSpeechSensitivity="START_SENSITIVITY_LOW",
                prefixPaddingMs=100,
                silenceDurationMs=400,
            ),
        ),
        (
            {"turn_detection": {"type": "server_vad", "threshold": 0.2}},
            _detection(startOfSpeechSensitivity="START_SENSITIVITY_HIGH"),
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}},
            _detection(endOfSpeechSensitivity="END_SENSITIVITY_HIGH"),
        ),
        (
            {"turn_detection": {"type": "server_vad", "interrupt_response": False}},
            {"realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}},
        ),
        (
            {"transcription": {"keywords": ["Parley"], "languages": ["en"]}},
            {
                "inputAudioTranscription": {
                    "customVocabulary": ["Parley"],
                    "languageCodes": ["en"],
                }
            },
        ),
        ({"truncation": "auto"}, {"contextWindowCompression": {"slidingWindow": {}}}),
        (
            {"truncation": {"trigger_tokens": 9_000, "target_tokens": 4_000}},
            {
                "contextWindowCompression": {
                    "triggerTokens": 9_000,
                    "slidingWindow": {"targetTokens": 4_000},
                }
            },
        ),
        (
            {"tools": [TOOL, {"name": "now", "behavior": "NON_BLOCKING"}]},
            {
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "add",
                                "description": "Adds.",
                                "parametersJsonSchema": TOOL["parameters"],
                            },
                            {"name": "now", "behavior": "NON_BLOCKING"},
                        ]
                    }
                ]
            },
        ),
        (
            {"extra": {"proactivity": {"proactiveAudio": True}}},
            {"proactivity": {"proactiveAudio": True}},
        ),
    ],
)
def test_setting_table(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert setup_of(**settings) == setup_of() | expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temperature": 0.3, "max_output_tokens": 9}, {"temperature": 0.3, "maxOutputTokens": 9}),
        (
            {"voice": "Kore"},
            {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
        ),
        (
            {"model": "gemini-3.1-flash-live-preview", "reasoning_effort": "low"},
            {"thinkingConfig": {"thinkingLevel": "LOW"}},
        ),
        ({"extra": {"generationConfig": {"seed": 3}}}, {"seed": 3}),
    ],
)
def test_generation_table(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    assert setup_of(**settings)["generationConfig"] == {"responseModalities": ["AUDIO"]} | expected


def test_what_is_off_is_left_out() -> None:
    assert "inputAudioTranscription" not in setup_of(transcription=False)
    assert "contextWindowCompression" not in setup_of(truncation="disabled")
    written = setup_of("gemini-2.0-flash-live-001", output_modality="text")
    assert written["generationConfig"] == {"responseModalities": ["TEXT"]}
    assert "outputAudioTranscription" not in written


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"speed": 1.2}, "speed"),
        ({"noise_reduction": "near_field"}, "noise_reduction"),
        ({"tracing": "auto"}, "tracing"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"output_modality": "text"}, "output_modality"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "mcp", "server_label": "s"}]}, "tools"),
        ({"tools": [{"name": "f", "behavior": "SLOW"}]}, "behavior"),
        ({"truncation": "half"}, "truncation"),
        ({"truncation": {"half": 1}}, r"truncation\.half"),
        ({"transcription": {"model": "m"}}, r"transcription\.model"),
        ({"turn_detection": {"type": "server_vad", "create_response": False}}, "create_response"),
        ({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}}, "idle_timeout_ms"),
        ({"turn_detection": {"type": "server_vad", "threshold": 7}}, "threshold"),
        ({"extra": {"tools": 7}}, "tools"),
    ],
)
def test_what_it_has_not_is_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettingsError, match=named):
        setup_of(**settings)


def test_only_instructions_and_tools_change_later() -> None:
    update = changed_context({"instructions": "Hi.", "tools": [TOOL]})
    written = wire.ClientMessage(context_update=update).model_dump(
        by_alias=True, exclude_unset=True
    )
    tools = setup_of(tools=[TOOL])["tools"]
    assert written == {
        "contextUpdate": {
            "systemInstruction": {"parts": [{"text": "Hi."}]},
            "tools": {"tools": tools},
        }
    }
    assert changed_context({"tools": []}) == wire.ContextUpdate(tools=wire.ToolSet(tools=[]))
    with pytest.raises(InvalidSettingsError, match="voice: cannot change"):
        changed_context({"voice": "Kore"})
    with pytest.raises(InvalidSettingsError, match="nonsense: there is no such setting"):
        changed_context({"nonsense": 1})
