"""What models can do decides what may be sent to them."""

from __future__ import annotations

import pytest

from realtime import events as ours
from realtime.capabilities import capabilities_of, require_settings, require_supported
from realtime.model import InvalidSettingsError, ModelSettings, UnsupportedCommandError
from untrusted.images import ImageType


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        # tools, images, text, truncation, input rate
        ("openai", "gpt-realtime-2.1", (True, True, True, True, 24_000)),
        ("azure", "my-deployment", (True, True, True, True, 24_000)),
        ("openai-beta", "old", (True, False, True, True, 24_000)),
        ("local", "local", (True, False, True, True, 24_000)),
        ("dashscope", "qwen3.5-omni-plus-realtime", (True, True, False, False, 16_000)),
        ("dashscope", "qwen3.8-omni-realtime", (True, True, False, False, 16_000)),
        ("dashscope", "qwen3-omni-flash-realtime", (False, True, False, False, 16_000)),
        ("dashscope", "qwen-omni-turbo-realtime", (False, True, False, False, 16_000)),
        ("dashscope", "qwen-audio-3-realtime", (False, False, True, False, 16_000)),
        ("dashscope", "qwen9-of-the-future", (True, True, False, False, 16_000)),
    ],
)
def test_the_table(provider: str, model: str, expected: tuple[bool | int, ...]) -> None:
    found = capabilities_of(provider, model)
    assert expected == (
        found.has_tools,
        found.has_image_input,
        found.has_text_input,
        found.has_truncation,
        found.input_sample_rate_hz,
    )


def test_a_provider_without_rows_is_an_error() -> None:
    with pytest.raises(LookupError, match="nobody"):
        capabilities_of("nobody")


def test_tools_are_refused_where_they_would_be_dropped() -> None:
    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://x.example"}
    require_settings(ModelSettings(tools=[mcp]), capabilities_of("openai"))
    with pytest.raises(InvalidSettingsError, match="MCP"):
        require_settings(ModelSettings(tools=[mcp]), capabilities_of("local"))
    with pytest.raises(InvalidSettingsError, match="calls no tools"):
        require_settings(
            ModelSettings(tools=[{"type": "function", "name": "x"}]),
            capabilities_of("dashscope", "qwen-omni-turbo-realtime"),
        )


def test_everything_goes_to_a_model_that_can_everything() -> None:
    openai = capabilities_of("openai")
    for command in (
        ours.AddImage(b""),
        ours.AddText(""),
        ours.AddText("", role="system"),
        ours.TruncateItem("i", 0, 0, ""),
        ours.AddToolOutput("c", ""),
        ours.AnswerToolApproval("r", is_approved=False),
        ours.AppendAudio(b""),
    ):
        require_supported(command, openai)


@pytest.mark.parametrize(
    ("provider", "mime_type", "words"),
    [
        ("openai", "image/webp", "in JPEG and PNG only"),
        ("gemini", "image/png", "in JPEG only"),
        ("local", "image/jpeg", "cannot see"),
    ],
)
def test_an_image_that_the_model_cannot_see_is_refused(
    provider: str, mime_type: ImageType, words: str
) -> None:
    with pytest.raises(UnsupportedCommandError, match=words):
        require_supported(ours.AddImage(b"x", mime_type), capabilities_of(provider))


def test_nothing_is_added_to_a_conversation_that_cannot_be_told() -> None:
    omni = capabilities_of("dashscope", "qwen3.5-omni-flash-realtime")
    with pytest.raises(UnsupportedCommandError, match="nothing can be added"):
        require_supported(ours.AddText("said before", role="assistant"), omni)
