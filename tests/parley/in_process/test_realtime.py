"""`Agent.realtime`, the synchronous twin, and conversations that go on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from conversation.snapshot import SnapshotText
from parley import Agent
from parley.in_process.conversation_store import ConversationStore, ConversationStoreError
from parley.live_events import RealtimeEvent
from parley.live_input import LiveInputQueue
from parley.testing import ScriptedModel, call, says
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import tone
from tests.parley.in_process.calls import AGENT, settings_of


class ProviderThread:
    """The fake provider on a loop of its own."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    async def _run(self) -> None:
        async with FakeRealtimeServer() as server:
            self.settings = settings_of(server)
            self._ready.set()
            session = await server.next_session()
            session.reply_with = lambda each: each.say(tone(200), "Good morning")
            await self._stop.wait()

    def __enter__(self) -> ProviderThread:
        self._thread.start()
        self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


def test_a_program_without_a_loop_takes_events_one_by_one() -> None:
    with ProviderThread() as provider:
        queue = LiveInputQueue()
        queue.send_text("Hello")
        queue.close()
        seen: list[RealtimeEvent] = list(AGENT.realtime(queue, settings=provider.settings))
    types = [event.type for event in seen]
    assert types[0] == "session_started"
    assert types[-1] == "session_ended"
    assert "audio_delta" in types
    assert threading.active_count() == 1


def test_a_program_may_stop_early() -> None:
    with ProviderThread() as provider:
        queue = LiveInputQueue()
        queue.send_text("Hello")
        for event in AGENT.realtime(queue, settings=provider.settings):
            if event.type == "audio_delta":
                break
    # Closed with the last reference to it.
    assert threading.active_count() == 1


@pytest.mark.asyncio
async def test_it_is_refused_where_a_loop_runs() -> None:
    with pytest.raises(RuntimeError, match="arealtime"):
        AGENT.realtime(LiveInputQueue())


# -- conversations -------------------------------------------------------------------------------------

SHOP = Agent("shop", instructions="Sell.")


async def talk(question: str, answer: str, store: ConversationStore | str) -> list[str]:
    """Ask in a call of the thread `ann`; return what the model was given of earlier ones."""
    model = ScriptedModel([says(answer)])
    # A database works in threads, which virtual time does not see.
    is_real = isinstance(store, str) or store.place is not None
    async with call(SHOP, model, thread_id="ann", store=store, is_real_time=is_real) as talking:
        await talking.writes(question)
    texts = [each.text for each in model.all_sent("text")]
    return texts[: texts.index(question)]


@pytest.mark.asyncio
async def test_a_conversation_goes_on_in_memory() -> None:
    store = ConversationStore()
    assert await talk("My name is Ann.", "Hello Ann.", store) == []
    assert await talk("Who am I?", "Ann.", store) == ["My name is Ann.", "Hello Ann."]
    assert (await talk("And now?", "Still Ann.", store))[2:] == ["Who am I?", "Ann."]


@pytest.mark.asyncio
async def test_a_conversation_goes_on_in_the_folder_of_a_server(tmp_path: Path) -> None:
    place = str(tmp_path / "data")
    assert await talk("My name is Ann.", "Hello Ann.", place) == []
    assert await talk("Who am I?", "Ann.", place) == ["My name is Ann.", "Hello Ann."]
    async with ConversationStore(place) as store:
        assert len(await talk("And now?", "Still Ann.", store)) == 4
        with pytest.raises(ConversationStoreError, match="share one"):
            await talk("Me too?", "No.", place)


@pytest.mark.asyncio
async def test_one_call_has_a_conversation_at_a_time(tmp_path: Path) -> None:
    for store in (ConversationStore(), ConversationStore(f"sqlite:///{tmp_path / 'calls.db'}")):
        async with (
            store,
            call(SHOP, thread_id="ann", store=store, is_real_time=True),
        ):
            with pytest.raises(ConversationStoreError):
                await talk("Me too?", "No.", store)


@pytest.mark.asyncio
async def test_what_was_not_heard_is_not_kept() -> None:
    store = ConversationStore()
    model = ScriptedModel([says("one two three four five six seven eight nine ten")])
    async with call(SHOP, model, thread_id="ann", store=store) as talking:
        await talking.writes("Count", wait=False)
        await talking.until_speaking()
        await talking.passes(1.0)
        talking.queue.interrupt()
        await talking.quiet()
        entry = talking.live.agent.conversation()[-1]
    assert isinstance(entry, SnapshotText)
    assert entry.is_cut
    assert 0 < len(entry.text) < 30
    earlier = await talk("Go on", "eleven", store)
    assert earlier[-1].startswith(entry.text)
    assert "five" not in earlier[-1]
