"""The pure parts of the calls screens, run where they run: in the browser."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.browser.chromium import open_chromium
from tests.browser.console import open_console
from tests.browser.site import open_site

pytestmark = pytest.mark.browser

DASH: Final = "\N{EN DASH}"

PURE = """async () => {
  const load = (name) => import(`/web/console/screens/calls/${name}.js`);
  const [filters, format, pages, rows, timeline, turns, transcript, events, approvals] = await Promise.all(
    ['filters', 'format', 'pages', 'rows', 'timeline_layout', 'turns_layout', 'transcript_layout',
     'event_stream', 'approvals'].map(load));
  const read = (text) => filters.readFilters(new URLSearchParams(text));
  const found = {};
  found.filters = [
    read('text=ada&range=day&from=2026-01-01T00:00&live=1&shortest=-1&longest=90&dearest=x&other=1'),
    read('range=own&from=2026-01-01T00:00&to=never&exit=crashed&live=yes'),
  ];
  found.queries = [
    filters.toQuery({ text: 'ada', range: 'hour', live: '1', longest: '90' }, 10_000_000),
    filters.toQuery({ range: 'own', from: '2026-01-01T00:00Z', exit: 'crashed' }, 10_000_000),
  ];
  found.chips = filters.chipsOf({ range: 'day', exit: 'no_user', shortest: '5', live: '1' }).map(({ text }) => text);
  found.without = filters.without({ range: 'own', from: 'x', channel: 'c' }, 'from');
  found.words = [
    ...[0, 61_000, 3_723_000].map(format.formatClock),
    ...[44_600, 192_000, 3_900_000].map(format.formatDuration),
    ...[820.4, 1240, null].map(format.formatMs),
    ...[0, 0.00001, 0.0842, 12.345].map(format.formatCost),
    ...[999, 1500, 123_456_789].map(format.formatBytes),
    format.quantile([3, 1, 2], 0.5), format.quantile([1, 2, 3, 4], 0.95), format.quantile([], 0.5),
    format.outcomeOf({ ended_at_ms: null, state: 'ready' }).text,
    format.outcomeOf({ ended_at_ms: 1, exit_reason: 'a_new_one' }).text,
  ];
  const call = (call_id, started_at_ms, rest) => ({ call_id, started_at_ms, ...rest });
  const known = [call('d', 4), call('c', 3), call('b', 2), call('a', 1)];
  const merged = pages.mergeFirstPage(known, [call('e', 5), call('d', 4), call('b', 2, { ended_at_ms: 9 })], false);
  found.merged = [merged.map(({ call_id: id }) => id), merged[1] === known[0], merged[2] === known[2]];
  found.wholeMerged = pages.mergeFirstPage(known, [call('d', 4)], true).length;
  found.rows = [
    rows.visibleRange({ top: -300, windowHeight: 800, rowHeight: 60, count: 1000, overscan: 2 }),
    rows.visibleRange({ top: 6000, windowHeight: 800, rowHeight: 60, count: 1000, overscan: 2 }),
    rows.visibleRange({ top: 6000, windowHeight: 800, rowHeight: 60, count: 3 }),
  ];
  const view = { start: 0, end: 10_000 };
  found.views = [
    timeline.zoomed(view, 0.5, 2000, 10_000), timeline.zoomed(view, 2, 2000, 10_000),
    timeline.zoomed({ start: 0, end: 500 }, 0.1, 100, 500),
    timeline.moved({ start: 0, end: 4000 }, -500, 10_000), timeline.moved({ start: 4000, end: 8000 }, 9000, 10_000),
    timeline.following({ start: 0, end: 2000 }, 1900, 10_000), timeline.following({ start: 0, end: 2000 }, 1500, 10_000),
  ];
  found.place = [timeline.toX(2500, view, 400), timeline.toMs(100, view, 400)];
  found.ticks = timeline.ticksOf(view, 400).map(({ text }) => text);
  found.bars = timeline.barsOf([0, 255, 51, 0], 100, { start: 0, end: 400 }, 20, 5);
  const level = (count, value) => Array(count).fill(value);
  const told = {
    window_ms: 100, duration_ms: 4000, user: [...level(10, 90), ...level(3, 0), ...level(5, 90), ...level(22, 0)],
    agent: [...level(30, 0), ...level(10, 120)],
    marks: [{ at_ms: 1800, kind: 'pause', text: null, duration_ms: 1200 }, { at_ms: 3900, kind: 'interrupted', text: null }],
  };
  const speech = timeline.speechOf(told);
  found.speech = speech;
  found.text = timeline.asText(told).map(({ at, text }) => `${at} ${text}`);
  found.speakers = [500, 2000, 3500].map((at) => timeline.speakerAt(speech, at));
  const turn = { at_ms: 5, speech_end_to_endpoint_ms: 300, endpoint_to_first_byte_ms: 400, first_byte_to_first_audio_ms: 50, first_audio_to_heard_ms: null };
  const cut = { ...turn, speech_end_to_endpoint_ms: null, first_byte_to_first_audio_ms: null };
  found.turns = [turns.stepsOf(turn).map(({ name, start }) => [name, start]), turns.totalOf(cut), turns.scaleOf([turn]),
    turns.figuresOf([turn, cut]), turns.wordsOfTurn(cut, 2)];
  const text = (number, role, words, at_ms, rest = {}) => ({ type: 'text', number, role, text: words, at_ms: 1000 + at_ms, is_cut: false, is_open: false, speaker: '', unheard: '', ...rest });
  const entries = [
    text(0, 'user', 'hi', 1900), { type: 'call', number: 1, call_id: 'c1', name: 'find', arguments: '{"a": 1}', output: null, at_ms: 3900 },
    text(2, 'assistant', 'yes', 3050, { is_cut: true, unheard: 'indeed' }),
    { type: 'call', number: 3, call_id: 'c2', name: 'pay', arguments: 'no json', output: '{"error": "refused by a person"}', at_ms: 5000 },
  ];
  const marks = [{ at_ms: 3500, kind: 'transfer', text: 'a → b' }, { at_ms: 3600, kind: 'approval', text: 'pay' }];
  const lines = transcript.linesOf({ entries, timeline: { marks }, speech, startedAt: 1000 });
  found.lines = lines.map(({ kind, at, text: words, unheard, state, isAsked }) => [kind, at, words ?? state, unheard ?? isAsked ?? '']);
  found.current = [0, 2900, 3950].map((at) => transcript.currentLine(lines, at));
  const parser = new events.EventParser();
  found.events = [parser.feed('id: 1\\ndata: {"a":'), parser.feed('1}\\n\\n: ping\\n\\nid: 2\\r\\ndata: x\\r\\n\\r\\n')];
  const waiting = new approvals.Approvals();
  waiting.apply({ type: 'agent_tool_approval_required', tool_use: { id: 'c1', name: 'find', input: {} } });
  waiting.apply({ type: 'agent_tool_approval_required', tool_use: { id: 'c9', name: 'late', input: {} } });
  found.asking = approvals.withApprovals(lines, waiting.asking).filter(({ state }) => state === 'asking').map(({ name }) => name);
  waiting.apply({ type: 'agent_response_tool_result', tool_result: { id: 'c1' } });
  found.left = [...waiting.asking.keys()];
  return found;
}"""

EXPECTED: Final[dict[str, Any]] = {
    # Of fields that exist and have a usable value.
    "filters": [
        {"text": "ada", "range": "day", "live": "1", "longest": "90"},
        {"range": "own", "from": "2026-01-01T00:00", "exit": "crashed"},
    ],
    "queries": [
        {"text": "ada", "max_duration_s": "90", "is_live": "true", "since": "6400000"},
        {"exit_reason": "crashed", "since": "1767225600000"},
    ],
    "chips": ["Started: last 24 hours", "Only live", "Ended: Nobody came", "At least: 5 s"],
    "without": {"channel": "c"},
    "words": [
        *("0:00", "1:01", "1:02:03"),
        *("45 s", "3 min 12 s", "1 h 05 min"),
        *("820 ms", "1.24 s", DASH),
        *(DASH, "< 0.0001", "0.0842", "12.35"),
        *("999 B", "1.5 kB", "123 MB"),
        *(2, 4, None),
        *("Live, ready", "A new one"),
    ],
    # One that is gone from the part that the fresh page covers is taken away; equal ones are kept.
    "merged": [["e", "d", "b", "a"], True, False],
    "wholeMerged": 1,
    "rows": [{"first": 0, "end": 11}, {"first": 98, "end": 116}, {"first": 3, "end": 3}],
    "views": [
        {"start": 1000, "end": 6000},
        {"start": 0, "end": 10_000},
        {"start": 0, "end": 500},
        {"start": 0, "end": 4000},
        {"start": 6000, "end": 10_000},
        {"start": 1700, "end": 3700},
        {"start": 0, "end": 2000},
    ],
    "place": [100, 2500],
    "ticks": ["0:00", "0:02", "0:04", "0:06", "0:08", "0:10"],
    "bars": [0, 1, 0.2, 0],
    "speech": {
        "user": [{"start": 0, "end": 1800}],
        "agent": [{"start": 3000, "end": 4000}],
        "overlaps": [],
        "pauses": [{"start": 1800, "end": 3000}],
    },
    "text": [
        "0 Person speaks for 1.8 s",
        "1800 Nobody speaks for 1.2 s",
        "3000 Agent speaks for 1.0 s",
        "3900 Agent interrupted",
    ],
    "speakers": ["Person", "", "Agent"],
    "turns": [
        [["endpointing", 0], ["model", 300], ["audio", 700]],
        400,
        800,
        {"count": 1, "median": 750, "p95": 750, "slowest": 750},
        "Turn 2: 400 ms, given up before it was heard. Model 400 ms",
    ],
    # Words are where the voice is, not where they were written down.
    "lines": [
        ["user", 0, "hi", ""],
        ["tool", 2900, "running", False],
        ["agent", 3000, "yes", "indeed"],
        ["note", 3500, "Hand-over: a → b", ""],
        ["tool", 4000, "refused", True],
    ],
    "current": ["entry 0", "entry 0", "entry 2"],
    "events": [[], [{"id": "1", "data": '{"a":1}'}, {"id": "2", "data": "x"}]],
    "asking": ["find", "late"],
    "left": ["c9"],
}


@pytest.mark.asyncio
async def test_pure_modules_of_the_calls_screens() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        found: dict[str, Any] = await console.page.evaluate(PURE)
    assert found == EXPECTED
