"""Streams that come in pieces, joined before they are judged: voices in base64, and text. Pure.

A provider may cut a stream anywhere: inside a sample, inside the base64, inside a character.
"""

from __future__ import annotations

import binascii
import itertools
import re
from array import array
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from untrusted.json_reader import mend_text, read_base64
from utils import BoundedDict

MAX_STREAMS: Final = 64
"""Open at once in a session; of more the oldest is forgotten."""

S = TypeVar("S")

_Key = tuple[str | int, ...]

_SPACE: Final = re.compile(r"\s+")
_DATA_URL: Final = re.compile(r"^data:[^,]{0,100};base64,", re.IGNORECASE)
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")
_PADDING: Final = re.compile(r"=+")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# Bits of the last character that belong to no byte, by how many characters are over.
_SPARE_BITS: Final = {2: 0b1111, 3: 0b11}
_JUDGED_CHARACTERS: Final = 256


class PcmStream:
    """One voice: base64 in any form and cut anywhere, as whole 16-bit samples.

    A piece that fills no whole group of four characters is either cut inside the group, or base64 of
    its own that lacks its padding. Which of both the server does shows in what follows.
    """

    def __init__(self) -> None:
        # Pieces, or ends of pieces, that cannot be read yet; and half a sample.
        self._held: list[str] = []
        self._half = b""
        self._is_cut: bool | None = None

    def push(self, text: str) -> bytes:
        """The samples that are complete now.

        Raises:
            ValueError: this piece is not base64; the stream goes on without it.
        """
        if not self._held and not self._half and (pcm := _read_whole(text)) is not None:
            return pcm
        compact = _SPACE.sub("", _DATA_URL.sub("", text, count=1)).translate(_URL_SAFE)
        if _NOT_BASE64.search(compact):
            raise ValueError("not base64")
        # What is padded ends there, wherever that is in the piece.
        *ended, last = _PADDING.split(compact)
        paddings = [len(each) for each in _PADDING.findall(compact)]
        data = b""
        for segment, padding in zip(ended, paddings, strict=True):
            data += self._end_base64(segment, padding)
        return self._samples(data + self._go_on(last))

    def end(self) -> bytes:
        """The samples that are left when no more comes."""
        pcm = self._samples(self._end_base64("", 0))
        self._half = b""
        return pcm

    def _samples(self, data: bytes) -> bytes:
        data = self._half + data
        whole = len(data) - len(data) % 2
        self._half = data[whole:]
        return data[:whole]

    def _end_base64(self, segment: str, padding: int) -> bytes:
        """The bytes up to a place where the base64 is known to end."""
        held, self._held = [*self._held, segment] if segment else self._held, []
        if len(held) > 1 and self._is_cut is None:
            self._is_cut = _is_surely_cut(held[:-1])
        if len(held) > 1 and self._is_cut is None and padding:
            self._is_cut = (len(segment) + padding) % 4 != 0
        is_cut = self._is_cut if self._is_cut is not None else _sounds_cut(held, self._half)
        return _read_joined(held) if is_cut else _read_apart(held)

    def _go_on(self, segment: str) -> bytes:
        """The bytes that can be read with one more piece, after which more may come."""
        held, self._held = [*self._held, segment] if segment else self._held, []
        if self._is_cut is None:
            self._is_cut = _is_surely_cut(held)
        if self._is_cut is None and len(held) > 1:
            if sum(len(each) for each in held) < _JUDGED_CHARACTERS:
                self._held = held
                return b""
            self._is_cut = _sounds_cut(held, self._half)
        if self._is_cut is False:
            return _read_apart(held)
        joined = "".join(held)
        whole = len(joined) - len(joined) % 4
        self._held = [joined[whole:]] if joined[whole:] else []
        return read_base64(joined[:whole])


def _read_whole(text: str) -> bytes | None:
    """The usual case: base64 as it should be, of whole samples."""
    try:
        pcm = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return pcm if len(pcm) % 2 == 0 else None


def _is_surely_cut(pieces: Sequence[str]) -> bool | None:
    """True: no base64 of its own ends like one of these; None: it may."""
    for piece in pieces:
        over = len(piece) % 4
        if over == 1 or (over and _ALPHABET.index(piece[-1]) & _SPARE_BITS[over]):
            return True
    return None


def _sounds_cut(pieces: Sequence[str], half: bytes) -> bool | None:
    """By the voice, which is smooth, while the wrong reading is noise; None: silence in both."""
    heads = [each[:_JUDGED_CHARACTERS] if each is pieces[-1] else each for each in pieces]
    joined, apart = _roughness(half + _read_joined(heads)), _roughness(half + _read_apart(heads))
    return None if joined == apart else joined < apart


def _read_joined(pieces: Sequence[str]) -> bytes:
    return _read("".join(pieces))


def _read_apart(pieces: Sequence[str]) -> bytes:
    return b"".join(_read(each) for each in pieces)


def _read(text: str) -> bytes:
    """Without a last character that says nothing by itself."""
    return read_base64(text[:-1] if len(text) % 4 == 1 else text)


def _roughness(pcm: bytes) -> float:
    """Return the mean difference between neighbouring samples."""
    samples = array("h", pcm[: len(pcm) - len(pcm) % 2])
    if len(samples) < 2:
        return 0.0
    return sum(abs(b - a) for a, b in itertools.pairwise(samples)) / len(samples)


class TextStream:
    """Words or arguments: half a character waits for its other half."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, text: str) -> str:
        """The text that is complete now."""
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return mend_text(text)


class Streams:
    """A session's open streams, each by a name whose first part says whose it is."""

    def __init__(self) -> None:
        self._voices: BoundedDict[_Key, PcmStream] = BoundedDict(MAX_STREAMS)
        self._texts: BoundedDict[_Key, TextStream] = BoundedDict(MAX_STREAMS)

    def voice(self, key: _Key) -> PcmStream:
        """The voice of this name, begun if it is new."""
        return _open(self._voices, key, PcmStream)

    def end_voice(self, key: _Key) -> bytes:
        """No more comes of this voice; the samples that are left."""
        stream = self._voices.pop(key, None)
        return b"" if stream is None else stream.end()

    def open_voices(self, owner: str) -> list[_Key]:
        """Names of voices of this owner that did not end."""
        return [key for key in self._voices if key[0] == owner]

    def join_text(self, key: _Key, text: str) -> str:
        """The next piece of the text of this name, as far as it is complete."""
        if key not in self._texts and (not text or not "\ud800" <= text[-1] <= "\udbff"):
            return mend_text(text)
        return _open(self._texts, key, TextStream).push(text)

    def forget(self, owner: str) -> None:
        """Drop every stream whose name has this first part."""
        for streams in (self._voices, self._texts):
            for key in [key for key in streams if key[0] == owner]:
                del streams[key]


def _open(streams: BoundedDict[_Key, S], key: _Key, create: Callable[[], S]) -> S:
    if (stream := streams.get(key)) is None:
        stream = streams[key] = create()
    return stream
