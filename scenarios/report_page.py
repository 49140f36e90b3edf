"""The page of scenario tests: results, transcripts, expectations, latencies, and the recordings to hear. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from load.page import html_page
from load.statistics import summary
from scenarios.results import (
    ReplyResult,
    Report,
    RunResult,
    ScenarioResult,
    ToolCallResult,
    TurnResult,
    Verdict,
)

_STYLE: Final = """
section.run { border: 1px solid var(--grid); border-radius: .5rem; padding: .5rem 1rem; margin: 1rem 0; }
section.run > h3 { margin: .25rem 0; }
audio { width: 100%; margin: .5rem 0; }
ol.turns { list-style: none; padding: 0; margin: .5rem 0; }
ol.turns > li { border-top: 1px solid var(--grid); padding: .5rem 0 .5rem 4.6rem; position: relative; }
button.at { position: absolute; left: 0; top: .5rem; width: 4rem; font: inherit; font-size: .85rem;
  color: var(--line-0); background: none; border: 1px solid var(--grid); border-radius: .3rem; cursor: pointer; }
button.at:focus-visible { outline: 3px solid var(--line-0); }
.who { color: var(--soft); font-size: .85rem; margin-right: .4rem; }
s { color: var(--soft); }
code { font-size: .85rem; overflow-wrap: anywhere; }
ul.verdicts { list-style: none; padding: 0; margin: .25rem 0; font-size: .9rem; }
pre { overflow-x: auto; font-size: .8rem; max-height: 24rem; }
summary { cursor: pointer; }
"""
_SCRIPT: Final = """
document.addEventListener('click', (event) => {
  const button = event.target.closest('button.at');
  const audio = button && button.closest('section.run').querySelector('audio');
  if (!audio) return;
  audio.currentTime = Number(button.dataset.s);
  audio.play();
});
"""


def report_page(report: Report, sounds: Mapping[Path, str]) -> str:
    """Return the page.

    sounds: of recordings, what an `audio` element takes as its source
    """
    body = "\n".join([*_head(report), *_scenarios(report, sounds), f"<script>{_SCRIPT}</script>"])
    return html_page("Scenario tests", body, _STYLE)


def _head(report: Report) -> Iterator[str]:
    passed = sum(one.has_passed for one in report.scenarios)
    began = datetime.fromtimestamp(report.started_at_ms / 1000, UTC)
    yield "<h1>Scenario tests</h1>"
    kind = "good" if report.has_passed else "bad"
    yield f'<p class="verdict {kind}">{passed} of {len(report.scenarios)} scenarios passed</p>'
    yield (
        f'<p class="how">{began:%Y-%m-%d %H:%M:%S} UTC, {report.duration_ms / 1000:.0f} s, '
        f"server {escape(report.server)}</p>"
    )
    heads = ("answers, ms: median", "p95", "slowest")
    yield '<div class="wide"><table><tr><th>scenario</th><th>result</th><th class="number">runs passed</th>'
    yield "".join(f'<th class="number">{head}</th>' for head in heads) + "</tr>"
    for number, one in enumerate(report.scenarios):
        figures = summary([value for run in one.runs for value in run.latencies_ms])
        values = ("-",) * 3 if figures is None else (figures.median, figures.p95, figures.max)
        cells = "".join(f'<td class="number">{_figure(value)}</td>' for value in values)
        rate = f"{one.passed_runs} of {len(one.runs)} ({one.needed} needed)"
        yield (
            f'<tr><td><a href="#scenario-{number}">{escape(one.scenario)}</a></td><td>{_result(one.has_passed)}'
            f'</td><td class="number">{rate}</td>{cells}</tr>'
        )
    yield "</table></div>"


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.0f}"


def _result(has_passed: bool) -> str:
    return '<b class="good">passed</b>' if has_passed else '<b class="bad">failed</b>'


def _scenarios(report: Report, sounds: Mapping[Path, str]) -> Iterator[str]:
    for number, one in enumerate(report.scenarios):
        yield f'<h2 id="scenario-{number}">{escape(one.scenario)}: {_result(one.has_passed)}</h2>'
        where = f'<p class="how">{escape(str(one.file))}</p>' if one.file else ""
        yield where + (f"<p>{escape(one.description)}</p>" if one.description else "")
        if len(one.runs) > 1:
            yield from _rates(one)
        for run in one.runs:
            yield from _run(run, sounds, is_alone=len(one.runs) == 1)


def _rates(one: ScenarioResult) -> Iterator[str]:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{_rate(met, checked)}</td></tr>'
        for name, (met, checked) in one.rates().items()
    )
    yield f'<div class="wide"><table><tr><th>expectation</th><th class="number">met</th></tr>{rows}</table></div>'


def _rate(met: int, checked: int) -> str:
    kind = "good" if met == checked else "bad"
    return f'<span class="{kind}">{met} of {checked}, {100 * met / checked:.0f} %</span>'


def _run(run: RunResult, sounds: Mapping[Path, str], *, is_alone: bool) -> Iterator[str]:
    yield '<section class="run">'
    title = "" if is_alone else f"Run {run.run}: {_result(run.has_passed)}, "
    end = f", ended with {escape(run.exit_reason)}" if run.exit_reason else ""
    yield f"<h3>{title}{run.duration_ms / 1000:.1f} s{end}</h3>"
    if run.error:
        yield f'<p class="bad">{escape(run.error)}</p>'
    if run.recording is not None and run.recording in sounds:
        label = escape(f"recording of {run.scenario}, run {run.run}")
        yield f'<audio controls preload="metadata" aria-label="{label}" src="{escape(sounds[run.recording])}"></audio>'
    yield '<ol class="turns">' + "".join(_turn(turn) for turn in run.turns) + "</ol>"
    if run.verdicts:
        yield f"<p>Of the whole call:</p>{_verdicts(run.verdicts)}"
    yield from _details(run)
    yield "</section>"


def _turn(turn: TurnResult) -> str:
    begin_s = max(0.0, turn.began_ms / 1000)
    number = "Greeting" if turn.number == 0 else f"Turn {turn.number}"
    shown = f"&#9654; {begin_s:.1f} s"
    parts = [
        f'<button class="at" data-s="{begin_s:.2f}" aria-label="play {number.lower()}">{shown}</button>',
        f'<div class="who">{number}, {escape(turn.kind)}{_times(turn)}</div>',
    ]
    if turn.said and turn.kind != "greeting":
        parts.append(_said(turn.by, escape(turn.said)))
        if turn.understood and turn.understood != turn.said:
            parts.append(f'<div class="how">understood: {escape(turn.understood)}</div>')
    parts += [_tool(call) for call in turn.tool_calls]
    parts += [_said(f"agent {reply.agent_name}".strip(), _reply(reply)) for reply in turn.replies]
    if turn.words_heard is not None:
        parts.append(f'<div class="how">heard: {escape(turn.words_heard or "(nothing)")}</div>')
    return f"<li>{''.join(parts)}{_verdicts(turn.verdicts)}</li>"


def _times(turn: TurnResult) -> str:
    texts = []
    if turn.latency_ms is not None:
        texts.append(f"answered after {turn.latency_ms:.0f} ms")
    if turn.was_interrupted:
        texts.append("interrupted the agent")
    if turn.silent_after_ms is not None:
        texts.append(f"agent silent after {turn.silent_after_ms:.0f} ms")
    return "".join(f", {text}" for text in texts)


def _said(who: str, words: str) -> str:
    return f'<div><span class="who">{escape(who)}</span>{words}</div>'


def _reply(reply: ReplyResult) -> str:
    """Return the words, those that were not heard struck through."""
    whole, heard = reply.transcript.strip(), reply.heard_text.strip()
    if not reply.is_interrupted:
        return escape(whole)
    rest = whole[len(heard) :] if whole.startswith(heard) else whole
    return f"{escape(heard)}<s>{escape(rest)}</s> (cut off)"


def _tool(call: ToolCallResult) -> str:
    given = json.dumps(call.arguments, ensure_ascii=False)
    took = "" if call.duration_ms is None else f", {call.duration_ms:.0f} ms"
    output = "no result" if call.output is None else call.output
    kind = ' class="bad"' if call.is_error else ""
    return (
        f'<div><span class="who">tool{took}</span><code>{escape(call.name)}({escape(given)}) &rarr; '
        f"<span{kind}>{escape(output)}</span></code></div>"
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    rows = "".join(
        f'<li><b class="{"good" if one.is_met else "bad"}">{"met" if one.is_met else "not met"}</b> '
        f"{escape(one.name)}"
        + (f': <span class="how">{escape(one.detail)}</span>' if one.detail else "")
        + "</li>"
        for one in verdicts
    )
    return f'<ul class="verdicts">{rows}</ul>'


def _details(run: RunResult) -> Iterator[str]:
    media = [one.model_dump(exclude_none=True) for one in run.media]
    facts = {
        "call": {"channel": run.channel_name, "call_id": run.call_id},
        "media": media,
        **({} if run.state is None else {"state": run.state}),
    }
    for title, value in (
        ("Figures", facts),
        (f"{len(run.events)} events", [one.model_dump() for one in run.events]),
    ):
        text = escape(json.dumps(value, indent=1, ensure_ascii=False))
        yield f'<details><summary>{title}</summary><pre tabindex="0">{text}</pre></details>'
