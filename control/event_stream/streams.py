"""Event streams of calls: the agent's events, its states and its end, across restarts.

A stream belongs to a call, not to a process: it begins with the start, continues while a lost agent
is replaced, and ends with the last `agent_exited`. The latest `MAX_ENDED` ended streams are kept for
readers that resume.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from config.agent import AgentConfig
from control.event_stream.ring import EventRing
from control.event_stream.stream_events import AgentExited, AgentStateChanged, StreamGap
from control.ipc.link import ChildMessage, Event, StateChanged
from control.observers import CallObserver
from control.placement import ExitRecord
from conversation.lifecycle import AgentState
from utils import wall_clock_ms

MAX_ENDED: Final = 64
MAX_READERS: Final = 16
"""Of one stream."""

BATCH: Final = 64
"""Events that a reader takes at once."""

FROM_THE_BEGINNING: Final = "0"


class TooManyReadersError(Exception):
    """The stream has `MAX_READERS` readers."""


class UnknownEventIdError(ValueError):
    """The text is not an event id."""


class Stream:
    """One call's events. `call_id` is its agent's id, `team` that of the key that started it."""

    def __init__(self, call_id: str, team: str = "") -> None:
        self.call_id = call_id
        self.team = team
        self.ring = EventRing()
        self.is_over = False
        self.readers = 0
        self._news = asyncio.Event()

    def append(self, event: BaseModel, *, at_ms: int) -> None:
        """Append an event and wake all readers. at_ms: Unix time, for an event without its own."""
        data = event.model_dump_json()
        if "at_ms" not in type(event).model_fields:
            data = f'{data[:-1]},"at_ms":{at_ms}}}'
        self.ring.append(data)
        self._wake_readers()

    def clear(self) -> None:
        """Drop all events and end: readers get a gap and nothing more."""
        self.ring.clear()
        self.is_over = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def wait_news(self) -> None:
        """Wait for the next event."""
        await self._news.wait()


@dataclass(frozen=True, slots=True)
class StreamItem:
    """An item for a reader: JSON, and the event id to resume after, if any."""

    data: str
    event_id: str | None = None


class Reader:
    """Reads one stream from an event on. A context manager, which takes one of `MAX_READERS` places."""

    def __init__(self, stream: Stream, position: int, *, is_other_call: bool = False) -> None:
        """position: number of the reader's last event; is_other_call: it belongs to another call"""
        self._stream = stream
        self._position = position
        self._is_other_call = is_other_call

    def __enter__(self) -> Reader:
        if self._stream.readers >= MAX_READERS:
            raise TooManyReadersError
        self._stream.readers += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.readers -= 1

    @property
    def is_done(self) -> bool:
        """True if no more items will follow."""
        return self._stream.is_over and self._position >= self._stream.ring.last

    def take(self) -> list[StreamItem]:
        """Return the next items, at most `BATCH` events; a gap is an item without an id."""
        ring, items = self._stream.ring, []
        if self._is_other_call:
            self._is_other_call = False
            items.append(StreamItem(StreamGap(missed=None).model_dump_json()))
        elif missed := ring.missed(self._position):
            items.append(StreamItem(StreamGap(missed=missed).model_dump_json()))
        events = ring.since(self._position)[:BATCH]
        # Nothing is left of a deleted call.
        self._position = events[-1].number if events else ring.last
        prefix = self._stream.call_id
        return items + [StreamItem(event.data, f"{prefix}:{event.number}") for event in events]

    async def wait_news(self) -> None:
        """Wait until `take` has something to return."""
        if self._position >= self._stream.ring.last and not self._is_other_call:
            await self._stream.wait_news()


class Streams(CallObserver):
    """The streams of all channels."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        # By call: those above, and those still being read after a later call of their channel
        # replaced them.
        self._of_calls: weakref.WeakValueDictionary[str, Stream] = weakref.WeakValueDictionary()

    # -- input ----------------------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Begin a call's stream, or continue it with another process."""
        if restarts == 0:
            stream = self._streams[config.channel_name] = Stream(config.agent_id, config.team)
            self._of_calls[config.agent_id] = stream
        self._append_state(config, AgentState.STARTING)

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Append a state or an event of the agent."""
        match message:
            case StateChanged(state=state) if state is not AgentState.EXITED:
                self._append_state(config, state)
            case Event():
                self._append(config.channel_name, config.agent_id, message.event)
            case _:
                pass

    def handle_exit(self, record: ExitRecord) -> None:
        """Append the end of a process; end the stream if the call is over."""
        self._append(record.channel_name, record.agent_id, AgentExited.of(record))
        stream = self._streams.get(record.channel_name)
        if stream is None or stream.call_id != record.agent_id or record.is_restarted:
            return
        stream.is_over = True
        self._streams.move_to_end(record.channel_name)
        ended = [name for name, one in self._streams.items() if one.is_over]
        for name in ended[:-MAX_ENDED]:
            del self._streams[name]

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Drop the streams of these calls, for current readers too."""
        for call_id in call_ids:
            if (stream := self._of_calls.pop(call_id, None)) is not None:
                stream.clear()
        for name in [name for name, one in self._streams.items() if one.call_id in call_ids]:
            del self._streams[name]

    def _append_state(self, config: AgentConfig, state: AgentState) -> None:
        event = AgentStateChanged(
            agent_id=config.agent_id,
            channel_name=config.channel_name,
            state=state,
            at_ms=wall_clock_ms(),
        )
        self._append(config.channel_name, config.agent_id, event)

    def _append(self, channel_name: str, call_id: str, event: BaseModel) -> None:
        stream = self._streams.get(channel_name)
        if stream is not None and stream.call_id == call_id:
            stream.append(event, at_ms=wall_clock_ms())

    # -- readers -------------------------------------------------------------------------------

    def reader(
        self, channel_name: str, last_event_id: str | None, *, team: str | None = None
    ) -> Reader | None:
        """Return a reader of the channel's call; None if there is no call.

        Args:
            team: whose call it is; None: anyone's.
            last_event_id: the id of the last event known, `FROM_THE_BEGINNING`, or None for events
                from now on.

        Raises:
            UnknownEventIdError: `last_event_id` is not an event id.
        """
        stream = self._streams.get(channel_name)
        if stream is not None and team not in (None, stream.team):
            stream = None
        call_id, number = _parse_id(last_event_id) if last_event_id is not None else ("", 0)
        if stream is None or (stream.is_over and last_event_id is None):
            return None
        if last_event_id is None:
            return Reader(stream, stream.ring.last)
        if last_event_id == FROM_THE_BEGINNING or call_id == stream.call_id:
            return Reader(stream, min(number, stream.ring.last))
        return Reader(stream, 0, is_other_call=True)


def _parse_id(text: str) -> tuple[str, int]:
    call_id, _, number = text.rpartition(":")
    if len(number) > 18 or not (number.isascii() and number.isdecimal()):
        raise UnknownEventIdError(text)
    return call_id, int(number)
