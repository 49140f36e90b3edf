"""`AfterCall`: after each call sends its content, and has it summarised and data extracted.

Nothing waits for it. What is to be made of a call is in the store from its start: a server that is
restarted goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

from config.agent import AgentConfig
from config.notices import NoticeKind
from control.after_call.analyst import Analyst
from control.after_call.content import about, content_of
from control.after_call.outcome import NoAnswerError
from control.observers import CallObserver
from control.placement import ExitRecord
from control.store.analyses import WantedAnalysis
from control.store.archive import Archive
from control.store.errors import StoreUnavailableError, UnknownCallError
from control.store.recordings import Recordings
from control.store.records import CallRecord, Extraction, Summary, TranscriptEntry
from control.webhooks.notices import AgentData, ExtractionData, SummaryData
from control.webhooks.retries import RetryPolicy
from utils import OwnedTasks, wall_clock_ms

CALLS_AT_ONCE: Final = 4
"""Ended calls whose content is read at the same time."""

REQUESTS_AT_ONCE: Final = 2
"""Requests to the language model, which also has live calls to serve."""

CLOSE_DEADLINE_S: Final = 3.0
"""Time that the server's end waits for notices of calls that have just ended."""

STORE_RETRIES: Final = RetryPolicy(attempts=20, first_s=1.0, cap_s=60.0)
MODEL_RETRIES: Final = RetryPolicy(attempts=12, first_s=2.0, cap_s=300.0)

_AT_THE_END: Final[tuple[NoticeKind, ...]] = ("call.transcript", "call.usage", "call.recording")

Send = Callable[[NoticeKind, AgentData], None]
T = TypeVar("T")

_log = logging.getLogger("control.after_call")


class AfterCall(CallObserver):
    """Observes the ends of calls, after the archive's recorder."""

    def __init__(
        self,
        archive: Archive,
        recordings: Recordings,
        analyst: Analyst,
        *,
        kinds: Collection[NoticeKind] = (),
        send: Send = lambda _kind, _data: None,
        retries: RetryPolicy = MODEL_RETRIES,
    ) -> None:
        """
        kinds: of notices that are wanted
        send: enqueues a notice, if its kind is wanted
        retries: of requests to the language model
        """
        self._archive = archive
        self._recordings = recordings
        self._analyst = analyst
        self._kinds = frozenset(kinds) & frozenset(_AT_THE_END)
        self._send = send
        self._retries = retries
        # Live calls of which something is to be made.
        self._wanted: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        # Of those, the calls whose content is still to be sent.
        self._unsent: set[str] = set()
        self._changed = asyncio.Event()
        self._reading = asyncio.Semaphore(CALLS_AT_ONCE)
        self._asking = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self._tasks = OwnedTasks(_log)
        self._is_closing = False

    @property
    def waiting(self) -> int:
        """Ended calls that are worked on."""
        return len(self._running)

    # -- observer --------------------------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Note that something is to be made of the call."""
        del restarts
        if config.summarise or config.extract is not None:
            self._wanted.add(config.agent_id)

    def handle_exit(self, record: ExitRecord) -> None:
        """Begin the work on a call that is over."""
        if record.is_restarted:
            return
        is_wanted = record.agent_id in self._wanted
        self._wanted.discard(record.agent_id)
        if is_wanted or self._kinds:
            self._begin(record.agent_id, has_content=bool(self._kinds))

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Give up the work on these calls."""
        for call_id in call_ids:
            if (task := self._running.pop(call_id, None)) is not None:
                task.cancel()

    # -- lifecycle -------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what a run of this server before left undone."""
        self._tasks.start(self._resume(), name="pending analyses")

    async def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Enqueue the content of ended calls within the deadline; the rest is done by the next run.
        Idempotent.
        """
        self._is_closing = True
        try:
            async with asyncio.timeout(deadline_s):
                while self._unsent:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("the server ends before the content of all calls was sent")
        await self._tasks.close()
        await self._analyst.close()

    async def _resume(self) -> None:
        calls = await self._from_store(self._archive.analyses.pending_calls)
        if calls:
            _log.info("calls that wait for a summary or an extraction: %d", len(calls))
        for call_id in calls:
            self._begin(call_id, has_content=False)

    # -- one call --------------------------------------------------------------------------------

    def _begin(self, call_id: str, *, has_content: bool) -> None:
        if call_id in self._running:
            return
        if has_content:
            self._unsent.add(call_id)
        task = self._tasks.start(
            self._run(call_id, has_content=has_content), name=f"after {call_id}"
        )
        self._running[call_id] = task
        task.add_done_callback(lambda done: self._handle_done(call_id, done))

    def _handle_done(self, call_id: str, task: asyncio.Task[None]) -> None:
        if self._running.get(call_id) is task:
            del self._running[call_id]
        self._note_sent(call_id)

    def _note_sent(self, call_id: str) -> None:
        self._unsent.discard(call_id)
        self._changed.set()

    async def _run(self, call_id: str, *, has_content: bool) -> None:
        try:
            if has_content:
                await self._send_content(call_id)
            self._note_sent(call_id)
            async with self._reading:
                pending = await self._from_store(lambda: self._archive.analyses.pending(call_id))
            for wanted in pending:
                await self._analyse(call_id, wanted)
        except UnknownCallError:
            pass  # Deleted meanwhile.
        except StoreUnavailableError as error:
            # What is to be made of the call is still there at the next start.
            _log.warning("call %s: given up after its end: %s", call_id, error)

    async def _send_content(self, call_id: str) -> None:
        async with self._reading:
            content = await self._from_store(
                lambda: content_of(self._archive, self._recordings, call_id, self._kinds)
            )
        for kind, data in content:
            self._send(kind, data)

    async def _analyse(self, call_id: str, wanted: WantedAnalysis) -> None:
        outcome = await self._outcome(call_id, wanted)
        if outcome.state == "failed":
            # The reason may repeat what was said; it is in the store.
            _log.warning("call %s: its %s failed", call_id, wanted.kind)
        is_stored = await self._from_store(
            lambda: self._archive.analyses.settle(call_id, wanted.kind, outcome)
        )
        if is_stored:
            record = await self._from_store(lambda: self._archive.record(call_id))
            self._send_outcome(record, outcome)

    def _send_outcome(self, record: CallRecord, outcome: Summary | Extraction) -> None:
        if isinstance(outcome, Summary):
            summary = SummaryData.model_validate({**about(record), "summary": outcome})
            self._send("call.summary", summary)
        else:
            data = ExtractionData.model_validate({**about(record), "extraction": outcome})
            self._send("call.extraction", data)

    async def _outcome(self, call_id: str, wanted: WantedAnalysis) -> Summary | Extraction:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._asking:
                    # Read each time: many calls may wait for a model that is away.
                    transcript = await self._from_store(lambda: self._archive.transcript(call_id))
                    return await self._attempt(wanted, transcript.entries)
            except NoAnswerError as error:
                pause_s = self._retries.pause_s(attempt, random.random())
                if not error.is_passing or pause_s is None:
                    kind = Summary if wanted.kind == "summary" else Extraction
                    return kind(state="failed", reason=str(error), at_ms=wall_clock_ms())
                _log.info("%s of a call: %s; asked again in %.0f s", wanted.kind, error, pause_s)
            await asyncio.sleep(pause_s)

    async def _attempt(
        self, wanted: WantedAnalysis, entries: list[TranscriptEntry]
    ) -> Summary | Extraction:
        if wanted.schema is None:
            text = await self._analyst.summarise(entries)
            return Summary(
                state="done",
                at_ms=wall_clock_ms(),
                text=text.value,
                model=text.model,
                input_tokens=text.input_tokens,
                output_tokens=text.output_tokens,
            )
        found = await self._analyst.extract(entries, wanted.schema)
        return Extraction(
            state="done",
            at_ms=wall_clock_ms(),
            value=found.value,
            model=found.model,
            input_tokens=found.input_tokens,
            output_tokens=found.output_tokens,
        )

    async def _from_store(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the store, and again while it cannot answer.

        Raises:
            StoreUnavailableError: it cannot for long.
            UnknownCallError: the call is deleted.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await question()
            except StoreUnavailableError:
                pause_s = STORE_RETRIES.pause_s(attempt, random.random())
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
