"""The pure parts of the page, run where they run: in the browser."""

from __future__ import annotations

from typing import Any

import pytest

from http_server.origins import OriginCheck
from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.site import open_site

pytestmark = pytest.mark.browser

REPLY_TIMES = """async () => {
  const { ReplyClock } = await import('/web/console/latency.js');
  const quiet = 0, voice = 0.8;
  const times = (steps) => {
    const clock = new ReplyClock();
    return steps.map(([now, user, agent, event]) => {
      if (event === 'done') clock.handleInputDone(now);
      if (event === 'started') clock.handleInputStarted();
      return clock.handleLevels({ user, agent, now });
    }).filter((time) => time !== null);
  };
  return {
    fromEndOfSpeech: times([[0, voice, quiet], [100, quiet, quiet],
      [600, quiet, quiet, 'done'], [700, quiet, voice], [720, quiet, voice]]),
    fromTheEventWhenNobodyWasHeard: times([[5000, quiet, quiet, 'done'], [5200, quiet, voice]]),
    noneWhenTheUserGoesOn: times([[0, voice, quiet], [500, quiet, quiet, 'done'],
      [600, voice, quiet, 'started'], [900, quiet, voice]]),
    noneForTheAgentAlone: times([[0, quiet, voice]]),
  };
}"""

CONVERSATION = """async () => {
  const { Conversation } = await import('/web/client/conversation.js');
  const conversation = new Conversation();
  const agent = { agent_id: 'a', agent_name: 'Parley' };
  const say = (type, fields) => conversation.apply({ type, ...agent, ...fields });
  const item = { response_id: 'r', item_id: 'i' };
  say('an_event_of_the_future', {});
  say('agent_playout_done', { response_id: 'r', item_id: 'never seen' });
  say('agent_interrupted', { ...item, audio_end_ms: 0, heard: '' });
  say('agent_response_audio_transcript_delta', { ...item, delta: 'too late' });
  say('agent_playout_done', item);
  say('agent_input_transcription_done', { item_id: 'p', transcript: 'hi', is_posted: true });
  const result = { id: 'c', name: 'tool', output: '5' };
  say('agent_response_tool_result', { tool_result: result });
  const late = { ...item, tool_use: { id: 'c', name: 'tool', input: {} }, is_client_tool: true };
  say('agent_response_tool_use_done', late);
  say('agent_response_done', { response_id: 'r', status: 'failed' });
  return conversation.entries.map(({ kind, state, text }) => [kind, state, text]);
}"""

REFUSED = """async () => {
  const { Signaling } = await import('/web/client/signaling.js');
  const { RoomToken } = await import("/web/client/room_token.js");
  const server = new URL("/", location.href);
  const signaling = new Signaling({ server, channel: "demo", hello: {}, token: new RoomToken() });
  return signaling.connect().then(() => 'joined', ({ code, message }) => [code, message]);
}"""

HEARD = """async () => {
  const { Conversation } = await import('/web/client/conversation.js');
  const conversation = new Conversation();
  const say = (type, item_id, fields) =>
    conversation.apply({ type, agent_name: 'Parley', response_id: 'r', item_id, ...fields });
  const heard = () => conversation.entries.map(({ heard }) => heard ?? 'untold');
  const steps = [];
  say('agent_playout_progress', 'never seen', { heard_characters: 5 });
  const old = new Conversation();
  old.apply({ type: 'agent_response_audio_transcript_delta', item_id: 'x', delta: 'plain' });
  steps.push(old.entries[0].heard ?? 'untold');
  say('agent_response_audio_transcript_delta', 'i', { delta: 'one two three' });
  steps.push(heard());
  say('agent_playout_progress', 'i', { heard_characters: 7 });
  say('agent_response_audio_transcript_delta', 'j', { delta: 'four' });
  say('agent_playout_done', 'i', {});
  steps.push(heard());
  say('agent_interrupted', 'j', { audio_end_ms: 90, heard: 'fo' });
  say('agent_playout_progress', 'j', { heard_characters: 4 });
  steps.push(heard());
  return steps;
}"""

PLAYOUT = """async () => {
  const { PlayoutMeter } = await import('/web/client/playout.js');
  const meter = new PlayoutMeter();
  const voice = (jitterBufferDelay, jitterBufferEmittedCount) =>
    ({ type: 'inbound-rtp', kind: 'audio', jitterBufferDelay, jitterBufferEmittedCount });
  const path = (currentRoundTripTime, nominated) =>
    ({ type: 'candidate-pair', nominated, currentRoundTripTime });
  const device = { type: 'media-playout', kind: 'audio', totalPlayoutDelay: 480, totalSamplesCount: 48000 };
  return [
    meter.read([]),
    meter.read([voice(0, 0), path(0.5, false)]),
    meter.read([voice(960, 48000), path(0.04, true)]),
    meter.read([voice(960, 48000)]),
    meter.read([voice(960 + 4800, 96000), device]),
    meter.read([voice(960 + 4800 + 2400, 144000)]),
  ];
}"""


PATHS = """async () => {
  const { PathWatch, DEAD_AFTER_MS } = await import('/web/client/path_watch.js');
  const watch = new PathWatch();
  return [[5, 1000], [6, 3500], [6, 6100], [6, 3500 + DEAD_AFTER_MS], [7, 9000]].map(
    ([count, now]) => watch.note(count, now));
}"""


AFTER_CALL = """async () => {
  const { renderExtraction } = await import('/web/console/screens/calls/facts.js');
  const shown = (call) => renderExtraction(call)?.textContent ?? null;
  return [
    shown({ summary: null, extraction: null }),
    shown({ summary: { state: 'pending' }, extraction: null }),
    shown({ summary: { state: 'done', text: 'A call.' }, extraction: { state: 'failed', reason: 'it is no JSON' } }),
    shown({ extraction: { state: 'done', value: { order_number: 17, is_solved: true } } }),
  ];
}"""


@pytest.mark.asyncio
async def test_pure_modules() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        times: dict[str, Any] = await console.page.evaluate(REPLY_TIMES)
        assert times == {
            "fromEndOfSpeech": [700],
            "fromTheEventWhenNobodyWasHeard": [200],
            "noneWhenTheUserGoesOn": [],
            "noneForTheAgentAlone": [],
        }
        assert await console.page.evaluate(HEARD) == ["untold", [0], [7, 0], [7, "untold"]]
        assert await console.page.evaluate(PLAYOUT) == [
            {"playout_delay_ms": 20},
            None,
            {"playout_delay_ms": 20, "round_trip_ms": 40},
            None,
            {"playout_delay_ms": 110},
            {"playout_delay_ms": 60},
        ]
        assert await console.page.evaluate(AFTER_CALL) == [
            None,
            "SummarySummary: made after the call.",
            "SummaryA call.Extraction failed: it is no JSON",
            "SummaryOrder number17Is solvedYes",
        ]
        assert await console.page.evaluate(PATHS) == [False, False, False, True, False]
        assert await console.page.evaluate(CONVERSATION) == [
            ["agent", "interrupted", ""],
            ["tool", "done", ""],
            ["note", "done", "The agent could not answer."],
        ]


class BehindProxy(OriginCheck):
    """As if a proxy asked under a name of its own."""

    def refusal(self, origin: str | None, host: str) -> str | None:
        return super().refusal(origin, "upstream:8080")


@pytest.mark.asyncio
async def test_a_page_says_why_its_socket_was_refused() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.rooms._origins = BehindProxy()
        tolerated = ("403", "WebSocket connection to")
        async with open_console(browser, site.url, tolerated=tolerated) as console:
            code, message = await console.page.evaluate(REFUSED)
    assert code == "foreign_origin"
    assert "upstream:8080" in message
    assert site.url.rstrip("/") in message
