"""The work after calls: bounded, tried again, and over with the server or the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.notices import CONTENT_KINDS, NoticeKind
from control.after_call.analyst import Analyst
from control.after_call.runner import REQUESTS_AT_ONCE, AfterCall
from control.ipc.link import Remember
from control.store.archive import Archive
from control.store.database import database_url
from control.store.recordings import Recordings
from control.webhooks.notices import AgentData
from control.webhooks.retries import RetryPolicy
from speech.options import LanguageModelOptions, SessionOptions
from tests.control.store.samples import config, text
from tests.control.store.test_archive import opened
from tests.control.store.test_live_call import exit_record
from tests.deadlines import DEADLINE_S
from tests.fakes.chat_server import Answer, ChatServer, answer, chat_server, refusal
from tests.processes.conftest import until

QUICK = RetryPolicy(attempts=4, first_s=0.001, cap_s=0.002)


class Scene:
    """Ended calls, and the notices about them."""

    def __init__(self, archive: Archive, server: ChatServer, retries: RetryPolicy) -> None:
        self.archive = archive
        self.sent: list[tuple[NoticeKind, AgentData]] = []
        model = LanguageModelOptions(base_url=server.base_url, model="scripted")
        self.after = AfterCall(
            archive,
            Recordings(None),
            Analyst(lambda: SessionOptions(language_model=model)),
            kinds=CONTENT_KINDS,
            send=lambda kind, data: self.sent.append((kind, data)),
            retries=retries,
        )
        archive.share_deletions([self.after], lambda *_: None, list)
        self.after.start()

    def call(self, call_id: str, **wanted: Any) -> None:
        """A whole call."""
        of_call = config(call_id, thread_id=call_id, **wanted)
        for observer in (self.archive.recorder, self.after):
            observer.handle_start(of_call, restarts=0)
            observer.handle_message(of_call, Remember(entry=text(0, "hello there")))
            observer.handle_exit(exit_record(agent_id=call_id))

    def kinds_of(self, call_id: str) -> list[NoticeKind]:
        return [kind for kind, data in self.sent if data.agent_id == call_id]

    async def summary(self, call_id: str) -> Any:
        return (await self.archive.details(call_id)).summary


@asynccontextmanager
async def scene(
    folder: Path, retries: RetryPolicy = QUICK
) -> AsyncIterator[tuple[Scene, ChatServer]]:
    async with chat_server() as server, opened(database_url(folder, None)) as archive:
        made = Scene(archive, server, retries)
        try:
            yield made, server
        finally:
            await made.after.close()


@pytest.mark.asyncio
async def test_few_requests_at_once_and_none_holds_up_the_content(tmp_path: Path) -> None:
    async with scene(tmp_path) as (calls, server):
        gate = asyncio.Event()
        server.reply_with = lambda _call: Answer(("A call.",), wait_before=gate)
        names = [f"call-{number}" for number in range(6)]
        for name in names:
            calls.call(name, summarise=True)
        await until(lambda: len([kind for kind, _ in calls.sent if kind == "call.usage"]) == 6)
        await server.wait_for_call(REQUESTS_AT_ONCE)
        assert len(server.calls) == REQUESTS_AT_ONCE
        gate.set()
        await until(lambda: not calls.after.waiting)
        for name in names:
            assert calls.kinds_of(name) == ["call.transcript", "call.usage", "call.summary"]
            assert (await calls.summary(name)).text == "A call."


@pytest.mark.asyncio
async def test_a_model_that_is_away_is_asked_again_and_then_given_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as (calls, server):
        # Each request is sent twice at once; the third attempt succeeds.
        server.script += [refusal(503, "overloaded")] * 4 + [answer("A call.")]
        calls.call("one", summarise=True)
        await until(lambda: not calls.after.waiting)
        assert (await calls.summary("one")).state == "done"
        server.reply_with = lambda _call: refusal(503, "overloaded")
        calls.call("two", summarise=True)
        await until(lambda: not calls.after.waiting)
        failed = await calls.summary("two")
        assert (failed.state, failed.text) == ("failed", None)
        assert "503" in failed.reason
        assert calls.kinds_of("two")[-1] == "call.summary"


@pytest.mark.asyncio
async def test_the_servers_end_leaves_the_rest_to_the_next_run(tmp_path: Path) -> None:
    async with scene(tmp_path) as (calls, server):
        server.reply_with = lambda _call: Answer(wait_before=asyncio.Event())
        calls.call("one", summarise=True)
        async with asyncio.timeout(DEADLINE_S):
            await server.wait_for_call()
            await calls.after.close()
        assert calls.kinds_of("one") == ["call.transcript", "call.usage"]
        assert (await calls.summary("one")).state == "pending"
        server.reply_with = lambda _call: answer("A call.")
        again = Scene(calls.archive, server, QUICK)
        await until(lambda: again.kinds_of("one") == ["call.summary"])
        await again.after.close()


@pytest.mark.asyncio
async def test_a_deleted_call_is_given_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as (calls, server):
        server.reply_with = lambda _call: Answer(wait_before=asyncio.Event())
        calls.call("one", summarise=True)
        request = await server.wait_for_call()
        await calls.archive.delete("one")
        async with asyncio.timeout(DEADLINE_S):
            await request.was_closed.wait()
        assert calls.kinds_of("one") == ["call.transcript", "call.usage"]
        assert calls.after.waiting == 0


@pytest.mark.asyncio
async def test_calls_of_which_nothing_is_wanted_cost_nothing(tmp_path: Path) -> None:
    async with opened(database_url(tmp_path, None)) as archive:
        after = AfterCall(archive, Recordings(None), Analyst(SessionOptions))
        after.handle_start(config("one"), restarts=0)
        after.handle_exit(exit_record(agent_id="one"))
        assert after.waiting == 0
        await after.close()
