"""Prompt, skills and memory reach the model, and the model that replaces it; never the log."""

from __future__ import annotations

import pytest

from session.instructions import DEFAULT_INSTRUCTIONS
from tests.loopback.stage import Stage


@pytest.mark.asyncio
async def test_every_session_is_told_prompt_skills_and_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    skills = {"orders": "Ask for the number.", "huge": "x" * 30_000}
    async with Stage() as stage:
        first = await stage.start(
            system_message="Be kind.", skills=skills, memory=("Ada likes tea.",)
        )
        told = first.settings["instructions"]
        assert told == (
            "Be kind.\n\n# Skill: orders\nAsk for the number."
            "\n\n# What you know from before\n- Ada likes tea."
        )
        await first.drop()
        second = await stage.provider.next_session()
        await second.wait_for("session.update")
        await second.wait_sent("session.updated")
        assert second.settings["instructions"] == told
    assert "skills without room in the instructions: huge" in caplog.text
    assert "Ada likes tea" not in caplog.text


@pytest.mark.asyncio
async def test_without_a_prompt_the_default_is_told() -> None:
    async with Stage() as stage:
        session = await stage.start(memory=("Ada likes tea.",))
        assert session.settings["instructions"].startswith(DEFAULT_INSTRUCTIONS)
