"""One peer connection over loopback: foreign offers, data channels of any kind, and what is too much."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aioice import stun
from aiortc.rtcsctptransport import DataChunk, SackChunk
from google_crc32c import value as crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtc.aiortc_hooks import sctp as sctp_adapter
from rtc.aiortc_hooks.ice import MAX_KNOWN_ADDRESSES
from rtc.media_network import MediaNetwork
from rtc.options import MediaOptions
from rtc.peer.peer import Peer, PeerCallbacks, PeerError
from rtc.signaling.candidates import MAX_REMOTE_CANDIDATES
from rtc.signaling.protocol import RelayedCandidate
from tests.deadlines import DEADLINE_S
from tests.fakes.stock_caller import Munge, StockCaller, sections_of

ON_LOOPBACK = MediaOptions(network=MediaNetwork(bind_address="127.0.0.1"))


class Side:
    """A peer of ours, and what it reported."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.refused: asyncio.Queue[str] = asyncio.Queue()
        self.packets: asyncio.Queue[Any] = asyncio.Queue()
        callbacks = PeerCallbacks(
            on_packet=self.packets.put_nowait,
            on_event=self.events.put_nowait,
            on_event_refused=self.refused.put_nowait,
            on_path_dead=lambda: None,
        )
        self.peer = Peer("connection", (), ON_LOOPBACK, callbacks)


@asynccontextmanager
async def _call(
    munge: Munge = lambda offer: offer, labels: tuple[str, ...] = ("events",)
) -> AsyncIterator[tuple[Side, StockCaller]]:
    """A call of a stock client that is answered, perhaps before it is up."""
    async with asyncio.timeout(DEADLINE_S), AsyncExitStack() as stack:
        side, caller = Side(), StockCaller(labels, munge)
        stack.push_async_callback(side.peer.close)
        stack.push_async_callback(caller.close)
        await caller.accept(await side.peer.answer(await caller.offer()))
        yield side, caller


def _swapped(offer: str) -> str:
    head, (audio, data) = sections_of(offer)
    return head.replace("BUNDLE 0 1", "BUNDLE 1 0") + data + audio


def _with_video(offer: str) -> str:
    head, (audio, data) = sections_of(offer)
    video = audio.replace("m=audio", "m=video").replace("a=mid:0", "a=mid:v")
    video = re.sub(r"a=rtpmap:[^\r]*", "a=rtpmap:96 VP8/90000", video)
    return head.replace("BUNDLE 0 1", "BUNDLE v 0 1") + video + audio + data


def _with_second_audio(offer: str) -> str:
    head, (audio, data) = sections_of(offer)
    second = audio.replace("a=mid:0", "a=mid:2")
    return head.replace("BUNDLE 0 1", "BUNDLE 0 1 2") + audio + data + second


def _without(*lines: str) -> Munge:
    return lambda offer: re.sub(rf"^({'|'.join(lines)})\r\n", "", offer, flags=re.MULTILINE)


def _with_opus_at(number: int) -> Munge:
    def munge(offer: str) -> str:
        offer = re.sub(r"(m=audio \d+ \S+) [^\r]*", rf"\1 {number}", offer)
        offer = re.sub(r"a=(rtpmap|fmtp|rtcp-fb):[^\r]*\r\n", "", offer)
        return offer.replace("a=mid:0\r\n", f"a=mid:0\r\na=rtpmap:{number} OPUS/48000/2\r\n")

    return munge


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "munge",
    [
        _swapped,
        _with_video,
        _with_second_audio,
        _without("a=sendrecv"),
        _without(r"a=mid:\d"),
        _without("a=mid:0"),
        _without("a=group:[^\r]*"),
        _without(r"a=mid:\d", "a=group:[^\r]*"),
        _without("a=setup:[^\r]*"),
        _without("a=ssrc[^\r]*", "a=msid[^\r]*", "a=rtcp:[^\r]*", "c=[^\r]*"),
        lambda offer: offer.replace("\r\n", "\n"),
        lambda offer: offer.replace("t=0 0", "t=0 0\r\na=sendrecv").replace("\na=sendrecv\r\na=mid", "\na=mid"),
        lambda offer: offer.replace("a=mid:0", "a=mid:0\r\na=ssrc:1\r\na=fmtp:96\r\na=candidate:1"),
        lambda offer: offer.replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"),
        lambda offer: offer.replace("setup:actpass", "setup:active"),
        lambda offer: offer.replace("setup:actpass", "setup:passive"),
        lambda offer: offer.replace("m=audio ", "m=audio  ").replace("SAVPF", "SAVP"),
    ],
)  # fmt: skip
async def test_an_unusual_offer_is_answered_and_connects(munge: Munge) -> None:
    async with _call(munge) as (side, caller):
        await side.peer.wait_connected()
        await caller.wait_open()
        caller.channels[0].send("ping")
        assert await side.events.get() == "ping"
        assert side.peer.send_event("pong")
        assert await caller.received.get() == ("events", "pong")


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [35, 63, 96, 111, 127])
async def test_opus_has_the_number_that_the_offer_gives_it(number: int) -> None:
    async with AsyncExitStack() as stack:
        side, caller = Side(), StockCaller()
        stack.push_async_callback(side.peer.close)
        stack.push_async_callback(caller.close)
        answer = await side.peer.answer(_with_opus_at(number)(await caller.offer()))
    assert f"a=rtpmap:{number} opus/48000/2\r\n" in answer
    assert re.search(rf"^m=audio \d+ \S+ {number}\r\n", answer, re.MULTILINE)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("direction", "ours"),
    [("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
async def test_one_way_calls_are_answered_the_other_way(direction: str, ours: str) -> None:
    async with AsyncExitStack() as stack:
        side, caller = Side(), StockCaller()
        stack.push_async_callback(side.peer.close)
        stack.push_async_callback(caller.close)
        caller.transceiver.direction = direction
        answer = await side.peer.answer(await caller.offer())
        assert f"a={ours}\r\n" in answer
        await caller.accept(answer)
        async with asyncio.timeout(DEADLINE_S):
            await side.peer.wait_connected()
            side.peer.track.send(b"\xf8\xff\xfe", 0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("munge", "reason"),
    [
        (_without("a=rtcp-mux"), "need a=rtcp-mux"),
        (_without("a=ice-pwd:[^\r]*"), "need a=ice-ufrag"),
        (_without("a=fingerprint:[^\r]*"), "need a=fingerprint"),
        (lambda offer: offer.replace("opus", "speex"), "need Opus"),
        (lambda _: "", "need an audio section"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_the_reason(
    munge: Munge, reason: str
) -> None:
    async with AsyncExitStack() as stack:
        side, caller = Side(), StockCaller(munge=munge)
        stack.push_async_callback(side.peer.close)
        stack.push_async_callback(caller.close)
        with pytest.raises(PeerError, match=reason) as refusal:
            await side.peer.answer(await caller.offer())
        assert refusal.value.code == "invalid"


# -- data channels ---------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("labels", [("oai-events",), ("chat", "data"), ("data", "events", ""), ()])
async def test_media_waits_for_no_channel_and_each_channel_works(labels: tuple[str, ...]) -> None:
    async with _call(labels=labels) as (side, caller):
        await side.peer.wait_connected()
        assert side.peer.send_event("hello") is bool(labels)
        await caller.wait_open()
        if labels:
            assert await caller.received.get() == (
                "events" if "events" in labels else labels[0],
                "hello",
            )
        for number, channel in enumerate(caller.channels):
            channel.send(f"from {number}")
            assert await side.events.get() == f"from {number}"
        assert side.peer.send_event("to all") is bool(labels)
        answered = {await caller.received.get() for _ in labels}
        assert answered == {(label, "to all") for label in labels}


@pytest.mark.asyncio
async def test_media_flows_though_no_channel_is_ever_opened() -> None:
    def never_opened(offer: str) -> str:
        return offer.replace("a=sctp-port:5000", "a=sctp-port:5001")

    async with _call(never_opened) as (side, _):
        await side.peer.wait_connected()
        assert side.peer.send_event("for whenever one is")


@pytest.mark.asyncio
async def test_a_channel_that_was_agreed_upon_elsewhere_works() -> None:
    async with _call(labels=("events",)) as (side, caller):
        agreed = caller.connection.createDataChannel("mine", negotiated=True, id=7)
        await caller.wait_open()
        agreed.send("over it")
        assert await side.events.get() == "over it"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b'{"type": "x"}', "not binary"),
        (b"", "not binary"),
        ("x" * 61_441, "at most 61440"),
        ("é" * 30_721, "at most 61440"),
        ("x" * 200_000, "at most 61440"),
    ],
)
async def test_what_is_no_event_is_said_to_be_none(message: str | bytes, reason: str) -> None:
    async with _call() as (side, caller):
        await caller.wait_open()
        caller.channels[0].send(message)
        assert reason in await side.refused.get()
        caller.channels[0].send("x" * 61_440)
        assert len(await side.events.get()) == 61_440


@pytest.mark.asyncio
async def test_text_that_is_none_is_said_to_be_none() -> None:
    async with _call() as (side, caller):
        await caller.wait_open()
        assert caller.connection.sctp is not None
        await caller.connection.sctp._send(caller.channels[0].id or 0, 51, b"\xff\xfe")
        assert "not binary" in await side.refused.get()


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [10, 17, 40])
async def test_too_many_channels_are_closed_again(count: int) -> None:
    labels = tuple(f"label {number}" for number in range(count))
    async with _call(labels=labels) as (side, caller):
        closed = [asyncio.Event() for _ in labels]
        for channel, event in zip(caller.channels, closed, strict=True):
            channel.on("close", event.set)
        for event in closed[8:]:
            await event.wait()
        caller.channels[7].send("still there")
        assert await side.events.get() == "still there"


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", ["1", "10"])
async def test_a_client_that_takes_short_messages_only_costs_no_exception(limit: str) -> None:
    def munge(offer: str) -> str:
        return re.sub(r"a=max-message-size:\d+", f"a=max-message-size:{limit}", offer)

    async with _call(munge) as (side, caller):
        await caller.wait_open()
        caller.channels[0].send("hello")
        await side.events.get()
        assert not side.peer.send_event("longer than that")
        assert side.peer.events_dropped == 1


# -- what is too much ------------------------------------------------------------------------------


async def _send_raw(caller: StockCaller, *chunks: Any) -> None:
    sctp: Any = caller.connection.sctp
    for chunk in chunks:
        await sctp._send_chunk(chunk)


def _piece(caller: StockCaller, data: bytes, flags: int = 0) -> DataChunk:
    sctp: Any = caller.connection.sctp
    chunk = DataChunk(flags=flags)
    chunk.tsn, sctp._local_tsn = sctp._local_tsn, sctp._local_tsn + 1
    chunk.stream_id, chunk.stream_seq, chunk.protocol = caller.channels[0].id or 0, 1, 51
    chunk.user_data = data
    return chunk


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1100, 1, 0])
async def test_a_message_without_end_ends_its_connection(size: int) -> None:
    async with _call() as (side, caller):
        await caller.wait_open()
        ours: Any = caller.connection.sctp
        theirs: Any = side.peer._pc.sctp
        for number in range(1200):
            await _send_raw(caller, _piece(caller, b"x" * size, flags=2 if number == 0 else 0))
            # A datagram that the system drops would leave a gap, and nobody sends it again.
            last = ours._local_tsn - 1
            while not (theirs._last_received_tsn == last or side.peer.ended.is_set()):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await side.peer.ended.wait()
        assert not any(stream.reassembly for stream in theirs._inbound_streams.values())


@pytest.mark.asyncio
async def test_a_flood_of_messages_is_slowed_down_and_nothing_else_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sctp_adapter, "PACKETS_PER_S", 100.0)
    loop = asyncio.get_running_loop()
    async with _call() as (side, caller):
        await caller.wait_open()
        begun_s = loop.time()
        for number in range(10):
            caller.channels[0].send(f"{number}".ljust(50_000))
        for number in range(10):
            assert (await side.events.get()).strip() == f"{number}"
        # 430 packets, of which 200 may come at once.
        assert loop.time() - begun_s > 2
        assert not side.peer.ended.is_set()


def _raw(sctp: Any, chunk: bytes) -> bytes:
    """A packet of one chunk, sound but for what is in it."""
    head = struct.pack("!HHL", 5000, 5000, sctp._remote_verification_tag)
    checksum = struct.pack("<L", crc32c(head + bytes(4) + chunk))
    return head + checksum + chunk


def _chunk(kind: int, body: bytes) -> Callable[[Any], bytes]:
    return lambda sctp: _raw(sctp, struct.pack("!BBH", kind, 0, len(body) + 4) + body)


def _sack(first: int, last: int) -> Callable[[Any], bytes]:
    chunk = SackChunk()
    chunk.gaps = [(first, last)] * 200
    return lambda sctp: _raw(sctp, bytes(chunk))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "build",
    [
        # A parameter of length 0 keeps aiortc's parser busy for ever.
        *(_chunk(kind, b"\0" * 24) for kind in (1, 2, 4, 5, 6, 9, 130)),
        _chunk(130, b"\0\x0d\0\x08abcd"),
        _chunk(192, b"\0\0\0\x01\0"),
        _chunk(192, b""),
        _chunk(0, b"\0"),
        _chunk(3, b"\0" * 3),
        _chunk(7, b"\0"),
        lambda _: b"",
        lambda _: b"\0" * 40,
        _sack(1, 65_535),
        _sack(9, 2),
    ],
)
async def test_a_packet_that_cannot_be_read_costs_that_packet(
    build: Callable[[Any], bytes],
) -> None:
    async with _call() as (side, caller):
        await caller.wait_open()
        sctp: Any = caller.connection.sctp
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for _ in range(5):
            await sctp.transport._send_data(build(sctp) or b"x")
        caller.channels[0].send("after it")
        assert await side.events.get() == "after it"
        assert loop.time() - begun_s < 2


@pytest.mark.asyncio
async def test_a_connection_that_sends_nothing_else_is_ended() -> None:
    async with _call() as (side, caller):
        await caller.wait_open()
        sctp: Any = caller.connection.sctp
        for _ in range(100):
            await sctp.transport._send_data(b"\0" * 40)
        await side.peer.ended.wait()


@pytest.mark.asyncio
async def test_voice_from_more_streams_than_a_client_has_is_left_out() -> None:
    async with _call() as (side, caller):
        await side.peer.wait_connected()
        await caller.wait_open()
        dtls: Any = caller.connection.getTransceivers()[0].receiver.transport
        for number in range(60):
            head = b"\x80\x60" + number.to_bytes(2, "big") + b"\0\0\0\x01"
            await dtls._send_rtp(head + (1000 + number).to_bytes(4, "big") + b"\xf8\xff\xfe")
            await asyncio.sleep(0)
        caller.channels[0].send("after them")
        await side.events.get()
        receiver: Any = side.peer._pc.getTransceivers()[0].receiver
        assert 1 <= len(receiver._RTCRtpReceiver__remote_streams) <= 8


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "datagram",
    [
        # STUN whose PRIORITY, XOR-MAPPED-ADDRESS or ERROR-CODE has a length of its own.
        b"\0\x01\0\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\0\x24\0\x01p\0\0\0",
        b"\x01\x01\0\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\0\x20\0\x04\0\x01\0\0",
        b"\x01\x11\0\x08\x21\x12\xa4\x42" + b"t" * 12 + b"\0\x09\0\x01\0\0\0\0",
        *(
            b"",
            b"\0",
            b"\x16" * 3,
            b"\x16\xfe\xfd" + b"\0" * 40,
            b"\x80",
            b"\x80\xc8",
            b"\xbf" * 1500,
        ),
    ],
)
async def test_a_strangers_datagram_costs_that_datagram(
    datagram: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with _call() as (side, caller):
        await side.peer.wait_connected()
        ice: Any = side.peer._pc.getTransceivers()[0].receiver.transport.transport._connection
        loop = asyncio.get_running_loop()
        address = ice._protocols[0].local_candidate
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(address.host, address.port)
        )
        for _ in range(400):
            transport.sendto(datagram)
        await caller.wait_open()
        caller.channels[0].send("after it")
        assert await side.events.get() == "after it"
        transport.close()
        assert ice._queue.qsize() <= 256
    assert not [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")]


@pytest.mark.asyncio
async def test_addresses_are_learnt_and_named_only_so_many() -> None:
    async with _call() as (side, _):
        await side.peer.wait_connected()
        ice: Any = side.peer._pc.getTransceivers()[0].receiver.transport.transport._connection
        known = len(ice._remote_candidates)
        check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        check.attributes["PRIORITY"] = 1
        for port in range(20_000, 20_000 + 3 * MAX_KNOWN_ADDRESSES):
            ice.check_incoming(check, ("127.0.0.2", port), ice._protocols[0])
        assert known < len(ice._remote_candidates) <= MAX_KNOWN_ADDRESSES
        # Known ones are still answered.
        ice.check_incoming(check, ("127.0.0.2", 20_000), ice._protocols[0])


@pytest.mark.asyncio
async def test_trickled_candidates_are_taken_for_our_section_up_to_a_number() -> None:
    async with AsyncExitStack() as stack:
        side, caller = Side(), StockCaller(munge=_without("a=candidate[^\r]*", "a=end[^\r]*"))
        stack.push_async_callback(side.peer.close)
        stack.push_async_callback(caller.close)
        await side.peer.answer(await caller.offer())
        text = "candidate:1 1 udp 1 10.1.0.{} 5000 typ host"
        for frame in (
            {"candidate": text.format(1), "sdp_mid": "0"},
            {"candidate": text.format(2), "sdp_m_line_index": 0},
            {"candidate": text.format(3)},
            {"candidate": text.format(4), "sdp_mid": "1", "sdp_m_line_index": 1},
            {"candidate": text.format(5), "sdp_m_line_index": 1},
            {"candidate": "candidate:1 1 udp 1 169.254.169.254 80 typ host", "sdp_mid": "0"},
            {"candidate": "candidate:1 1 udp 1 metadata.example 80 typ host", "sdp_mid": "0"},
            {"candidate": "nonsense"},
            {"candidate": ""},
        ):
            sent = RelayedCandidate.model_validate({"from": 1, "connection_id": "c", **frame})
            await side.peer.add_candidate(sent)
        ice: Any = side.peer._pc.getTransceivers()[0].receiver.transport.transport
        named = [one.ip for one in ice.getRemoteCandidates()]
        assert named == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
        for number in range(100):
            frame = {"candidate": text.format(number + 10), "sdp_mid": "0"}
            sent = RelayedCandidate.model_validate({"from": 1, "connection_id": "c", **frame})
            await side.peer.add_candidate(sent)
        assert len(ice.getRemoteCandidates()) == MAX_REMOTE_CANDIDATES


# -- anything --------------------------------------------------------------------------------------


@st.composite
def _munges(draw: st.DrawFn) -> Callable[[list[str]], list[str]]:
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["drop", "double", "move", "value", "cut", "insert"]),
                st.integers(0, 60),
                st.integers(0, 60),
                st.sampled_from(
                    ["", "x", "0", "-1", "9" * 30, "é", "a b c", "\x00", "opus/48000/2", "IN IP4 x"]
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def munge(lines: list[str]) -> list[str]:
        for step, first, second, text in steps:
            at, to = first % len(lines), second % len(lines)
            match step:
                case "drop":
                    lines = lines[:at] + lines[at + 1 :] or [""]
                case "double":
                    lines = [*lines[:to], lines[at], *lines[to:]]
                case "move":
                    lines = [*lines]
                    lines.insert(to, lines.pop(at))
                case "value":
                    lines = [
                        *lines[:at],
                        lines[at].partition(":")[0] + ":" + text,
                        *lines[at + 1 :],
                    ]
                case "cut":
                    lines = [*lines[:at], lines[at][: len(lines[at]) // 2], *lines[at + 1 :]]
                case _:
                    lines = [*lines[:at], text, *lines[at:]]
        return lines

    return munge


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(munge=_munges(), is_answer=st.booleans())
def test_whatever_is_offered_or_answered_is_used_or_refused_at_once(
    munge: Callable[[list[str]], list[str]], is_answer: bool
) -> None:
    async def negotiate() -> str:
        """How it ended."""
        side, other = Side(), Side()
        try:
            async with asyncio.timeout(5):
                offer = await other.peer.offer()
                if not is_answer:
                    return await side.peer.answer("\r\n".join(munge(offer.split("\r\n"))))
                answer = await side.peer.answer(offer)
                await other.peer.accept("\r\n".join(munge(answer.split("\r\n"))))
                return answer
        except PeerError as error:
            return error.code
        finally:
            await asyncio.gather(side.peer.close(), other.peer.close())

    # Neither "failed", which is for what nobody expected, nor another exception, nor a wait.
    assert asyncio.run(negotiate()).startswith(("v=0\r\n", "invalid"))
