"""`Dialect`: codec between the WebSocket messages of one protocol and what the bridge works with. Pure.

A connection has one dialect object, in the process that has its socket. The control server opens the
first message with an object of its own, to learn what is wanted; the agent's process opens it again.
What clients send becomes client events as JSON, audio, or the end of the connection. What they get are
server events as JSON and audio, at the moment in which it is played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from bridge.wire_audio import WireAudio
from line.participants import ChatMessage
from untrusted.json_reader import read_object

Message = str | bytes
"""One WebSocket message: text or binary."""


class DialectError(Exception):
    """A message that is refused, and what the client should be told of it.

    close_code: the connection ends with it; None: only this message is refused
    """

    def __init__(self, code: str, message: str, *, close_code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.close_code = close_code


@dataclass(frozen=True)
class Resumption:
    """The end of an earlier connection. last_seq: of the last event that the client has got."""

    session_id: str
    secret: str = field(repr=False)
    last_seq: int = 0


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The wishes of a first message.

    start: fields of `POST /start_agent` apart from `channel_name`, for a channel without an agent;
        they are checked as the body of that route is
    wishes: such fields, too, that count where the connection may set them and the server has that
        provider or model, and are left out elsewhere
    channel_name: None: that of the address, or of the token
    fresh_channel: one that nobody else has, for a connection that none of these names one for
    uid: None: that of the token, or the agent's choice
    audio_in, audio_out: what the client sends and wants; audio_out None: PCM16 at the model's rate
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    wishes: Mapping[str, Any] = field(default_factory=dict)
    channel_name: str | None = None
    fresh_channel: str | None = None
    uid: int | None = None
    user_name: str = ""
    audio_in: WireAudio = field(default_factory=WireAudio)
    audio_out: WireAudio | None = None
    resumption: Resumption | None = None


@dataclass(frozen=True, kw_only=True)
class BridgeSession:
    """The session that a connection has got.

    secret: with it, and the session's id, another connection may resume it
    is_resumed: it goes on; events after the client's `last_seq` follow, without those lost_events
        that were not kept
    """

    session_id: str
    secret: str = field(repr=False)
    uid: int
    channel_name: str
    agent_id: str
    agent_name: str
    audio_in: WireAudio
    audio_out: WireAudio
    is_resumed: bool = False
    lost_events: int = 0


# -- what clients send -------------------------------------------------------------------------


class ClientAudio(NamedTuple):
    """Audio of the client. audio: None: in the encoding of the opening."""

    data: bytes
    audio: WireAudio | None = None


class ClientEventText(NamedTuple):
    """JSON of a `conversation.events.client_events.ClientEvent`, which the session checks."""

    text: str


class ClientLeaves(NamedTuple):
    """The client ends its connection; the call goes on for others.

    should_finish_reply: only once `Dialect.is_over`
    """

    should_finish_reply: bool = False


class Answer(NamedTuple):
    """The dialect's own answer, with nothing for the call: to a question whether anybody is there."""

    messages: tuple[Message, ...]


Inbound = ClientAudio | ClientEventText | ClientLeaves | Answer


# -- what clients get --------------------------------------------------------------------------


class OutboundEvent:
    """A `conversation.events.server_events.ServerEvent` as JSON. seq: its number in the session."""

    def __init__(self, text: str, seq: int) -> None:
        self.text = text
        self.seq = seq

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Its fields, `type` among them; not to be changed."""
        return read_object(self.text)


class AgentAudio(NamedTuple):
    """Some 20 ms of the agent's voice.

    data: in the encoding of `audio`
    key: response id, item id and content index; None for a fade
    is_first: no audio of this key came before
    """

    data: bytes
    audio: WireAudio
    key: tuple[str, str, int] | None
    is_first: bool


class Dialect(Protocol):
    """One protocol, for one connection. No method waits or has effects outside the object.

    close_codes: its own close codes by word of refusal, in place of those of `bridge.closes`
    """

    close_codes: Mapping[str, int]

    @property
    def is_over(self) -> bool:
        """After `ClientLeaves` with `should_finish_reply`: the reply that was due has been said."""
        ...

    def open(self, first: Message, route: Mapping[str, str]) -> Opening:
        """Read the first message. route: the variable parts of the address.

        Raises:
            DialectError: it is refused, and with it the connection.
        """
        ...

    def created(self, session: BridgeSession) -> list[Message]:
        """Messages that begin a connection."""
        ...

    def read(self, message: Message) -> list[Inbound]:
        """Read a further message.

        Raises:
            DialectError: it is refused.
        """
        ...

    def write_event(self, event: OutboundEvent) -> list[Message]:
        """Messages for an event; none for one that the protocol does not have."""
        ...

    def write_audio(self, audio: AgentAudio) -> list[Message]:
        """Messages for audio."""
        ...

    def write_chat(self, chat: ChatMessage) -> list[Message]:
        """Messages for a message of the agent in the channel's chat."""
        ...

    def refuse(self, code: str, message: str) -> list[Message]:
        """Messages for a refusal: of a message, or of the connection before its close."""
        ...

    def ended(self, session_id: str, reason: str) -> list[Message]:
        """Messages that end a connection, before its close."""
        ...
