"""`Call`: a live call as tools, hooks and guardrails of an owner see it."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


class MemoryText(Protocol):
    """A text that was kept. at_ms: Unix time"""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def at_ms(self) -> int: ...


class CallError(Exception):
    """The call cannot do what was asked; nothing was done.

    code: `not_ready`, `unsupported_by_model`, `invalid_event`, `voice_in_use`, `unknown_agent`,
        `state`, ...
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Participant:
    """A person in the call. name: as given when joining, perhaps empty"""

    uid: int
    name: str
    is_speaking: bool


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """One turn of the conversation; a reply has the words that were heard of it.

    speaker: uid of the person, or name of the agent, where known
    """

    role: Literal["user", "assistant"]
    text: str
    speaker: str = ""
    is_cut: bool = False


@runtime_checkable
class Call(Protocol):
    """A live call, for the tools, hooks and guardrails of this call.

    Everything may be used from the call's event loop and from threads of plain functions. There,
    `call.run(call.say("One moment"))` waits for an async method.

    channel: name of the call; thread_id: name of the stored conversation
    agent: name of the definition that has the floor
    goodbye: last sentence that start or definition set; empty: none
    metadata: as given by the start
    history: the conversation as heard, of earlier calls of this thread too, oldest first
    state: small JSON values that are stored with the conversation and survive a restart; what
        cannot be stored is refused with a `CallError`
    logger: its lines carry the call; what is said in a call does not belong into a log
    """

    @property
    def channel(self) -> str: ...

    @property
    def agent_id(self) -> str: ...

    @property
    def thread_id(self) -> str: ...

    @property
    def agent(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def goodbye(self) -> str: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    @property
    def participants(self) -> Sequence[Participant]: ...

    @property
    def history(self) -> Sequence[HeardTurn]: ...

    @property
    def state(self) -> dict[str, Any]: ...

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]: ...

    async def say(self, text: str, *, should_interrupt: bool = False) -> None:
        """Speak `text`; by default after the reply in progress.

        Raises:
            CallError: as every method below, if the call cannot do it.
        """
        ...

    async def interrupt(self) -> None:
        """Stop the reply in progress."""
        ...

    async def reply(self, instructions: str | None = None) -> None:
        """Ask the model for a reply now, with instructions for this reply alone."""
        ...

    async def update(self, *, instructions: str | None = None, voice: str | None = None) -> None:
        """Change the model's session; None leaves a value as it is."""
        ...

    async def send_text(self, text: str, *, should_reply: bool = True) -> None:
        """Add a written user message to the conversation."""
        ...

    async def ask(
        self,
        instructions: str,
        *,
        text: str | None = None,
        is_spoken: bool = False,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> str:
        """Return the model's answer beside the conversation, in which neither is kept.

        text: shown to the model, as a message of the user, in place of the conversation
        is_spoken: people hear the answer, too

        Raises:
            CallError: `unsupported_by_model`, `reply_failed`, `timeout`
        """
        ...

    async def send_raw(self, event: Mapping[str, Any]) -> None:
        """Send an event of the provider's own protocol."""
        ...

    async def mute(self, is_muted: bool = True) -> None:
        """Stop or resume sending the agent's voice."""
        ...

    async def hang_up(self, *, after_reply: bool = True, say: str | None = None) -> None:
        """Have the call end; returns at once.

        after_reply: let the reply in progress be heard to its end
        say: last sentence; the call ends when it was heard
        """
        ...

    async def handoff(self, agent: str) -> None:
        """Give the floor to an agent of this agent's `handoffs`, or back."""
        ...

    async def transfer(
        self, to: str, *, summary: str | None = None, should_leave: bool = False
    ) -> None:
        """Ask for a person to take over: the owner is notified by a webhook and an event.

        to: for the owner: a name, a team, a number
        summary: of the call, for the person; without one the model writes it, where it can
        should_leave: leave the call once the person has joined, instead of falling silent
        """
        ...

    async def save_memory(self, text: str) -> str:
        """Keep a text beyond the call, under the start's `memory_key`, else its `person_id` or `thread_id`.

        Returns:
            Its id.
        """
        ...

    async def recall_memory(self, query: str = "") -> Sequence[MemoryText]:
        """Return texts that were kept: those with words of the query, or the newest, at most 50."""
        ...

    async def forget_memory(self, memory_id: str) -> None:
        """Remove a text that was kept."""
        ...

    async def load_skill(self, name: str) -> None:
        """Add one of the agent's `loadable_skills` to the model's instructions."""
        ...

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str = "task") -> None:
        """Run a coroutine in the background, at most as long as the call."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float = 10.0) -> T:
        """Wait for a coroutine, in a thread of a plain function.

        Raises:
            RuntimeError: On the call's event loop, where only `await` can wait.
            TimeoutError: It took longer; it is cancelled.
        """
        ...
