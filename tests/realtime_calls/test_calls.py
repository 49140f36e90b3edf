"""Spoken calls over WebRTC: turns, tools, interruption, and the end of a call."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from speech.engine_pool import Engines
from speech.engines.whisper import WhisperRecogniser
from speech.settings import Limits, SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.realtime_calls.call_server import call_server, until_empty
from tests.realtime_calls.caller import RtcCaller, rtc_call
from tests.speech.talk import utterance
from tests.speech.understood import shared_words

pytestmark = pytest.mark.speech

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
LONG = " ".join(["This sentence is long, and more of it follows."] * 8)


async def _turn(caller: RtcCaller, name: str) -> str:
    """Say a recorded sentence; returns how it was understood."""
    await caller.microphone.say(utterance(name))
    done = await caller.until("conversation.item.input_audio_transcription.completed")
    return str(done["transcript"]).lower()


@pytest.mark.asyncio
async def test_a_spoken_question_is_answered_over_the_media_track(
    engines: Engines, recogniser: WhisperRecogniser
) -> None:
    async with call_server(engines) as (server, url), rtc_call(url) as caller:
        created = await caller.until("session.created")
        assert created["session"]["model"] == "parley-local"
        assert caller.call_path.startswith("/v1/realtime/calls/rtc_")

        assert "time is it" in await _turn(caller, "u01_f")
        stopped = await caller.until("output_audio_buffer.stopped")
        (started,) = caller.all_of("output_audio_buffer.started")
        (done,) = caller.all_of("response.done")
        assert done["response"]["status"] == "completed"
        assert started["response_id"] == stopped["response_id"] == done["response"]["id"]
        types = caller.types()
        assert types.index("response.done") < types.index("output_audio_buffer.stopped")
        assert "response.output_audio.delta" not in types
        assert "response.output_audio_transcript.delta" in types
        assert types.index("response.output_audio.done") < types.index("response.done")
        await asyncio.sleep(0.5)  # for what is on its way through the caller's jitter buffer
        (said,) = caller.all_of("response.output_audio_transcript.done")
        heard = await asyncio.to_thread(caller.words, recogniser)
        # Not each word: how well the time of day is heard depends on it.
        assert shared_words(said["transcript"], heard), heard

        await caller.close()
        await until_empty(server)


@pytest.mark.asyncio
async def test_a_tool_call_goes_over_the_data_channel(
    engines: Engines, recogniser: WhisperRecogniser
) -> None:
    async with call_server(engines) as (_, url), rtc_call(url) as caller:
        await caller.update(tools=[WEATHER])
        assert "tokyo" in await _turn(caller, "u02_f")
        done = await caller.until("response.function_call_arguments.done")
        assert json.loads(done["arguments"]) == {"city": "Tokyo"}
        await caller.until("response.done")
        output = {
            "type": "function_call_output",
            "call_id": done["call_id"],
            "output": "It is raining cats and dogs in Tokyo.",
        }
        caller.send(type="conversation.item.create", item=output)
        begin = len(caller.heard)
        caller.send(type="response.create")
        await caller.until("output_audio_buffer.stopped")
        await asyncio.sleep(0.5)  # for what is on its way through the caller's jitter buffer
        assert "raining" in await asyncio.to_thread(caller.words, recogniser, begin)


@pytest.mark.asyncio
async def test_speech_stops_the_playout_and_the_unheard_is_truncated(engines: Engines) -> None:
    async with call_server(engines) as (_, url), rtc_call(url) as caller:
        caller.order(LONG)
        await caller.until("output_audio_buffer.started")
        added = [e for e in caller.events if e["type"] == "response.output_item.added"]
        await caller.until_loud()
        begin = len(caller.events)
        await caller.microphone.say(utterance("u10_f"))
        await caller.until("output_audio_buffer.cleared")
        truncated = await caller.until("conversation.item.truncated")
        assert truncated["item_id"] == added[-1]["item"]["id"]
        assert 0 < truncated["audio_end_ms"] < 8_000
        types = caller.types(begin)
        assert types.index("input_audio_buffer.speech_started") < types.index(
            "output_audio_buffer.cleared"
        )
        assert "output_audio_buffer.stopped" not in types
        # What was not heard is no part of the conversation.
        caller.send(type="conversation.item.retrieve", item_id=truncated["item_id"])
        item = (await caller.until("conversation.item.retrieved"))["item"]
        part = item["content"][0]
        assert len(part["transcript"]) < len(LONG) / 2
        assert part["audio"] is None


@pytest.mark.asyncio
async def test_the_client_clears_the_output_audio_buffer(engines: Engines) -> None:
    async with call_server(engines) as (_, url), rtc_call(url) as caller:
        caller.send(type="output_audio_buffer.clear")
        caller.order(LONG)
        await caller.until("output_audio_buffer.started")
        assert "output_audio_buffer.cleared" not in caller.types()
        caller.send(type="response.cancel")
        caller.send(type="output_audio_buffer.clear")
        await caller.until("output_audio_buffer.cleared")
        await caller.until("conversation.item.truncated")

        caller.send(type="input_audio_buffer.append", audio="AAAA", event_id="mine")
        error = await caller.until("error")
        assert error["error"]["event_id"] == "mine"
        assert "media track" in error["error"]["message"]
        caller.send(type="nothing")
        await caller.until("error")
        caller.order("Here I am.")
        await caller.until("output_audio_buffer.stopped")


@pytest.mark.asyncio
async def test_a_reply_that_speech_may_not_interrupt_is_played_to_its_end(
    engines: Engines,
) -> None:
    async with call_server(engines) as (_, url), rtc_call(url) as caller:
        detection = {"type": "server_vad", "interrupt_response": False, "create_response": False}
        await caller.update(audio={"input": {"turn_detection": detection}})
        caller.order("This sentence goes on to its very end.")
        await caller.until("output_audio_buffer.started")
        await caller.microphone.say(utterance("u10_f"))
        await caller.until("input_audio_buffer.speech_started")
        await caller.until("output_audio_buffer.stopped")
        assert not caller.all_of("conversation.item.truncated")


@pytest.mark.asyncio
async def test_turns_by_hand_take_what_the_microphone_brought(engines: Engines) -> None:
    async with call_server(engines) as (_, url), rtc_call(url) as caller:
        await caller.update(audio={"input": {"turn_detection": None}})
        caller.send(type="input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        await caller.microphone.say(utterance("u02_f") + bytes(24_000))
        caller.send(type="input_audio_buffer.commit")
        done = await caller.until("conversation.item.input_audio_transcription.completed")
        assert "weather" in done["transcript"].lower()


@pytest.mark.asyncio
async def test_a_sideband_reads_and_steers_the_session_of_a_call(engines: Engines) -> None:
    async with (
        call_server(engines) as (server, url),
        rtc_call(url) as caller,
        aiohttp.ClientSession() as http,
    ):
        await caller.until("session.created")
        call_id = caller.call_path.rpartition("/")[2]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await http.ws_connect(f"{url}/v1/realtime?call_id=rtc_unknown")
        async with http.ws_connect(f"{url}/v1/realtime?call_id={call_id}") as sideband:
            assert (await sideband.receive_json(timeout=DEADLINE_S))["type"] == "session.created"
            update = {"type": "realtime", "instructions": "Be a pirate."}
            await sideband.send_json({"type": "session.update", "session": update})
            for updated in (
                await sideband.receive_json(timeout=DEADLINE_S),
                await caller.until("session.updated"),
            ):
                assert updated["session"]["instructions"] == "Be a pirate."
            caller.order("Ahoy.")
            while (event := await sideband.receive_json(timeout=DEADLINE_S))[
                "type"
            ] != "response.done":
                assert event["type"] != "response.output_audio.delta"
            assert len(server.sessions) == 1

            async with asyncio.TaskGroup() as group:
                group.create_task(_read_to_the_end(sideband))
                async with http.post(f"{url}{caller.call_path}/hangup") as answer:
                    assert answer.status == 200
            assert sideband.close_code == 1001
        await until_empty(server)
        async with http.post(f"{url}{caller.call_path}/hangup") as answer:
            assert answer.status == 404


async def _read_to_the_end(socket: aiohttp.ClientWebSocketResponse) -> None:
    while not socket.closed:
        await socket.receive(timeout=DEADLINE_S)


@pytest.mark.asyncio
async def test_a_call_ends_when_its_time_is_over(engines: Engines) -> None:
    settings = SpeechSettings(limits=Limits(session_s=0.5))
    async with call_server(engines, settings) as (server, url), rtc_call(url) as caller:
        error = await caller.until("error")
        assert error["error"]["code"] == "session_expired"
        await until_empty(server)


@pytest.mark.asyncio
async def test_a_caller_that_vanishes_is_given_up(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtc.aiortc_hooks.path_monitor.DEAD_AFTER_S", 0.3)
    monkeypatch.setattr("rtc.aiortc_hooks.path_monitor.GIVE_UP_AFTER_S", 0.6)
    async with call_server(engines) as (server, url), rtc_call(url) as caller:
        await caller.until("session.created")
        ice = caller.stock.connection.getTransceivers()[0].receiver.transport.transport
        # Its network is gone: nothing leaves, not even a goodbye, and nothing is answered.
        for protocol in ice._connection._protocols:
            monkeypatch.setattr(protocol, "transport", _Void(protocol.transport))
        await until_empty(server)


class _Void:
    """A transport that sends nothing."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def sendto(self, data: bytes, address: object = None) -> None:
        """Drop it."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
