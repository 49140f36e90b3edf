"""One agent from joining to leaving, over real WebRTC, against a scripted model."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from conversation.events.client_events import ClientTextAppend
from conversation.lifecycle import AgentStartError, AgentState, ExitReason
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeSession, Faults, tone
from tests.loopback.stage import AGENT_UID, API_KEY, Stage, soon
from tests.rtc.sound import has_tone
from tools import ToolContext

CLIENT_TOOL = {
    "type": "function",
    "name": "open_door",
    "description": "Open a door.",
    "parameters": {"type": "object", "properties": {"door": {"type": "string"}}},
}


@pytest.mark.asyncio
async def test_a_life_from_joining_to_leaving() -> None:
    async with Stage() as stage:
        await stage.start(rejoin_grace_s=0.1)
        person = await stage.join()
        await person.wait_event("agent_ready")
        await person.leave()
        assert await stage.ended() is ExitReason.USER_LEFT
        assert stage.states == [
            AgentState.JOINING,
            AgentState.CONNECTING,
            AgentState.READY,
            AgentState.RUNNING,
            AgentState.READY,
            AgentState.STOPPING,
            AgentState.EXITED,
        ]


@pytest.mark.asyncio
async def test_the_room_shows_the_name_of_the_agent() -> None:
    async with Stage() as stage:
        await stage.start(name="Ada")
        person = await stage.join()
        assert person.channel.remote_users[AGENT_UID].name == "Ada"
        assert (await person.wait_event("agent_ready"))["agent_name"] == "Ada"


@pytest.mark.asyncio
async def test_settings_reach_the_model() -> None:
    async with Stage() as stage:
        session = await stage.start(
            system_message="Be brief.", voice="marin", toolset="everyday", tools=(CLIENT_TOOL,)
        )
        assert session.settings["instructions"] == "Be brief."
        assert session.settings["audio"]["output"]["voice"] == "marin"
        names = [tool["name"] for tool in session.settings["tools"]]
        assert names == ["get_current_time", "set_timer", "open_door"]


@pytest.mark.asyncio
async def test_the_greeting_is_said_once_when_somebody_can_hear_it() -> None:
    async with Stage() as stage:
        session = await stage.start(greeting="Welcome!")
        assert session.all_of("response.create") == []
        await stage.join(7)
        request = await session.wait_for("response.create")
        assert "Welcome!" in request["response"]["instructions"]
        await stage.join(8)
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
async def test_the_model_hears_the_user_in_pieces_of_20_ms() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        person.channel.push_audio_frame(tone(1000, hz=440), key="words")
        await session.wait_loud(700)
        samples = np.frombuffer(bytes(session.audio), np.int16).astype(float)
        spectrum = np.abs(np.fft.rfft(samples))
        hz = np.fft.rfftfreq(len(samples), 1 / 24_000)[int(spectrum.argmax())]
        assert abs(hz - 440) < 5
        pieces = [len(event.frame["audio"]) for event in session.received if "audio" in event.frame]
        frame = 1280  # base64 of 960 bytes
        assert pieces.count(frame) > 35, "each frame of speech by itself"
        assert all(piece % frame == 0 for piece in pieces)


@pytest.mark.asyncio
async def test_the_user_hears_the_reply_and_reads_its_words() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        await session.say(tone(600), "six hundred milliseconds")
        await person.wait_event("agent_playout_done")
        await person.wait_loud(590)
        done = await person.wait_event("agent_response_audio_transcript_done")
        assert done["transcript"] == "six hundred milliseconds"
        assert person.loud_ms <= 625
        kinds = [event["type"] for event in person.events]
        assert kinds.index("agent_response_created") < kinds.index("agent_playout_done")


@pytest.mark.asyncio
async def test_barge_in_silences_at_once_and_tells_the_model_what_was_heard() -> None:
    async with Stage(Faults(late_deltas=5)) as stage:
        session = await stage.start()
        person = await stage.join()
        words = " ".join(f"w{number}" for number in range(100))
        saying = asyncio.get_running_loop().create_task(session.say(tone(10_000), words, pace=0.5))
        await person.wait_loud(1000)
        before_ms = person.loud_ms
        await session.speech_started()
        truncate = await session.wait_for("conversation.item.truncate")
        assert stage.agent is not None
        on_its_way_ms = stage.channel.statistics().users[7].heard_after_ms
        assert on_its_way_ms is not None
        interrupted = await person.wait_event("agent_interrupted")
        reply = await soon(saying)
        assert truncate["item_id"] == interrupted["item_id"] == reply.item_id
        assert truncate["audio_end_ms"] == interrupted["audio_end_ms"]
        await session.speech_stopped("u1", "wait")
        await person.wait_event("agent_input_transcription_done")
        # Everything that will ever arrive of the cut reply has arrived once the next is heard.
        heard_ms = person.loud_ms
        await session.say(tone(200), "yes")
        await person.wait_event("agent_playout_done")
        await person.wait_loud(heard_ms + 190)
        assert person.loud_ms - heard_ms < 240, "late audio of the cut reply was played"
        assert before_ms - on_its_way_ms - 40 <= truncate["audio_end_ms"] <= heard_ms + 10
        assert interrupted["heard"]
        assert words.startswith(interrupted["heard"])
        assert len(interrupted["heard"]) < len(words) / 2
        assert len(session.all_of("conversation.item.truncate")) == 1


@pytest.mark.asyncio
async def test_a_reply_nobody_heard_yet_is_forgotten_by_the_model() -> None:
    async with Stage(Faults(late_deltas=3)) as stage:
        session = await stage.start()
        await stage.join()
        saying = asyncio.get_running_loop().create_task(session.say(tone(2000), "a b", pace=1.0))
        await session.wait_sent("response.created")
        await session.speech_started()
        await soon(saying)
        truncate = await session.wait_for("conversation.item.truncate")
        begun = next(event for event in session.sent if event.type == "response.output_audio.delta")
        told = next(e for e in session.received if e.type == "conversation.item.truncate")
        # No more than there was time for: a few milliseconds, unless this process was held up.
        assert truncate["audio_end_ms"] <= (told.at_s - begun.at_s) * 1000


@pytest.mark.asyncio
async def test_a_local_tool_runs_and_the_model_goes_on_once() -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="everyday")
        person = await stage.join()
        call_id = await session.call_tool("get_current_time", {"zone": "Europe/Paris"})
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert (item["type"], item["call_id"]) == ("function_call_output", call_id)
        assert json.loads(item["output"])["zone"] == "Europe/Paris"
        await session.wait_for("response.create")
        use = await person.wait_event("agent_response_tool_use_done")
        assert use["tool_use"]["input"] == {"zone": "Europe/Paris"}
        result = await person.wait_event("agent_response_tool_result")
        assert not result["tool_result"]["is_error"]
        assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("no_such_tool", "{}"), ("get_current_time", "{"), ("get_current_time", '{"zone": 3}')],
)
async def test_a_tool_called_badly_is_an_answer_and_the_call_goes_on(
    name: str, arguments: str
) -> None:
    async with Stage() as stage:
        session = await stage.start(toolset="everyday")
        person = await stage.join()
        await session.call_tool(name, arguments)
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert "error" in json.loads(item["output"])
        await session.wait_for("response.create")
        await session.say(tone(100), "sorry")
        await person.wait_event("agent_playout_done")


@pytest.mark.asyncio
async def test_a_pass_through_tool_is_answered_by_the_client() -> None:
    async with Stage() as stage:
        session = await stage.start(tools=(CLIENT_TOOL,))
        person = await stage.join()
        call_id = await session.call_tool("open_door", {"door": "front"})
        use = await person.wait_event("agent_response_tool_use_done")
        assert use["is_client_tool"]
        person.send(type="client_tool_result", id=call_id, name="open_door", output="open")
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert item["output"] == "open"
        await session.wait_for("response.create")


@pytest.mark.asyncio
async def test_a_client_that_never_answers_a_tool_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session.call_tools.ToolContext", lambda: ToolContext(client_timeout_s=0.1))
    async with Stage() as stage:
        session = await stage.start(tools=(CLIENT_TOOL,))
        await stage.join()
        await session.call_tool("open_door", {"door": "front"})
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert "no answer" in json.loads(item["output"])["error"]
        await session.wait_for("response.create")


@pytest.mark.asyncio
async def test_written_words_interrupt_and_are_answered() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        saying = asyncio.get_running_loop().create_task(session.say(tone(5000), "long", pace=1.0))
        await person.wait_loud(200)
        person.send(type="client_text_append", text="what time is it")
        await session.wait_for("response.cancel")
        item = (await session.wait_for("conversation.item.create"))["item"]
        assert item["content"][0]["text"] == "what time is it"
        await session.wait_for("response.create")
        await person.wait_event("agent_interrupted")
        noted = await person.wait_event("agent_input_transcription_done")
        assert noted["transcript"] == "what time is it"
        await soon(saying)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nonsense", "invalid_event"),
        ('{"type": "client_text_append", "text": ""}', "invalid_event"),
        ('{"type": "client_session_create"}', "unsupported_event"),
        ('{"type": "client_tool_result", "id": "x", "name": "y", "output": "z"}', "unknown_call"),
        ('{"type": "client_image_append", "image": "?"}', "invalid_event"),
        ('{"type": "client_image_append", "image": "é"}', "invalid_event"),
        ('{"type": "client_image_append", "image": "AAAAA"}', "invalid_event"),
        ('{"type": "client_image_append", "image": ""}', "invalid_event"),
        ("[" * 20_000, "invalid_event"),
    ],
)
async def test_every_client_event_is_answered(text: str, code: str) -> None:
    async with Stage() as stage:
        await stage.start()
        person = await stage.join()
        person.channel.send_event(text)
        error = await person.wait_event("agent_error")
        assert (error["error_type"], error["code"]) == ("client", code)


@pytest.mark.asyncio
async def test_a_client_may_end_the_call() -> None:
    async with Stage() as stage:
        await stage.start()
        person = await stage.join()
        person.send(type="client_session_end")
        assert await stage.ended() is ExitReason.STOPPED


async def heard_all(session: FakeSession, *wanted_hz: float) -> None:
    """Until all these tones are in what the model heard."""
    while not all(has_tone(bytes(session.audio), hz, 24_000) for hz in wanted_hz):
        appends = len(session.all_of("input_audio_buffer.append"))
        await session.wait_for("input_audio_buffer.append", appends + 10)


@pytest.mark.asyncio
async def test_two_people_are_heard_and_both_hear() -> None:
    async with Stage() as stage:
        session = await stage.start()
        first, second = await stage.join(7), await stage.join(8)
        first.channel.push_audio_frame(tone(1500, hz=300), key="a")
        second.channel.push_audio_frame(tone(1500, hz=900), key="b")
        await soon(heard_all(session, 300, 900))
        await session.say(tone(300), "both")
        await first.wait_loud(280)
        await second.wait_loud(280)


@pytest.mark.asyncio
async def test_nobody_comes() -> None:
    async with Stage() as stage:
        await stage.start(user_wait_s=0.1)
        assert await stage.ended() is ExitReason.NO_USER


@pytest.mark.asyncio
async def test_a_page_refresh_resumes_the_same_conversation() -> None:
    async with Stage() as stage:
        session = await stage.start(rejoin_grace_s=DEADLINE_S)
        await (await stage.join(7)).leave()
        person = await stage.join(7)
        await session.say(tone(200), "still here")
        await person.wait_loud(190)
        assert len(stage.provider.sessions) == 1


@pytest.mark.asyncio
async def test_a_model_lost_for_good_ends_the_agent_with_its_reason() -> None:
    async with Stage() as stage:
        session = await stage.start()
        await stage.join()
        stage.provider.faults.api_key = "another"
        await session.drop()
        assert await stage.ended() is ExitReason.PROVIDER_FAILED


@pytest.mark.asyncio
async def test_a_refused_key_fails_the_start_and_names_phase_and_cause() -> None:
    async with Stage(Faults(api_key="another")) as stage:
        with pytest.raises(AgentStartError) as caught:
            await soon(stage.run())
        assert (caught.value.phase, caught.value.code) == ("connecting", "invalid_api_key")
        assert API_KEY not in str(caught.value)
        assert stage.states[-1] is AgentState.EXITED


@pytest.mark.asyncio
async def test_a_silent_provider_fails_the_start_and_says_what_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("start_phase", "model_setup"):
        monkeypatch.setattr(f"session.{module}.PHASE_TIMEOUT_S", 1.5)
    async with Stage(Faults(is_mute=True)) as stage:
        with pytest.raises(AgentStartError, match="waiting for the handshake's answer") as caught:
            await soon(stage.run())
        assert (caught.value.phase, caught.value.code) == ("connecting", "timeout")


@pytest.mark.asyncio
async def test_an_unreachable_room_fails_the_start() -> None:
    async with Stage() as stage:
        with pytest.raises(AgentStartError) as caught:
            await soon(stage.run(room_url="http://127.0.0.1:9"))
        assert (caught.value.phase, caught.value.code) == ("joining", "unreachable")


@pytest.mark.asyncio
async def test_a_stop_during_the_start_is_obeyed() -> None:
    async with Stage(Faults(is_silent=True)) as stage:
        running = stage.run()
        await soon(stage.provider.was_asked.wait())
        assert stage.agent is not None
        stage.agent.stop(ExitReason.SUPERVISOR_GONE)
        assert await soon(running) is ExitReason.SUPERVISOR_GONE


@pytest.mark.asyncio
async def test_a_flood_leaves_room_for_others_and_for_the_owner() -> None:
    async with Stage() as stage:
        session = await stage.start()
        await stage.join(7)
        await stage.join(8)
        assert stage.agent is not None
        requests = stage.agent._session.requests
        # In one step, before the agent can look at any of it.
        for _ in range(250):
            requests.handle_message('{"type": "client_response_cancel"}', 7)
        requests.handle_message('{"type": "client_text_append", "text": "hello"}', 8)
        await soon(requests.execute(ClientTextAppend(text="and from the owner")))
        items = [await session.wait_for("conversation.item.create", number) for number in (1, 2)]
        texts = [item["item"]["content"][0]["text"] for item in items]
        assert texts == ["hello", "and from the owner"]


@pytest.mark.asyncio
async def test_a_flood_of_events_is_told_of_once_and_harms_nobody() -> None:
    async with Stage() as stage:
        session = await stage.start()
        flooder, other = await stage.join(7), await stage.join(8)
        assert stage.agent is not None
        for _ in range(250):
            # As fast as no data channel would bring them.
            stage.agent._session.requests.handle_message('{"type": "client_response_cancel"}', 7)
        refused = await flooder.wait_event("agent_error")
        assert refused["code"] == "too_many_events"
        other.send(type="client_text_append", text="hello")
        item = await session.wait_for("conversation.item.create")
        assert item["item"]["content"][0]["text"] == "hello"
        told = [event for event in flooder.events if event["type"] == "agent_error"]
        assert len(told) < 20
