"""A model that answers in writing: its words reach the room, and nothing is played."""

from __future__ import annotations

import pytest

from tests.loopback.stage import Stage


@pytest.mark.asyncio
async def test_replies_are_written_where_the_start_says_so() -> None:
    async with Stage() as stage:
        session = await stage.start(model_settings={"output_modality": "text"})
        person = await stage.join()
        assert session.settings["output_modalities"] == ["text"]
        await session.write("Four o'clock.")
        done = await person.wait_event("agent_response_audio_transcript_done")
        assert done["transcript"] == "Four o'clock."
        updated = await person.wait_event("agent_item_updated")
        assert (updated["status"], updated["text"]) == ("completed", "Four o'clock.")
        await person.wait_event("agent_response_done")
        assert not [each for each in stage.published if each.type == "agent_playout_done"]
