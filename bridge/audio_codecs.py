"""Between audio on the wire and PCM16 at the rate of the line."""

from __future__ import annotations

from typing import Final

from audio import Resampler
from bridge import g711
from bridge.wire_audio import WireAudio
from rtc.opus import OpusDecoder, OpusEncoder, OpusError

MAX_PIECE_S: Final = 10.0
"""Of one piece of audio that a client sends: more is refused."""
_MAX_OPUS_BYTES: Final = 4_000


class AudioError(ValueError):
    """Not audio of the declared encoding; the text is for the client."""


class AudioDecoder:
    """One stream of a client. Freed with the object."""

    def __init__(self, audio: WireAudio, to_hz: int) -> None:
        self.audio = audio
        self._opus = OpusDecoder(to_hz) if audio.encoding == "opus" else None
        self._resampler = Resampler(audio.rate, to_hz)

    def decode(self, data: bytes) -> bytes:
        """Decode the next piece.

        Raises:
            AudioError: it is refused; the stream goes on.
        """
        if self._opus is not None:
            return self._decode_opus(self._opus, data)
        encoding = self.audio.encoding
        sample_bytes = 2 if encoding == "pcm16" else 1
        if len(data) > self.audio.rate * MAX_PIECE_S * sample_bytes:
            raise AudioError(f"audio: at most {MAX_PIECE_S:g} s at once")
        if len(data) % sample_bytes:
            raise AudioError("audio: pcm16 is cut between two samples of 2 bytes")
        if encoding in ("ulaw", "alaw"):
            data = g711.decode("ulaw" if encoding == "ulaw" else "alaw", data)
        return self._resampler.push(data)

    @staticmethod
    def _decode_opus(opus: OpusDecoder, data: bytes) -> bytes:
        if not 0 < len(data) <= _MAX_OPUS_BYTES:
            raise AudioError("audio: one Opus packet for each message")
        try:
            return opus.decode(data)
        except OpusError as error:
            raise AudioError(f"audio: not an Opus packet ({error})") from error


class AudioEncoder:
    """The agent's voice for one client, in pieces of any length; Opus in frames of 20 ms."""

    def __init__(self, audio: WireAudio, from_hz: int) -> None:
        self.audio = audio
        # Opus has a rate of its own inside: the client may decode at any.
        self._opus = OpusEncoder(from_hz) if audio.encoding == "opus" else None
        self._resampler = Resampler(from_hz, audio.rate)

    @property
    def codec_s(self) -> float:
        """The delay of sound in the codec."""
        return (
            0.0 if self._opus is None else self._opus.lookahead_samples / self._opus.sample_rate_hz
        )

    @property
    def is_framed(self) -> bool:
        """True if each piece must be a whole frame, silence after the last sound included."""
        return self._opus is not None

    def encode(self, pcm: bytes) -> bytes:
        """Encode the next piece; may be empty."""
        if self._opus is not None:
            return self._opus.encode(pcm)
        resampled = self._resampler.push(pcm)
        match self.audio.encoding:
            case "ulaw":
                return g711.encode("ulaw", resampled)
            case "alaw":
                return g711.encode("alaw", resampled)
            case _:
                return resampled
