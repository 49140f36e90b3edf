"""Commands to real agent processes: answered, refused, late, and lost with the process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.placement import AgentGoneError, AgentSilentError, NotRunningError
from control.supervisor.pending_commands import PendingCommands
from conversation.events.commands import CommandRefusedError, Mute, Say, Update
from conversation.lifecycle import AgentState
from tests.control.sse import listening
from tests.images import jpeg, shown
from tests.processes.conftest import agent_config, supervised, until
from tests.processes.test_recall import calling, say_words
from tests.processes.test_restart import QUICKLY, is_ready_again
from untrusted.images import MAX_IMAGE_BYTES


@pytest.mark.asyncio
async def test_a_command_gets_the_agents_own_answer() -> None:
    async with supervised() as supervisor:
        with pytest.raises(NotRunningError):
            await supervisor.command("demo", Say(text="hi"))
        await supervisor.start(agent_config())
        results = await asyncio.gather(
            *(supervisor.command("demo", Say(text=f"hi {n}")) for n in range(20))
        )
        assert [one.item_id for one in results] == ["say"] * 20
        with pytest.raises(CommandRefusedError, match="it cannot") as refused:
            await supervisor.command("demo", Mute(is_muted=True))
        assert refused.value.code == "unsupported_by_model"


@pytest.mark.asyncio
async def test_an_agent_that_is_not_ready_or_gone_takes_no_command() -> None:
    async with supervised(policy=QUICKLY) as supervisor:
        await supervisor.start(agent_config(script="never_ready"), should_wait=False)
        with pytest.raises(CommandRefusedError, match="the agent is starting"):
            await supervisor.command("demo", Say(text="hi"))
        await until(lambda: supervisor.status("demo").state is AgentState.CONNECTING)
        with pytest.raises(CommandRefusedError, match="the agent is connecting"):
            await supervisor.command("demo", Say(text="hi"))
        await supervisor.stop("demo")
        with pytest.raises(NotRunningError):
            await supervisor.command("demo", Say(text="hi"))
        first = await supervisor.start(agent_config())
        with pytest.raises(AgentGoneError):
            await supervisor.command("demo", Say(text="die"))
        await until(lambda: is_ready_again(supervisor, 1))
        assert supervisor.status("demo").agent_id == first.agent_id


@pytest.mark.asyncio
async def test_what_was_changed_holds_for_the_next_process() -> None:
    async with supervised(policy=QUICKLY) as supervisor:
        first = await supervisor.start(agent_config())
        assert first.pid is not None
        await supervisor.command("demo", Update(voice="marin"))
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: is_ready_again(supervisor, 1))
        assert (await supervisor.command("demo", Say(text="hi"))).item_id == "say marin"


@pytest.mark.asyncio
async def test_a_silent_agent_costs_the_deadline_and_no_more() -> None:
    pending = PendingCommands()
    with pytest.raises(AgentSilentError):
        await pending.execute(lambda _number: None, deadline_s=0.01)
    async with supervised() as supervisor:
        await supervisor.start(agent_config(script="never_answers"))
        asking = [
            asyncio.get_running_loop().create_task(supervisor.command("demo", Say(text="hi")))
            for _ in range(65)
        ]
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(CommandRefusedError, match="are pending"):
            await done.pop()
        await supervisor.stop("demo")
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert sum(isinstance(one, AgentGoneError) for one in failures) == 64


@pytest.mark.asyncio
async def test_a_calls_stream_goes_on_over_kill_9_and_ends_with_the_call(tmp_path: Path) -> None:
    async with calling(tmp_path) as scene, aiohttp.ClientSession(scene.server.url) as http:
        async with listening(http, "/agents/demo/events", "0") as reader:
            await reader.until("agent_state_changed", state="running")
            await say_words(scene.session, "open sesame")
            said = await reader.until("agent_input_transcription_done", transcript="open sesame")
            await scene.kill()
            lost = (await reader.until("agent_exited"))[-1]
            assert (lost.data["exit_reason"], lost.data["is_restarted"]) == ("crashed", True)
            await reader.until("agent_state_changed", state="running")
            status, _ = await scene.server.post("/agents/demo/text", {"text": "abracadabra"})
            assert status == 200
            told = await reader.until("agent_input_transcription_done", transcript="abracadabra")
            await scene.server.post("/stop_agent", {"channel_name": "demo"})
            rest = await reader.rest()
            assert rest[-1].type == "agent_exited"
            assert rest[-1].data["is_restarted"] is False
        async with listening(http, "/agents/demo/events", said[-1].event_id) as reader:
            again = await reader.rest()
            assert lost in again
            assert told[-1] in again
            assert again[-1] == rest[-1]
        log = scene.server.log.read_text()
        assert "sesame" not in log
        assert "abracadabra" not in log


@pytest.mark.asyncio
async def test_images_over_http_reach_the_model_through_a_real_process(tmp_path: Path) -> None:
    largest, small = jpeg(MAX_IMAGE_BYTES), jpeg(5_000)
    async with calling(tmp_path) as scene, aiohttp.ClientSession(scene.server.url) as http:

        async def post(**body: Any) -> tuple[int, str]:
            async with http.post("/agents/demo/image", **body) as response:
                answer = await response.json()
                return response.status, answer.get("code", answer.get("status"))

        text = base64.b64encode(largest).decode()

        async def post_json() -> tuple[int, str]:
            body = io.BytesIO(json.dumps({"image": text}).encode())
            return await post(data=body, headers={"Content-Type": "application/json"})

        assert await post_json() == (200, "done")
        raw = {"Content-Type": "image/jpeg"}
        assert await post(data=small, headers=raw) == (200, "done")
        webp = b"RIFF\0\0\0\0WEBPVP8 "
        seen_by_none = await post(data=webp, headers={"Content-Type": "image/webp"})
        assert seen_by_none == (422, "unsupported_by_model")
        flood = await asyncio.gather(*(post_json() for _ in range(12)))
        assert set(flood) <= {(200, "done"), (429, "too_many_events")}
        assert (200, "done") in flood
        taken = 2 + flood.count((200, "done"))
        await scene.session.wait_for("conversation.item.create", taken)
        frames = scene.session.all_of("conversation.item.create")
        assert shown(frames) == [largest, small] + [largest] * (taken - 2)
        status, _ = await scene.server.post("/agents/demo/text", {"text": "still there?"})
        assert status == 200
