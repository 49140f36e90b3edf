"""The chat room of the examples: each agent has its voice and hears the other one, up to the limit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.processes.test_app import serve
from tests.processes.test_chat_room import heard, texts

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat_room.py"
QUIET_S = 0.5


@pytest.mark.asyncio
async def test_both_speak_with_their_voices_until_a_person_is_needed(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, EXAMPLE) as server:
            start = {"channel_name": "demo", "agent": "panel"}
            status, answer = await server.post("/start_agent", start)
            assert status == 200, answer
            both = [await provider.next_session() for _ in range(2)]
            by_voice = {one.settings["audio"]["output"]["voice"]: one for one in both}
            ada, ben = by_voice["marin"], by_voice["cedar"]
            assert "optimist" in str(ada.settings["instructions"])
            item = await ada.speech_started()
            await ada.speech_stopped(item, "Ben, is tea better?")
            await ben.wait_for("response.create")
            assert "Ben, is tea better?" in texts(ben)
            await ben.say(tone(100), "I doubt it. What do you say, Ada?")
            await heard(ada, "Ben: I doubt it. What do you say, Ada?")
            await ada.wait_for("response.create")
            await ada.say(tone(100), "It is wonderful. Is it not, Ben?")
            await heard(ben, "Ada: It is wonderful. Is it not, Ben?")
            await ben.wait_for("response.create", 2)
            await ben.say(tone(100), "No. Do you really think so, Ada?")
            await heard(ada, "Ben: No. Do you really think so, Ada?")
            # Three turns without a person: a fourth would be asked for at once. Nothing announces that none is.
            await asyncio.sleep(QUIET_S)
            assert len(ada.all_of("response.create")) == 1
            item = await ada.speech_started()
            await ada.speech_stopped(item, "Go on, Ada.")
            await ada.wait_for("response.create", 2)
