"""A load from its first call to its last stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from load.calls import Calls
from load.figures import (
    LevelFigures,
    Limit,
    Starts,
    is_busy_otherwise,
    level_figures,
    limit_of,
    step_means,
)
from load.knee import KneeSearch
from load.result import LoadResult, level_line
from load.server_api import ServerApi
from load.sounds import spoken_sentences, utterance, write_utterances
from load.watch import Watch
from load.workers import Workers
from utils import OwnedTasks, sole_cause

SETTLE_S: Final = 3.0
"""Between the last connection of a level and its first second that counts."""
RETRY_S: Final = 6.0
"""After a refusal while the limit is looked for: the load that the starts caused has passed by then."""

FULL: Final = "at_capacity: agents"
"""The refusal that waiting does not change while all calls go on."""

_log = logging.getLogger("load")


@dataclass(frozen=True)
class LoadOptions:
    """A load to run.

    calls: at once; with is_search the most that are tried
    ramp_s: over which they begin; duration_s: of a level, after all of them are connected
    fields: of every start request, beside the channel
    sentences: what callers say, in this order: PCM16 at `load.sounds.RATE_HZ`; empty: the built-in ones
    spoken: a name for them; notes: for the report
    """

    server_url: str
    calls: int
    ramp_s: float
    duration_s: float
    is_search: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    sentences: Sequence[bytes] = ()
    spoken: str = "built-in conversation"
    notes: Sequence[str] = ()
    api_key: SecretStr | None = None
    metrics_token: SecretStr | None = None


class Load:
    """One load; `run` may be called once."""

    def __init__(self, options: LoadOptions, on_line: Callable[[str], None]) -> None:
        """on_line: gets a line on each level as it ends"""
        self._options = options
        self._on_line = on_line
        self._levels: list[LevelFigures] = []
        self._notes = list(options.notes)
        self._tasks = OwnedTasks(_log)
        self._running: asyncio.Task[None] | None = None
        self._is_interrupted = False

    def stop(self) -> None:
        """End early: what was measured is reported, and all agents are stopped."""
        self._is_interrupted = True
        if self._running is not None:
            self._running.cancel()

    async def run(self) -> LoadResult:
        """Run it to its end.

        Raises:
            ServerApiError: the server does not answer, or is none of ours.
            speech.errors.SpeechError: there is no voice for the callers.
        """
        began_at = datetime.now(UTC).isoformat(timespec="seconds")
        async with self._prepared() as level:
            # A task of its own, so that an interruption ends it alone and not what cleans up.
            self._running = self._tasks.start(self._run_levels(level), name="levels")
            if self._is_interrupted:
                self._running.cancel()
            await asyncio.wait([self._running])
            if not self._running.cancelled() and (error := self._running.exception()) is not None:
                raise sole_cause(error)
        if self._levels and is_busy_otherwise(self._levels[-1], len(os.sched_getaffinity(0))):
            self._notes.append(
                "the callers' machine is busy with other work, which the figures do not tell from the load"
            )
        best = max((one for one in self._levels if _is_sound(one)), key=_calls, default=None)
        return LoadResult(
            server_url=self._options.server_url,
            began_at=began_at,
            spoken=self._options.spoken,
            levels=self._levels,
            best=best,
            limit=self._limit(best),
            is_searched=self._options.is_search,
            samples=level.watch.samples,
            notes=self._notes,
            is_interrupted=self._is_interrupted,
        )

    @contextlib.asynccontextmanager
    async def _prepared(self) -> AsyncIterator[_Level]:
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-load-")))
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            api = ServerApi(http, options.server_url, options.api_key, options.metrics_token)
            await api.agents()  # A wrong address or key is reported before anything is started.
            sentences = options.sentences or await asyncio.to_thread(spoken_sentences)
            write_utterances(folder / "utterances.json", [utterance(pcm) for pcm in sentences])
            calls = Calls(api, options.fields)
            stack.push_async_callback(calls.close)
            watch = Watch(api, calls.channels, calls)
            workers = Workers(options.server_url, folder / "utterances.json", watch.handle_report)
            stack.push_async_callback(workers.close)
            stack.push_async_callback(self._tasks.close)
            self._tasks.start(watch.keep_sampling(), name="samples")
            yield _Level(options, calls, watch, workers)
            if workers.lost_processes:
                self._notes.append(f"{workers.lost_processes} processes of callers crashed")

    async def _run_levels(self, level: _Level) -> None:
        options = self._options
        if not options.is_search:
            self._add(await level.run(options.calls))
            return
        search = KneeSearch(options.calls)
        while (wanted := search.next()) is not None:
            figures = await level.run(wanted)
            self._add(figures)
            is_sound = _is_sound(figures)
            is_short = figures.calls < wanted
            search.take(
                figures.calls if is_short else wanted,
                is_sound=is_sound,
                is_most=is_short and is_sound,
            )
            if figures.calls == 0:
                break

    def _add(self, figures: LevelFigures) -> None:
        self._levels.append(figures)
        if self._options.is_search:
            self._on_line(level_line(figures))

    def _limit(self, best: LevelFigures | None) -> Limit | None:
        """Return what came first: of the lowest level above the best one, or the best one's refusals."""
        if best is not None and (limit := limit_of(best)) is not None:
            return limit
        unsound = [one for one in self._levels if not _is_sound(one)]
        first = min(unsound, key=_calls, default=None)
        return None if first is None else limit_of(first)


class _Level:
    """Brings so many calls up, lets them talk, and takes the figures."""

    def __init__(self, options: LoadOptions, calls: Calls, watch: Watch, workers: Workers) -> None:
        self._options = options
        self._calls = calls
        self._workers = workers
        self.watch = watch

    async def run(self, wanted: int) -> LevelFigures:
        """Run one level of `wanted` calls; fewer, if the server has no room."""
        starts = Starts()
        await self._bring_up(wanted, starts)
        await asyncio.sleep(SETTLE_S)
        watch, loop = self.watch, asyncio.get_running_loop()
        await watch.next_sample()
        first, metrics, counts, restarts = (
            len(watch.samples),
            watch.metrics,
            watch.counts,
            watch.restarts,
        )
        began_s = loop.time()
        watch.begin_level()
        await asyncio.sleep(self._options.duration_s)
        await watch.next_sample()
        return level_figures(
            wanted=wanted,
            calls=watch.calls,
            samples=watch.samples[first:],
            starts=starts,
            restarts=watch.restarts - restarts,
            step_ms=step_means(metrics, watch.metrics),
            agent_counts=watch.counts - counts,
            began_s=began_s,
            length_s=loop.time() - began_s,
        )

    async def _bring_up(self, wanted: int, starts: Starts) -> None:
        calls, ramp_s = self._calls, self._options.ramp_s
        if len(calls) > wanted:
            await calls.shrink(wanted, self._workers)
            return
        await calls.grow(wanted - len(calls), ramp_s, self._workers, starts)
        if self._options.is_search and starts.refused.keys() - {FULL}:
            # Starts cost more than calls do: what was refused in their rush may have room now.
            await asyncio.sleep(RETRY_S)
            starts.refused.clear()
            await calls.grow(wanted - len(calls), ramp_s, self._workers, starts)
        self.watch.refused += starts.refused.total()


def _is_sound(figures: LevelFigures) -> bool:
    """Return true if the calls that were let in went well; refusals of others do not matter."""
    limit = limit_of(figures)
    return figures.calls > 0 and (limit is None or limit.kind == "refused")


def _calls(figures: LevelFigures) -> int:
    return figures.calls
