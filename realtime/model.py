"""`RealtimeModel`: the interface between the agent and any provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from realtime.events import ModelCommand, ModelEvent
from realtime.playback import PlaybackTracker

ApiKey = str | Callable[[], str | Awaitable[str]] | None
"""A key, or a plain or async function that returns one (asked anew at each connect)."""


MAX_ERROR_CHARACTERS: Final = 2_000
MAX_CODE_CHARACTERS: Final = 128


class RealtimeModelError(Exception):
    """Base of what a provider connection raises.

    code: machine word (`invalid_api_key`, `unreachable`, `timeout`, `handshake_failed`, ...)
    is_retryable: whether trying the same again can help
    """

    def __init__(self, message: str, *, code: str, is_retryable: bool) -> None:
        # Both may be a provider's own words, which are as long and as broken as it likes.
        super().__init__(" ".join(message[:MAX_ERROR_CHARACTERS].split()))
        self.code = code[:MAX_CODE_CHARACTERS]
        self.is_retryable = is_retryable


class ModelConnectError(RealtimeModelError):
    """The session could not be opened."""


class ModelDisconnectedError(RealtimeModelError):
    """A command was sent on a session that is gone."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a model; the agent reads this record, never a provider's name.

    image_types: MIME types of the images that it sees; empty if it sees none
    has_hosted_tools: the provider itself can call tools of MCP servers
    needs_response_after_tool: it goes on after tool outputs only when a reply is asked for
    has_turn_control: replies to speech and interruptions by it can be left to us (`create_response`
        and `interrupt_response` of its turn detection)
    has_early_transcripts: what was said is known before a reply to it could begin
    reply_options: fields of `CreateResponse` that a request for a reply may set, beside
        `instructions` and `metadata`, which every model takes
    session_cap_s: the longest life of a session; None when it has no end
    idle_cut_s: the provider ends a session that hears and says nothing for so long
    """

    input_sample_rate_hz: int
    output_sample_rate_hz: int
    has_text_input: bool = True
    image_types: frozenset[str] = frozenset()
    has_tools: bool = True
    has_hosted_tools: bool = False
    needs_response_after_tool: bool = True
    has_truncation: bool = False
    has_turn_control: bool = False
    has_early_transcripts: bool = False
    has_resumption: bool = False
    has_history_replay: bool = False
    reply_options: frozenset[str] = frozenset()
    session_cap_s: float | None = None
    idle_cut_s: float | None = None

    @property
    def has_image_input(self) -> bool:
        """True if the model sees images."""
        return bool(self.image_types)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A session's settings in provider-neutral words; None leaves the provider's default.

    A setting that a provider does not have is an error when the session opens, except where its
    page in docs/providers.md says otherwise.

    language: ISO 639-1 code of the expected speech.
    tools: function declarations in OpenAI's GA form (`tools.ToolContext.model_description`), and
        MCP servers (`{"type": "mcp", "server_label": ..., ...}`) where the provider hosts tools.
    turn_detection: an OpenAI-shaped object (`{"type": "server_vad", ...}`, `"semantic_vad"`), or
        `False` for manual turns.
    transcription: how the user's words are written down (`{"model", "prompt", "keywords", ...}`),
        or `False` for not at all.
    noise_reduction: `near_field`, `far_field`, or `False` for off.
    truncation: what a full context forgets: `auto`, `disabled`, or an OpenAI-shaped object.
    tracing: `auto`, labels of the provider's trace, or `False`.
    prompt: a prompt stored at the provider, as `{"id", "version", "variables"}`.
    extra: further fields of the provider's own session object, merged over all others.
    """

    instructions: str | None = None
    voice: str | None = None
    language: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    turn_detection: Mapping[str, Any] | bool | None = None
    speed: float | None = None
    max_output_tokens: int | None = None
    output_modality: Literal["audio", "text"] | None = None
    transcription: Mapping[str, Any] | bool | None = None
    noise_reduction: Literal["near_field", "far_field"] | bool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    temperature: float | None = None
    truncation: str | Mapping[str, Any] | None = None
    tracing: str | Mapping[str, Any] | bool | None = None
    prompt: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RealtimeModelConfig:
    """Address, credentials and initial settings of a provider session.

    base_uri: scheme, host, port and a path, if any (`wss://api.openai.com`); the adapter adds
        its own path and the query.
    query: added to the query, for example Azure's `api-version`.
    timeout_s: for socket, handshake and first event together.
    resumption_handle: of an earlier session to go on with (`ResumptionUpdated`).
    playback_tracker: fed by an application that plays the audio itself. A model that takes what was
        heard is told by it when the user interrupts, or `CancelResponse` is sent; such an
        application sends no `TruncateItem`.
    passes_raw_events: each frame of the provider comes as a `RawEventReceived` too.
    """

    model: str
    base_uri: str
    api_key: ApiKey = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: ModelSettings = field(default_factory=ModelSettings)
    timeout_s: float = 10.0
    resumption_handle: str | None = field(default=None, repr=False)
    playback_tracker: PlaybackTracker | None = field(default=None, repr=False)
    passes_raw_events: bool = False
    is_verbose: bool = False


class InvalidSettingsError(ValueError):
    """A setting cannot be expressed to the provider; the text names it."""


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
