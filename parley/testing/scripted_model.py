"""`ScriptedModel`: a model whose every answer the test has written."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from parley.testing.replies import SAMPLE_RATE_HZ, Emits, Reply, Wait, new_id, says
from realtime import events as model
from realtime.events import ModelCommand, ModelEvent, OutOfBand, ResponseStatus
from realtime.model import (
    Capabilities,
    ModelConnectError,
    ModelDisconnectedError,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from utils import OwnedTasks

Expected = Literal["reply", "text", "image", "tool_output", "truncate", "cancel", "update", "raw"]

_KINDS: Final[dict[str, type]] = {
    "reply": model.CreateResponse,
    "text": model.AddText,
    "image": model.AddImage,
    "tool_output": model.AddToolOutput,
    "truncate": model.TruncateItem,
    "cancel": model.CancelResponse,
    "update": model.UpdateSettings,
    "raw": model.SendRaw,
}

_EXACTLY: Final = "Say exactly: "

FULL: Final = Capabilities(
    input_sample_rate_hz=SAMPLE_RATE_HZ,
    output_sample_rate_hz=SAMPLE_RATE_HZ,
    image_types=frozenset({"image/jpeg", "image/png"}),
    has_truncation=True,
    has_turn_control=True,
    has_early_transcripts=True,
    has_history_replay=True,
    reply_options=frozenset(
        {
            "output_modality",
            "tools",
            "tool_choice",
            "max_output_tokens",
            "input_items",
            "out_of_band",
        }
    ),
)
"""A model that can do all that an agent makes use of."""

_log = logging.getLogger("parley.testing")


@dataclass(frozen=True, slots=True)
class Step:
    """The model's next input, and its reaction to it.

    expect: kind of the command that this step waits for: a word of `Expected`, a class of
        `realtime.events`, or a function of the command that returns true for it
    emit: events, or a reply of `parley.testing`, which has new ids each time
    error: raised to the agent instead of taking the command
    is_lost: the connection breaks after `emit`
    """

    emit: Reply | Emits = ()
    expect: Expected | type | Callable[[ModelCommand], bool] = "reply"
    error: Exception | None = None
    is_lost: bool = False

    def matches(self, command: ModelCommand) -> bool:
        """Return true if this step waits for `command`."""
        expect = self.expect
        if isinstance(expect, str):
            return isinstance(command, _KINDS[expect])
        if isinstance(expect, type):
            return isinstance(command, expect)
        return bool(expect(command))

    def events(self) -> list[ModelEvent | Wait]:
        """Return what is emitted."""
        return list(self.emit() if callable(self.emit) else self.emit)


Script = Iterable[Step | Reply]
"""Steps; a bare reply answers the next request for one."""


@dataclass(slots=True)
class ScriptedModel:
    """Plays a script, over as many sessions as the agent opens.

    Requests to say a text exactly (a greeting, `call.say`) are answered with that text, unless the
    next step asks for more than a reply.

    Attributes:
        script: What is to come.
        capabilities: What the model can do.
        connect_errors: Each is raised by one attempt to open a session.
        otherwise: Answers requests after the end of the script; None: they are mistakes.
        sent: Commands in their order, without the users' audio.
        audio_bytes: Length of that audio.
        connects: How each session was opened, without credentials.
        unexpected: Requests for replies that the script did not have.
    """

    script: Script = ()
    capabilities: Capabilities = FULL
    connect_errors: Sequence[Exception] = ()
    otherwise: Reply | None = None
    sent: list[ModelCommand] = field(default_factory=list, init=False)
    audio_bytes: int = field(default=0, init=False)
    connects: list[RealtimeModelConfig] = field(default_factory=list, init=False)
    unexpected: list[ModelCommand] = field(default_factory=list, init=False)
    settings: dict[str, Any] = field(default_factory=dict, init=False)
    _steps: deque[Step] = field(init=False)
    _errors: deque[Exception] = field(init=False)
    _later_errors: list[Exception] = field(default_factory=list, init=False)
    _sessions: list[ScriptedSession] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._steps = deque(each if isinstance(each, Step) else Step(each) for each in self.script)
        self._errors = deque(self.connect_errors)

    def create(self) -> RealtimeModel:
        """Make a session, not yet connected."""
        return ScriptedSession(self)

    # -- for a test ------------------------------------------------------------------------------

    def add(self, *steps: Step | Reply) -> None:
        """Continue the script."""
        self._steps.extend(each if isinstance(each, Step) else Step(each) for each in steps)

    def emit(self, *events: ModelEvent) -> None:
        """Have the model say this now.

        Raises:
            AssertionError: No session is open.
        """
        self._present().emit(events)

    def refuse_later(self, *errors: Exception) -> None:
        """Have attempts to open a session, once one is open, raise these one after the other."""
        self._later_errors.extend(errors)

    def lose(self) -> None:
        """Break the connection; the agent opens another session."""
        self._present().break_off()

    @property
    def instructions(self) -> str:
        """The instructions that the model has now."""
        return str(self.settings.get("instructions") or "")

    @property
    def tools(self) -> list[str]:
        """Names of the tools that the model has now."""
        return [str(each.get("name")) for each in self.settings.get("tools") or ()]

    def all_sent(self, kind: Expected | type) -> list[Any]:
        """Return the commands of this kind so far."""
        step = Step(expect=kind)
        return [command for command in self.sent if step.matches(command)]

    def assert_complete(self) -> None:
        """Fail unless the script was played to its end and nothing else was asked for."""
        self.assert_expected()
        left = [str(step.expect) for step in self._steps]
        assert not left, f"steps of the script that did not come: {', '.join(left)}"

    def assert_expected(self) -> None:
        """Fail if a reply was requested that the script does not have."""
        assert not self.unexpected, (
            f"requests for replies that the script does not have: {self.unexpected}"
        )

    def _present(self) -> ScriptedSession:
        assert self._sessions, "no session of the scripted model is open"
        return self._sessions[-1]

    # -- for its sessions --------------------------------------------------------------------------

    def take_connect(self, session: ScriptedSession, config: RealtimeModelConfig) -> None:
        """Open a session, or refuse to."""
        self.connects.append(replace(config, api_key=None, headers={}, resumption_handle=None))
        if self._errors:
            raise self._errors.popleft()
        self.settings = {name: getattr(config.settings, name) for name in config.settings.__slots__}
        self._sessions.append(session)
        self._errors.extend(self._later_errors)
        self._later_errors.clear()

    def take_end(self, session: ScriptedSession) -> None:
        """Note that a session is closed."""
        if session in self._sessions:
            self._sessions.remove(session)

    def take(self, command: ModelCommand) -> Step | None:
        """Record a command; return the step that it starts."""
        if isinstance(command, model.AppendAudio):
            self.audio_bytes += len(command.pcm)
            return None
        self.sent.append(command)
        if isinstance(command, model.UpdateSettings):
            self.settings.update(command.changes)
        spoken = _exact_words(command)
        step = self._steps[0] if self._steps else None
        if step is not None and step.matches(command) and not (spoken and step.expect == "reply"):
            return self._steps.popleft()
        if spoken is not None:
            return Step(says(spoken))
        if isinstance(command, model.CreateResponse):
            if self.otherwise is not None:
                return Step(self.otherwise)
            self.unexpected.append(command)
        return None


def _exact_words(command: ModelCommand) -> str | None:
    """Return the text that a request wants to be said as it is."""
    if isinstance(command, model.CreateResponse) and command.instructions is not None:
        _, found, text = command.instructions.partition(_EXACTLY)
        return text if found else None
    return None


class ScriptedSession:
    """One session; see `realtime.model.RealtimeModel`."""

    def __init__(self, owner: ScriptedModel) -> None:
        self._owner = owner
        self._events: asyncio.Queue[ModelEvent | None] = asyncio.Queue()
        self._tasks = OwnedTasks(_log)
        self._playing: asyncio.Task[None] | None = None
        # Steps that wait for the end of the reply in progress: there is one at a time.
        self._waiting: deque[tuple[Step, OutOfBand | None]] = deque()
        self._active: str | None = None
        self._is_gone = False

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the model."""
        return self._owner.capabilities

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session.

        Raises:
            ModelConnectError: the test wants it to fail.
        """
        if self._is_gone:
            raise ModelConnectError("closed", code="closed", is_retryable=False)
        self._owner.take_connect(self, config)
        self.emit([model.SessionOpened(new_id("sess"))])

    async def send(self, command: ModelCommand) -> None:
        """Take a command, and play the step that it starts.

        Raises:
            ModelDisconnectedError: the session is gone.
            UnsupportedCommandError: the model cannot do this.
        """
        if self._is_gone:
            raise ModelDisconnectedError("gone", code="disconnected", is_retryable=True)
        if isinstance(command, model.AddImage) and not self.capabilities.has_image_input:
            raise UnsupportedCommandError("this model cannot see images")
        step = self._owner.take(command)
        if isinstance(command, model.CancelResponse):
            self._cancel()
        if isinstance(command, model.CommitAudio):
            self.emit([model.InputCommitted(new_id("item"))])
        if step is None:
            return
        if step.error is not None:
            raise step.error
        mark = command.out_of_band if isinstance(command, model.CreateResponse) else None
        self._waiting.append((step, mark))
        self._play_next()

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the model says, ending after `SessionEnded`."""
        while (event := await self._events.get()) is not None:
            yield event
            if isinstance(event, model.SessionEnded):
                return

    async def close(self) -> None:
        """Close the session. Idempotent."""
        self._is_gone = True
        self._owner.take_end(self)
        self._events.put_nowait(None)
        await self._tasks.close()

    def emit(self, events: Iterable[ModelEvent]) -> None:
        """Say this now."""
        for event in events:
            match event:
                case model.ResponseCreated():
                    self._active = event.response_id
                case model.ResponseDone():
                    self._active = None
            self._events.put_nowait(event)

    def break_off(self) -> None:
        """Lose the connection."""
        self._is_gone = True
        self._waiting.clear()
        if self._playing is not None:
            self._playing.cancel()
        self._owner.take_end(self)
        self._events.put_nowait(model.SessionEnded("connection lost"))

    def _play_next(self) -> None:
        if self._waiting and self._playing is None and not self._is_gone:
            step, mark = self._waiting.popleft()
            self._playing = self._tasks.start(self._play(step, mark), name="step of the script")

    async def _play(self, step: Step, mark: OutOfBand | None) -> None:
        try:
            for event in step.events():
                if isinstance(event, Wait):
                    await asyncio.sleep(event.seconds)
                elif isinstance(event, model.ResponseCreated | model.ResponseDone):
                    self.emit([replace(event, out_of_band=mark)])
                else:
                    self.emit([event])
            if step.is_lost:
                self.break_off()
        finally:
            self._playing = None
            self._play_next()

    def _cancel(self) -> None:
        """Stop the reply in progress."""
        if self._playing is not None:
            self._playing.cancel()
        if self._active is not None:
            self.emit([model.ResponseDone(self._active, ResponseStatus.CANCELLED)])
