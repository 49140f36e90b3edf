"""Turns of both kinds, spoken by synthetic voices: finished ones, and such as pause half-way."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from audio import Resampler
from bench.speech import RATE_HZ, SPEECH, load_speech
from speech.engines.kokoro.voice import load_kokoro
from speech.engines.piper import PiperVoice

Speak = Callable[[str], bytes]
"""Text to PCM16 mono at 24 kHz."""

THINKING_MS: Final = 1_200
"""Length of the pause in a turn that goes on after it."""

_LEAD_MS: Final = 400
_TAIL_MS: Final = 10_000
_BYTES_PER_MS: Final = RATE_HZ * 2 // 1000
_LOUD: Final = 250
_RECORDED_LEAD_MS: Final = 300
_RECORDED_TAIL: Final = 500 * _BYTES_PER_MS

FINISHED: Final = (
    "How do I reset my password?",
    "Add milk to my shopping list.",
    "Is the office open on Saturday?",
    "I lost my credit card.",
    "Turn the volume down.",
    "Are there any seats left on the evening train?",
    "My flight was delayed by three hours.",
    "What does it cost?",
    "No, I already have one.",
    "Okay, let's do that.",
    "Please read the message again.",
    "I have been waiting for twenty minutes.",
    "Who is calling?",
    "The washing machine makes a strange noise.",
    "Can you help me?",
    "I would prefer the window seat.",
    "When does the museum open?",
    "Sorry, I did not understand you.",
    "Book the cheaper one.",
    "He lives in a small village near Vienna.",
    "How long will the repair take?",
    "I want my money back.",
    "We need two rooms, one of them with a balcony.",
    "Thanks a lot.",
)

UNFINISHED: Final = (
    ("How do I get to the", "airport from here?"),
    ("Add milk and", "eggs to my shopping list."),
    ("Is the office open on", "Saturday afternoon?"),
    ("I lost my credit card and", "I need a new one."),
    ("My flight was delayed so", "I missed the connection."),
    ("Can you remind me to", "water the plants?"),
    ("I would prefer a", "window seat."),
    ("The washing machine makes a strange noise when", "it starts."),
    ("My name is spelled b r", "o w n."),
    ("I bought this camera in your", "shop in March."),
    ("Is there a train that", "arrives before noon?"),
    ("Uh", "can I change my order?"),
    ("I think we should", "meet on Thursday."),
    ("Although I paid the bill", "you sent me a reminder."),
    ("Please book two rooms with", "a balcony each."),
    ("What is the difference between", "the two plans?"),
    ("He told me that the", "contract was signed."),
    ("I need it by", "the end of the month."),
    ("Let me check, it was", "the third of May."),
    ("The code on the box is four four", "nine one."),
    ("Do you sell", "batteries?"),
    ("My wife and I", "would like to join the club."),
    ("I left my umbrella in the", "restaurant last night."),
    ("I was there yesterday because", "I had an appointment."),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn at 24 kHz, with silence after it.

    pause_ms: where its pause begins and ends; None: it has none
    end_ms: of its last word
    """

    name: str
    pcm: bytes
    end_ms: int
    pause_ms: tuple[int, int] | None = None


def voices() -> dict[str, Speak]:
    """By name: a packaged voice of each kind, and eSpeak NG if it is installed."""
    piper = PiperVoice(noise_scale=0.0, width_noise=0.0)
    kokoro = load_kokoro(None, threads=2).get("af_heart")
    found: dict[str, Speak] = {"joe": _at_wire_rate(piper), "af_heart": _at_wire_rate(kokoro)}
    if shutil.which("espeak-ng"):
        found["espeak"] = _espeak
    return found


def _at_wire_rate(voice: Any) -> Speak:
    def speak(text: str) -> bytes:
        resampler = Resampler(voice.sample_rate_hz, RATE_HZ)
        return resampler.push(voice.synthesise(text)) + resampler.flush()

    return speak


def _espeak(text: str) -> bytes:
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    resampler = Resampler(22_050, RATE_HZ)
    return resampler.push(wav[44:]) + resampler.flush()


def turns(speak: Speak) -> Iterator[Turn]:
    """All of them in one voice."""
    for text in FINISHED:
        yield _turn(text, _trimmed(speak(text)))
    for part, rest in UNFINISHED:
        # A comma, so that the voice does not fall as at the end of a sentence.
        yield _turn(f"{part} ...", _trimmed(speak(f"{part},")), _trimmed(speak(rest)))


def recorded_turns() -> Iterator[Turn]:
    """Those of the tests' recorded sentences; the unfinished one goes on with another."""
    for path in sorted(SPEECH.glob("*.wav")):
        words = load_speech(path.name)[_RECORDED_LEAD_MS * _BYTES_PER_MS : -_RECORDED_TAIL]
        if path.stem.startswith("i"):
            yield _turn(path.stem, words, load_speech("u03_f.wav")[:-_RECORDED_TAIL])
        else:
            yield _turn(path.stem, words)


def _turn(name: str, words: bytes, rest: bytes = b"") -> Turn:
    pause_at_ms = _LEAD_MS + len(words) // _BYTES_PER_MS
    pcm = bytes(_LEAD_MS * _BYTES_PER_MS) + words
    pause_ms = None
    if rest:
        pause_ms = (pause_at_ms, pause_at_ms + THINKING_MS)
        pcm += bytes(THINKING_MS * _BYTES_PER_MS) + rest
    return Turn(name, pcm + bytes(_TAIL_MS * _BYTES_PER_MS), len(pcm) // _BYTES_PER_MS, pause_ms)


def _trimmed(pcm: bytes) -> bytes:
    """Leave out the silence at both ends."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)) > _LOUD)
    return pcm[2 * int(loud[0]) : 2 * int(loud[-1]) + 2] if len(loud) else pcm
