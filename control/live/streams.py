"""The event stream of each call: what its agent tells, its states and its end, over all restarts.

A stream belongs to a call, not to a process: it begins with the start, goes on while a lost agent is
replaced, and ends with the `agent_exited` that nothing follows. Of the ended ones the last
`MAX_ENDED` are kept for readers who come back.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from config import AgentConfig
from control.live.ring import EventRing
from control.live.stream_events import AgentExited, AgentStateChanged, StreamGap
from control.observers import CallObserver
from control.placement import ExitRecord
from control.processes.link import ChildMessage, Event, StateChanged
from conversation.lifecycle import AgentState
from utils import wall_clock_ms

MAX_ENDED: Final = 64
MAX_READERS: Final = 16
"""Of one stream."""

BATCH: Final = 64
"""Events that a reader takes at once."""

FROM_THE_BEGINNING: Final = "0"


class TooManyReadersError(Exception):
    """The stream has as many readers as it may have."""


class UnknownEventIdError(ValueError):
    """This is no id of an event."""


class Stream:
    """One call's events. `call_id` is its agent's id."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.ring = EventRing()
        self.is_over = False
        self.readers = 0
        self._news = asyncio.Event()

    def append(self, event: BaseModel, *, at_ms: int) -> None:
        """Tell all readers. at_ms: Unix time, for an event that has none of its own"""
        data = event.model_dump_json()
        if "at_ms" not in type(event).model_fields:
            data = f'{data[:-1]},"at_ms":{at_ms}}}'
        self.ring.append(data)
        self._tell_readers()

    def clear(self) -> None:
        """Forget all events and end: readers are told of a gap and no more."""
        self.ring.clear()
        self.is_over = True
        self._tell_readers()

    def _tell_readers(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def wait_news(self) -> None:
        """Return with the next event."""
        await self._news.wait()


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader gets: JSON, and the id by which it resumes after it, if it has one."""

    data: str
    event_id: str | None = None


class Reader:
    """Reads one stream from some event on. A context manager: a stream has `MAX_READERS` places."""

    def __init__(self, stream: Stream, position: int, *, is_other_call: bool = False) -> None:
        """position: number of the last event that the reader knows; is_other_call: of another call"""
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
        """Whether nothing will come any more."""
        return self._stream.is_over and self._position >= self._stream.ring.last

    def take(self) -> list[Told]:
        """The next events, `BATCH` at most; a gap is said by an event without an id."""
        ring, told = self._stream.ring, []
        if self._is_other_call:
            self._is_other_call = False
            told.append(Told(StreamGap(missed=None).model_dump_json()))
        elif missed := ring.missed(self._position):
            told.append(Told(StreamGap(missed=missed).model_dump_json()))
        events = ring.since(self._position)[:BATCH]
        # Of a call that was deleted nothing is left.
        self._position = events[-1].number if events else ring.last
        prefix = self._stream.call_id
        return told + [Told(event.data, f"{prefix}:{event.number}") for event in events]

    async def wait_news(self) -> None:
        """Return when there is something to take."""
        if self._position >= self._stream.ring.last and not self._is_other_call:
            await self._stream.wait_news()


class Streams(CallObserver):
    """The streams of all channels."""

    def __init__(self) -> None:
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        # By call: those above, and those that somebody still reads though a later call of their
        # channel has taken their place.
        self._of_calls: weakref.WeakValueDictionary[str, Stream] = weakref.WeakValueDictionary()

    # -- what happens ----------------------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """A call begins, or goes on in another process."""
        if restarts == 0:
            stream = self._streams[config.channel_name] = Stream(config.agent_id)
            self._of_calls[config.agent_id] = stream
        self._tell_state(config, AgentState.STARTING)

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """An agent steps on, or tells its room something."""
        match message:
            case StateChanged(state=state) if state is not AgentState.EXITED:
                self._tell_state(config, state)
            case Event():
                self._tell(config.channel_name, config.agent_id, message.event)
            case _:
                pass

    def handle_exit(self, record: ExitRecord) -> None:
        """A process is gone, and with it perhaps the call."""
        self._tell(record.channel_name, record.agent_id, AgentExited.of(record))
        stream = self._streams.get(record.channel_name)
        if stream is None or stream.call_id != record.agent_id or record.is_restarted:
            return
        stream.is_over = True
        self._streams.move_to_end(record.channel_name)
        ended = [name for name, one in self._streams.items() if one.is_over]
        for name in ended[:-MAX_ENDED]:
            del self._streams[name]

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Have nothing of these calls told any more, not even to those who read just now."""
        for call_id in call_ids:
            if (stream := self._of_calls.pop(call_id, None)) is not None:
                stream.clear()
        for name in [name for name, one in self._streams.items() if one.call_id in call_ids]:
            del self._streams[name]

    def _tell_state(self, config: AgentConfig, state: AgentState) -> None:
        event = AgentStateChanged(
            agent_id=config.agent_id,
            channel_name=config.channel_name,
            state=state,
            at_ms=wall_clock_ms(),
        )
        self._tell(config.channel_name, config.agent_id, event)

    def _tell(self, channel_name: str, call_id: str, event: BaseModel) -> None:
        stream = self._streams.get(channel_name)
        if stream is not None and stream.call_id == call_id:
            stream.append(event, at_ms=wall_clock_ms())

    # -- who reads -------------------------------------------------------------------------------

    def reader(self, channel_name: str, last_event_id: str | None) -> Reader | None:
        """Of the channel's call; None when it has none. last_event_id: None for what comes from now
        on, `FROM_THE_BEGINNING`, or the id of the last event that is known.

        Raises:
            UnknownEventIdError: this is none.
        """
        stream = self._streams.get(channel_name)
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
