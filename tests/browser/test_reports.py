"""Report pages from a file, as their owner opens them: nothing is refused, and a turn can be heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from load.report import report_page
from scenarios.report_files import write_page
from tests.browser.chromium import open_chromium
from tests.load.test_report import result as load_result
from tests.scenarios.results_for_reports import report, result, run
from tests.scenarios.test_report_page import write_wav

WAIT_S = 30.0
_WATCH = """() => {
  const audio = document.querySelector('audio');
  window.played = new Promise((resolve) => audio.addEventListener('timeupdate', () => {
    if (!audio.paused && audio.currentTime > 1.2) resolve(audio.currentTime);
  }));
}"""


@pytest.mark.browser
@pytest.mark.asyncio
async def test_pages_open_without_complaint_and_a_turn_is_played(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "order.wav")
    scenarios = write_page(report(result("good", run(recording=recording))), tmp_path)
    load = tmp_path / "load.html"
    load.write_text(report_page(load_result()))
    async with open_chromium() as browser:
        page = await browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(load.as_uri())
        assert await page.locator("svg.plot path").count() > 5
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await page.goto(scenarios.as_uri())
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await page.evaluate(_WATCH)
        await page.get_by_role("button", name="play turn 1").press("Enter")
        async with asyncio.timeout(WAIT_S):
            assert await page.evaluate("window.played") > 1.2
        assert complaints == []
