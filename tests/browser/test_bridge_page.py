"""A page without WebRTC: the client by WebSocket, with a real server, agent process and sound."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from rtc.room_server.tokens import RoomTokens
from tests.browser.chromium import Heard, dominant_hz, rms
from tests.browser.pages import BrowserName, Page, hear, open_page
from tests.browser.waits import wait_until
from tests.fakes.freezing_relay import FreezingRelay
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import server_aside
from tests.rtc.sound import tone

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

RATE_HZ = 24_000
TONE_HZ = 440
# The buffer of the page, and how late a busy page may take down what it hears.
SILENT_AFTER_MS = 500
API_KEY = "a-key-of-these-tests"
SECRET = "a secret of these tests, for the tokens of rooms"

JOIN = """async (options) => {
  const { join } = await import('/parley.js');
  window.events = [];
  window.lines = {};
  try {
    const call = await join({ channel: 'demo', transport: 'websocket', ...options });
    window.call = call;
    call.on('event', (event) => events.push({ ...event, at_ms: performance.now() }));
    call.on('transcript', ({ id, text }) => { lines[id] = text; });
    for (const name of ['lost', 'regained', 'ended']) {
      call.on(name, () => events.push({ type: name, at_ms: performance.now() }));
    }
    return 'joined';
  } catch ({ code, message }) {
    return code;
  }
}"""

# How often the page asked its browser for the delay of the loudspeaker.
COUNT_LATENCY_READS = """() => {
  window.latencyReads = 0;
  const { get } = Object.getOwnPropertyDescriptor(AudioContext.prototype, 'outputLatency');
  Object.defineProperty(AudioContext.prototype, 'outputLatency', {
    get() { latencyReads += 1; return get.call(this); },
  });
}"""

SOUND = """async () => {
  const { Decimator, Interpolator } = await import('/web/client/bridge/resampling.js');
  const tone = (hz, rate) => Float32Array.from({ length: rate / 5 }, (_, at) => Math.sin((2 * Math.PI * hz * at) / rate));
  const level = (samples) => Math.sqrt(samples.slice(400).reduce((sum, one) => sum + one * one, 0) / (samples.length - 400));
  const down = (hz) => {
    const decimator = new Decimator(2);
    const parts = [];
    for (let at = 0, all = tone(hz, 48000); at < all.length; at += 128) parts.push(...decimator.push(all.slice(at, at + 128)));
    return level(parts);
  };
  const up = (hz) => level(Array.from(new Interpolator(2).push(tone(hz, 24000))));
  return { speech: down(1000), hiss: down(15000), voice: up(1000), count: new Decimator(3).push(new Float32Array(300)).length };
}"""

BUFFER = """async () => {
  const { PlayoutBuffer } = await import('/web/client/bridge/playout_buffer.js');
  const rate = 8000, piece = 160, ms = 8;
  const ones = () => new Float32Array(piece).fill(1);
  const pull = (buffer, duration) => {
    const output = new Float32Array(duration * ms);
    buffer.pull(output);
    return output;
  };
  const sum = (samples) => samples.reduce((total, one) => total + one, 0);
  const heldFor = (buffer) => {
    for (let waited = 0; waited < 1000; waited += 10) {
      if (sum(pull(buffer, 10)) > 0) return waited;
      if (waited % 20 === 0) buffer.push(ones());
    }
    return null;
  };
  const steady = new PlayoutBuffer(rate);
  const first = heldFor(steady);
  while (sum(pull(steady, 10)) > 0);                   // it runs dry in the middle of a reply
  steady.push(ones());
  const afterGap = heldFor(steady);
  const short = new PlayoutBuffer(rate);
  short.push(ones());
  short.end();
  const word = sum(pull(short, 40)) / piece;          // a short end is not held back
  const cut = new PlayoutBuffer(rate);
  for (let count = 0; count < 10; count += 1) cut.push(ones());
  pull(cut, 20);
  cut.clear();
  const fade = sum(pull(cut, 20)), silence = sum(pull(cut, 100));
  const flood = new PlayoutBuffer(rate);
  for (let count = 0; count < 500; count += 1) flood.push(ones());
  return { first, afterGap, gaps: steady.gaps, word, fade, silence, kept: flood.delayS };
}"""


@asynccontextmanager
async def open_bridge_page(
    tmp_path: Path, browser: BrowserName, **settings: Any
) -> AsyncIterator[tuple[FakeRealtimeServer, FreezingRelay, Page]]:
    """A page of a real server, which it reaches through a relay, and the server's provider."""
    async with FakeRealtimeServer() as provider:
        known = {
            "model_provider": "openai",
            "openai_api_key": "sk-test",
            "realtime_api_base_uri": provider.uri,
            "local_model_uri": "ws://127.0.0.1:9",
        }
        entry, deadlines = DEFAULT_ENTRY, DEFAULT_DEADLINES
        async with server_aside(tmp_path, known | settings, entry, deadlines) as server:
            port = int(server.url.rpartition(":")[2])
            async with FreezingRelay(port) as relay, open_page(browser) as page:
                await page.goto(relay.uri.replace("ws://", "http://") + "/")
                yield provider, relay, page


async def at_ms(page: Page, event_type: str) -> float:
    """When the first event of this type came, by the page's clock."""
    script = "(_find, type) => events.find((event) => event.type === type)?.at_ms"
    found: float = await wait_until(page, script, event_type)
    return found


async def read_heard(page: Page) -> Heard:
    """What the page played."""
    pieces: list[list[Any]] = await page.evaluate("window.parleyTest.readHeard()")
    return Heard([(at, np.frombuffer(base64.b64decode(data), "<f4")) for at, data in pieces])


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
@pytest.mark.asyncio
async def test_a_page_without_webrtc_talks_is_cut_short_and_comes_back(
    tmp_path: Path, browser: BrowserName
) -> None:
    async with open_bridge_page(tmp_path, browser) as (provider, relay, page):
        await page.evaluate(COUNT_LATENCY_READS)
        start = {"voice": "marin", "interrupt": {"mode": "immediate"}}
        assert await page.evaluate(JOIN, {"start": start, "uid": 7, "name": "Ada"}) == "joined"
        session = await provider.next_session()
        await wait_until(page, "() => call.state === 'listening'")
        assert await page.evaluate("() => call.uid") == 7
        await session.wait_loud(200)

        await session.say(tone(TONE_HZ, 6.0, RATE_HZ), "hello there, this will take a while")
        await hear(page)
        await wait_until(page, "() => call.state === 'speaking' && call.level.agent > 0.3")
        await session.speech_started()
        cut_ms = await at_ms(page, "agent_interrupted")
        await wait_until(page, "(_find, at) => performance.now() > at + 1000", cut_ms)
        heard = await read_heard(page)
        rate_hz = int(await page.evaluate("window.parleyTest.rate"))
        loud = [piece for at, piece in heard.pieces if at < cut_ms and rms(piece) > 0.05]
        assert dominant_hz(np.concatenate(loud), rate_hz) == pytest.approx(TONE_HZ, abs=15)
        assert heard.between(cut_ms + SILENT_AFTER_MS, cut_ms + 1000).loud_at_ms() == []
        assert await page.evaluate("() => call.state") == "listening"

        page.tolerated += ["WebSocket connection", "was interrupted"]
        for lose in (relay.cut, relay.freeze):
            await page.evaluate("() => { events.length = 0; }")
            lose()
            await at_ms(page, "lost")
            await at_ms(page, "regained")
            heard_ms = session.loud_ms
            await session.wait_loud(heard_ms + 200)
        await session.say(tone(TONE_HZ, 1.0, RATE_HZ), "still here")
        await hear(page)
        await at_ms(page, "agent_playout_done")
        lines = list((await page.evaluate("() => lines")).values())
        assert lines.count("still here") == 1
        numbers = await page.evaluate("() => events.map(({ seq }) => seq).filter(Boolean)")
        assert numbers == sorted(set(numbers)), "an event came twice"
        # In Firefox such a read can freeze the page for good.
        assert (await page.evaluate("() => latencyReads") > 0) == (browser != "firefox")
        await page.evaluate("() => call.leave()")
        await at_ms(page, "ended")


@pytest.mark.asyncio
async def test_what_a_bridge_refuses_is_named(tmp_path: Path) -> None:
    settings = {"api_keys": [API_KEY], "room_token_secret": SECRET}
    tokens = RoomTokens([SECRET])
    async with open_bridge_page(tmp_path, "chromium", **settings) as (_provider, _relay, page):
        page.tolerated += ["401", "426", "WebSocket connection"]
        quiet = {"microphone": False}
        plain = tokens.mint(channel="demo", role="user", ttl_s=60)
        other = tokens.mint(channel="elsewhere", role="user", ttl_s=60)
        assert await page.evaluate(JOIN, quiet) == "unauthorized"
        page.tolerated.append("403")
        assert await page.evaluate(JOIN, quiet | {"token": other}) == "forbidden"
        # It may not start an agent, and none is there.
        assert await page.evaluate(JOIN, quiet | {"token": plain}) == "forbidden"
        sound = await page.evaluate(SOUND)
        assert sound["speech"] == pytest.approx(0.707, abs=0.02)
        assert sound["voice"] == pytest.approx(0.707, abs=0.02)
        assert sound["hiss"] < 0.05
        assert sound["count"] == 100
        buffer = await page.evaluate(BUFFER)
        assert buffer["first"] < buffer["afterGap"]
        assert buffer["gaps"] == 1
        assert buffer["word"] == 1
        assert 0 < buffer["fade"] < 32
        assert buffer["silence"] == 0
        assert buffer["kept"] <= 1.5
