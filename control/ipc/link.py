"""`Link`: newline-delimited JSON messages between supervisor and agent process, over a socket pair.

The two unions below are the protocol. The supervisor sends `ParentMessage`, the agent process
`ChildMessage`; the first message is always `Start`. A line that is too long or no message of the
union means that the peer is broken: reading raises `LinkBrokenError`. The end of the stream is how
each side notices that the other is gone.

Writing never waits. Events are dropped (and counted) while the peer has left more than
`EVENT_BACKLOG_BYTES` unread; all other messages are always sent, but a peer that leaves
`MAX_BACKLOG_BYTES` unread is broken. No message is sent that the peer would reject: a message that
is too long is shortened, then dropped; one whose meaning would change is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.adoption import Adoption
from control.ipc.link_stream import LinkStream
from conversation.events.commands import CommandResult, LiveCommand
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState, ExitReason
from conversation.memory import MemoryAnswer, MemoryRequest
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import MAX_STATE_CHARACTERS, SnapshotEntry
from conversation.vitals import Vitals
from untrusted.json_reader import mend_text
from untrusted.validation import first_validation_error
from utils import shorten

_log = logging.getLogger("control.link")

# Longest message of either side, newline included: the base64 of the largest image fits.
MAX_LINE_BYTES: Final = 2 << 20
EVENT_BACKLOG_BYTES: Final = 256 * 1024
MAX_BACKLOG_BYTES: Final = 2 * MAX_LINE_BYTES


class MessageRefusedError(ValueError):
    """A message cannot be sent; the text explains why, without its values."""


class LinkBusyError(Exception):
    """A socket cannot be sent at the moment."""


class LinkBrokenError(Exception):
    """The peer violated the protocol, or no longer reads."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# -- supervisor -> agent process ---------------------------------------------------------------


class Start(_Message):
    """Run this agent. Sent once, first. config: an `AgentConfig` with secrets in clear text."""

    type: Literal["start"] = "start"
    config: dict[str, Any] = Field(repr=False)


class Stop(_Message):
    """Stop gracefully and exit within `deadline_s`."""

    type: Literal["stop"] = "stop"
    reason: ExitReason
    deadline_s: float


class Ping(_Message):
    """Answer with a `Pong` of the same `n`, from the loop that does the work.

    should_save_work: the machine is short of processor time
    """

    type: Literal["ping"] = "ping"
    n: int
    should_save_work: bool = False


class RenewModel(_Message):
    """Replace the provider's session by a new one that resumes the conversation."""

    type: Literal["renew_model"] = "renew_model"
    reason: str


class Command(_Message):
    """Execute an API command, and answer with a `CommandDone` of the same number."""

    type: Literal["command"] = "command"
    number: int
    command: LiveCommand = Field(repr=False)


class AdoptSocket(_Message):
    """Take over a client's connection, whose socket comes with this message, and answer with a
    `CommandDone` of the same number.
    """

    type: Literal["adopt_socket"] = "adopt_socket"
    number: int
    adoption: Adoption = Field(repr=False)


class MemoryAnswered(_Message):
    """Answer to the `AskMemory` of this number."""

    type: Literal["memory_answered"] = "memory_answered"
    number: int
    answer: MemoryAnswer = Field(repr=False)


# -- agent process -> supervisor ---------------------------------------------------------------


class StateChanged(_Message):
    """The agent entered `state`; at_ms: Unix time."""

    type: Literal["state"] = "state"
    state: AgentState
    at_ms: int


class Ready(_Message):
    """The room is joined and the provider session open."""

    type: Literal["ready"] = "ready"
    timings_ms: dict[str, float]


class StartFailed(_Message):
    """The agent never became ready; the process exits next.

    is_retryable: false if another process would fail likewise.
    """

    type: Literal["start_failed"] = "start_failed"
    phase: str
    code: str
    message: str
    is_retryable: bool = True


class Event(_Message):
    """Event that the agent sent to its room. at_ms: when, Unix time in milliseconds"""

    type: Literal["event"] = "event"
    at_ms: int | None = None
    event: ServerEvent = Field(repr=False)


class Remember(_Message):
    """Entry of the conversation that is new or has changed; a replacement process resumes from the
    latest version of each.
    """

    type: Literal["remember"] = "remember"
    entry: SnapshotEntry = Field(repr=False)


class Forget(_Message):
    """The entry of this number was removed from the conversation."""

    type: Literal["forget"] = "forget"
    number: int


class RememberCall(_Message):
    """The owner's state (JSON) and the definition that has the floor; replaces earlier ones."""

    type: Literal["remember_call"] = "remember_call"
    state: str = Field(max_length=MAX_STATE_CHARACTERS, repr=False)
    agent: str


class OwnerFailed(_Message):
    """A function of the agent's owner failed; for the call's record."""

    type: Literal["owner_failed"] = "owner_failed"
    failure: OwnerFailure


class AskMemory(_Message):
    """Request to the long-term memory of the call's key; a `MemoryAnswered` of the same number follows."""

    type: Literal["ask_memory"] = "ask_memory"
    number: int
    request: MemoryRequest = Field(repr=False)


class Pong(_Message):
    """Answer to `Ping`. loop_lag_ms: worst lateness of the loop's timers since the last pong."""

    type: Literal["pong"] = "pong"
    n: int
    loop_lag_ms: float
    vitals: Vitals


class Exiting(_Message):
    """The agent has ended and released everything; the process exits next."""

    type: Literal["exiting"] = "exiting"
    exit_reason: ExitReason


class CommandDone(_Message):
    """The `Command` of this number was executed (`result`) or refused (`code`, `message`)."""

    type: Literal["command_done"] = "command_done"
    number: int
    result: CommandResult | None = None
    code: str | None = None
    message: str = ""


ParentMessage = Annotated[
    Start | Stop | Ping | RenewModel | Command | AdoptSocket | MemoryAnswered,
    Field(discriminator="type"),
]
ChildMessage = Annotated[
    StateChanged
    | Ready
    | StartFailed
    | Event
    | Remember
    | Forget
    | RememberCall
    | OwnerFailed
    | AskMemory
    | Pong
    | CommandDone
    | Exiting,
    Field(discriminator="type"),
]

# Shortened, these would mean something else.
_UNCUT: Final = (Start, Command, AdoptSocket, CommandDone, RememberCall, AskMemory, MemoryAnswered)
# Limits of single texts, tried in this order until the message fits.
_CUT_CHARACTERS: Final = (100_000, 10_000, 1_000, 100)

# By default pydantic caches short strings, 16 384 of them: here ids that never recur, and spoken words.
_READING: Final = ConfigDict(cache_strings="keys")
PARENT_MESSAGE: Final[TypeAdapter[ParentMessage]] = TypeAdapter(ParentMessage, config=_READING)
CHILD_MESSAGE: Final[TypeAdapter[ChildMessage]] = TypeAdapter(ChildMessage, config=_READING)

In = TypeVar("In")


def serialize_message(message: BaseModel) -> bytes:
    """Return the message as one line, newline included."""
    return message.model_dump_json().encode() + b"\n"


def fit_line(message: BaseModel) -> bytes | None:
    """Return a message's line, with long texts shortened if it is too long; None if it still is.

    Shortening and dropping are logged.

    Raises:
        MessageRefusedError: the message is too long and must not be shortened.
    """
    try:
        line = serialize_message(message)
        if len(line) <= MAX_LINE_BYTES:
            return line
        problem = f"it has {len(line)} bytes, the limit is {MAX_LINE_BYTES}"
    except (ValueError, RecursionError) as error:
        problem = f"it cannot be written as JSON ({type(error).__name__})"
    if isinstance(message, _UNCUT):
        raise MessageRefusedError(problem)
    fitting = next((line for line in _cut_lines(message) if len(line) <= MAX_LINE_BYTES), None)
    outcome = "dropped" if fitting is None else "shortened"
    _log.warning("%s message %s: %s", type(message).__name__, outcome, problem)
    return fitting


def _cut_lines(message: BaseModel) -> Iterator[bytes]:
    """Yield the message with ever shorter texts, while it still validates."""
    try:
        values = message.model_dump(mode="python")
        for limit in _CUT_CHARACTERS:
            yield serialize_message(type(message).model_validate(_shortened(values, limit)))
    except (ValueError, RecursionError):
        return


def _shortened(value: Any, limit: int) -> Any:
    match value:
        case str():
            return mend_text(shorten(value, limit))
        case dict():
            return {_shortened(key, limit): _shortened(item, limit) for key, item in value.items()}
        case list() | tuple():
            return [_shortened(item, limit) for item in value]
        case _:
            return value


def parse_message(adapter: TypeAdapter[In], line: bytes) -> In:
    """Parse one line.

    Raises:
        LinkBrokenError: not a message of this union; the text never repeats its values.
    """
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise LinkBrokenError(first_validation_error(error, whole="message")) from None


class Link(Generic[In]):
    """One end of the link; it reads messages of the union that the other end sends."""

    def __init__(self, stream: LinkStream, adapter: TypeAdapter[In]) -> None:
        self._stream = stream
        self._adapter = adapter
        # Events that were not sent because the peer reads too slowly.
        self.dropped_events = 0

    @classmethod
    async def open(
        cls, sock: socket.socket, adapter: TypeAdapter[In], *, takes_descriptors: bool = False
    ) -> Link[In]:
        """Take ownership of `sock`, one end of a socket pair; `adapter` parses the peer's messages.

        takes_descriptors: the peer sends sockets
        """
        stream = LinkStream(sock, MAX_LINE_BYTES, takes_descriptors=takes_descriptors)
        return cls(stream, adapter)

    async def receive(self) -> In | None:
        """Return the next message, or None when the peer is gone.

        Raises:
            LinkBrokenError: the peer violated the protocol; nothing more can be read.
        """
        try:
            line = await self._stream.readline()
        except ValueError as error:
            raise LinkBrokenError(f"a line exceeds {MAX_LINE_BYTES} bytes") from error
        # A peer that dies while writing leaves a line without its newline.
        return parse_message(self._adapter, line) if line.endswith(b"\n") else None

    def send(self, message: BaseModel) -> None:
        """Send one message without waiting; no effect on a closed link.

        Raises:
            LinkBrokenError: the peer has stopped reading; the link is closed now.
            MessageRefusedError: it is too long and must not be shortened; the link is unchanged.
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

    @property
    def has_backlog(self) -> bool:
        """True while the peer has left so much unread that what can wait should not be sent."""
        return self._stream.unsent_bytes > MAX_LINE_BYTES

    def send_socket(self, message: AdoptSocket, descriptor: int) -> None:
        """Send a message with a copy of a socket.

        Raises:
            LinkBusyError: the peer has to read first; nothing was sent.
            LinkBrokenError: the peer is gone.
            MessageRefusedError: it is too long.
        """
        line = fit_line(message)
        assert line is not None
        if self._stream.write_with_descriptor(line, descriptor):
            return
        if self._stream.is_closing:
            raise LinkBrokenError("the peer is gone")
        raise LinkBusyError

    def take_socket(self) -> socket.socket | None:
        """Return the socket that came with the message received last; None: it was lost."""
        descriptor = self._stream.take_descriptor()
        return None if descriptor is None else socket.socket(fileno=descriptor)

    async def flush(self, deadline_s: float) -> None:
        """Wait until the peer has read everything, is gone, or the deadline has passed; then close."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._stream.flush()
        self.abort()

    def abort(self) -> None:
        """Close at once; unsent messages are lost. Idempotent."""
        self._stream.close()
