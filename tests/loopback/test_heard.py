"""What counts as heard is what sounded at the listener, however late that is. Real WebRTC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_frames import Reply
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.ear import STEP_MS
from tests.loopback.loop_watch import LoopWatch, watching_loop
from tests.loopback.stage import Person, Stage, soon
from tests.real_server import poll

STEP_S = STEP_MS / 1000
LONG = tone(10_000)
SECOND = tone(1000)
WORDS = "one two three four five six seven eight nine ten"
IMMEDIATE = {"mode": "immediate"}


class LateListener:
    """A person whose loudspeaker begins `delay_s` after the first sound came, and who says so."""

    def __init__(self, person: Person, delay_s: float, watch: LoopWatch) -> None:
        self.person, self.delay_s, self.watch = person, delay_s, watch
        # When each word was told as heard.
        self.told: list[tuple[float, dict[str, Any]]] = []
        person.channel.on("event", self._handle_event)

    def _handle_event(self, text: str, _uid: int) -> None:
        event = json.loads(text)
        if event["type"] == "agent_playout_progress":
            self.told.append((time.monotonic(), event))

    def report(self) -> None:
        """What a client tells about once a second."""
        self.person.send(type="client_playout_report", playout_delay_ms=self.delay_s * 1000)

    def played_ms(self, at_s: float) -> float:
        """How much of what is loud has sounded by then."""
        played = 0
        end_s = 0.0
        was_loud = False
        for piece in self.person.ear.pieces:
            loud = piece.loud_steps()
            if not any(loud):
                was_loud = False
                continue
            if not was_loud:
                end_s = piece.received_at + self.delay_s
            begin_s = max(end_s, piece.received_at)
            end_s = begin_s + STEP_S * len(loud)
            ends_s = (begin_s + STEP_S * number for number in range(1, len(loud) + 1))
            played += sum(is_loud and s <= at_s for is_loud, s in zip(loud, ends_s, strict=True))
            was_loud = True
        return played * STEP_S * 1000

    async def interrupt(self, session: FakeSession) -> tuple[float, float]:
        """The user speaks; how much the model was told was heard, and how much was."""
        await session.speech_started()
        truncate = await session.wait_for("conversation.item.truncate")
        cut_s = next(e.at_s for e in session.received if e.type == "conversation.item.truncate")
        return truncate["audio_end_ms"], self.played_ms(cut_s)

    def has_heard(self, told_ms: float, played_ms: float, *, within_ms: float) -> bool:
        """Whether both agree, as far as this machine keeps time."""
        return abs(told_ms - played_ms) <= within_ms + self.watch.held_up_ms


@contextlib.asynccontextmanager
async def meeting(delay_s: float) -> AsyncIterator[tuple[Stage, FakeSession, LateListener]]:
    """An agent and somebody who hears it so much later."""
    async with Stage() as stage:
        session = await stage.start(interrupt=IMMEDIATE)
        person = await stage.join()
        async with watching_loop() as watch:
            yield stage, session, LateListener(person, delay_s, watch)


@pytest.mark.asyncio
@pytest.mark.parametrize("delay_s", [0.03, 0.12, 0.4])
async def test_a_reply_is_cut_where_the_listener_was(delay_s: float) -> None:
    async with meeting(delay_s) as (_stage, session, listener):
        listener.report()
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        await listener.person.wait_loud(900)
        told_ms, played_ms = await listener.interrupt(session)
        interrupted = await listener.person.wait_event("agent_interrupted")
        await soon(saying)
        assert interrupted["audio_end_ms"] == told_ms
        assert listener.has_heard(told_ms, played_ms, within_ms=20)


@pytest.mark.asyncio
async def test_without_a_report_the_least_that_a_listener_needs_is_assumed() -> None:
    async with meeting(0.02) as (_, session, plain):
        # Nobody plays a frame before it is there: 20 ms, and what the codec holds back.
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        await plain.person.wait_loud(900)
        told_ms, played_ms = await plain.interrupt(session)
        await soon(saying)
        # What jitter the listener reports is taken for buffered: not more than a frame here.
        assert plain.has_heard(told_ms, played_ms, within_ms=40)
        assert not [e for e in plain.person.events if e["type"] == "agent_playout_progress"]


@pytest.mark.asyncio
async def test_who_reports_is_told_each_word_as_it_is_heard() -> None:
    async with meeting(0.15) as (stage, session, listener):
        listener.report()
        person = listener.person
        # The second half comes after a gap in which everything has been heard.
        reply = Reply()
        await session.send(reply.begin(), *reply.begin_speech(), reply.words(WORDS))
        await session.send(reply.audio(SECOND))
        await person.wait_loud(990)
        assert stage.agent is not None
        await asyncio.sleep(0.4)
        await session.send(reply.audio(SECOND), *reply.end_speech())
        async with asyncio.timeout(DEADLINE_S):
            while not listener.told or listener.told[-1][1]["heard_characters"] < len(WORDS):
                await person.wait_event("agent_playout_progress", len(listener.told) + 1)
        heard = 0
        for at_s, progress in listener.told:
            assert progress["item_id"] == reply.item_id
            assert progress["heard_characters"] > heard
            heard = progress["heard_characters"]
            assert WORDS[:heard].split() == WORDS.split()[: len(WORDS[:heard].split())]
            # A look every 50 ms, and what a busy machine adds to it.
            played_ms = listener.played_ms(at_s)
            assert listener.has_heard(progress["heard_ms"], played_ms, within_ms=80)
        assert len(listener.told) >= 5
        tracker = stage.agent.playback_tracker
        assert tracker.get_state()["current_item_id"] == reply.item_id

        async def is_all_played() -> bool:
            return tracker.get_state()["elapsed_ms"] == pytest.approx(2000, abs=1)

        # Those who are told are told ahead, by the time that the telling takes.
        await poll(is_all_played, DEADLINE_S)


@pytest.mark.asyncio
async def test_the_tracker_forgets_what_was_interrupted() -> None:
    async with meeting(0.1) as (stage, session, listener):
        listener.report()
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        await listener.person.wait_loud(500)
        assert stage.agent is not None
        elapsed_ms = stage.agent.playback_tracker.get_state()["elapsed_ms"]
        assert elapsed_ms is not None
        assert elapsed_ms > 0
        await session.speech_started()
        await listener.person.wait_event("agent_interrupted")
        await soon(saying)
        assert stage.agent.playback_tracker.get_state()["current_item_id"] is None


@pytest.mark.asyncio
async def test_a_report_may_name_what_has_just_been_played() -> None:
    async with meeting(0.3) as (_stage, session, listener):
        saying = asyncio.get_running_loop().create_task(session.say(LONG, WORDS, pace=0.5))
        await listener.person.wait_loud(900)
        item_id = next(e.frame["item"]["id"] for e in session.sent if e.type.endswith("item.added"))
        played_ms = listener.played_ms(asyncio.get_running_loop().time())
        listener.person.send(type="client_playout_report", item_id=item_id, played_ms=played_ms)
        # Told at once where it is.
        progress = await listener.person.wait_event("agent_playout_progress")
        assert progress["item_id"] == item_id
        await listener.person.wait_loud(1500)
        told_ms, played_ms = await listener.interrupt(session)
        await soon(saying)
        assert listener.has_heard(told_ms, played_ms, within_ms=30)


@pytest.mark.asyncio
async def test_a_report_that_says_nothing_is_refused() -> None:
    async with meeting(0.0) as (_stage, _, listener):
        listener.person.send(type="client_playout_report")
        refused = await listener.person.wait_event("agent_error")
        assert refused["code"] == "invalid_event"
        assert "playout_delay_ms" in refused["message"]
        listener.person.send(type="client_playout_report", item_id="i")
        refused = await listener.person.wait_event("agent_error", 2)
        assert "played_ms" in refused["message"]
