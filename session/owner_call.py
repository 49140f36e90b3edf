"""`OwnerCall`: the `parley.Call` of a live call, over the parts of its session."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

from pydantic import ValidationError

from config.agent import AgentConfig
from conversation.events.commands import CommandRefusedError, LiveCommand, Mute, Say, Update
from conversation.memory import (
    ForgetMemory,
    MemoryAnswer,
    MemoryRequest,
    MemoryText,
    RecallMemory,
    SaveMemory,
)
from conversation.snapshot import SnapshotEntry, SnapshotText
from parley.call import CallError, HeardTurn, Participant
from realtime.events import AddText, CreateResponse, ResponseStatus, SendRaw
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.call_state import CallState
from untrusted.validation import first_validation_error

if TYPE_CHECKING:
    from session.session import Session

P = ParamSpec("P")
T = TypeVar("T")

_GONE: Final = "the call is over"


class CallHost(Protocol):
    """The agent, as its `OwnerCall` uses it."""

    @property
    def session(self) -> Session | None:
        """The session, once there is one."""
        ...

    def entries(self) -> Iterable[tuple[SnapshotEntry, str]]:
        """Return the conversation as heard, each entry with its speaker, where known."""
        ...

    def start_owner_task(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine in the background, at most as long as the call."""
        ...

    def hang_up(self, *, after_reply: bool, say: str | None) -> None:
        """Have the call end."""
        ...

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the long-term memory."""
        ...

    async def load_skill(self, name: str) -> None:
        """Add a skill to the model's instructions.

        Raises:
            CallError: there is no such skill.
        """
        ...

    async def hand_over(self, name: str) -> None:
        """Give the floor to another definition.

        Raises:
            CallError: it cannot have it.
        """
        ...

    async def transfer(self, to: str, *, summary: str | None, should_leave: bool) -> None:
        """Ask for a person to take over."""
        ...


Routed = Callable[Concatenate["OwnerCall", P], Coroutine[Any, Any, T]]


def _on_loop(
    method: Callable[Concatenate[OwnerCall, P], Awaitable[T]],
) -> Routed[P, T]:
    """Run the method on the call's own loop, and translate its errors."""

    async def translated(call: OwnerCall, *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return await method(call, *arguments, **options)
        except CommandRefusedError as error:
            raise CallError(error.code, str(error)) from error
        except ValidationError as error:
            raise CallError("invalid_event", first_validation_error(error)) from error
        except UnsupportedCommandError as error:
            raise CallError("unsupported_by_model", str(error)) from error
        except ModelDisconnectedError as error:
            raise CallError("model_gone", "the model is gone: the call ends") from error

    async def routed(call: OwnerCall, *arguments: P.args, **options: P.kwargs) -> T:
        work = translated(call, *arguments, **options)
        loop = call.loop
        if loop is None or loop.is_closed():
            work.close()
            raise CallError("not_ready", _GONE)
        if loop is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    return cast("Routed[P, T]", functools.wraps(method)(routed))


class OwnerCall:
    """See `parley.Call`. loop: the agent's, from its start on"""

    def __init__(self, config: AgentConfig, agent: str, state: CallState, host: CallHost) -> None:
        """agent: name of the definition that begins"""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.agent = agent
        self._config = config
        self._state = state
        self._host = host
        logger = logging.getLogger("app")
        self._logger = logging.LoggerAdapter(logger, {"agent_id": config.agent_id})

    # -- facts -------------------------------------------------------------------------------------

    @property
    def channel(self) -> str:
        """Name of the call."""
        return self._config.channel_name

    @property
    def agent_id(self) -> str:
        """Id of the call."""
        return self._config.agent_id

    @property
    def thread_id(self) -> str:
        """Name of the stored conversation."""
        return self._config.thread_id

    @property
    def language(self) -> str:
        """Expected language of speech."""
        return self._config.language

    @property
    def goodbye(self) -> str:
        """Last sentence that is set for the call."""
        return self._config.goodbye or ""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata of the start."""
        return dict(self._config.metadata)

    @property
    def state(self) -> dict[str, Any]:
        """Values that are stored with the conversation."""
        return self._state

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logger of the owner's code."""
        return self._logger

    @property
    def participants(self) -> Sequence[Participant]:
        """People in the call."""
        session = self._host.session
        if session is None:
            return ()
        is_speaking = session.parts.audio_input.is_speaking
        return [
            Participant(user.uid, user.name, is_speaking(user.uid))
            for user in list(session.context.line.remote_users.values())
            if user.role == "user"
        ]

    @property
    def history(self) -> Sequence[HeardTurn]:
        """The conversation as heard."""
        return [
            HeardTurn(entry.role, entry.text, speaker, entry.is_cut)
            for entry, speaker in self._host.entries()
            if isinstance(entry, SnapshotText) and entry.role != "system" and entry.text
        ]

    # -- requests ----------------------------------------------------------------------------------

    def _session(self) -> Session:
        if (session := self._host.session) is None:
            raise CallError("not_ready", "the call has not begun yet")
        return session

    async def _execute(self, command: LiveCommand) -> None:
        await self._session().requests.execute(command)

    @_on_loop
    async def say(self, text: str, *, should_interrupt: bool = False) -> None:
        """Speak `text`."""
        await self._execute(Say(text=text, should_interrupt=should_interrupt))

    @_on_loop
    async def interrupt(self) -> None:
        """Stop the reply in progress."""
        await self._session().parts.turn_handler.interrupt()

    @_on_loop
    async def reply(self, instructions: str | None = None) -> None:
        """Ask the model for a reply."""
        await self._session().context.model.send(CreateResponse(instructions))

    @_on_loop
    async def ask(
        self,
        instructions: str,
        *,
        text: str | None = None,
        is_spoken: bool = False,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> str:
        """Return an answer beside the conversation."""
        side_replies = self._session().parts.side_replies
        command = CreateResponse(instructions, metadata=metadata)
        if text is not None:
            shown = (AddText(text, "user"),)
            command = replace(command, input_items=shown, tools=())
        try:
            reply = await side_replies.request(command, is_spoken=is_spoken, timeout_s=timeout_s)
        except TimeoutError:
            raise CallError("timeout", f"the model gave no answer in {timeout_s:g} s") from None
        if reply.status is not ResponseStatus.COMPLETED:
            raise CallError("reply_failed", f"the answer is {reply.status}: {reply.reason}")
        return reply.text

    @_on_loop
    async def update(self, *, instructions: str | None = None, voice: str | None = None) -> None:
        """Change the model's session."""
        await self._execute(Update(instructions=instructions, voice=voice))

    @_on_loop
    async def send_text(self, text: str, *, should_reply: bool = True) -> None:
        """Add a written user message."""
        session = self._session()
        if should_reply:
            await session.parts.turn_handler.interrupt()
        await session.requests.add_text(text, uid=None)
        if should_reply:
            await session.parts.turn_handler.request_reply()

    @_on_loop
    async def send_raw(self, event: Mapping[str, Any]) -> None:
        """Send an event of the provider's own protocol."""
        await self._session().context.model.send(SendRaw(dict(event)))

    @_on_loop
    async def mute(self, is_muted: bool = True) -> None:
        """Stop or resume sending the agent's voice."""
        await self._execute(Mute(is_muted=is_muted))

    @_on_loop
    async def hang_up(self, *, after_reply: bool = True, say: str | None = None) -> None:
        """Have the call end."""
        self._host.hang_up(after_reply=after_reply, say=say)

    @_on_loop
    async def handoff(self, agent: str) -> None:
        """Give the floor to another definition."""
        await self._host.hand_over(agent)

    @_on_loop
    async def transfer(
        self, to: str, *, summary: str | None = None, should_leave: bool = False
    ) -> None:
        """Ask for a person to take over."""
        await self._host.transfer(to, summary=summary, should_leave=should_leave)

    # -- memory and skills ---------------------------------------------------------------------------

    @_on_loop
    async def save_memory(self, text: str) -> str:
        """Keep a text beyond the call; return its id."""
        return (await self._ask_memory(SaveMemory(text=text)))[0].id

    @_on_loop
    async def recall_memory(self, query: str = "") -> Sequence[MemoryText]:
        """Return texts that were kept, the best first."""
        return await self._ask_memory(RecallMemory(query=query))

    @_on_loop
    async def forget_memory(self, memory_id: str) -> None:
        """Remove a text that was kept."""
        await self._ask_memory(ForgetMemory(id=memory_id))

    async def _ask_memory(self, request: MemoryRequest) -> tuple[MemoryText, ...]:
        answer = await self._host.ask_memory(request)
        if answer.problem:
            raise CallError("memory", answer.problem)
        return answer.texts

    @_on_loop
    async def load_skill(self, name: str) -> None:
        """Add a skill to the model's instructions."""
        await self._host.load_skill(name)

    # -- tasks and threads -------------------------------------------------------------------------

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str = "task") -> None:
        """Run a coroutine in the background."""
        loop = self.loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise CallError("not_ready", _GONE)
        if loop is _running_loop():
            self._host.start_owner_task(coroutine, name)
        else:
            loop.call_soon_threadsafe(self._host.start_owner_task, coroutine, name)

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float = 10.0) -> T:
        """Wait for a coroutine, in a thread of a plain function."""
        loop = self.loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise CallError("not_ready", _GONE)
        if loop is _running_loop():
            coroutine.close()
            raise RuntimeError("call.run() is for plain functions; here, use await")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
