"""Writes the reports of scenario tests."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import av

from scenarios.report_junit import junit_xml
from scenarios.report_page import report_page
from scenarios.results import Report

PAGE: Final = "index.html"
MAX_EMBEDDED_BYTES: Final = 32 * 1024 * 1024
"""Of all recordings in a page; further ones are played from the WAV beside it."""

_BITRATE_BPS: Final = 48_000


def write_junit(report: Report, file: Path) -> None:
    """Write JUnit XML.

    Raises:
        OSError: it cannot be written.
    """
    file.write_text(junit_xml(report), encoding="utf-8")


def write_json(report: Report, file: Path) -> None:
    """Write everything as JSON.

    Raises:
        OSError: it cannot be written.
    """
    file.write_text(report.model_dump_json(indent=2), encoding="utf-8")


def write_page(report: Report, folder: Path) -> Path:
    """Write the page, with the recordings in it, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    page = folder / PAGE
    page.write_text(report_page(report, dict(_sounds(report))), encoding="utf-8")
    return page


def _sounds(report: Report) -> Iterator[tuple[Path, str]]:
    left = MAX_EMBEDDED_BYTES
    for one in report.scenarios:
        for path in (run.recording for run in one.runs):
            if path is None or not path.is_file():
                continue
            mp3 = compressed(path) if left > 0 else b""
            left -= len(mp3)
            if mp3 and left >= 0:
                yield path, f"data:audio/mpeg;base64,{base64.b64encode(mp3).decode()}"
            else:
                yield path, quote(path.name)


def compressed(path: Path) -> bytes:
    """Return a WAV as MP3, which every browser plays; empty where PyAV has no encoder for it.

    Raises:
        OSError: the file cannot be read.
    """
    target = io.BytesIO()
    try:
        with (
            av.open(str(path), "r", format="wav") as source,
            av.open(target, "w", format="mp3") as mp3,
        ):
            stream = mp3.add_stream("libmp3lame", rate=24_000, layout="stereo")
            stream.bit_rate = _BITRATE_BPS
            resampler = av.AudioResampler(format="s16p", layout="stereo", rate=24_000)
            for frame in source.decode(audio=0):
                for piece in resampler.resample(frame):
                    mp3.mux(stream.encode(piece))
            mp3.mux(stream.encode(None))
    except av.error.FFmpegError:
        return b""
    return target.getvalue()
