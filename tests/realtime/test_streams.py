"""Streams come whole, however they were cut."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.streams import MAX_STREAMS, PcmStream, Streams, TextStream

T = TypeVar("T", bytes, str)

VOICE = array(
    "h", [int(9000 * math.sin(n / 7) + 2000 * math.sin(n / 3)) for n in range(4_000)]
).tobytes()


def pieces(data: T, sizes: Iterable[int]) -> list[T]:
    cut: list[T] = []
    for size in sizes:
        cut.append(data[:size])
        data = data[size:]
    cut.append(data)
    return cut


def heard(deltas: Iterable[str]) -> bytes:
    stream = PcmStream()
    return b"".join([*(stream.push(delta) for delta in deltas), stream.end()])


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


FORMS: dict[str, Callable[[bytes], str]] = {
    "plain": encoded,
    "in lines": lambda data: base64.encodebytes(data).decode(),
    "url-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "unpadded": lambda data: encoded(data).rstrip("="),
    "url-safe and unpadded": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
}
SIZES = st.lists(st.integers(0, 1_500), max_size=8)


@pytest.mark.parametrize("form", FORMS)
@given(sizes=SIZES)
def test_a_voice_cut_at_any_byte_is_heard_whole(form: str, sizes: list[int]) -> None:
    deltas = [FORMS[form](piece) for piece in pieces(VOICE, sizes)]
    assert heard(deltas) == VOICE


@pytest.mark.parametrize("form", FORMS)
@given(sizes=SIZES)
def test_base64_cut_at_any_character_is_heard_whole(form: str, sizes: list[int]) -> None:
    deltas = pieces(FORMS[form](VOICE), sizes)
    assert heard(deltas) == VOICE


@pytest.mark.parametrize("size", [4_799, 4_800, 4_801, 1, 2, 3, 5, 1_000, 1_001, 1_002, 1_003])
@pytest.mark.parametrize("form", FORMS)
def test_a_voice_in_pieces_of_one_size(form: str, size: int) -> None:
    by_byte = [FORMS[form](VOICE[at : at + size]) for at in range(0, len(VOICE), size)]
    assert heard(by_byte) == VOICE
    text = FORMS[form](VOICE)
    by_character = [text[at : at + size] for at in range(0, len(text), size)]
    assert heard(by_character) == VOICE


def test_half_a_sample_at_the_very_end_is_left_out() -> None:
    assert heard([encoded(VOICE[:101])]) == VOICE[:100]
    assert heard(["A"]) == b""
    assert heard([]) == b""


@pytest.mark.parametrize("kind", ["data:audio/pcm;base64,", "DATA:audio/pcm;rate=24000;base64,"])
@pytest.mark.parametrize("size", [4_800, 4_801, 7])
def test_pieces_in_data_urls_are_heard(kind: str, size: int) -> None:
    pieces = [VOICE[at : at + size] for at in range(0, len(VOICE), size)]
    assert heard([kind + encoded(each) for each in pieces]) == VOICE


@pytest.mark.parametrize("bad", ["?", "AA%A", "\u00e9", "\ud83d", "A\x00"])
def test_a_piece_that_is_no_base64_fails_alone(bad: str) -> None:
    stream = PcmStream()
    first = stream.push(encoded(VOICE[:101]))
    with pytest.raises(ValueError, match="not base64"):
        stream.push(bad)
    assert first + stream.push(encoded(VOICE[101:])) + stream.end() == VOICE


TEXT = 'Grüße, \U0001f600\U0001f680 {"a": "\U0001d11e"} Ende'


def units(text: str) -> str:
    """`text` as the UTF-16 code units that JSON's escapes are."""
    raw = text.encode("utf-16-le")
    return "".join(chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2))


@given(sizes=st.lists(st.integers(0, 9), max_size=12))
def test_text_cut_inside_characters_comes_whole(sizes: list[int]) -> None:
    stream = TextStream()
    told = [stream.push(piece) for piece in pieces(units(TEXT), sizes)]
    assert "".join(told) == TEXT
    for each in told:
        each.encode()


def test_half_a_character_that_stays_alone_is_replaced() -> None:
    stream = TextStream()
    assert [stream.push(text) for text in ("a\ud83d", "b", "\ude00c")] == [
        "a",
        "\ufffdb",
        "\ufffdc",
    ]


def test_streams_are_kept_apart_and_bounded() -> None:
    streams = Streams()
    assert streams.voice(("r", "i", 0)).push(encoded(VOICE[:1])) == b""
    assert streams.voice(("r", "j", 0)).push(encoded(VOICE[:2])) == VOICE[:2]
    assert streams.voice(("r", "i", 0)).push(encoded(VOICE[1:2])) == VOICE[:2]
    assert streams.join_text(("r", "t"), "a\ud83d") == "a"
    assert streams.join_text(("s", "t"), "\ude00") == "\ufffd"
    assert streams.join_text(("r", "t"), "\ude00") == "\U0001f600"
    streams.voice(("r", "k", 0)).push(encoded(VOICE[:1]))
    streams.forget("r")
    assert streams.end_voice(("r", "k", 0)) == b""
    first = streams.voice(("r", "i", 0))
    for number in range(MAX_STREAMS):
        streams.voice(("r", "x", number))
    assert streams.voice(("r", "i", 0)) is not first
