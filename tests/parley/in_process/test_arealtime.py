"""`Agent.arealtime` against a fake of OpenAI's Realtime API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config.settings import ConfigError
from conversation.lifecycle import AgentStartError
from parley import Agent
from parley.live_events import InterruptedEvent
from parley.live_input import LiveInputQueue
from realtime.playback import RealtimePlaybackTracker
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import FakeSession, Faults, tone
from tests.parley.in_process.calls import AGENT, LiveTalk, settings_of, talking

LONG = tone(8000)

pytestmark = pytest.mark.asyncio


async def ask(talk: LiveTalk, session: FakeSession, words: str = "hi") -> None:
    """Say something at another rate than the model's, which hears it and understands."""
    talk.queue.send_audio(tone(400), 24_000)
    await session.wait_loud(300)
    item = await session.speech_started()
    await session.speech_stopped(item, words)


async def test_a_question_is_answered_and_the_end_of_the_input_ends_the_call() -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, session):
        session.reply_with = lambda each: each.say(tone(1000), "Hello there friend")
        await ask(talk, session)
        talk.queue.close()
        await talk.until_over()
    assert talk.failure is None
    order = [each for each in talk.order() if each not in ("audio_delta", "output_transcript")]
    assert order == [
        "session_started",
        "speech_started",
        "speech_stopped",
        "input_transcript",
        "audio_done",
        "turn_complete",
        "playback_done",
        "session_ended",
    ]
    assert talk.all_of("session_ended")[0].reason == "user_left"
    assert talk.audio == tone(1000)
    (first, *_) = talk.all_of("audio_delta")
    assert first.sample_rate == 24_000
    assert (first.response_id, first.item_id) != ("", "")
    assert talk.all_of("input_transcript")[-1].text == "hi"
    done = talk.all_of("output_transcript")[-1]
    assert (done.text, done.finished) == ("Hello there friend", True)


async def test_audio_comes_as_the_model_makes_it_and_counts_as_heard_in_real_time() -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, session):
        session.reply_with = lambda each: each.say(LONG, "one two three four five six")
        asked_s = asyncio.get_running_loop().time()
        await ask(talk, session)
        await talk.until(lambda: len(talk.audio) == len(LONG))
        await asyncio.sleep(0.3)
        item = await session.speech_started()
        await session.speech_stopped(item, "please stop it now")
        interrupted = await talk.until_type("interrupted")
        until_s = asyncio.get_running_loop().time()
        truncated = await session.wait_for("conversation.item.truncate")
    assert isinstance(interrupted, InterruptedEvent)
    assert truncated["audio_end_ms"] == interrupted.audio_end_ms
    assert 250 <= interrupted.audio_end_ms <= (until_s - asked_s) * 1000


async def test_a_playback_tracker_makes_the_truncation_exact() -> None:
    tracker = RealtimePlaybackTracker()
    async with (
        FakeRealtimeServer() as server,
        talking(server, playback_tracker=tracker) as (talk, session),
    ):
        session.reply_with = lambda each: each.say(LONG, "one two three four five six")
        await ask(talk, session)
        await talk.until(lambda: len(talk.audio) == len(LONG))
        first = talk.all_of("audio_delta")[0]
        tracker.on_play_bytes(first.item_id, 0, talk.audio[: 24 * 2 * 1234])
        item = await session.speech_started()
        await session.speech_stopped(item, "please stop it now")
        interrupted = await talk.until_type("interrupted")
        truncated = await session.wait_for("conversation.item.truncate")
    assert interrupted.audio_end_ms == truncated["audio_end_ms"] == 1234


async def test_text_is_answered_and_an_interruption_by_hand_silences() -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, session):
        session.reply_with = lambda each: each.say(tone(4000), "a long answer")
        talk.queue.send_text("What is it?")
        await talk.until_type("turn_complete")
        talk.queue.interrupt()
        await talk.until_type("interrupted")
    (added,) = session.all_of("conversation.item.create")
    assert added["item"]["content"][0]["text"] == "What is it?"


async def test_refused_input_is_an_event_and_costs_nothing_else() -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, session):
        session.reply_with = lambda each: each.say(tone(100), "yes")
        talk.queue.send_text("x" * 9_000)
        talk.queue.send_image(b"GIF89a", "image/gif")
        talk.queue.send_activity_start()
        talk.queue.send_tool_result("call_unknown", {"x": 1})
        talk.queue.send_text("still there?")
        await talk.until_type("turn_complete")
        codes = [each.code for each in talk.all_of("error")]
    assert codes.count("invalid_input") == 2
    assert "turn_detection_is_on" in codes
    assert "unknown_call" in codes
    assert not any(each.fatal for each in talk.all_of("error"))


async def test_turns_by_hand() -> None:
    agent = Agent("demo", provider="openai", model="gpt-realtime", turn_detection={"type": "none"})
    async with FakeRealtimeServer() as server, talking(server, agent) as (talk, session):
        session.reply_with = lambda each: each.say(tone(100), "yes")
        talk.queue.send_activity_start()
        talk.queue.send_audio(tone(300), 24_000)
        talk.queue.send_activity_end()
        await talk.until_type("turn_complete")
        await session.wait_for("input_audio_buffer.commit")


async def test_a_generator_that_is_closed_leaves_nothing() -> None:
    async with FakeRealtimeServer() as server:
        queue = LiveInputQueue()
        events = AGENT.arealtime(queue, settings=settings_of(server))

        async def first() -> Any:
            return await anext(events)

        waiting = asyncio.get_running_loop().create_task(first())
        session = await server.next_session()
        session.reply_with = lambda each: each.say(tone(3000), "a long answer")
        queue.send_text("go")
        await waiting
        await events.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        # Another call may use the queue again.
        queue.attach(lambda: None)
        queue.detach()


async def test_a_call_that_is_cancelled_while_it_connects_leaves_nothing() -> None:
    async with FakeRealtimeServer(faults=Faults(is_silent=True)) as server:
        talk = LiveTalk()
        events = AGENT.arealtime(talk.queue, settings=settings_of(server))
        task = asyncio.get_running_loop().create_task(talk.take(events))
        await server.next_session()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_model_that_is_not_reached_is_raised() -> None:
    async with FakeRealtimeServer(faults=Faults(reject_status=401)) as server:
        talk = LiveTalk()
        await talk.take(AGENT.arealtime(talk.queue, settings=settings_of(server)))
    assert isinstance(talk.failure, AgentStartError)


async def test_a_missing_setting_is_raised_with_its_name() -> None:
    talk = LiveTalk()
    settings = {"PARLEY_ENV_FILE": "", "OPENAI_API_KEY": ""}
    await talk.take(AGENT.arealtime(talk.queue, settings=settings))
    assert isinstance(talk.failure, ConfigError)
    assert "OPENAI_API_KEY" in str(talk.failure)
    await talk.take(AGENT.arealtime(talk.queue, start={"voice": 7}, settings=settings))
    assert "voice" in str(talk.failure)


async def test_a_lost_model_comes_back_or_ends_the_call_with_a_fatal_error() -> None:
    settings = {"RECONNECT_GIVE_UP_S": "0.5", "RECONNECT_BASE_DELAY_S": "0.01"}
    async with FakeRealtimeServer() as server:
        settings |= settings_of(server)
        async with talking(server, settings=settings) as (talk, session):
            await talk.until_type("session_started")
            await session.close(1011, "gone")
            second = await server.next_session()
            await talk.until(
                lambda: "open" in [e.status for e in talk.all_of("connection_changed")]
            )
            server.faults.reject_status = 503
            await second.close(1011, "gone")
            await talk.until_over()
    last = talk.seen[-1]
    assert (last.type, getattr(last, "code", ""), getattr(last, "fatal", False)) == (
        "error",
        "provider_failed",
        True,
    )


async def test_two_calls_cannot_share_a_queue() -> None:
    async with FakeRealtimeServer() as server, talking(server) as (talk, _session):
        await talk.until_type("session_started")
        with pytest.raises(RuntimeError, match="another call"):
            await anext(AGENT.arealtime(talk.queue, settings=settings_of(server)))
