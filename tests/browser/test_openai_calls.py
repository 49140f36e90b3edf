"""A page with the WebRTC code of OpenAI's documentation, pointed at the local model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from openai import AsyncOpenAI
from playwright.async_api import Page

from config.settings import Settings
from speech.engine_pool import Engines
from speech.settings import SpeechSettings
from tests.browser.chromium import INSTRUMENTS, WAIT_MS, expect_sound, open_chromium, read_heard
from tests.browser.test_conversation import compose
from tests.browser.waits import wait_until
from tests.embedded_llm import embedded_llm
from tests.fakes.http_server import serving
from tests.realtime_calls.call_server import call_server, until_empty
from tests.speech.conftest import engines, recogniser, voice

__all__ = ["engines", "recogniser", "voice"]

pytestmark = [pytest.mark.browser, pytest.mark.speech]

KEY: Final = "server-key-0123456789abcdef"

# As in OpenAI's guide to WebRTC, with another address; `openMicrophone` is for speaking again.
PAGE: Final = """<!doctype html><title>call</title><script type="module">
const BASE_URL = "{url}";
let sender;
window.openMicrophone = async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  return stream.getTracks()[0];
};
window.startCall = async () => {
  const tokenResponse = await fetch("/token");
  const data = await tokenResponse.json();
  const EPHEMERAL_KEY = data.value;
  const pc = new RTCPeerConnection();
  const audioElement = document.createElement("audio");
  audioElement.autoplay = true;
  pc.ontrack = (e) => (audioElement.srcObject = e.streams[0]);
  sender = pc.addTrack(await openMicrophone());
  const dc = pc.createDataChannel("oai-events");
  dc.addEventListener("message", (e) => answerCall(dc, JSON.parse(e.data)));
  const offer = await pc.createOffer();
  await pc.setLocalDescription(offer);
  const sdpResponse = await fetch(`${BASE_URL}/realtime/calls`, {
    method: "POST",
    body: offer.sdp,
    headers: { Authorization: `Bearer ${EPHEMERAL_KEY}`, "Content-Type": "application/sdp" },
  });
  await pc.setRemoteDescription({ type: "answer", sdp: await sdpResponse.text() });
  window.pc = pc;
  window.dc = dc;
  return sdpResponse.headers.get("Location");
};
window.speakAgain = async () => {
  sender.track.stop();
  await sender.replaceTrack(await openMicrophone());
};
function answerCall(dc, event) {
  if (event.type !== "response.function_call_arguments.done") return;
  const { city } = JSON.parse(event.arguments);
  const item = {
    type: "function_call_output",
    call_id: event.call_id,
    output: JSON.stringify({ report: `It is raining in ${city}.` }),
  };
  dc.send(JSON.stringify({ type: "conversation.item.create", item }));
  dc.send(JSON.stringify({ type: "response.create" }));
}
</script>"""

SESSION: Final[Any] = {
    "type": "realtime",
    "model": "gpt-realtime",
    "audio": {"output": {"voice": "marin"}},
    "tools": [
        {
            "type": "function",
            "name": "get_weather",
            "description": "Get the current weather for a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        }
    ],
}


@asynccontextmanager
async def _page_server(model_url: str) -> AsyncIterator[str]:
    """A site of its own: the page, and what mints its ephemeral keys."""

    async def page(_request: web.Request) -> web.Response:
        text = PAGE.replace("{url}", f"{model_url}/v1")
        return web.Response(text=text, content_type="text/html")

    async def token(_request: web.Request) -> web.Response:
        async with AsyncOpenAI(api_key=KEY, base_url=f"{model_url}/v1") as client:
            secret = await client.realtime.client_secrets.create(session=SESSION)
        return web.json_response({"value": secret.value})

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/token", token)
    async with serving(app) as port:
        yield f"http://localhost:{port}/"


async def _until(page: Page, kind: str, nth: int = 1) -> dict[str, Any]:
    """The nth event of this type that reached the page."""
    script = """(_find, [kind, nth]) =>
      window.parleyTest.events.filter(({ type }) => type === kind)[nth - 1]"""
    event: dict[str, Any] = await wait_until(page, script, [kind, nth])
    return event


_HAS_SAID: Final = """(_find, characters) => {
  const { events } = window.parleyTest;
  const begin = events.findLastIndex(({ type }) => type === "response.created");
  const said = events.slice(begin).map(({ type, delta }) => (type.endsWith("transcript.delta") ? delta : ""));
  return said.join("").length >= characters;
}"""
_HAS_SAID_WORDS: Final = """(_find, words) => window.parleyTest.events.some(
  ({ type, transcript }) => type.endsWith("audio_transcript.done") && transcript.includes(words))"""


async def _write(page: Page, words: str) -> None:
    """Write a message, and ask for a reply."""
    content = [{"type": "input_text", "text": words}]
    item = {"type": "message", "role": "user", "content": content}
    for event in (
        {"type": "conversation.item.create", "item": item},
        {"type": "response.create"},
    ):
        await page.evaluate("(event) => window.dc.send(JSON.stringify(event))", event)


def _settings(base_url: str) -> SpeechSettings:
    """The packaged language model as the product has it: the rules answer what they know."""
    settings = Settings.from_env({"LLM_MODEL": "embedded", "LLM_TEMPERATURE": "0"})
    options = settings.session_options(embedded_base_url=base_url)
    return SpeechSettings(api_key=KEY, options=options)


@pytest.fixture(scope="module")
def embedded_url() -> Iterator[str]:
    """The packaged language model's server."""
    with embedded_llm() as url:
        yield url


@pytest.mark.asyncio
async def test_a_page_of_openai_talks_to_the_packaged_model(
    tmp_path: Path, engines: Engines, embedded_url: str
) -> None:
    # Each opening of the microphone asks once for the weather in Tokyo.
    microphone = compose(tmp_path / "microphone.wav", 2.0, "u02_f", 120.0)
    async with (
        call_server(engines, _settings(embedded_url)) as (server, url),
        _page_server(url) as site,
        open_chromium(microphone=microphone) as browser,
    ):
        context = await browser.new_context()
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        await page.add_init_script(INSTRUMENTS)
        await page.goto(site)
        assert "/v1/realtime/calls/rtc_" in await page.evaluate("window.startCall()")
        assert len((await _until(page, "session.created"))["session"]["tools"]) == 1

        heard = await _until(page, "conversation.item.input_audio_transcription.completed")
        assert "weather in tokyo" in heard["transcript"].lower()
        await _until(page, "response.function_call_arguments.done")
        await expect_sound(page)
        said = await _until(page, "response.output_audio_transcript.done")
        assert "raining in Tokyo" in said["transcript"]
        await _until(page, "output_audio_buffer.stopped")

        await _write(page, "Why is the sky blue? Explain it at length.")
        await wait_until(page, _HAS_SAID, 100)
        await page.evaluate("window.speakAgain()")
        started = await _until(page, "input_audio_buffer.speech_started", 2)
        cleared = await _until(page, "output_audio_buffer.cleared")
        truncated = await _until(page, "conversation.item.truncated")
        assert truncated["audio_end_ms"] > 0
        # The same question again: the reply after it is another one.
        spoken = await _until(page, "output_audio_buffer.started", 3)
        between = (await read_heard(page)).between(cleared["at_ms"] + 500, spoken["at_ms"])
        assert between.loud_at_ms() == [], "it went on speaking over the user"
        assert cleared["at_ms"] - started["at_ms"] < 1_000

        await _until(page, "output_audio_buffer.stopped", 2)

        await _write(page, "What was my first question?")
        await wait_until(page, _HAS_SAID_WORDS, "You said: What is the weather in Tokyo")
        await page.evaluate("window.pc.close()")
        await until_empty(server)
