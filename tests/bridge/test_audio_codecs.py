"""Between the wire and the line: each encoding carries a tone, and refuses what is none of it."""

from __future__ import annotations

import pytest

from bridge.audio_codecs import AudioDecoder, AudioEncoder, AudioError
from bridge.wire_audio import WireAudio
from tests.rtc.sound import frequency_hz, loudness, tone

LINE_HZ = 24_000
FRAME_BYTES = 960

ALL = [
    WireAudio(),
    WireAudio(rate=8_000),
    WireAudio(rate=16_000),
    WireAudio(rate=44_100),
    WireAudio(rate=48_000),
    WireAudio(encoding="opus", rate=48_000),
    WireAudio(encoding="ulaw", rate=8_000),
    WireAudio(encoding="alaw", rate=8_000),
]


@pytest.mark.parametrize("audio", ALL, ids=str)
def test_a_tone_goes_there_and_back(audio: WireAudio) -> None:
    encoder, decoder = AudioEncoder(audio, LINE_HZ), AudioDecoder(audio, LINE_HZ)
    pcm = tone(440, 1.0, LINE_HZ)
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]
    wire = [encoder.encode(frame) for frame in frames]
    back = b"".join(decoder.decode(piece) for piece in wire if piece)
    assert len(pcm) * 0.97 < len(back) <= len(pcm) * 1.01
    assert frequency_hz(back, LINE_HZ) == pytest.approx(440, abs=3)
    assert loudness(back) == pytest.approx(loudness(pcm), rel=0.1)
    if audio.encoding == "pcm16":
        assert sum(map(len, wire)) == pytest.approx(audio.rate * 2, rel=0.01)
    assert encoder.is_framed == (audio.encoding == "opus")
    assert (encoder.codec_s > 0) == (audio.encoding == "opus")


def test_what_is_no_audio_is_refused_and_the_stream_goes_on() -> None:
    pcm = AudioDecoder(WireAudio(), LINE_HZ)
    with pytest.raises(AudioError, match="between two samples"):
        pcm.decode(b"abc")
    with pytest.raises(AudioError, match="at most 10 s"):
        pcm.decode(bytes(LINE_HZ * 2 * 11))
    assert pcm.decode(b"abcd") == b"abcd"
    opus = AudioDecoder(WireAudio(encoding="opus", rate=48_000), LINE_HZ)
    for nonsense in (b"", bytes(5_000), b"\xff" * 40):
        with pytest.raises(AudioError, match="Opus packet"):
            opus.decode(nonsense)
    packet = AudioEncoder(WireAudio(encoding="opus", rate=48_000), LINE_HZ).encode(bytes(960))
    assert len(opus.decode(packet)) == FRAME_BYTES
