"""Sounds of an agent in a process of its own: decoded once by the server, heard over the bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from audio import write_wav
from tests.processes.test_bridge import RATE_HZ, hear, scene
from tests.rtc.sound import has_tone, tone

SOUND_HZ = 1_500


@pytest.mark.asyncio
async def test_a_background_and_idle_prompts_over_the_bridge(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    path = folder / "hum.wav"
    write_wav(path, tone(SOUND_HZ, 1.1, RATE_HZ, amplitude=3_000), RATE_HZ)
    sounds = {
        "background": {"sound": "hum", "level_db": 0},
        "idle": {"after_s": 1, "times": 1, "say": "Hello?"},
    }
    async with scene(tmp_path, sounds_dir=str(folder)) as stage:
        status, answer = await stage.server.post(
            "/start_agent",
            {"channel_name": "other", "uid": 1, "sounds": {"background": {"sound": "nope"}}},
        )
        assert (status, answer["code"]) == (400, "unknown_sound")
        # No agent's process reads the file: they are forks of the one that has it decoded.
        path.write_bytes(b"no longer a sound")
        async with stage.client({"user_uid": 7, "sounds": sounds}) as client:
            session = await stage.session()
            assert has_tone((await hear(client, 1_000))[-RATE_HZ:], SOUND_HZ, RATE_HZ)
            assert (await stage.agent())["vitals"]["packets_sent"] == 0, "of the voice"
            request = await session.wait_for("response.create")
            assert request["response"]["instructions"] == "Say exactly: Hello?"
            await session.say(tone(440, 0.5, RATE_HZ), "Hello?")
            assert has_tone(await hear(client, 1_000), 440, RATE_HZ)
            await session.wait_for("response.create", 2)
            await session.say(tone(440, 0.5, RATE_HZ), "Goodbye.")
            assert (await client.wait_event("agent_ended"))["reason"] == "idle"
        assert "Traceback" not in stage.server.log.read_text()
