"""`RealtimeModel`: what the agent may know of any provider, and what it must tell one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from realtime.events import ModelCommand, ModelEvent

ApiKey = str | Callable[[], str | Awaitable[str]] | None
"""A key, or a plain or async function that returns one (asked anew at each connect)."""


class RealtimeModelError(Exception):
    """Base of what a provider connection raises.

    code: machine word (`invalid_api_key`, `unreachable`, `timeout`, `handshake_failed`, ...)
    is_retryable: whether trying the same again can help
    """

    def __init__(self, message: str, *, code: str, is_retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.is_retryable = is_retryable


class ModelConnectError(RealtimeModelError):
    """The session could not be opened."""


class ModelDisconnectedError(RealtimeModelError):
    """A command was sent on a session that is gone."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do; the agent asks this record, never a provider's name.

    has_turn_control: replies to speech and interruptions by it can be left to us (`create_response`
        and `interrupt_response` of its turn detection)
    has_early_transcripts: what was said is known before a reply to it could begin
    """

    input_sample_rate_hz: int
    output_sample_rate_hz: int
    has_text_input: bool = True
    has_image_input: bool = False
    has_tools: bool = True
    has_truncation: bool = False
    has_turn_control: bool = False
    has_early_transcripts: bool = False
    has_resumption: bool = False
    has_history_replay: bool = False
    session_cap_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A session's settings in provider-neutral words; None leaves the provider's default.

    turn_detection: an OpenAI-shaped object (`{"type": "server_vad", ...}`), or `False` for manual
        turns.
    tools: function declarations in OpenAI's GA form (`tools.ToolContext.model_description`).
    language: ISO 639-1 code of the expected speech.
    """

    instructions: str | None = None
    voice: str | None = None
    language: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    turn_detection: Mapping[str, Any] | bool | None = None
    speed: float | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RealtimeModelConfig:
    """How to reach a provider and how its session begins.

    base_uri: scheme, host and port (`wss://api.openai.com`); the adapter adds path and query.
    timeout_s: for socket, handshake and first event together.
    """

    model: str
    base_uri: str
    api_key: ApiKey = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: ModelSettings = field(default_factory=ModelSettings)
    timeout_s: float = 10.0
    is_verbose: bool = False


class RealtimeModel(Protocol):
    """One provider session. Not reusable: connect once, close once (close is idempotent)."""

    @property
    def capabilities(self) -> Capabilities:
        """Known before `connect`."""
        ...

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session and apply the settings; returns when the provider confirmed both.

        Raises:
            ModelConnectError: with a code that says why; nothing is left open.
        """
        ...

    async def send(self, command: ModelCommand) -> None:
        """Send one command, in order.

        Raises:
            ModelDisconnectedError: the session is gone.
            UnsupportedCommandError: the capability record rules this command out.
        """
        ...

    def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the provider says, in order, ending after `SessionEnded`. One consumer."""
        ...

    async def close(self) -> None:
        """Close the session and free all it holds; safe at any time, also while connecting."""
        ...


class UnsupportedCommandError(ValueError):
    """This model cannot do what the command asks; its capability record says so."""
