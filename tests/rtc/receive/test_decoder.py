"""A voice through losses, odd packets, stalls and new senders: whole, in pitch and in time."""

from __future__ import annotations

import numpy as np
import pytest

from rtc.opus import OpusEncoder
from rtc.receive.decoder import VoiceDecoder
from rtc.receive.jitter_buffer import IDLE_BATCH_FRAMES
from tests.rtc.sound import frequency_hz, loudness, tone

RATE_HZ = 24_000
FRAME_BYTES = 960
PTIME_S = 0.02


class Talker:
    """Encodes and sends in time; `heard` is what came out."""

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        self.voice = VoiceDecoder(rate_hz)
        self.voice.buffer.start_filling(0.0)
        self.heard: list[bytes] = []
        self.now_s = 0.0

    def packets(self, pcm: bytes, ptime_ms: int = 20) -> list[bytes]:
        """The sound as Opus packets."""
        encoder = OpusEncoder(RATE_HZ)
        size = RATE_HZ * ptime_ms // 1000 * 2
        return [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm), size)]

    def wait_until(self, now_s: float) -> None:
        """Let time pass."""
        while (next_s := self.voice.next_s) is not None and next_s < now_s:
            self.heard += self.voice.take(next_s)
        self.now_s = now_s

    def send(
        self,
        packets: list[bytes],
        *,
        lost: set[int] | None = None,
        ssrc: int = 1,
        first: int = 0,
        ptime_ms: int = 20,
        stall_s: float = 0.0,
    ) -> None:
        """Send in real time from now on; the first packets arrive together after a stall."""
        began_s = self.now_s
        for index, payload in enumerate(packets):
            at_s = began_s + max(stall_s, index * ptime_ms / 1000)
            self.wait_until(at_s)
            if index not in (lost or ()):
                ticks = (first * 960 + index * 48 * ptime_ms) % 2**32
                self.voice.add(ssrc, (first + index) % 2**16, ticks, payload, at_s)
                self.heard += self.voice.take(at_s)
        self.now_s = began_s + len(packets) * ptime_ms / 1000

    @property
    def pcm(self) -> bytes:
        """All that was heard."""
        return b"".join(self.heard)


def test_losses_leave_no_gap() -> None:
    talker = Talker()
    packets = talker.packets(tone(440, 0.8, RATE_HZ))
    talker.send(packets, lost={5, 12, 20, 21, 22}, first=65_530)
    counts = talker.voice.statistics
    assert (counts.jitter.lost, counts.recovered) == (5, 3)
    assert len(talker.heard) == 40
    assert abs(frequency_hz(talker.pcm, RATE_HZ) - 440) < 5
    levels = [loudness(frame) for frame in talker.heard]
    # A single loss is rebuilt in full; a longer one is bridged while it fades.
    assert min(levels[5], levels[12]) > 6000
    assert min(levels) > 1000


@pytest.mark.parametrize("ptime_ms", [10, 40, 60])
def test_any_packet_time_becomes_frames_of_20_ms(ptime_ms: int) -> None:
    talker = Talker()
    talker.send(talker.packets(tone(440, 0.6, RATE_HZ), ptime_ms), ptime_ms=ptime_ms)
    assert [len(frame) for frame in talker.heard] == [FRAME_BYTES] * 30
    assert abs(frequency_hz(talker.pcm, RATE_HZ) - 440) < 5


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_any_rate_is_decoded_to(rate_hz: int) -> None:
    talker = Talker(rate_hz)
    talker.send(talker.packets(tone(440, 0.4, RATE_HZ)), lost={7})
    assert len(talker.pcm) == rate_hz * 4 // 10 * 2
    assert abs(frequency_hz(talker.pcm, rate_hz) - 440) < 5


def test_a_new_sender_is_heard_at_once() -> None:
    talker = Talker()
    talker.send(talker.packets(tone(440, 0.2, RATE_HZ)))
    talker.send(talker.packets(tone(880, 0.4, RATE_HZ)), ssrc=2, first=30_000)
    assert talker.voice.statistics.jitter.lost == 0
    assert len(talker.heard) == 30
    assert abs(frequency_hz(talker.pcm[12 * FRAME_BYTES :], RATE_HZ) - 880) < 10


def test_nonsense_is_counted_and_bridged() -> None:
    talker = Talker()
    packets = talker.packets(tone(440, 0.4, RATE_HZ))
    packets[5] = b"\xff" * 40
    packets[9] = b""
    talker.send(packets)
    assert talker.voice.statistics.corrupt == 2
    assert len(talker.heard) == 20
    assert min(loudness(frame) for frame in talker.heard[1:]) > 3000


def test_a_pause_is_silence_in_real_time() -> None:
    talker = Talker()
    talker.send(talker.packets(tone(440, 0.2, RATE_HZ)))
    talker.wait_until(2.2)
    # After the first second it comes in batches.
    assert 110 - 3 - IDLE_BATCH_FRAMES < len(talker.heard) <= 113
    assert not any(talker.heard[-1])
    talker.send(talker.packets(tone(440, 0.2, RATE_HZ)), first=110)
    assert len(talker.heard) == pytest.approx(120, abs=3)
    assert loudness(talker.heard[-1]) > 6000


def test_speech_after_pauses_of_any_length_is_heard_in_whole_packets() -> None:
    talker = Talker()
    ticks, at_s = 0, 0.0
    rng = np.random.default_rng(4)
    payload = talker.packets(tone(440, 0.02, RATE_HZ))[0]
    for sequence in range(300):
        # A sender takes the time stamp from its clock when it speaks again.
        pause_s = float(rng.uniform(0.1, 0.4)) if sequence % 3 == 0 else 0.02
        at_s, ticks = at_s + pause_s, ticks + round(pause_s * 48_000)
        talker.wait_until(at_s)
        before = len(talker.heard)
        talker.voice.add(1, sequence, ticks, payload, at_s)
        talker.heard += talker.voice.take(at_s)
        assert len(talker.heard) > before
        assert not talker.voice._rest
        assert talker.voice.buffer.delay_ms < 1
    assert len(talker.heard) * 0.02 == pytest.approx(at_s, abs=0.1)


def test_what_a_stall_made_late_is_heard_and_the_delay_goes_with_the_next_silence() -> None:
    talker = Talker()
    speech, silence = tone(200, 1.0, RATE_HZ), bytes(RATE_HZ * 2)
    talker.send(talker.packets(speech))
    talker.send(talker.packets(speech + silence * 5), first=50, stall_s=0.4)
    counts = talker.voice.statistics
    assert len(talker.heard) == pytest.approx(350, abs=4)
    loud = sum(loudness(frame) > 6000 for frame in talker.heard)
    # Nothing was lost but a few periods; silence gave the time back.
    assert 80 <= loud <= 106
    assert counts.trimmed_ms == pytest.approx(400, abs=60)
    assert counts.shortened < 10
    assert talker.voice.buffer.delay_ms < 20


def _singing(length_s: float) -> bytes:
    """A voice that swells, without any pause; Opus takes a steady tone for background noise."""
    sound = np.frombuffer(tone(200, length_s, RATE_HZ), np.int16)
    swell = 0.6 + 0.4 * np.sin(np.arange(len(sound)) * 2 * np.pi * 3 / RATE_HZ)
    return bytes((sound * swell).astype(np.int16).tobytes())


def test_delay_goes_without_any_silence_too() -> None:
    talker = Talker()
    speech = _singing(1.0)
    talker.send(talker.packets(speech))
    talker.send(talker.packets(speech * 8), first=50, stall_s=0.4)
    assert talker.voice.statistics.shortened > 20
    assert talker.voice.buffer.delay_ms < 25
    assert len(talker.heard) == pytest.approx(450, abs=4)
    assert abs(frequency_hz(talker.pcm[60 * FRAME_BYTES :], RATE_HZ) - 200) < 5


def test_noise_through_a_lossy_network_stays_in_time() -> None:
    rng = np.random.default_rng(3)
    talker = Talker()
    sound = rng.normal(0, 3000, RATE_HZ * 4).astype(np.int16).tobytes()
    lost = {int(i) for i in rng.integers(0, 200, 40)}
    talker.send(talker.packets(sound), lost=lost)
    assert len(talker.heard) == pytest.approx(200, abs=4)
