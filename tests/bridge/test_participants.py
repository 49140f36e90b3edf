"""Clients of the bridge over real sockets: coming, going, coming back, and misbehaving."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from bridge import participant, participants, websocket
from bridge.client import BridgeClient, BridgeClosedError
from bridge.participant import Place
from bridge.participants import BridgeParticipants
from line.playout.buffer import FramePart, PlayoutFrame
from line.playout.pacer import Slot
from tests.bridge.gate import Gate
from tests.deadlines import DEADLINE_S
from tests.line.scenes.scene import RATE_HZ, News
from tests.rtc.sound import frequency_hz, tone

KEY = ("r1", "i1", 0)
FRAME = tone(440, 0.02, RATE_HZ)

pytestmark = pytest.mark.asyncio


class Stage:
    """A bridge, and what it reported."""

    def __init__(self) -> None:
        self.taken = {1000}
        self.bridge = BridgeParticipants(
            Place("demo", "a1", "Parley", RATE_HZ, None),
            keep_s=0.3,
            is_taken=lambda uid: uid in self.taken,
        )
        self.gate = Gate(self.bridge)
        self.news = News()
        self.events: list[tuple[Any, ...]] = []
        for name in ("user_joined", "user_connected", "user_left", "event"):
            self.bridge.emitter.on(name, self._listener(name))

    def _listener(self, name: str) -> Any:
        def note(*arguments: Any) -> None:
            self.events.append((name, *arguments))
            self.news.note()

        return note

    def names(self) -> list[str]:
        """Names of the events so far."""
        return [event[0] for event in self.events]

    async def wait_for(self, name: str) -> tuple[Any, ...]:
        """The last event of this name, once there is one."""
        await self.news.until(lambda: name in self.names())
        return next(event for event in reversed(self.events) if event[0] == name)

    def client(self, uid: int = 7, config: dict[str, Any] | None = None) -> BridgeClient:
        return BridgeClient(self.gate.url(uid), config)

    def play(self, frames: int, pcm: bytes = FRAME, first: int = 0) -> None:
        """The agent's voice, all at once."""
        for number in range(first, first + frames):
            part = FramePart(KEY, number * len(pcm) // 2, 0, len(pcm) // 2)
            self.bridge.play(PlayoutFrame(pcm, (part,)), Slot(0.0, 0))


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    async with made.gate:
        yield made
        await made.bridge.close()


async def open_raw(stage: Stage, uid: int = 7) -> ClientConnection:
    """A client without any manners of its own."""
    socket = await connect(stage.gate.url(uid), compression=None, proxy=None, ping_interval=None)
    await socket.send(json.dumps({"type": "client_session_create"}))
    assert json.loads(await socket.recv())["type"] == "server_session_created"
    return socket


async def close_code_of(socket: ClientConnection) -> int:
    async with asyncio.timeout(DEADLINE_S):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed:
            return socket.close_code or 0


async def until_gone(client: BridgeClient) -> BridgeClosedError:
    async with asyncio.timeout(DEADLINE_S):
        async for _ in client.events():
            pass
    assert client.closed is not None
    return client.closed


# -- coming and going -------------------------------------------------------------------------


async def test_a_client_joins_and_leaves(stage: Stage) -> None:
    async with stage.client(config={"user_name": "Ann"}) as client:
        assert client.session["agent_name"] == "Parley"
        assert stage.names() == ["user_joined", "user_connected"]
        user = stage.bridge.users[7]
        assert (user.uid, user.name, user.role) == (7, "Ann", "user")
        assert stage.bridge.statistics()[7].connection == "connected"
    _, user, reason = await stage.wait_for("user_left")
    assert (user.uid, reason) == (7, "left")
    assert not stage.bridge.users
    assert not stage.bridge.knows(7)


async def test_it_may_leave_by_a_word(stage: Stage) -> None:
    async with stage.client() as client:
        await client.send("client_leave")
        assert (await until_gone(client)).code == 1000
    assert (await stage.wait_for("user_left"))[2] == "left"


async def test_back_within_the_grace_it_has_not_left(stage: Stage) -> None:
    async with stage.client() as client:
        assert stage.bridge.send_event('{"type":"a"}', None)
        await client.wait_event("a")
        assert client._socket is not None
        client._socket.transport.abort()
        await until_gone(client)
        async with asyncio.timeout(DEADLINE_S):
            while stage.bridge.delays():  # noqa: ASYNC110 - nothing reports it
                await asyncio.sleep(0.01)
        assert not stage.bridge.send_event('{"type":"b"}', 7)
        stage.gate.changes = resumption(client)
        await client.resume()
        assert client.session["is_resumed"]
        assert (await client.wait_event("b"))["seq"] == 2
        assert stage.names() == ["user_joined", "user_connected"]


def resumption(client: BridgeClient) -> dict[str, Any]:
    """As the control server reads it from the first message."""
    return {"session_id": client.session["session_id"], "uid": 7, "last_seq": client.last_seq}


async def test_later_it_comes_again_and_after_that_it_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "RESUME_GRACE_S", 0.05)
    async with stage.client() as client:
        assert client._socket is not None
        client._socket.transport.abort()
        assert (await stage.wait_for("user_left"))[2] == "vanished"
        stage.bridge.send_event('{"type":"b"}', None)
        stage.gate.changes = resumption(client)
        await client.resume()
        await client.wait_event("b")
        assert stage.names().count("user_joined") == 2
        client._socket.transport.abort()
        await stage.news.until(lambda: stage.names().count("user_left") == 2)
        async with asyncio.timeout(DEADLINE_S):
            while stage.bridge.knows(7):  # noqa: ASYNC110 - nothing reports it
                await asyncio.sleep(0.02)


async def test_uids_are_for_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participants, "MAX_SESSIONS", 2)
    async with stage.client() as client:
        for uid in (7, 1000):
            with pytest.raises((ConnectionClosed, BridgeClosedError)):
                await stage.client(uid).connect()
        assert [one.code for one in stage.gate.refusals] == ["uid_taken", "uid_taken"]
        stage.gate.changes = {"may_replace": True}
        async with stage.client() as newer:
            closed = await until_gone(client)
            assert (closed.code, closed.error) == (4001, "replaced")
            assert list(stage.bridge.users) == [7]
            async with stage.client(8):
                with pytest.raises((ConnectionClosed, BridgeClosedError)):
                    await stage.client(9).connect()
                assert stage.gate.refusals[-1].code == "room_full"
            # Somebody with WebRTC took the uid.
            stage.bridge.drop(7)
            assert (await until_gone(newer)).code == 4001


async def test_the_end_of_the_call_is_said(stage: Stage) -> None:
    async with stage.client() as client:
        await stage.bridge.close()
        ended = await client.wait_event("server_session_ended")
        assert ended["session_id"] == client.session["session_id"]
        assert (await until_gone(client)).code == 1000
    with pytest.raises((ConnectionClosed, BridgeClosedError)):
        await stage.client(8).connect()
    assert stage.gate.refusals[0].code == "not_ready"


# -- audio ------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["pcm16", "opus", "ulaw", "alaw"])
async def test_audio_goes_both_ways_in_each_encoding(stage: Stage, encoding: str) -> None:
    from bridge.audio_codecs import AudioDecoder, AudioEncoder
    from bridge.wire_audio import WireAudio

    audio = WireAudio.model_validate({"encoding": encoding})
    encoder, decoder = AudioEncoder(audio, RATE_HZ), AudioDecoder(audio, RATE_HZ)
    config = {"audio_in": encoding, "audio_out": encoding}
    heard = bytearray()

    async def take(frames: list[Any]) -> bool:
        heard.extend(b"".join(frame.pcm for frame in frames))
        stage.news.note()
        return True

    async with stage.client(config=config) as client:
        listening = asyncio.get_running_loop().create_task(stage.bridge.deliver_audio(7, take))
        await asyncio.sleep(0)
        wave = tone(440, 0.4, RATE_HZ)
        for at in range(0, len(wave), len(FRAME)):
            await client.send_audio(encoder.encode(wave[at : at + len(FRAME)]))
        await stage.news.until(lambda: len(heard) >= len(wave) * 0.9)
        assert frequency_hz(bytes(heard[: len(wave)]), RATE_HZ) == pytest.approx(440, abs=8)
        for at in range(20):
            stage.play(1, wave[at * len(FRAME) : (at + 1) * len(FRAME)], first=at)
        got = bytearray()
        async with asyncio.timeout(DEADLINE_S):
            async for piece in client.audio():
                got += decoder.decode(piece)
                if len(got) >= len(wave) * 0.9:
                    break
        assert frequency_hz(bytes(got), RATE_HZ) == pytest.approx(440, abs=8)
        started = await client.wait_event("agent_audio_started")
        assert (started["response_id"], started["item_id"]) == ("r1", "i1")
    await listening


async def test_audio_in_events_at_rates_of_their_own(stage: Stage) -> None:
    heard = bytearray()

    async def take(frames: list[Any]) -> bool:
        heard.extend(b"".join(frame.pcm for frame in frames))
        stage.news.note()
        return True

    async with stage.client(config={"audio_as": "events", "audio_out": {"rate": 16_000}}) as client:
        listening = asyncio.get_running_loop().create_task(stage.bridge.deliver_audio(7, take))
        await asyncio.sleep(0)
        audio = base64.b64encode(tone(440, 0.2, 16_000)).decode()
        audio_format = {"type": "audio/pcm", "rate": 16_000}
        await client.send("client_audio_append", audio=audio, format=audio_format)
        await stage.news.until(lambda: len(heard) >= RATE_HZ * 0.18 * 2)
        assert frequency_hz(bytes(heard), RATE_HZ) == pytest.approx(440, abs=10)
        stage.play(2)
        delta = await client.wait_event("agent_response_audio_delta")
        assert delta["format"] == audio_format
        assert 500 < len(base64.b64decode(delta["delta"])) <= 642
    await listening


async def test_a_muted_agent_sends_nothing(stage: Stage) -> None:
    async with stage.client() as client:
        stage.bridge.set_muted(True)
        stage.play(3)
        stage.bridge.set_muted(False)
        stage.play(1, first=3)
        async for piece in client.audio():
            assert piece == FRAME
            break


async def test_a_frame_of_two_parts_is_two_messages(stage: Stage) -> None:
    async with stage.client() as client:
        parts = (FramePart(KEY, 100, 0, 100), FramePart(("r2", "i2", 0), 0, 100, 380))
        stage.bridge.play(PlayoutFrame(FRAME, parts), Slot(0.0, 0))
        started = await client.wait_event("agent_audio_started")
        assert started["item_id"] == "i2"
        got = []
        async for piece in client.audio():
            got.append(piece)
            if len(got) == 2:
                break
        assert got == [FRAME[:200], FRAME[200:]]


async def test_silence_after_the_last_sound_is_not_sent(stage: Stage) -> None:
    async with stage.client() as client:
        stage.bridge.play(PlayoutFrame(bytes(len(FRAME))), Slot(0.0, 0))
        # A fade belongs to no reply and is heard.
        stage.bridge.play(PlayoutFrame(FRAME), Slot(0.0, 0))
        async for piece in client.audio():
            assert piece == FRAME
            break


# -- misbehaving ------------------------------------------------------------------------------


async def test_what_is_no_event_or_no_audio_is_answered(stage: Stage) -> None:
    async with stage.client() as client:
        for message, code in (("{", "invalid_event"), (b"abc", "invalid_audio")):
            assert client._socket is not None
            await client._socket.send(message)
            assert (await client.wait_event("agent_error"))["code"] == code
            # At most one answer a second.
            await client._socket.send(message)
            await asyncio.sleep(1.05)
        await client.send("client_text_append", text="hi")
        _, text, uid = await stage.wait_for("event")
        assert (json.loads(text)["text"], uid) == ("hi", 7)


async def test_floods_are_not_looked_at(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participant, "TEXT_BURST", 5)
    monkeypatch.setattr(participant, "TEXTS_PER_S", 0.001)
    async with stage.client() as client:
        for _ in range(20):
            await client.send("client_activity_start")
        assert (await client.wait_event("agent_error"))["code"] == "too_many_events"
        assert stage.names().count("event") == 5
        assert stage.bridge.statistics()[7].frames_dropped >= 1


async def test_messages_may_come_in_fragments_and_control_frames_between(stage: Stage) -> None:
    socket = await open_raw(stage)
    text = json.dumps({"type": "client_text_append", "text": "ä" * 100}).encode()
    for frame in (
        Frame(Opcode.TEXT, text[:101], fin=False),
        Frame(Opcode.PING, b"x"),
        Frame(Opcode.CONT, text[101:], fin=True),
    ):
        socket.transport.write(frame.serialize(mask=True))
    _, got, _ = await stage.wait_for("event")
    assert got.encode() == text
    await socket.close()


async def test_broken_frames_end_their_connection_with_the_standards_code(stage: Stage) -> None:
    for frame, code in (
        (Frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (Frame(Opcode.TEXT, b"x" * (websocket.MAX_MESSAGE_BYTES + 1)), 1009),
        (Frame(Opcode.CONT, b"x"), 1002),
    ):
        socket = await open_raw(stage)
        socket.transport.write(frame.serialize(mask=True))
        assert await close_code_of(socket) == code
        stage.bridge.drop(7)
    socket = await open_raw(stage)
    socket.transport.write(Frame(Opcode.BINARY, b"unmasked").serialize(mask=False))
    assert await close_code_of(socket) == 1002


async def test_a_client_that_does_not_read_loses_old_audio_then_its_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "UNREAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(participant, "RESUME_GRACE_S", 0.05)
    socket = await open_raw(stage)
    socket.transport.pause_reading()
    for number in range(400):
        stage.play(20, bytes([number % 250 + 1]) * 4800, first=number * 20)
        if stage.bridge.statistics()[7].events_dropped:
            break
    assert stage.bridge.statistics()[7].events_dropped
    stage.bridge.send_event('{"type":"last"}', None)
    await stage.wait_for("user_left")
    socket.transport.resume_reading()
    assert await close_code_of(socket) in (1006, 1013)


async def test_a_silent_network_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_INTERVAL_S", 0.05)
    monkeypatch.setattr(websocket, "SILENT_AFTER_S", 0.3)
    monkeypatch.setattr(participant, "RESUME_GRACE_S", 0.05)
    async with stage.client() as client:
        # Pongs keep it open, and tell how far away it is.
        await asyncio.sleep(0.5)
        assert client.closed is None
        assert stage.bridge.delays()[7].network_s < 0.1
        assert client._socket is not None
        client._socket.transport.pause_reading()
        await stage.wait_for("user_left")
        client._socket.transport.abort()


async def test_a_client_that_sends_without_end_is_read_slowly(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "BURST_BYTES", 50_000)
    monkeypatch.setattr(websocket, "BYTES_PER_S", 500_000)
    loop = asyncio.get_running_loop()
    async with stage.client() as client:
        began_s = loop.time()
        for _ in range(60):
            await client.send("client_text_append", text="x" * 10_000)
        await stage.news.until(lambda: stage.names().count("event") == 60)
        assert loop.time() - began_s >= 0.3
