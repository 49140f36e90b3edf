"""A real Chromium whose microphone is a WAV file, with an ear on what its page plays."""

from __future__ import annotations

import base64
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.instruments import instruments

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HEARD_RATE_HZ = 24_000
WAIT_MS = 20_000

_FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--no-sandbox",
)
GRANTED_MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
DENIED_MICROPHONE = ("--deny-permission-prompts", "--use-fake-device-for-media-stream")
NO_MICROPHONE = ("--use-fake-ui-for-media-stream", "--disable-audio-input")

INSTRUMENTS = instruments(HEARD_RATE_HZ)

Samples = NDArray[np.float32]


def find_chromium() -> str:
    """Path of a Chromium; a machine without one fails the test, it does not skip it."""
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.fail("no Chromium found: install it, for instance with 'apt-get install chromium'")


@asynccontextmanager
async def open_chromium(
    flags: Sequence[str] = GRANTED_MICROPHONE,
    *,
    microphone: Path | None = None,
    program: str | None = None,
) -> AsyncIterator[Browser]:
    """A headless Chromium; `microphone` is played once per opening of the microphone.

    program: what to run in its place, with its arguments
    """
    arguments = [*_FLAGS, *flags]
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program or find_chromium(), args=arguments, headless=True
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Heard:
    """What a page played from one remote track: samples, and the page's time of each piece."""

    pieces: list[tuple[float, Samples]] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        """Everything in one row."""
        return np.concatenate([piece for _, piece in self.pieces] or [np.zeros(0, np.float32)])

    def between(self, start_ms: float, end_ms: float) -> Heard:
        """The pieces that were played from `start_ms` to `end_ms` of the page's clock."""
        return Heard([(at, piece) for at, piece in self.pieces if start_ms <= at <= end_ms])

    def loud_at_ms(self, level: float = 0.01) -> list[float]:
        """Times of the pieces in which somebody is heard."""
        return [at for at, piece in self.pieces if rms(piece) > level]


def rms(samples: Samples) -> float:
    """Root of the mean square, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0


def dominant_hz(samples: Samples, rate_hz: int = HEARD_RATE_HZ) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * rate_hz / samples.size)


async def expect_sound(page: Page, *, is_of_any: bool = False) -> None:
    """From now on, something is heard from the newest remote track, or from any of them, before the
    deadline.
    """
    wait = "([deadline, isOfAny]) => window.parleyTest.waitUntilLoud(deadline, isOfAny)"
    await page.evaluate(wait, [WAIT_MS, is_of_any])


async def read_heard(page: Page) -> Heard:
    """What `page` played from its newest remote track."""
    pieces: list[list[Any]] = await page.evaluate("window.parleyTest.readHeard()")
    return Heard([(at, np.frombuffer(base64.b64decode(data), "<f4")) for at, data in pieces])


async def read_voice(page: Page) -> dict[str, Any]:
    """The browser's inbound-rtp statistics of the newest connection; empty before any packet."""
    entry: dict[str, Any] = await page.evaluate("window.parleyTest.readVoice()")
    return entry


async def read_events(page: Page) -> list[dict[str, Any]]:
    """Every server event that reached `page`, each with `at_ms` of the page's clock."""
    events: list[dict[str, Any]] = await page.evaluate("window.parleyTest.events")
    return events
