from __future__ import annotations

import json
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from scenarios.report_files import MAX_EMBEDDED_BYTES, compressed, write_json, write_page
from scenarios.report_page import report_page
from scenarios.results import Report
from tests.scenarios.results_for_reports import report, result, run


def write_wav(path: Path, length_s: float = 3.0) -> Path:
    tone = np.sin(np.arange(int(24_000 * length_s)) * 2 * np.pi * 440 / 24_000) * 8_000
    both = np.stack([tone, np.zeros_like(tone)], axis=1).astype(np.int16)
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(24_000)
        wav.writeframes(both.tobytes())
    return path


def test_the_page_has_results_rates_transcript_tools_latencies_and_causes() -> None:
    page = report_page(
        report(
            result("twice", run(1), run(2, passes=False), needed=1),
            result("<bad>", run(passes=False)),
        ),
        {},
    )
    assert "1 of 2 scenarios passed" in page
    assert "2 of 2, 100 %" in page
    assert "0 of 1, 0 %" in page
    assert "answered after 640 ms" in page
    assert "It is<s> &lt;on&gt; its way.</s> (cut off)" in page
    assert "find_order({&quot;number&quot;: &quot;&lt;1001&gt;&quot;})" in page
    assert '<b class="bad">not met</b> turn 1: tools.find_order.arguments' in page
    assert "0.90 of 0.70 needed: it was kind" in page
    assert "understood: where is order one thousand and one" in page
    assert "&lt;bad&gt;" in page
    assert "<bad>" not in page


def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "order state-1.wav")
    page = write_page(report(result("good", run(recording=recording))), tmp_path).read_text()
    assert re.findall(r'src="(.{16})', page) == ["data:audio/mpeg;"]
    assert not re.search(r"https?://(?!127)|@import|<link|url\(", page)
    assert "default-src 'none'" in page


def test_recordings_are_compressed_and_what_is_none_stays_beside(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "a b.wav")
    assert 1_000 < len(compressed(recording)) < recording.stat().st_size / 8
    recording.write_bytes(b"no sound")
    page = write_page(report(result("good", run(recording=recording))), tmp_path).read_text()
    assert 'src="a%20b.wav"' in page
    recording.unlink()
    page = write_page(report(result("good", run(recording=recording))), tmp_path).read_text()
    assert "<audio" not in page


def test_a_page_is_no_larger_than_a_browser_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_EMBEDDED_BYTES < 64 * 1024 * 1024
    recording = write_wav(tmp_path / "a.wav")
    monkeypatch.setattr("scenarios.report_files.MAX_EMBEDDED_BYTES", 10)
    page = write_page(report(result("good", run(recording=recording))), tmp_path).read_text()
    assert 'src="a.wav"' in page


def test_json_is_the_whole_report(tmp_path: Path) -> None:
    found = report(result("good", run(recording=tmp_path / "a.wav")))
    write_json(found, tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert json.loads(text)["scenarios"][0]["runs"][0]["turns"][1]["latency_ms"] == 640.0
    assert Report.model_validate_json(text) == found
