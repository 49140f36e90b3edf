"""WAV files of every kind become PCM16 mono, and what is none is refused by name."""

from __future__ import annotations

import resource
import struct
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from audio import MAX_LENGTH_S, PcmDump, read_wav, write_wav
from tests.wav_files import join_dumps
from tests.wav_files import read_wav as read_pcm

RATE_HZ = 16_000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ) * 0.5


def pcm_wav(
    path: Path, samples: bytes, *, width: int, channels: int = 1, rate: int = RATE_HZ
) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(samples)
    return path


def float_wav(path: Path, kind: str) -> Path:
    data = TONE.astype(kind).tobytes()
    bits = np.dtype(kind).itemsize * 8
    head = struct.pack("<IHHIIHH", 16, 3, 1, RATE_HZ, RATE_HZ * bits // 8, bits // 8, bits)
    body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def kinds(path: Path) -> dict[str, Path]:
    whole = (TONE * 2**31).astype("<i4")
    pcm16 = (TONE * 2**15).astype("<i2")
    eight = (TONE * 127 + 128).astype("u1")
    three = b"".join(sample.tobytes()[1:] for sample in whole)
    return {
        "16 bit": pcm_wav(path / "16.wav", pcm16.tobytes(), width=2),
        "8 bit": pcm_wav(path / "8.wav", eight.tobytes(), width=1),
        "24 bit": pcm_wav(path / "24.wav", three, width=3),
        "32 bit": pcm_wav(path / "32.wav", whole.tobytes(), width=4),
        "stereo": pcm_wav(path / "st.wav", np.repeat(pcm16, 2).tobytes(), width=2, channels=2),
        "float": float_wav(path / "f4.wav", "<f4"),
        "double": float_wav(path / "f8.wav", "<f8"),
    }


def test_every_kind_of_wav_sounds_the_same(tmp_path: Path) -> None:
    for kind, path in kinds(tmp_path).items():
        samples = np.frombuffer(read_wav(path, 24_000), np.int16)
        assert len(samples) == pytest.approx(24_000, abs=100), kind
        spectrum = np.abs(np.fft.rfft(samples[:12_000]))
        assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4), kind
        assert np.abs(samples).max() == pytest.approx(16_384, rel=0.1), kind


def test_what_is_no_audio_is_refused_by_name(tmp_path: Path) -> None:
    sound = pcm_wav(tmp_path / "sound.wav", bytes(3200), width=2).read_bytes()
    for name, content, problem in (
        ("nothing", b"", "not a WAV"),
        ("text", b"hello", "not a WAV"),
        ("playlist", b"#EXTM3U\nhttp://127.0.0.1/\n", "not a WAV"),
        ("head", sound[:20], "not a WAV"),
        ("silent", sound[:44], "no audio"),
    ):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.wav: .*{problem}"):
            read_wav(path, 24_000)
    empty = pcm_wav(tmp_path / "empty.wav", b"", width=2)
    with pytest.raises(ValueError, match="no audio"):
        read_wav(empty, 24_000)


def test_a_file_that_is_cut_off_gives_what_there_is(tmp_path: Path) -> None:
    sound = pcm_wav(tmp_path / "sound.wav", bytes(32_000), width=2)
    sound.write_bytes(sound.read_bytes()[:16_044])
    assert len(read_wav(sound, RATE_HZ)) == 16_000


def test_a_file_may_not_be_longer_than_a_call(tmp_path: Path) -> None:
    seconds = int(MAX_LENGTH_S) + 1
    path = pcm_wav(tmp_path / "long.wav", bytes(seconds * 8_000), width=1, rate=8_000)
    with pytest.raises(ValueError, match="longer than"):
        read_wav(path, 8_000)


def test_a_wav_survives(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", b"\x01\x00\x02\x00", 16_000)
    assert read_pcm(tmp_path / "a.wav") == (b"\x01\x00\x02\x00", 16_000)


def test_a_dump_appears_with_the_first_audio(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    dump = PcmDump(folder, "call")
    dump.close()
    join_dumps()
    assert not folder.exists()
    dump.write(b"\x01\x02")
    dump.close()
    dump.close()
    join_dumps()
    (path,) = folder.iterdir()
    assert path.name.startswith("call-")
    assert path.read_bytes() == b"\x01\x02"


def test_a_second_call_keeps_the_dump_of_the_first(tmp_path: Path) -> None:
    for sample in (b"\x01\x02", b"\x03\x04"):
        dump = PcmDump(tmp_path, "demo-1000-heard")
        dump.write(sample)
        dump.close()
        join_dumps()
    found = sorted(tmp_path.iterdir())
    assert [path.read_bytes() for path in found] == [b"\x01\x02", b"\x03\x04"]


@contextmanager
def small_files(limit_bytes: int) -> Iterator[None]:
    """Let no file of this process grow past the limit: a write beyond it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_the_dump_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_files(150_000):
        dump = PcmDump(tmp_path, "full")
        for _ in range(5):
            dump.write(bytes(100_000))
        dump.close()
        join_dumps()
    late = PcmDump(tmp_path / "full" / "below", "late")
    (tmp_path / "full").touch()
    late.write(b"\x01\x02")
    late.close()
    late.close()
    join_dumps()
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 2, told
    assert "is incomplete: File too large" in told[0]
    assert "is incomplete: Not a directory" in told[1]


def test_a_disk_that_stands_still_holds_up_no_audio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chunk, is_moving = bytes(64 * 1024), threading.Event()
    dump = PcmDump(tmp_path, "slow")
    dump.write(chunk)
    assert dump._thread is not None
    dump._thread.submit(is_moving.wait, 10)
    for _ in range(200):
        dump.write(chunk)
    dump.close()
    assert "the disk is too slow" in caplog.text
    is_moving.set()
    join_dumps()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == len(chunk)
