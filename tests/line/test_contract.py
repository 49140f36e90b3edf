"""What every line does, whatever carries the audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from line.errors import LineError
from line.frames import PcmAudioFrame
from line.line import MAX_EVENT_BYTES
from line.participants import ChatMessage
from tests.deadlines import DEADLINE_S
from tests.line.scenes.bridge import BridgeScene, RoomOfBridgeScene
from tests.line.scenes.in_process import InProcessScene
from tests.line.scenes.room import RoomScene
from tests.line.scenes.scene import RATE_HZ, Caller, News, Recorded, Scene
from tests.rtc.sound import loudness, tone
from utils import cancel_and_wait

SCENES: dict[str, Callable[[], Scene]] = {
    "room": RoomScene,
    "in-process": InProcessScene,
    "bridge": BridgeScene,
    "room beside a bridge": RoomOfBridgeScene,
}
"""One maker for each implementation of `Line`."""

USER, OTHER = 7, 8
KEY = ("reply", "item", 0)
SECOND = tone(440, 1.0, RATE_HZ)

pytestmark = pytest.mark.asyncio


class Call:
    """A connected line, what it reported, and one caller."""

    def __init__(self, scene: Scene, recorded: Recorded, caller: Caller) -> None:
        self.scene = scene
        self.line = scene.line
        self.recorded = recorded
        self.caller = caller


@pytest_asyncio.fixture(params=list(SCENES))
async def call(request: pytest.FixtureRequest) -> AsyncIterator[Call]:
    async with SCENES[request.param]() as scene:
        recorded = Recorded(scene.line)
        await scene.line.connect()
        yield Call(scene, recorded, await scene.join(USER))


class Heard:
    """The frames that a line delivers of one participant."""

    def __init__(self, call: Call, uid: int) -> None:
        self.frames: list[PcmAudioFrame] = []
        self.news = News()
        self.task = asyncio.get_running_loop().create_task(call.line.deliver_audio(uid, self._take))

    async def _take(self, frames: list[PcmAudioFrame]) -> bool:
        self.frames += frames
        self.news.note()
        return True

    @property
    def loud_ms(self) -> int:
        return 20 * sum(loudness(frame.pcm) > 3000 for frame in self.frames)


async def test_people_come_and_go(call: Call) -> None:
    assert [user.uid for (user,) in call.recorded.of("user_joined")] == [USER]
    await call.recorded.news.until(lambda: call.recorded.of("user_connected") == [(USER,)])
    user = call.line.remote_users[USER]
    assert (user.uid, user.role, user.is_muted) == (USER, "user", False)
    assert call.line.statistics().users[USER].connection == "connected"
    assert call.line.uid not in (0, USER)
    await call.caller.leave()
    left, reason = await call.recorded.wait_for("user_left")
    assert (left.uid, bool(reason)) == (USER, True)
    assert USER not in call.line.remote_users


async def test_what_they_say_comes_in_frames_without_gaps_until_they_leave(call: Call) -> None:
    with pytest.raises(LineError, match="uid 99") as caught:
        await call.line.subscribe_audio(99)
    assert caught.value.code == "unknown_member"
    await call.line.subscribe_audio(USER)
    heard = Heard(call, USER)
    try:
        call.caller.say(SECOND)
        await heard.news.until(lambda: heard.loud_ms >= 900)
        assert {(len(one.pcm), one.sample_rate_hz, one.uid) for one in heard.frames} == {
            (RATE_HZ // 50 * 2, RATE_HZ, USER)
        }
        times = [one.received_at for one in heard.frames]
        assert times == sorted(times)
        assert 900 <= heard.loud_ms <= 1200
        await call.caller.leave()
        async with asyncio.timeout(DEADLINE_S):
            await heard.task
    finally:
        await cancel_and_wait(heard.task)


async def test_a_reader_that_wants_no_more_gets_no_more(call: Call) -> None:
    taken: list[PcmAudioFrame] = []

    async def take(frames: list[PcmAudioFrame]) -> bool:
        taken.extend(frames)
        return False

    await call.line.subscribe_audio(USER)
    call.line.hold_silence(USER, None)
    call.caller.say(SECOND)
    async with asyncio.timeout(DEADLINE_S):
        await call.line.deliver_audio(USER, take)
    assert taken


async def test_what_is_said_is_heard_in_real_time(call: Call) -> None:
    line = call.line
    await call.recorded.wait_for("user_connected")
    for begin in range(0, len(SECOND), 4800):
        line.push_audio_frame(SECOND[begin : begin + 4800], key=KEY)
    line.finish_audio(KEY)
    began_s = asyncio.get_running_loop().time()
    assert await call.recorded.wait_for("playout_started") == (KEY,)
    assert line.outgoing.is_busy
    assert await call.recorded.wait_for("playout_done") == (KEY,)
    assert asyncio.get_running_loop().time() - began_s >= 0.9
    await call.caller.news.until(lambda: call.caller.loud_ms >= 950)
    async with asyncio.timeout(DEADLINE_S):
        while line.outgoing.is_busy:  # noqa: ASYNC110 - as a session follows it
            await asyncio.sleep(line.outgoing.until_frame_s(after_s=0.06))
    for heard in (line.outgoing.heard_by_all(), line.outgoing.heard(USER)):
        assert heard is not None
        assert heard.key == KEY
        assert heard.heard_ms == pytest.approx(1000, abs=1)
    assert line.playout_position() is None
    assert line.statistics().played_ms == pytest.approx(1000, abs=1)
    assert line.statistics().packets_sent >= 50


async def test_silence_comes_at_once_and_the_position_is_known(call: Call) -> None:
    line = call.line
    await call.recorded.wait_for("user_connected")
    line.push_audio_frame(SECOND * 10, key=KEY)
    await call.caller.news.until(lambda: call.caller.loud_ms >= 200)
    playing = line.playout_position()
    assert playing is not None
    assert playing.key == KEY
    (position,) = line.clear_sender_audio_buffer()
    assert position.key == KEY
    assert 200 <= position.played_ms < 9_000
    assert 0 < position.heard_ms <= position.played_ms
    assert line.playout_position() is None
    assert line.statistics().queued_ms == 0
    assert line.clear_sender_audio_buffer() == []
    line.push_audio_frame(SECOND, key=("next", "item", 0))
    line.finish_audio(("next", "item", 0))
    await call.recorded.wait_for("playout_done")
    assert call.caller.loud_ms < position.played_ms + 1100


async def test_a_pause_loses_nothing(call: Call) -> None:
    line = call.line
    await call.recorded.wait_for("user_connected")
    line.push_audio_frame(SECOND, key=KEY)
    line.finish_audio(KEY)
    await call.recorded.wait_for("playout_started")
    line.pause_playout()
    waiting_ms = line.statistics().queued_ms
    assert waiting_ms > 500
    await asyncio.sleep(0.1)
    assert line.statistics().queued_ms == waiting_ms
    line.resume_playout()
    await call.recorded.wait_for("playout_done")
    assert line.statistics().played_ms == pytest.approx(1000, abs=1)


async def test_a_muted_agent_is_not_heard_and_goes_on(call: Call) -> None:
    line = call.line
    await call.recorded.wait_for("user_connected")
    line.set_muted(True)
    assert line.statistics().is_muted
    line.push_audio_frame(SECOND, key=KEY)
    line.finish_audio(KEY)
    await call.recorded.wait_for("playout_done")
    line.set_muted(False)
    line.push_audio_frame(SECOND, key="again")
    line.finish_audio("again")
    await call.caller.news.until(lambda: call.caller.loud_ms >= 900)
    assert call.caller.loud_ms <= 1100


async def test_reports_of_a_listener_count(call: Call) -> None:
    line = call.line
    await call.recorded.wait_for("user_connected")
    line.outgoing.handle_playout_report(USER, playout_delay_ms=700, round_trip_ms=None)
    line.push_audio_frame(SECOND, key=KEY)
    line.finish_audio(KEY)
    await call.recorded.wait_for("playout_done")
    heard = line.outgoing.heard_by_all()
    assert heard is not None
    assert 200 < heard.heard_ms < 400
    line.outgoing.handle_played_report(USER, KEY, 990.0)
    after = line.outgoing.heard_by_all()
    assert after is not None
    assert after.heard_ms > 900


async def test_events_go_both_ways_to_one_or_to_all(call: Call) -> None:
    other = await call.scene.join(OTHER)
    await call.recorded.news.until(lambda: len(call.recorded.of("user_connected")) == 2)
    assert call.line.send_event('{"n": 1}', uid=USER)
    assert call.line.send_event('{"n": 2}')
    await call.caller.news.until(lambda: call.caller.events == [{"n": 1}, {"n": 2}])
    await other.news.until(lambda: other.events == [{"n": 2}])
    assert not call.line.send_event("{}", uid=99)
    with pytest.raises(ValueError, match="at most"):
        call.line.send_event("x" * (MAX_EVENT_BYTES + 1))
    other.send_event({"type": "client_activity_start"})
    text, uid = await call.recorded.wait_for("event")
    assert (text.replace(" ", ""), uid) == ('{"type":"client_activity_start"}', OTHER)


async def test_chat_reaches_them(call: Call) -> None:
    await call.line.send_chat(ChatMessage("good morning"))
    await call.caller.news.until(lambda: call.caller.chats == ["good morning"])
    with pytest.raises(ValueError, match="text"):
        await call.line.send_chat(ChatMessage(""))


async def test_a_line_is_spent_once_it_is_closed(call: Call) -> None:
    await call.line.disconnect()
    await call.line.disconnect()
    with pytest.raises(LineError) as caught:
        call.line.push_audio_frame(SECOND, key=KEY)
    assert caught.value.code == "closed"
    assert call.line.clear_sender_audio_buffer() == []
