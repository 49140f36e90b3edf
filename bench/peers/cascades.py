"""Our cascade beside Pipecat's: the same engines, language model and callers, in one run.

The language model is a scripted chat server that sends its first token after 100 ms and further ones
20 ms apart. Callers ask recorded questions at the pace of a microphone, hear the reply to its end,
and ask the next one. `CASCADE_ROUNDS` (1) multiplies how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from bench.peers.cascade_caller import CascadeCaller, Playback, Question
from bench.peers.cascade_servers import Cascade, parley_cascades, pipecat_cascades
from bench.peers.interpreter import INSTALL, installed_versions, peers_python
from bench.processes import TreeCpu
from bench.speech import plain_words, transcripts, wrong_words
from load.statistics import percentile
from speech.spoken_text.numbers import spell
from tests.fakes.chat_server import Answer, ChatCall, Piece, Sleep, Text, chat_server

QUESTIONS: Final = (
    "u01_f.wav",
    "u03_f_pink10.wav",
    "u15_f.wav",
    "u22_m.wav",
    "u04_m_pink10.wav",
    "u16_f.wav",
    "u02_f_pink10.wav",
    "u01_m.wav",
)
TURNS: Final = {1: 3, 2: 2, 4: 2}
"""Questions of each caller, by how many callers there are at once."""

FIRST_TOKEN_S: Final = 0.1
TOKEN_S: Final = 0.02
_TEXTS: Final = (
    "That is number {}, and the answer is yes. Ask me more.",
    "The answer to that is {}. Ask me more.",
)
"""Replies in turn: with a comma to begin to speak at, and without."""

_LEAST_GAP_S: Final = 0.02
_BETWEEN_CALLERS_S: Final = 0.7
_LINE: Final = re.compile(r"line (\d+)")

HEADER: Final = (
    f"{'cascade':<30} {'calls':>5} {'answers':>8} {'first byte, ms':>15} {'first sound, ms':>15} "
    f"{'wrong words':>11} {'gaps, ms':>12} {'CPU s':>6}\n"
    f"{'':<30} {'':>5} {'':>8} {'median   p95':>15} {'median   p95':>15} "
    f"{'':>11} {'n  longest':>12} {'/answer':>7}"
)

Key = tuple[int, str]
"""Number of calls, name of the cascade."""


class Mind:
    """The language model: no reply is like another, and each line's last question is kept."""

    def __init__(self) -> None:
        self.heard: dict[int, str] = {}
        self._numbers = itertools.count(21)

    def answer(self, call: ChatCall) -> Answer:
        """Answer a request."""
        line = _LINE.search(str(call.messages[0]["content"]))
        assert line is not None, call.messages
        self.heard[int(line[1])] = last_turn(call)
        turns = sum(message["role"] == "assistant" for message in call.messages)
        text = _TEXTS[turns % len(_TEXTS)].format(spell(next(self._numbers)))
        return Answer(tuple(_pieces(text)))


def last_turn(call: ChatCall) -> str:
    """All that the user said since the assistant's last message."""
    said = list[str]()
    for message in reversed(call.messages):
        if message["role"] != "user":
            break
        said.insert(0, str(message["content"]))
    return " ".join(said)


def _pieces(text: str) -> Iterator[Piece]:
    yield Sleep(FIRST_TOKEN_S)
    for word in text.split(" "):
        yield Text(f"{word} ")
        yield Sleep(TOKEN_S)


@dataclass
class Figures:
    """Figures of a cascade with so many calls at once.

    first_byte_ms, first_sound_ms: since the end of the last word
    """

    calls: int
    asked: int = 0
    first_byte_ms: list[float] = field(default_factory=list)
    first_sound_ms: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)
    words: int = 0
    wrong_words: int = 0
    cpu_s: float = 0.0

    def add(self, ended_s: float, reply: Playback, said: str, heard: str) -> None:
        """Count a question. A reply that began before its end is none."""
        self.asked += 1
        self.words += len(plain_words(said))
        self.wrong_words += wrong_words(plain_words(said), plain_words(heard))
        self.gaps_ms += [gap_s * 1000 for gap_s in reply.gaps_s if gap_s >= _LEAST_GAP_S]
        if reply.first_byte_s is None or reply.first_sound_s is None:
            return
        if reply.first_byte_s >= ended_s:
            self.first_byte_ms.append((reply.first_byte_s - ended_s) * 1000)
            self.first_sound_ms.append((reply.first_sound_s - ended_s) * 1000)

    def line(self, name: str) -> str:
        """A line of the report."""
        answers = len(self.first_byte_ms)
        if not answers:
            return f"{name:<30} {self.calls:5d} {0:4d}/{self.asked:<3d}"
        delays = " ".join(
            f"{statistics.median(values):9.0f} {percentile(values, 0.95):5.0f}"
            for values in (self.first_byte_ms, self.first_sound_ms)
        )
        return (
            f"{name:<30} {self.calls:5d} {answers:4d}/{self.asked:<3d} {delays} "
            f"{self.wrong_words:5d}/{self.words:<5d} "
            f"{len(self.gaps_ms):4d} {max(self.gaps_ms, default=0):7.0f} {self.cpu_s / answers:7.2f}"
        )


async def rows() -> list[str]:
    """One line per number of calls and cascade."""
    python = peers_python()
    version = (await installed_versions(python)).get("Pipecat")
    lines = [f"load of the machine before: {os.getloadavg()[0]:.2f}"]
    if version is None:
        lines.append(f"not measured, not installed for {python}: Pipecat. Remedy: {INSTALL}")
    mind = Mind()
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(chat_server(reply_with=mind.answer))
        running = [await stack.enter_async_context(parley_cascades(chat.base_url))]
        if version is not None:
            peer = pipecat_cascades(chat.base_url, python=python, version=version)
            running.append(await stack.enter_async_context(peer))
        figures = await _compare(running, mind)
    lines += [HEADER, *(each.line(name) for (_, name), each in figures.items())]
    return [*lines, f"load of the machine after: {os.getloadavg()[0]:.2f}"]


async def _compare(running: list[list[Cascade]], mind: Mind) -> dict[Key, Figures]:
    """Measure all in turns, so that what else the machine does hits them alike."""
    bench = _Bench(mind)
    for cascades in running:
        # The first reply of a process takes longer.
        await bench.measure(cascades[0], Figures(calls=1), turns=1, first=0)
    figures: dict[Key, Figures] = {}
    for number in range(int(os.environ.get("CASCADE_ROUNDS", "1"))):
        for calls, turns in TURNS.items():
            for cascade in itertools.chain(*running):
                total = figures.setdefault((calls, cascade.name), Figures(calls))
                await bench.measure(cascade, total, turns=turns, first=number * turns)
    return figures


class _Bench:
    def __init__(self, mind: Mind) -> None:
        self._mind = mind
        self._said = transcripts()
        self._lines = itertools.count(1)

    async def measure(self, cascade: Cascade, figures: Figures, *, turns: int, first: int) -> None:
        """Make the calls, with so many questions each, the first call from question `first` on."""
        async with AsyncExitStack() as stack:
            lines = [next(self._lines) for _ in range(figures.calls)]
            callers = [await stack.enter_async_context(_calling(cascade, line)) for line in lines]
            tree = TreeCpu(cascade.pid)
            async with asyncio.TaskGroup() as group:
                for number, (line, caller) in enumerate(zip(lines, callers, strict=True)):
                    begin = first + number * len(QUESTIONS) // figures.calls
                    questions = itertools.islice(itertools.cycle(QUESTIONS), begin, begin + turns)
                    group.create_task(self._ask(caller, line, list(questions), number, figures))
            figures.cpu_s += tree.spent_s()

    async def _ask(
        self,
        caller: CascadeCaller,
        line: int,
        questions: list[str],
        number: int,
        figures: Figures,
    ) -> None:
        await asyncio.sleep(number * _BETWEEN_CALLERS_S)
        for name in questions:
            self._mind.heard.pop(line, None)
            ended_s, reply = await caller.ask(Question.load(name, caller.rate_hz))
            figures.add(ended_s, reply, self._said[name], self._mind.heard.get(line, ""))


@contextlib.asynccontextmanager
async def _calling(cascade: Cascade, line: int) -> AsyncIterator[CascadeCaller]:
    async with cascade.call(line) as wire, asyncio.TaskGroup() as group:
        caller = CascadeCaller(wire)
        tasks = [group.create_task(caller.speak()), group.create_task(caller.listen())]
        yield caller
        for task in tasks:
            task.cancel()
