"""A session with Gemini Live, over a real socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime.events import ModelEvent, ResponseStatus
from realtime.gemini.mapping import LATE_S
from realtime.gemini.model import GeminiLiveModel
from realtime.model import (
    ModelConnectError,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.providers import create_model
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, GeminiSession, Tls
from tests.fakes.openai_session import tone
from utils import OwnedTasks, cancel_and_wait

DEADLINE_S = 10.0
MODEL = "gemini-3.8-live"
VOICE = tone(300)
_LOG = logging.getLogger("test")


def config(server: FakeGeminiServer, **changes: Any) -> RealtimeModelConfig:
    values: dict[str, Any] = {"model": MODEL, "base_uri": server.uri, "api_key": "k"}
    return RealtimeModelConfig(**values | changes)


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Call:
    """An open model and the server's side of it."""

    def __init__(
        self, model: GeminiLiveModel, session: GeminiSession, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.model = model
        self.session = session
        self.events = model.events()
        self.seen: list[ModelEvent] = []

    async def until(self, wanted: type[ModelEvent]) -> Any:
        """Read events up to the first of this type."""
        async with asyncio.timeout(DEADLINE_S):
            async for event in self.events:
                self.seen.append(event)
                if isinstance(event, wanted):
                    return event
        raise AssertionError(f"the session ended without {wanted}")

    async def alongside(self, acting: Awaitable[Any], wanted: type[ModelEvent]) -> Any:
        """Let the server act while the model is read, up to the first event of this type."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(acting))
            return await self.until(wanted)

    def all_of(self, wanted: type[ModelEvent]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, wanted)]

    def voice(self, response_id: str) -> bytes:
        deltas = self.all_of(ours.AudioDelta)
        return b"".join(each.pcm for each in deltas if each.response_id == response_id)


async def _run(acting: Awaitable[Any]) -> None:
    await acting


@asynccontextmanager
async def calling(
    faults: GeminiFaults | None = None, *, name: str = MODEL, **changes: Any
) -> AsyncIterator[Call]:
    async with FakeGeminiServer(faults=faults) as server:
        clock = Clock()
        model = GeminiLiveModel(name, clock=clock)
        try:
            await model.connect(config(server, model=name, **changes))
            yield Call(model, await server.next_session(), clock)
        finally:
            await model.close()


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    async with calling() as call:
        yield call


def hello(session: GeminiSession) -> Any:
    return session.say(VOICE, "Hello there.")


# -- opening and closing -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_session_opens_with_its_settings() -> None:
    settings = ModelSettings(instructions="Be brief.", voice="Kore", language="en")
    async with calling(GeminiFaults(api_key="k"), settings=settings) as call:
        assert call.session.setup["model"] == f"models/{MODEL}"
        assert call.session.setup["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
        opened = await call.until(ours.SessionOpened)
        assert opened.session_id.startswith("sess_")
        assert call.seen == [ours.ConnectionChanged(ours.ConnectionStatus.OPEN), opened]


@pytest.mark.asyncio
async def test_vertex_is_reached_by_its_path() -> None:
    query = {"project": "p", "location": "l"}
    async with FakeGeminiServer() as server:
        model = GeminiLiveModel(MODEL)
        await model.connect(config(server, query=query, api_key=lambda: "ya29.token"))
        session = await server.next_session()
        assert session.setup["model"] == f"projects/p/locations/l/publishers/google/models/{MODEL}"
        assert server.asked[0].path.startswith("/ws/google.cloud.aiplatform.v1beta1.")
        assert server.asked[0].headers["Authorization"] == "Bearer ya29.token"
        await model.close()


@pytest.mark.asyncio
async def test_only_trusted_servers_are_talked_to(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    async with FakeGeminiServer(tls=tls) as server:
        model = GeminiLiveModel(MODEL, ssl_context=tls.client)
        await model.connect(config(server))
        await model.close()
        # The server shares our loop, and complains there of the client that turned away.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        with pytest.raises(ModelConnectError) as caught:
            await GeminiLiveModel(MODEL).connect(config(server))
        assert caught.value.code == "untrusted_certificate"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "changes", "code", "is_retryable"),
    [
        (GeminiFaults(api_key="another"), {}, "invalid_api_key", False),
        (GeminiFaults(is_mute=True), {"timeout_s": 0.1}, "timeout", True),
        (GeminiFaults(is_silent=True), {"timeout_s": 0.2}, "timeout", True),
        (GeminiFaults(setup_close=(1007, "API key not valid.")), {}, "invalid_api_key", False),
        (GeminiFaults(setup_close=(1008, "m is not found")), {}, "model_not_found", False),
        (GeminiFaults(setup_close=(1011, "Internal error.")), {}, "internal", True),
        (GeminiFaults(setup_close=(1001, "")), {}, "handshake_failed", True),
        (GeminiFaults(), {"resumption_handle": "stale"}, "stale_resumption_handle", True),
        (GeminiFaults(), {"settings": ModelSettings(speed=2.0)}, "invalid_settings", False),
        (
            GeminiFaults(),
            {"settings": ModelSettings(extra={"generationConfig": {"x": 1}})},
            "invalid_argument",
            False,
        ),
        (GeminiFaults(), {"query": {"version": "../v1"}}, "invalid_uri", False),
        (GeminiFaults(), {"base_uri": "wss://[bad"}, "invalid_uri", False),
        (GeminiFaults(), {"base_uri": "ws://127.0.0.1:1"}, "unreachable", True),
    ],
)
async def test_failed_connect_says_why_and_leaves_nothing(
    faults: GeminiFaults, changes: dict[str, Any], code: str, is_retryable: bool
) -> None:
    async with FakeGeminiServer(faults=faults) as server:
        model = GeminiLiveModel(MODEL)
        with pytest.raises(ModelConnectError) as caught:
            await model.connect(config(server, **changes))
        assert (caught.value.code, caught.value.is_retryable) == (code, is_retryable)
        await model.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [GeminiFaults(is_mute=True), GeminiFaults(is_silent=True)])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_connecting_can_be_given_up(fault: GeminiFaults, how: str) -> None:
    async with FakeGeminiServer(faults=fault) as server:
        model, tasks = GeminiLiveModel(MODEL), OwnedTasks(_LOG)
        connecting = tasks.start(_connect(model, server), name="connect")
        async with asyncio.timeout(DEADLINE_S):
            await server.was_asked.wait()
            if how == "cancel":
                await cancel_and_wait(connecting)
                assert connecting.cancelled()
            else:
                await model.close()
                assert (await connecting) is not None
        await model.close()


async def _connect(model: GeminiLiveModel, server: FakeGeminiServer) -> ModelConnectError | None:
    try:
        await model.connect(config(server))
    except ModelConnectError as error:
        return error
    return None


@pytest.mark.asyncio
async def test_closing_ends_the_events_and_every_command(call: Call) -> None:
    await call.until(ours.SessionOpened)
    await call.model.close()
    await call.model.close()
    ended = await call.until(ours.SessionEnded)
    assert (ended.code, ended.is_retryable) == ("closed", False)
    with pytest.raises(ModelDisconnectedError):
        await call.model.send(ours.AppendAudio(b"\0\0"))
    never = create_model("gemini", MODEL)
    with pytest.raises(ModelDisconnectedError):
        await never.send(ours.AppendAudio(b"\0\0"))
    assert [event async for event in never.events()] == []
    await never.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("close", "code", "is_retryable"),
    [
        ((1000, ""), "disconnected", True),
        ((1007, "Request contains an invalid argument."), "invalid_argument", False),
        ((1008, "Policy."), "policy_violation", False),
        ((1011, "Deadline expired before operation could complete."), "deadline_expired", True),
        ((1011, "You exceeded your current quota."), "insufficient_quota", False),
        (None, "disconnected", True),
    ],
)
async def test_end_of_a_session_is_told(
    call: Call, close: tuple[int, str] | None, code: str, is_retryable: bool
) -> None:
    await call.until(ours.SessionOpened)
    await (call.session.drop() if close is None else call.session.close(*close))
    ended = await call.until(ours.SessionEnded)
    assert (ended.code, ended.is_retryable) == (code, is_retryable)
    assert isinstance(call.seen[-2], ours.ConnectionChanged)
    assert [event async for event in call.events] == []


# -- turns -------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "faults",
    [
        GeminiFaults(),
        GeminiFaults(is_text=True),
        GeminiFaults(has_finished=True, has_updates=False),
        GeminiFaults(has_status=True, has_voice_activity=True),
    ],
)
async def test_a_spoken_turn(faults: GeminiFaults) -> None:
    async with calling(faults) as call:
        await call.model.send(ours.AppendAudio(b"\1\0" * 16_000))
        await call.session.wait_heard(32_000)
        await call.session.hear("who are you")
        done = await call.alongside(hello(call.session), ours.ResponseDone)
        assert done.status is ResponseStatus.COMPLETED
        assert done.usage.total_tokens == 30
        assert call.voice(done.response_id) == VOICE
        [words] = call.all_of(ours.InputTranscriptDone)
        [said] = call.all_of(ours.TranscriptDone)
        assert (words.transcript, said.transcript) == ("who are you", "Hello there.")
        [started], [stopped] = call.all_of(ours.SpeechStarted), call.all_of(ours.SpeechStopped)
        assert started.item_id == stopped.item_id == words.item_id
        if faults.has_voice_activity:
            assert (started.audio_start_ms, stopped.audio_end_ms) == (250, 1_500)
        else:
            assert (started.audio_start_ms, stopped.audio_end_ms) == (500, 1_000)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_end", [True, False])
async def test_barge_in(has_end: bool) -> None:
    faults = GeminiFaults(late_audio=2, has_turn_end_after_cut=has_end)
    async with calling(faults) as call:
        telling = call.session.say(tone(5_000), "a very long story", pace=1.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(telling))
            await call.until(ours.AudioDelta)
            await call.session.hear("wait")
            cut = await call.until(ours.Interrupted)
        for _ in range(faults.late_audio):
            assert (await call.until(ours.AudioDelta)).response_id == cut.response_id
        call.clock.ahead_s += 0.0 if has_end else 2 * LATE_S
        done = await call.alongside(hello(call.session), ours.ResponseDone)
        assert (done.response_id, done.status) == (cut.response_id, ResponseStatus.CANCELLED)
        assert done.reason == "turn_detected"
        again = await call.until(ours.ResponseDone)
        assert (again.status, call.voice(again.response_id)) == (ResponseStatus.COMPLETED, VOICE)
        assert isinstance(call.seen[call.seen.index(cut) - 1], ours.SpeechStarted)


@pytest.mark.asyncio
async def test_greeting_is_asked_for_and_waits_its_turn(call: Call) -> None:
    call.session.reply_with = hello
    await call.model.send(ours.CreateResponse("Say exactly: Hello there."))
    await call.until(ours.ResponseCreated)
    await call.model.send(ours.CreateResponse("Say exactly: again"))
    await call.until(ours.ResponseDone)
    asked = await call.session.wait_for("clientContent", count=1)
    assert asked["turns"][0]["parts"] == [{"text": "Say exactly: Hello there."}]
    done = await call.until(ours.ResponseDone)
    assert done.status is ResponseStatus.COMPLETED
    assert call.session.history[2] == ("user", "Say exactly: again")


@pytest.mark.asyncio
async def test_cancelled_reply_is_left_out_and_the_next_request_stops_it(call: Call) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(call.session.say(tone(5_000), "a long story", pace=1.0))
        first = await call.until(ours.AudioDelta)
        await call.model.send(ours.CancelResponse("another"))
        await call.model.send(ours.CancelResponse(first.response_id))
        call.session.reply_with = hello
        await call.model.send(ours.AddText("what time is it"))
        await call.model.send(ours.CreateResponse())
        cancelled = await call.until(ours.ResponseDone)
    done = await call.until(ours.ResponseDone)
    assert (cancelled.response_id, cancelled.status, cancelled.reason) == (
        first.response_id,
        ResponseStatus.CANCELLED,
        "client_cancelled",
    )
    assert call.voice(done.response_id) == VOICE
    assert call.voice(first.response_id) == first.pcm
    assert not call.all_of(ours.SpeechStarted)


@pytest.mark.asyncio
async def test_text_added_within_a_reply_waits_for_its_end(call: Call) -> None:
    call.session.reply_with = hello
    await call.model.send(ours.CreateResponse("Say exactly: Hello there."))
    await call.model.send(ours.AddText("a note", "system"))
    await call.until(ours.AudioDelta)
    await call.until(ours.ResponseDone)
    asked, note = await call.session.wait_for("clientContent", count=2) and call.session.all_of(
        "clientContent"
    )
    assert (asked["turnComplete"], note["turnComplete"]) == (True, False)
    assert "a note" in note["turns"][0]["parts"][0]["text"]


@pytest.mark.asyncio
async def test_text_on_a_model_that_takes_no_content() -> None:
    async with calling(name="gemini-3.1-flash-live-preview") as call:
        call.session.reply_with = hello
        await call.model.send(ours.AddText("hi"))
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        assert call.session.history == [("user", "hi"), ("model", "Hello there.")]
        with pytest.raises(UnsupportedCommandError):
            await call.model.send(ours.AddText("be kind", "system"))


@pytest.mark.asyncio
async def test_manual_turn() -> None:
    settings = ModelSettings(turn_detection=False)
    async with calling(settings=settings) as call:
        call.session.reply_with = hello
        for command in (ours.ClearAudio(), ours.AppendAudio(b"\1\0"), ours.CommitAudio()):
            await call.model.send(command)
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        assert [each.content.keys() for each in call.session.received[1:]] == [
            {"activityStart"},
            {"audio"},
            {"activityEnd"},
        ]
        assert not call.all_of(ours.SpeechStarted)


# -- tools, pictures, settings -----------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [MODEL, "gemini-2.5-flash-native-audio-preview-12-2025"])
async def test_parallel_calls_are_answered_and_the_reply_goes_on(name: str) -> None:
    async with calling(name=name) as call:
        call.session.reply_with = hello
        calls = ("c1", "add", {"a": 1}), ("c2", "add", {"a": 2})
        await call.alongside(call.session.call_tools(*calls), ours.ToolCallRequested)
        await call.until(ours.ToolCallRequested)
        await call.model.send(ours.AddToolOutput("c2", "two"))
        await call.model.send(ours.AddToolOutput("c1", '{"sum": 1}'))
        await call.model.send(ours.AddToolOutput("c1", "again"))
        await call.until(ours.ResponseDone)
        answers = {call_id: each["response"] for call_id, each in call.session.answers.items()}
        assert answers == {"c1": {"sum": 1}, "c2": {"output": "two"}}
        messages = call.session.all_of("toolResponse")
        assert len(messages) == (2 if name == MODEL else 1)
        assert not call.model.capabilities.needs_response_after_tool


@pytest.mark.asyncio
async def test_cancelled_call_is_not_answered(call: Call) -> None:
    await call.alongside(call.session.call_tools(("c1", "add", {})), ours.ToolCallRequested)
    cancelled = await call.alongside(call.session.hear("no"), ours.ToolCallCancelled)
    assert cancelled.call_ids == ("c1",)
    await call.model.send(ours.AddToolOutput("c1", "3"))
    await call.model.send(ours.AppendAudio(b"\1\0"))
    await call.session.wait_heard(2)
    assert call.session.all_of("toolResponse") == []


@pytest.mark.asyncio
async def test_answer_that_waited_for_a_cancelled_call_goes_out() -> None:
    async with calling(name="gemini-2.5-flash-native-audio-preview-12-2025") as call:
        calls: Any = ("c1", "add", {}), ("c2", "add", {})
        await call.alongside(call.session.call_tools(*calls), ours.ToolCallRequested)
        await call.until(ours.ToolCallRequested)
        await call.model.send(ours.AddToolOutput("c1", "3"))
        await call.session.send({"toolCallCancellation": {"ids": ["c2"]}})
        await call.until(ours.ToolCallCancelled)
        answers = await call.session.wait_for("toolResponse")
        assert [each["id"] for each in answers["functionResponses"]] == ["c1"]


@pytest.mark.asyncio
async def test_pictures_and_changed_settings(call: Call) -> None:
    await call.model.send(ours.AddImage(b"jpeg"))
    await call.model.send(ours.AddImage(b"too soon"))
    await call.model.send(ours.UpdateSettings({"instructions": "Be long."}))
    await call.session.wait_for("contextUpdate")
    assert call.session.pictures == [b"jpeg"]
    assert call.session.setup["systemInstruction"] == {"parts": [{"text": "Be long."}]}
    for refused in (
        ours.TruncateItem("i", 0, 0),
        ours.UpdateSettings({"voice": "Puck"}),
        ours.AnswerToolApproval("r", is_approved=False),
    ):
        with pytest.raises(UnsupportedCommandError):
            await call.model.send(refused)


# -- the life of a session ---------------------------------------------------------------------


@pytest.mark.asyncio
async def test_go_away_and_resumption() -> None:
    async with FakeGeminiServer() as server:
        first = GeminiLiveModel(MODEL)
        await first.connect(config(server))
        call = Call(first, await server.next_session())
        await call.session.hear("my name is Ada")
        await call.alongside(hello(call.session), ours.ResponseDone)
        resumable = await call.until(ours.ResumptionUpdated)
        await call.session.update_handle(is_resumable=False)
        assert await call.until(ours.ResumptionUpdated) == ours.ResumptionUpdated(None)
        await call.session.go_away("0.5s")
        assert await call.until(ours.GoAwayReceived) == ours.GoAwayReceived(500)
        second = GeminiLiveModel(MODEL)
        await second.connect(config(server, resumption_handle=resumable.handle))
        assert (await server.next_session()).history == [
            ("user", "my name is Ada"),
            ("model", "Hello there."),
        ]
        await call.session.close(1011, "Deadline expired.")
        assert (await call.until(ours.SessionEnded)).is_retryable
        await first.close()
        await second.close()


@pytest.mark.asyncio
async def test_malformed_and_unknown_frames_end_nothing(call: Call) -> None:
    await call.session.send_raw("not json")
    assert (await call.until(ours.ProviderError)).code == "malformed_event"
    await call.session.send_raw('{"serverContent": {"modelTurn": {"parts": 7}}}')
    assert (await call.until(ours.ProviderError)).code == "malformed_event"
    await call.session.send({"novelty": {}}, {"serverContent": {}})
    assert (await call.until(ours.UnknownEventReceived)).type == "novelty"
    await call.alongside(hello(call.session), ours.ResponseDone)


@pytest.mark.asyncio
async def test_frames_are_logged_short_and_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "realtime")
    settings = ModelSettings(instructions="Be brief.")
    async with FakeGeminiServer() as server:
        server._memory.by_handle["secret-handle"] = []
        model = GeminiLiveModel(MODEL)
        resuming = config(
            server, resumption_handle="secret-handle", is_verbose=True, settings=settings
        )
        await model.connect(resuming)
        call = Call(model, await server.next_session())
        await call.session.update_handle()
        await call.until(ours.ResumptionUpdated)
        await model.send(ours.AppendAudio(b"\1\0" * 1_000))
        await model.close()
        assert call.session.handle is not None
        assert "Be brief." in caplog.text
        assert "secret-handle" not in caplog.text
        assert call.session.handle not in caplog.text
        assert max(len(record.getMessage()) for record in caplog.records) < 1_000
