"""Events of a call that runs in-process: one closed union of small frozen values.

Each has a `type`; `RealtimeEvent` is the union. Audio is PCM16 mono with its rate, and carries the ids
by which a playback tracker and a transcript refer to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SessionStartedEvent:
    """The agent is there and hears. has_manual_turns: turns are marked by hand"""

    type: Literal["session_started"] = field(default="session_started", init=False, repr=False)
    has_manual_turns: bool = False


@dataclass(frozen=True, slots=True)
class SessionEndedEvent:
    """The call is over. reason: as in docs/lifecycle.md; `user_left`: its input was ended"""

    type: Literal["session_ended"] = field(default="session_ended", init=False, repr=False)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AudioDeltaEvent:
    """A piece of the reply's voice, as soon as the model made it: play it, in order."""

    type: Literal["audio_delta"] = field(default="audio_delta", init=False, repr=False)
    data: bytes = field(repr=False)
    sample_rate: int = 24_000
    response_id: str = ""
    item_id: str = ""
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class AudioDoneEvent:
    """No more voice comes of this content part; it may still be playing."""

    type: Literal["audio_done"] = field(default="audio_done", init=False, repr=False)
    response_id: str = ""
    item_id: str = ""
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class InputTranscriptEvent:
    """Words of the user: a further piece, or with `finished` the whole turn."""

    type: Literal["input_transcript"] = field(default="input_transcript", init=False, repr=False)
    text: str
    finished: bool = False
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class OutputTranscriptEvent:
    """Words of the agent: a further piece, or with `finished` the whole reply, heard or not."""

    type: Literal["output_transcript"] = field(default="output_transcript", init=False, repr=False)
    text: str
    finished: bool = False
    response_id: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStartedEvent:
    """The user began to speak."""

    type: Literal["speech_started"] = field(default="speech_started", init=False, repr=False)
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStoppedEvent:
    """The user's turn is over."""

    type: Literal["speech_stopped"] = field(default="speech_stopped", init=False, repr=False)
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallEvent:
    """The model calls a tool. is_client_tool: nothing runs it here; answer with `send_tool_result`"""

    type: Literal["tool_call"] = field(default="tool_call", init=False, repr=False)
    id: str
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    is_client_tool: bool = False


@dataclass(frozen=True, slots=True)
class ToolApprovalRequiredEvent:
    """A tool waits for `LiveInputQueue.send_tool_approval`; no answer in time means no."""

    type: Literal["tool_approval_required"] = field(
        default="tool_approval_required", init=False, repr=False
    )
    id: str
    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class ToolResultEvent:
    """A tool has a result, which may be an error for the model to speak about."""

    type: Literal["tool_result"] = field(default="tool_result", init=False, repr=False)
    id: str
    name: str
    result: Any = None


@dataclass(frozen=True, slots=True)
class TurnCompleteEvent:
    """The model has made a whole reply: nothing more comes of it. It may still be playing."""

    type: Literal["turn_complete"] = field(default="turn_complete", init=False, repr=False)
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class InterruptedEvent:
    """The user spoke over the reply: drop what is not played yet. heard: its words that were heard"""

    type: Literal["interrupted"] = field(default="interrupted", init=False, repr=False)
    response_id: str = ""
    item_id: str = ""
    audio_end_ms: int = 0
    heard: str = ""


@dataclass(frozen=True, slots=True)
class PlaybackPausedEvent:
    """The user made a sound: pause playing until `playback_resumed` or `interrupted`."""

    type: Literal["playback_paused"] = field(default="playback_paused", init=False, repr=False)


@dataclass(frozen=True, slots=True)
class PlaybackResumedEvent:
    """It was no interruption: play on where it was paused."""

    type: Literal["playback_resumed"] = field(default="playback_resumed", init=False, repr=False)
    cause: str = ""


@dataclass(frozen=True, slots=True)
class PlaybackDoneEvent:
    """The last sample of this item was played: by the tracker, else by the clock."""

    type: Literal["playback_done"] = field(default="playback_done", init=False, repr=False)
    response_id: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class GuardrailTrippedEvent:
    """A guardrail cut the reply."""

    type: Literal["guardrail_tripped"] = field(default="guardrail_tripped", init=False, repr=False)
    guardrail: str
    response_id: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class SessionUpdateEvent:
    """The session was opened or changed, or can be resumed from here on.

    resumption_handle: of the provider, where it has some. A credential: keep it out of logs
    """

    type: Literal["session_update"] = field(default="session_update", init=False, repr=False)
    resumption_handle: str | None = field(default=None, repr=False)
    session_id: str = ""


@dataclass(frozen=True, slots=True)
class GoAwayEvent:
    """The provider will close its session; the call moves to another one by itself.

    time_left: in seconds, as text, where the provider says it
    """

    type: Literal["go_away"] = field(default="go_away", init=False, repr=False)
    time_left: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionChangedEvent:
    """The model was lost (`reconnecting`) or is back (`open`); the call goes on meanwhile."""

    type: Literal["connection_changed"] = field(
        default="connection_changed", init=False, repr=False
    )
    status: str


@dataclass(frozen=True, slots=True)
class AgentChangedEvent:
    """Another definition has the floor: `author`. In a chat room: its reply comes next."""

    type: Literal["agent_changed"] = field(default="agent_changed", init=False, repr=False)
    author: str
    previous: str = ""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Something failed. fatal: the call ends with it"""

    type: Literal["error"] = field(default="error", init=False, repr=False)
    message: str
    code: str | None = None
    fatal: bool = False


RealtimeEvent = (
    SessionStartedEvent
    | SessionEndedEvent
    | AudioDeltaEvent
    | AudioDoneEvent
    | InputTranscriptEvent
    | OutputTranscriptEvent
    | SpeechStartedEvent
    | SpeechStoppedEvent
    | ToolCallEvent
    | ToolApprovalRequiredEvent
    | ToolResultEvent
    | TurnCompleteEvent
    | InterruptedEvent
    | PlaybackPausedEvent
    | PlaybackResumedEvent
    | PlaybackDoneEvent
    | GuardrailTrippedEvent
    | SessionUpdateEvent
    | GoAwayEvent
    | ConnectionChangedEvent
    | AgentChangedEvent
    | ErrorEvent
)
