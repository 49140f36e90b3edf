"""Cost of storing calls for the control server, and duration of an acknowledged write (SQLite)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.figures import row
from config.agent import AgentConfig
from config.providers import ProviderConfig
from control.ipc.link import Event, Remember
from control.store.archive import Archive
from control.store.database import database_url
from conversation.events.server_events import AgentResponseAudioTranscriptDelta
from conversation.snapshot import SnapshotText

_CALLS: Final = 100
_ROUNDS: Final = 40
_DEADLINE_S: Final = 30.0


class Spent(list[float]):
    """Processor time in ms, a measurement each."""

    @contextmanager
    def measured(self, share: int = 1) -> Iterator[None]:
        """Measure what is done meanwhile; share: among how many it is divided"""
        began_s = time.process_time()
        yield
        self.append((time.process_time() - began_s) * 1000 / share)


async def rows() -> list[str]:
    """Measure with 100 calls."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        archive = Archive(database_url(Path(name), None), "bench")
        archive.start(list)
        try:
            return await _measure(archive)
        finally:
            await archive.close()


async def _measure(archive: Archive) -> list[str]:
    await archive.settle(_DEADLINE_S)
    calls = [await archive.open_call(_config(f"agent-{n}")) for n in range(_CALLS)]
    for call in calls:
        archive.recorder.handle_start(call, restarts=0)
    await archive.settle(_DEADLINE_S)
    hearing, boxes, acknowledged_ms, read_ms = Spent(), Spent(), list[float](), list[float]()
    for number in range(_ROUNDS):
        with hearing.measured(share=2 * _CALLS):
            for call in calls:
                archive.recorder.handle_message(call, _delta(number))
                archive.recorder.handle_message(call, _entry(2 * number))
        await archive.settle(_DEADLINE_S)
        archive.recorder.handle_message(calls[0], _entry(2 * number + 1))
        began_s = time.perf_counter()
        await archive.settle(_DEADLINE_S)
        acknowledged_ms.append((time.perf_counter() - began_s) * 1000)
        began_s = time.perf_counter()
        await archive.transcript("agent-0")
        read_ms.append((time.perf_counter() - began_s) * 1000)
    for _ in range(5):
        with boxes.measured(share=_CALLS):
            await archive.recorder.put_live()
            await archive.settle(_DEADLINE_S)
    return [
        row("store: an event or entry, processor", "ms", hearing, digits=3),
        row("store: record and black box, processor", "ms", boxes, digits=3),
        row("store: one entry until it is on disk", "ms", acknowledged_ms),
        row("store: a transcript", "ms", read_ms),
    ]


def _config(call_id: str) -> AgentConfig:
    provider = ProviderConfig(name="local", model="local", base_uri="ws://127.0.0.1:9")
    return AgentConfig(
        agent_id=call_id,
        channel_name=call_id,
        uid=1,
        room_url="http://127.0.0.1:9",
        provider=provider,
    )


def _delta(number: int) -> Event:
    return Event(
        event=AgentResponseAudioTranscriptDelta(
            agent_id="a", agent_name="A", response_id="r", item_id=f"i{number}", delta="word "
        )
    )


def _entry(number: int) -> Remember:
    return Remember(entry=SnapshotText(number=number, role="user", text="some words " * 10))
