"""The link between supervisor and agent process: one JSON message a line, over a socket pair.

The two unions below are the protocol. The supervisor speaks `ParentMessage`, the agent process
`ChildMessage`; the first message is always `Start`. A line that is too long or no message of the
union means that the peer is broken: reading raises `LinkBrokenError`, and the link is closed. The
end of the stream is how each side learns that the other is gone.

Writing never waits. Events are dropped (and counted) while more than `EVENT_BACKLOG_BYTES` are
unread by the peer; anything else is always sent, but a peer that leaves `MAX_BACKLOG_BYTES`
unread is broken. No message is sent that the peer would not take: what an agent tells is cut, then
dropped, and what somebody waits for is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from control.processes.link_stream import LinkStream
from conversation.lifecycle import AgentState, ExitReason
from conversation.live_commands import CommandResult, LiveCommand
from conversation.remembered import RememberedEntry
from conversation.server_events import ServerEvent
from conversation.vitals import Vitals
from json_reader import mend_text
from utils import shorten
from validation import first_fault

_log = logging.getLogger("control.link")

MAX_LINE_BYTES: Final = 1 << 20
EVENT_BACKLOG_BYTES: Final = 256 * 1024
MAX_BACKLOG_BYTES: Final = 4 * MAX_LINE_BYTES


class MessageRefusedError(ValueError):
    """A message cannot be sent as it is; the text says why, without its values."""


class LinkBrokenError(Exception):
    """The peer sent something that is not of the protocol, or no longer reads."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# -- supervisor -> agent process ---------------------------------------------------------------


class Start(_Message):
    """Run this agent. Sent once, first. `config` is `config.AgentConfig` with secrets in clear."""

    type: Literal["start"] = "start"
    config: dict[str, Any] = Field(repr=False)


class Stop(_Message):
    """End gracefully within `deadline_s`; the end is the process's exit."""

    type: Literal["stop"] = "stop"
    reason: ExitReason
    deadline_s: float


class Ping(_Message):
    """Answer with a `Pong` of the same `n`, from the loop that does the work."""

    type: Literal["ping"] = "ping"
    n: int


class RenewModel(_Message):
    """Give up the provider's session for a new one that is told the conversation."""

    type: Literal["renew_model"] = "renew_model"
    reason: str


class Command(_Message):
    """Do this for the agent's owner, and answer with a `CommandDone` of the same number."""

    type: Literal["command"] = "command"
    number: int
    command: LiveCommand = Field(repr=False)


# -- agent process -> supervisor ---------------------------------------------------------------


class StateChanged(_Message):
    """The agent stepped to `state`; `at_ms` is Unix time."""

    type: Literal["state"] = "state"
    state: AgentState
    at_ms: int


class Ready(_Message):
    """The room is joined and the provider session open."""

    type: Literal["ready"] = "ready"
    timings_ms: dict[str, float]


class StartFailed(_Message):
    """The agent never became ready; the process exits next.

    is_retryable: whether another process could fare better
    """

    type: Literal["start_failed"] = "start_failed"
    phase: str
    code: str
    message: str
    is_retryable: bool = True


class Event(_Message):
    """The agent told its room something."""

    type: Literal["event"] = "event"
    event: ServerEvent = Field(repr=False)


class Remember(_Message):
    """An entry of the conversation is new or has changed; should this process die, the next one
    is told the last of each.
    """

    type: Literal["remember"] = "remember"
    entry: RememberedEntry = Field(repr=False)


class Forget(_Message):
    """The entry of this number was taken back."""

    type: Literal["forget"] = "forget"
    number: int


class Pong(_Message):
    """loop_lag_ms: worst lateness of the loop's timers since the last pong."""

    type: Literal["pong"] = "pong"
    n: int
    loop_lag_ms: float
    vitals: Vitals


class Exiting(_Message):
    """The agent has ended and freed everything; the process exits next."""

    type: Literal["exiting"] = "exiting"
    exit_reason: ExitReason


class CommandDone(_Message):
    """The `Command` of this number was carried out (`result`) or refused (`code`, `message`)."""

    type: Literal["command_done"] = "command_done"
    number: int
    result: CommandResult | None = None
    code: str | None = None
    message: str = ""


ParentMessage = Annotated[Start | Stop | Ping | RenewModel | Command, Field(discriminator="type")]
ChildMessage = Annotated[
    StateChanged | Ready | StartFailed | Event | Remember | Forget | Pong | CommandDone | Exiting,
    Field(discriminator="type"),
]

# Cut they would do something else than was asked for.
_UNCUT: Final = (Start, Command, CommandDone)
_CUT_CHARACTERS: Final = (100_000, 10_000, 1_000, 100)

# Pydantic keeps short strings that it has read, 16 384 of them: here ids that never come again, and
# what people say.
_READING: Final = ConfigDict(cache_strings="keys")
PARENT_MESSAGE: Final[TypeAdapter[ParentMessage]] = TypeAdapter(ParentMessage, config=_READING)
CHILD_MESSAGE: Final[TypeAdapter[ChildMessage]] = TypeAdapter(ChildMessage, config=_READING)

In = TypeVar("In")


def serialize_message(message: BaseModel) -> bytes:
    """One line, newline included."""
    return message.model_dump_json().encode() + b"\n"


def fit_line(message: BaseModel) -> bytes | None:
    """The line of a message, with long texts cut if it were too long otherwise; None when even that
    does not help, which is logged.

    Raises:
        MessageRefusedError: it would have to be cut, and is a message that says something else then.
    """
    try:
        line = serialize_message(message)
        if len(line) <= MAX_LINE_BYTES:
            return line
        problem = f"it has {len(line)} bytes, {MAX_LINE_BYTES} are the most"
    except (ValueError, RecursionError) as error:
        problem = f"it cannot be written as JSON ({type(error).__name__})"
    if isinstance(message, _UNCUT):
        raise MessageRefusedError(problem)
    fitting = next((line for line in _cut_lines(message) if len(line) <= MAX_LINE_BYTES), None)
    fate = "is dropped" if fitting is None else "is cut"
    _log.warning("a message of kind %s %s: %s", type(message).__name__, fate, problem)
    return fitting


def _cut_lines(message: BaseModel) -> Iterator[bytes]:
    """The message with ever shorter texts, as long as it is still one."""
    try:
        values = message.model_dump(mode="python")
        for limit in _CUT_CHARACTERS:
            yield serialize_message(type(message).model_validate(_mended(values, limit)))
    except (ValueError, RecursionError):
        return


def _mended(value: Any, limit: int) -> Any:
    match value:
        case str():
            return mend_text(shorten(value, limit))
        case dict():
            return {_mended(key, limit): _mended(item, limit) for key, item in value.items()}
        case list() | tuple():
            return [_mended(item, limit) for item in value]
        case _:
            return value


def parse_message(adapter: TypeAdapter[In], line: bytes) -> In:
    """The message of one line.

    Raises:
        LinkBrokenError: not a message of this union; the text never repeats its values.
    """
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = first_fault(error)
        raise LinkBrokenError(f"{first.field or 'message'}: {first.text}") from None


class Link(Generic[In]):
    """One end of the link, reading messages of the union that the other end speaks."""

    def __init__(self, stream: LinkStream, adapter: TypeAdapter[In]) -> None:
        self._stream = stream
        self._adapter = adapter
        self.dropped_events = 0

    @classmethod
    async def open(cls, sock: socket.socket, adapter: TypeAdapter[In]) -> Link[In]:
        """Take over `sock`, one end of `socket.socketpair()`; reads what `adapter` describes."""
        return cls(LinkStream(sock, MAX_LINE_BYTES), adapter)

    async def receive(self) -> In | None:
        """The next message, or None when the peer is gone.

        Raises:
            LinkBrokenError: the peer sent something else; nothing more can be read.
        """
        try:
            line = await self._stream.readline()
        except ValueError as error:
            raise LinkBrokenError(f"a line exceeds {MAX_LINE_BYTES} bytes") from error
        # A line without its end is what a dying peer leaves behind.
        return parse_message(self._adapter, line) if line.endswith(b"\n") else None

    def send(self, message: BaseModel) -> None:
        """Send one message without waiting; nothing happens when the link is closed.

        Raises:
            LinkBrokenError: the peer stopped reading long ago; the link is closed.
            MessageRefusedError: it cannot be sent and must not be cut; the link is as before.
        """
        if self._stream.is_closing:
            return
        backlog_bytes = self._stream.unsent_bytes
        if isinstance(message, Event) and backlog_bytes > EVENT_BACKLOG_BYTES:
            self.dropped_events += 1
            return
        if backlog_bytes > MAX_BACKLOG_BYTES:
            self.abort()
            raise LinkBrokenError(f"{backlog_bytes} bytes wait for a peer that does not read")
        line = fit_line(message)
        if line is not None:
            self._stream.write(line)
        elif isinstance(message, Event):
            self.dropped_events += 1

    async def flush(self, deadline_s: float) -> None:
        """Wait until the peer has taken everything, or is gone, or the time is over; closes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._stream.flush()
        self.abort()

    def abort(self) -> None:
        """Close at once; what waits is lost. Idempotent."""
        self._stream.close()
