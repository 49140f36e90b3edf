"""What the local model is made of, as the console is told."""

from __future__ import annotations

from typing import Any

import pytest

from config.local_model import LocalModelSettings
from config.settings import Settings
from tests.control.served_api import serve_api

OLLAMA = {"LLM_BASE_URL": "http://127.0.0.1:11434/v1", "LLM_MODEL": "qwen3:4b"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {"kind": "rules", "model": "", "host": ""}),
        ({"LLM_MODEL": "embedded"}, {"kind": "embedded", "model": "embedded", "host": ""}),
        (OLLAMA, {"kind": "server", "model": "qwen3:4b", "host": "127.0.0.1:11434"}),
    ],
)
@pytest.mark.asyncio
async def test_it_says_what_answers(environ: dict[str, str], expected: dict[str, Any]) -> None:
    async with serve_api(Settings.from_env(environ | {"LLM_API_KEY": "sk-secret"})) as api:
        response = await api.get("/local_model")
        body = await response.json()
    assert (response.status, body["language_model"]) == (200, expected)
    assert (body["state"], body["is_default"]) == ("external", True)
    assert (body["recogniser"], body["voice"]) == ("whisper-tiny.en", "piper")
    assert body["fallback_language_model"] is None
    assert "sk-secret" not in str(body)
    assert body["settings"].keys() == {name.upper() for name in LocalModelSettings.model_fields}
    shown = {"LLM_API_KEY": "set", "TTS_ENGINE": "piper", "STT_NOISE_SUPPRESSION": "false"}
    assert shown.items() <= body["settings"].items()
    assert body["settings"]["LLM_MODEL"] == environ.get("LLM_MODEL", "")
