"""The fake is faithful: Google's own SDK, unmodified, holds a conversation with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types

from tests.deadlines import DEADLINE_S
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, Tls
from tests.fakes.openai_session import tone

MODEL = "gemini-3.8-live"
VOICE = tone(200)
ASK_AUDIO = b"\1\0" * 1_600


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture
async def server(tls: Tls) -> AsyncIterator[FakeGeminiServer]:
    async with FakeGeminiServer(tls=tls, faults=GeminiFaults(api_key="k")) as running:
        yield running


@pytest.fixture
def client(server: FakeGeminiServer, tls: Tls) -> Iterator[genai.Client]:
    base_url = server.uri.replace("wss", "https")
    options = types.HttpOptions(base_url=base_url, async_client_args={"ssl": tls.client})
    client = genai.Client(api_key="k", vertexai=False, http_options=options)
    yield client
    client.close()


def config(**changes: Any) -> types.LiveConnectConfig:
    values: dict[str, Any] = {
        "response_modalities": ["AUDIO"],
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        "session_resumption": {},
        "context_window_compression": {"sliding_window": {}},
        "system_instruction": "Be brief.",
        "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
        "realtime_input_config": {"automatic_activity_detection": {"silence_duration_ms": 300}},
        "tools": [{"function_declarations": [{"name": "add", "behavior": "NON_BLOCKING"}]}],
    }
    return types.LiveConnectConfig(**values | changes)


async def turn(session: Any) -> list[types.LiveServerMessage]:
    """Everything up to the end of a turn, as the SDK sees it."""
    async with asyncio.timeout(DEADLINE_S):
        return [message async for message in session.receive()]


def words(messages: list[types.LiveServerMessage], side: str) -> str:
    contents = [message.server_content for message in messages if message.server_content]
    told = [getattr(content, f"{side}_transcription") for content in contents]
    return "".join(each.text for each in told if each is not None and each.text)


def voice(messages: list[types.LiveServerMessage]) -> bytes:
    return b"".join(message.data for message in messages if message.data)


@pytest.mark.asyncio
async def test_spoken_and_written_turns(server: FakeGeminiServer, client: genai.Client) -> None:
    async with client.aio.live.connect(model=MODEL, config=config()) as session:
        fake = await server.next_session()
        assert fake.setup["model"] == f"models/{MODEL}"
        blob = types.Blob(data=ASK_AUDIO, mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)
        await fake.wait_heard(len(ASK_AUDIO))
        await fake.hear("who are you")
        await fake.say(VOICE, "I am a fake.")
        heard = await turn(session)
        assert words(heard, "input") == " who are you"
        assert words(heard, "output") == "I am a fake."
        assert voice(heard) == VOICE
        done = heard[-1]
        assert done.server_content is not None
        assert done.server_content.turn_complete
        assert done.usage_metadata is not None
        assert done.usage_metadata.response_token_count == 20
        fake.reply_with = lambda each: each.say(VOICE, "Hi.")
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "hello"}]})
        said = await turn(session)
        assert said[0].session_resumption_update is not None
        assert words(said, "output") == "Hi."
        await session.send_realtime_input(text="hello again")
        assert words(await turn(session), "output") == "Hi."
        picture = types.Blob(data=b"jpeg", mime_type="image/jpeg")
        await session.send_realtime_input(video=picture)
        await session.send_realtime_input(audio_stream_end=True)
        await fake.wait_for("realtimeInput", "audioStreamEnd")
        assert fake.pictures == [b"jpeg"]
    assert bytes(fake.audio) == ASK_AUDIO


@pytest.mark.asyncio
async def test_tool_calls_and_their_end(server: FakeGeminiServer, client: genai.Client) -> None:
    async with client.aio.live.connect(model=MODEL, config=config()) as session:
        fake = await server.next_session()
        fake.reply_with = lambda each: each.say(VOICE, "Three.")
        await fake.call_tools(("call_1", "add", {"a_b": 1}))
        call = await _next_call(session)
        assert (call.id, call.name, call.args) == ("call_1", "add", {"a_b": 1})
        response = types.FunctionResponse(
            id=call.id,
            name=call.name,
            response={"sum_of": 3},
            scheduling=types.FunctionResponseScheduling.WHEN_IDLE,
        )
        await session.send_tool_response(function_responses=[response])
        assert words(await turn(session), "output") == "Three."
        assert fake.answers["call_1"]["response"] == {"sum_of": 3}
        assert fake.answers["call_1"]["scheduling"] == "WHEN_IDLE"
        await fake.call_tools(("call_2", "add", {}))
        await fake.hear("no, stop")
        cut = await turn(session)
        cancelled = [each.tool_call_cancellation for each in cut if each.tool_call_cancellation]
        assert [each.ids for each in cancelled] == [["call_2"]]


async def _next_call(session: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        async for message in session.receive():
            if message.tool_call:
                return message.tool_call.function_calls[0]
    raise AssertionError("no call came")


@pytest.mark.asyncio
async def test_interruption_go_away_and_resumption(
    server: FakeGeminiServer, client: genai.Client
) -> None:
    async with client.aio.live.connect(model=MODEL, config=config()) as session:
        fake = await server.next_session()
        async with asyncio.TaskGroup() as group:
            group.create_task(fake.say(tone(3000), "a long story", pace=1.0))
            hearing = group.create_task(turn(session))
            await asyncio.sleep(0)
            await fake.hear("wait")
            cut = await hearing
        contents = [message.server_content for message in cut if message.server_content]
        assert any(content.interrupted for content in contents)
        assert not any(content.generation_complete for content in contents)
        assert len(voice(cut)) < len(tone(3000))
        await fake.go_away("2.5s")
        await fake.close(1011, "Deadline expired before operation could complete.")
        seen: list[Any] = []
        with pytest.raises(errors.APIError, match=r"1011.*Deadline expired") as caught:
            await _read_on(session, seen)
        assert caught.value.code == 1011
        assert [each.go_away.time_left for each in seen if each.go_away] == ["2.5s"]
        updates = [each.session_resumption_update for each in seen]
    handles = [update.new_handle for update in updates if update is not None]
    again = config(session_resumption={"handle": handles[-1]})
    async with client.aio.live.connect(model=MODEL, config=again):
        assert (await server.next_session()).history == fake.history == [("user", "wait")]
    stale = config(session_resumption={"handle": "stale"})
    with pytest.raises(errors.APIError, match="session not found"):
        async with client.aio.live.connect(model=MODEL, config=stale):
            pass


async def _read_on(session: Any, seen: list[Any]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            async for message in session.receive():
                seen.append(message)  # noqa: PERF401  kept when the turn breaks off


@pytest.mark.asyncio
async def test_manual_turns_and_changed_context(
    server: FakeGeminiServer, client: genai.Client
) -> None:
    manual = config(realtime_input_config={"automatic_activity_detection": {"disabled": True}})
    async with client.aio.live.connect(model=MODEL, config=manual) as session:
        fake = await server.next_session()
        fake.reply_with = lambda each: each.say(VOICE, "Heard.")
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await session.send_realtime_input(
            audio=types.Blob(data=ASK_AUDIO, mime_type="audio/pcm;rate=16000")
        )
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        assert words(await turn(session), "output") == "Heard."
        await session.send_context_update(system_instruction="Be long.")
        await fake.wait_for("contextUpdate")
        assert fake.setup["systemInstruction"]["parts"][0]["text"] == "Be long."


@pytest.mark.asyncio
async def test_newer_servers_tell_when_nothing_more_comes(
    client: genai.Client, server: FakeGeminiServer
) -> None:
    server.faults.has_status = server.faults.has_voice_activity = True
    async with client.aio.live.connect(model=MODEL, config=config()) as session:
        fake = await server.next_session()
        await fake.hear("hello")
        await fake.say(VOICE, "Hi.")
        messages = await turn(session)
        assert messages[-1].server_content is not None
        assert messages[-1].server_content.interaction_status == types.InteractionStatus.IDLE


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "changes", "text"),
    [
        (GeminiFaults(api_key="another"), {}, "403"),
        (GeminiFaults(setup_close=(1008, "models/m is not found")), {}, "1008.*not found"),
        (GeminiFaults(), {"http_options": {"headers": {"x": "y"}}, "seed": 1}, None),
    ],
)
async def test_refusals_are_seen(
    faults: GeminiFaults, changes: dict[str, Any], text: str | None, tls: Tls
) -> None:
    async with FakeGeminiServer(tls=tls, faults=faults) as server:
        options = types.HttpOptions(
            base_url=server.uri.replace("wss", "https"), async_client_args={"ssl": tls.client}
        )
        client = genai.Client(api_key="k", vertexai=False, http_options=options)
        connecting = client.aio.live.connect(model=MODEL, config=config(**changes))
        if text is None:
            async with connecting:
                assert (await server.next_session()).setup["generationConfig"]["seed"] == 1
        else:
            with pytest.raises(Exception, match=text):
                await connecting.__aenter__()
        client.close()


@pytest.mark.asyncio
async def test_mid_session_content_ends_a_session_of_3_1(
    server: FakeGeminiServer, client: genai.Client
) -> None:
    model = "gemini-3.1-flash-live-preview"
    async with client.aio.live.connect(model=model, config=config()) as session:
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "hello"}]})
        with pytest.raises(errors.APIError, match="1007"):
            await turn(session)


@pytest.mark.asyncio
async def test_vertex_is_spoken_too(server: FakeGeminiServer, tls: Tls) -> None:
    options = types.HttpOptions(
        base_url=server.uri.replace("wss", "https"), async_client_args={"ssl": tls.client}
    )
    client = genai.Client(vertexai=True, api_key="k", http_options=options)
    # The SDK's spelling of a behavior is for the developer API alone.
    spoken = config(tools=[{"function_declarations": [{"name": "add"}]}])
    async with client.aio.live.connect(model=MODEL, config=spoken) as session:
        fake = await server.next_session()
        assert server.asked[0].path.startswith("/ws/google.cloud.aiplatform.")
        assert fake.setup["model"] == f"publishers/google/models/{MODEL}"
        fake.reply_with = lambda each: each.say(VOICE, "Hi.")
        await session.send_realtime_input(text="hello")
        assert words(await turn(session), "output") == "Hi."
    client.close()
