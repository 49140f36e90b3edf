"""Our RTP parser agrees with aiortc's, on sound packets and on any other bytes."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap
from aiortc.rtp import RtpPacket as AiortcPacket
from hypothesis import example, given
from hypothesis import strategies as st

from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.aiortc_hooks.rtp_parser import parse_rtp, stated_level

HEADER = struct.pack("!BBHLL", 0x80, 0x60, 7, 960, 42)


def with_first(first: int, rest: bytes = b"") -> bytes:
    """A packet whose first byte announces more than a plain header."""
    return bytes([first]) + HEADER[1:] + rest


def aiortc_parse(data: bytes) -> RtpPacket | None:
    """What aiortc reads; None: it refuses the packet."""
    try:
        packet = AiortcPacket.parse(data)
    except ValueError:
        return None
    return RtpPacket(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)


def our_parse(data: bytes) -> RtpPacket | None:
    """The same by our parser."""
    try:
        return parse_rtp(data)
    except ValueError:
        return None


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Bytes that begin as RTP does, with lengths in them that may be true or not."""
    first = draw(st.one_of(st.integers(0x80, 0xBF), st.integers(0, 255)))
    body = draw(st.binary(max_size=80))
    extension = draw(st.sampled_from([b"", b"\xbe\xde\x00\x01\x10a\x00\x00", b"\x10\x00\x00\x00"]))
    header = bytes([first]) + draw(st.binary(min_size=11, max_size=11))
    data = header + bytes(4 * (first & 15)) * draw(st.integers(0, 1)) + extension + body
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


@given(st.one_of(packets(), st.binary(max_size=100)))
@example(with_first(0xA0))
@example(with_first(0xA0, b"\x00"))
@example(with_first(0xA0, b"ab\x03"))
@example(with_first(0xA0, b"ab\x04"))
@example(with_first(0x90, b"\xbe\xde"))
@example(with_first(0x90, b"\xbe\xde\xff\xff"))
@example(with_first(0x8F))
@example(with_first(0xC0, b"voice"))
@example(HEADER[:-1])
@example(b"")
def test_every_packet_that_aiortc_reads_is_read_the_same(data: bytes) -> None:
    theirs = aiortc_parse(data)
    if theirs is not None:
        assert our_parse(data) == theirs


@given(packets())
def test_a_packet_without_header_extension_is_refused_where_aiortc_refuses_it(data: bytes) -> None:
    # What is in a header extension is not read here, so it cannot be a reason to refuse.
    if data and not data[0] & 0x10:
        assert our_parse(data) == aiortc_parse(data)


def test_contributors_extension_and_padding_are_no_part_of_the_payload() -> None:
    contributors = bytes(8)
    extension = b"\xbe\xde\x00\x01\x20\x7f\x00\x00"
    data = with_first(0x80 | 0x20 | 0x10 | 2, contributors + extension + b"voice" + b"\0\0\x03")
    assert parse_rtp(data) == RtpPacket(42, 7, 960, b"voice")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "shorter than"),
        (HEADER[:11], "shorter than"),
        (with_first(0x40), "version"),
        (with_first(0x81, bytes(3)), "within the header"),
        (with_first(0x90, b"\xbe\xde\x00"), "before the header extension"),
        (with_first(0x90, b"\xbe\xde\x00\x02" + bytes(7)), "within the header"),
        (with_first(0xA0, b"ab\x00"), "padding"),
        (with_first(0xA0, b"ab\x09"), "padding"),
    ],
)
def test_a_malformed_packet_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_rtp(data)


EXTENSION_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
LEVEL_ID = 3


def _aiortc_level(data: bytes) -> int | None:
    """What aiortc reads of the audio level; None also for a voice."""
    ids = HeaderExtensionsMap()
    ids.configure(
        RTCRtpParameters(
            headerExtensions=[RTCRtpHeaderExtensionParameters(LEVEL_ID, EXTENSION_URI)]
        )
    )
    level = AiortcPacket.parse(data, ids).extensions.audio_level
    return None if level is None or level[0] else level[1]


@st.composite
def elements(draw: st.DrawFn) -> bytes:
    """A one-byte header extension: elements in any order, with padding between them."""
    parts = draw(
        st.lists(
            st.one_of(
                st.just(b"\0"),
                st.binary(min_size=1, max_size=1).map(lambda b: bytes([LEVEL_ID << 4]) + b),
                st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)).map(
                    lambda e: bytes([e[0] << 4 | len(e[1]) - 1]) + e[1]
                ),
            ).filter(lambda part: part[0] >> 4 != LEVEL_ID or len(part) == 2),
            max_size=5,
        )
    )
    # Of several, aiortc takes the last one; a sender states one.
    once = [part for at, part in enumerate(parts) if part[0] >> 4 != LEVEL_ID or at == 0]
    value = b"".join(once)
    value += bytes(-len(value) % 4)
    return struct.pack("!HH", 0xBEDE, len(value) // 4) + value


@given(elements(), st.integers(0, 3), st.binary(max_size=20))
def test_the_stated_level_is_the_one_that_aiortc_reads(
    extension: bytes, contributors: int, payload: bytes
) -> None:
    data = with_first(0x90 | contributors, bytes(4 * contributors) + extension + payload)
    assert stated_level(data, LEVEL_ID) == _aiortc_level(data)


@given(st.one_of(packets(), st.binary(max_size=100)), st.integers(-1, 15))
def test_any_bytes_may_be_asked_for_a_level(data: bytes, extension_id: int) -> None:
    level = stated_level(data, extension_id)
    assert level is None or 0 <= level <= 127


def test_a_packet_that_its_sender_calls_a_voice_states_no_silence() -> None:
    for stated, level in ((127, 127), (0x80 | 127, None)):
        extension = bytes([0xBE, 0xDE, 0, 1, LEVEL_ID << 4, stated, 0, 0])
        assert stated_level(with_first(0x90, extension), LEVEL_ID) == level
