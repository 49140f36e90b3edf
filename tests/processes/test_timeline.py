"""The timeline of a real call: levels, marks and turns agree with its recording."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_realtime import tone
from tests.loopback.stage import soon
from tests.processes.test_recall import TOOL, calling
from tests.recordings import Recording

# The steps are measured where they happen; what media and recording add is well below.
NEAR_MS = 700
STEPS = (
    "speech_end_to_endpoint_ms",
    "endpoint_to_first_byte_ms",
    "first_byte_to_first_audio_ms",
)


@pytest.mark.asyncio
async def test_levels_marks_and_turns_agree_with_the_recording(tmp_path: Path) -> None:
    changes = {"recordings_dir": str(tmp_path / "recordings")}
    async with calling(tmp_path, changes=changes, recording=True, tools=[TOOL]) as scene:
        session, person, server = scene.session, scene.person, scene.server
        # A question, and an answer into which the user speaks.
        person.channel.push_audio_frame(tone(800, hz=300), key=object())
        await session.wait_loud(600)
        await session.speech_stopped(await session.speech_started(), "where is it")
        words = " ".join("abcdefghij" * 10)
        saying = asyncio.get_running_loop().create_task(session.say(tone(8_000), words, pace=0.5))
        await person.wait_loud(1_000)
        person.channel.push_audio_frame(tone(1_500, hz=300), key=object())
        await session.wait_loud(1_600)
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "stop please")
        await person.wait_event("agent_interrupted")
        await soon(saying)
        call_id = await session.call_tool("look_up", {"what": "hours"})
        await person.wait_event("agent_response_tool_use_done")
        answer = {"id": call_id, "output": "open"}
        assert (await server.post("/agents/demo/tool_result", answer))[0] == 200
        await person.wait_event("agent_response_tool_result")
        status, stopped = await server.post("/stop_agent", {"channel_name": "demo"})
        assert status == 200, stopped

        status, told = await server.get(f"/calls/{stopped['agent_id']}/timeline")
        assert (status, told["has_levels"]) == (200, True), told
        recording = Recording.read(tmp_path / "recordings" / f"{stopped['agent_id']}.wav")
        assert told["duration_ms"] == pytest.approx(recording.duration_ms, abs=1)
        for side, peaks in ((recording.left, told["user"]), (recording.right, told["agent"])):
            loud_ms = sum(peak > 8 for peak in peaks) * told["window_ms"]
            assert loud_ms == pytest.approx(side.total_ms, rel=0.3, abs=100)
        marks = {kind: _of(told, kind) for kind in ("interrupted", "tool_call", "tool_result")}
        assert [[one["text"] for one in found] for found in marks.values()] == [
            [None],
            ["look_up"],
            ["look_up"],
        ]
        assert _of(told, "overlap"), told["marks"]
        states = [one["text"] for one in _of(told, "state")]
        assert states[0] == "starting"
        assert states[-1] == "exited"
        assert "running" in states
        times = [one["at_ms"] for one in told["marks"]]
        assert times == sorted(times)
        # The user spoke when the reply was interrupted.
        began_ms, ended_ms = recording.left.spurts_ms[-1]
        assert began_ms - NEAR_MS < marks["interrupted"][0]["at_ms"] < ended_ms + NEAR_MS
        # Its first sample is where the steps of its turn end.
        turn = told["turns"][0]
        first_audio_ms = turn["at_ms"] + sum(turn[step] or 0.0 for step in STEPS)
        assert abs(first_audio_ms - recording.right.loud_ms[0]) < NEAR_MS


def _of(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in told["marks"] if one["kind"] == kind]
