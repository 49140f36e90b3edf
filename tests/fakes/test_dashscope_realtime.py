"""The fake is faithful: DashScope's own package can hold a conversation with it."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dashscope.audio.qwen_omni import (
    AudioFormat,
    MultiModality,
    OmniRealtimeCallback,
    OmniRealtimeConversation,
)
from dashscope.audio.qwen_omni.omni_realtime import AudioFormatConfig

from tests.deadlines import DEADLINE_S
from tests.fakes.dashscope_realtime import FakeDashScopeServer, FakeQwenSession, QwenFaults
from tests.fakes.openai_realtime import tone

MODEL = "qwen3.5-omni-flash-realtime"


class Recorder(OmniRealtimeCallback):
    """Keeps what the package hands to its user."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()

    def on_event(self, message: Any) -> None:
        with self._news:
            self.events.append(message)
            self._news.notify_all()

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def until(self, event_type: str, count: int = 1) -> None:
        def wait() -> bool:
            with self._news:
                return self._news.wait_for(
                    lambda: self.types().count(event_type) >= count, DEADLINE_S
                )

        assert await asyncio.to_thread(wait), f"no {event_type} in {self.types()}"


@asynccontextmanager
async def conversing(
    faults: QwenFaults | None = None,
) -> AsyncIterator[tuple[OmniRealtimeConversation, Recorder, FakeQwenSession]]:
    async with FakeDashScopeServer(faults=faults or QwenFaults(api_key="k")) as server:
        recorder = Recorder()
        url = f"{server.uri}/api-ws/v1/realtime"
        client = OmniRealtimeConversation(MODEL, recorder, url=url, api_key="k")
        await asyncio.to_thread(client.connect)
        session = await server.next_qwen_session()
        descriptor = client.ws.sock.sock  # type: ignore[attr-defined]
        try:
            yield client, recorder, session
        finally:
            # By the server: the package's thread does not always notice a close by its own side;
            # and after one by the other it forgets the descriptor.
            await session.close()
            await asyncio.to_thread(client.thread.join, DEADLINE_S)
            descriptor.close()


@pytest.mark.asyncio
async def test_the_package_holds_a_conversation() -> None:
    async with conversing() as (client, recorder, session):
        pcm = tone(250)
        session.reply_with = lambda each: each.say(pcm, "Ni hao.")
        modalities = [MultiModality.TEXT, MultiModality.AUDIO]
        await asyncio.to_thread(
            client.update_session,
            modalities,
            voice="Tina",
            input_audio_format=AudioFormat.PCM_16000HZ_MONO_16BIT,
            instructions=None,
        )
        await recorder.until("session.updated")
        assert client.get_session_id() == session.settings["id"]
        audio = base64.b64encode(tone(100)).decode()
        await asyncio.to_thread(client.append_audio, audio)
        await asyncio.to_thread(client.append_video, base64.b64encode(b"\xff\xd8").decode())
        await asyncio.to_thread(client.commit)
        await recorder.until("input_audio_buffer.committed")
        await asyncio.to_thread(client.create_response, "Be kind.")
        await recorder.until("response.done")
        assert session.images == [b"\xff\xd8"]
        deltas = [e["delta"] for e in recorder.events if e["type"] == "response.audio.delta"]
        assert b"".join(base64.b64decode(delta) for delta in deltas) == pcm
        assert client.get_last_response_id() == recorder.events[-1]["response"]["id"]
        assert "input_tokens_details" in recorder.events[-1]["response"]["usage"]
        await asyncio.to_thread(client.end_session, 5)
        assert recorder.types()[-1] == "session.finished"


@pytest.mark.asyncio
async def test_the_package_nests_audio_and_cancels() -> None:
    async with conversing(QwenFaults(api_key="k", forgets_done="response")) as (
        client,
        recorder,
        session,
    ):
        nested = AudioFormatConfig()
        await asyncio.to_thread(
            client.update_session, [MultiModality.AUDIO], "Tina", input_audio_config=nested
        )
        await recorder.until("session.updated")
        assert session.settings["audio"]["input"]["format"]["sample_rate"] == 16000
        session.reply_with = lambda each: each.say(tone(3000), "a long story", pace=0.5)
        await asyncio.to_thread(client.create_response)
        await recorder.until("response.audio.delta")
        await asyncio.to_thread(client.cancel_response)
        await recorder.until("response.output_item.done")
        await asyncio.to_thread(client.cancel_response)
        await recorder.until("error")
        assert "response.done" not in recorder.types()
