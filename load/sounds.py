"""Sentences of callers as Opus packets: made once, read by every process of callers."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from audio import Resampler
from load.conversation import SENTENCES, Utterance
from rtc.opus import OpusEncoder

RATE_HZ: Final = 24_000
FRAME_BYTES: Final = RATE_HZ // 50 * 2
LOUD: Final = 1500
"""Least peak of a frame with a voice in it, -27 dB below full scale."""

_SETTLING_FRAMES: Final = 5


class NoSoundError(Exception):
    """A sentence cannot be said; the text is one line."""


def is_loud(pcm: bytes) -> bool:
    """Return true if a frame holds a voice rather than silence or its fading rest."""
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max(initial=0)) > LOUD


def spoken_sentences(texts: Sequence[str] = SENTENCES) -> list[bytes]:
    """Return sentences, spoken by the packaged voice: PCM16 at `RATE_HZ`. Takes seconds.

    Raises:
        speech.errors.SpeechError: the voice is not installed.
    """
    from speech.engines.piper import PiperVoice

    # Without noise: each load hears the same.
    voice = PiperVoice(noise_scale=0.0, width_noise=0.0)
    resampler = Resampler(voice.sample_rate_hz, RATE_HZ)
    return [resampler.push(voice.synthesise(text)) + resampler.flush() for text in texts]


def utterance(pcm: bytes) -> Utterance:
    """Return a sentence as packets, without the silence at its end.

    Raises:
        NoSoundError: nothing in it is loud.
    """
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]
    loud = [number for number, frame in enumerate(frames) if is_loud(frame)]
    if not loud:
        raise NoSoundError("a sentence of the callers is silent from begin to end")
    encoder = OpusEncoder(RATE_HZ, is_dtx=False)
    spoken = frames[: loud[-1] + 1]
    return tuple(encoder.encode(frame + bytes(FRAME_BYTES - len(frame))) for frame in spoken)


def silence() -> bytes:
    """Return a packet of silence, as of an encoder that has settled."""
    encoder = OpusEncoder(RATE_HZ, is_dtx=False)
    return [encoder.encode(bytes(FRAME_BYTES)) for _ in range(_SETTLING_FRAMES)][-1]


def write_utterances(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write packets for the processes of callers."""
    texts = [[b64encode(packet).decode() for packet in packets] for packets in utterances]
    path.write_text(json.dumps(texts), encoding="ascii")


def read_utterances(path: Path) -> list[Utterance]:
    """Read what `write_utterances` has written."""
    texts: list[list[Any]] = json.loads(path.read_text(encoding="ascii"))
    return [tuple(b64decode(packet) for packet in packets) for packets in texts]
