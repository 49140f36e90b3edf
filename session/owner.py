"""`Owner`: everything of an agent's owner in one call: the call as tools see it, state, hooks and
guardrails, and the agent that has the floor.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from config.agent import AgentConfig
from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentStartError
from conversation.memory import MemoryAnswer, MemoryRequest
from conversation.moderation import RoomView
from conversation.owner_failure import MAX_FAILURES, OwnerFailure
from conversation.snapshot import ResumeState, SnapshotEntry, SnapshotText
from parley import hooks
from parley.agent import Agent
from parley.call import CallError
from parley.chat_room import ModelModerator, ModeratorFunction
from parley.guardrails import Guardrail, ModelGuardrail
from realtime.model import Capabilities
from session.call_state import CallState
from session.chat_room import MODERATOR_TIMEOUT_S, ModeratorFailedError
from session.hook_runner import HookRunner, Hooks
from session.owner_call import OwnerCall
from session.owner_code import OwnerCode
from session.owner_guardrails import OwnerGuardrails
from session.transfer import SUMMARY, SUMMARY_TIMEOUT_S, Transfers, last_words
from session.turn_policy import TurnPolicy
from shared_ticks import until_tick_s
from untrusted.boundary import Boundary
from untrusted.owner_place import function_place
from utils import OwnedTasks

if TYPE_CHECKING:
    from session.definition_handoff import DefinitionHandoff
    from session.session import Session

STATE_INTERVAL_S: Final = 0.5
"""Longest age of the stored state after a change inside one of its values."""

INSTRUCTIONS_TIMEOUT_S: Final = 5.0
"""For a function that returns instructions."""


class OwnedAgent(Protocol):
    """The agent, as its `Owner` uses it."""

    def heard_entries(self) -> list[tuple[SnapshotEntry, str]]:
        """Return the conversation as heard, each entry with its speaker, where known."""
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

    def remember_call(self, state: str, agent: str) -> None:
        """Have the state (JSON) and the agent that has the floor survive this process."""
        ...

    def report_failure(self, failure: OwnerFailure) -> None:
        """Have a failure of the owner's code join the call's record."""
        ...


class Owner:
    """The owner's side of one call. definition: the agent that has the floor"""

    def __init__(
        self,
        definition: Agent,
        config: AgentConfig,
        agent: OwnedAgent,
        *,
        boundary: Boundary,
        log: logging.Logger,
    ) -> None:
        self.definition = definition
        self.session: Session | None = None
        # Set once, by the agent, if there is another definition to hand over to.
        self.handoff: DefinitionHandoff | None = None
        self.failures: deque[OwnerFailure] = deque(maxlen=MAX_FAILURES)
        self._agent = agent
        self._log = log
        self._tasks = OwnedTasks(log)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state_changed = asyncio.Event()
        seed = config.conversation_seed or ResumeState()
        self.state = CallState(seed.call_state, self._note_state)
        # The last one that could be stored, and the last problem that was reported.
        self._remembered = (seed.call_state, seed.agent)
        self._state_problem = ""
        self.code = OwnerCode(boundary, log, self._handle_failure)
        self.call = OwnerCall(config, definition.name, self.state, self)
        self.hooks = HookRunner(self.code, self.call, self._hooks, self._tasks)
        self.guardrails = OwnerGuardrails(self.code, self.call, self._guardrails)
        # Each agent that has had the floor: their `call_ended` all run.
        self._had_floor = [definition]
        self._has_started = False
        self._transfers = Transfers(lambda: self.hang_up(after_reply=False, say=None))
        # The conversation at the end of the call, when playout is gone.
        self._last_entries: list[tuple[SnapshotEntry, str]] | None = None

    def _hooks(self) -> Hooks:
        return self.definition.hooks

    def _guardrails(self) -> Sequence[Guardrail]:
        return self.definition.guardrails

    # -- a life ------------------------------------------------------------------------------------

    def open(self, session: Session) -> None:
        """Begin to serve; on the loop of the agent."""
        self.session = session
        self._loop = self.call.loop = asyncio.get_running_loop()
        session.history.agent_name = self.definition.name
        self._tasks.start(self._keep_state(), name="call state")

    async def moderate(self, function: ModeratorFunction, view: RoomView) -> str | None:
        """Return the name of the agent that speaks next, by the owner's function.

        Raises:
            ModeratorFailedError: it failed, or named no agent of the conversation.
        """
        name = getattr(function, "__name__", "moderator")
        arguments = (self.call, view) if isinstance(function, ModelModerator) else (view,)
        ran = await self.code.run(
            "moderator", name, function, *arguments, timeout_s=MODERATOR_TIMEOUT_S
        )
        if ran is None:
            raise ModeratorFailedError("it failed")
        if not (ran.value is None or (isinstance(ran.value, str) and ran.value in view.agents)):
            self.code.report(
                "moderator", name, "named no agent of the call", function_place(function)
            )
            raise ModeratorFailedError("it named no agent of the call")
        return ran.value

    async def instructions(self, agent: Agent) -> str | None:
        """Return the instructions of an agent; None if it has none of its own.

        Raises:
            AgentStartError: its function failed.
        """
        wanted = agent.instructions
        if wanted is None or isinstance(wanted, str):
            return wanted
        before = len(self.failures)
        name = getattr(wanted, "__name__", "instructions")
        ran = await self.code.run(
            "instructions", name, wanted, self.call, timeout_s=INSTRUCTIONS_TIMEOUT_S
        )
        if ran is not None and isinstance(ran.value, str) and ran.value.strip():
            return ran.value
        if ran is not None:
            self.code.report("instructions", name, "returned no text", function_place(wanted))
        failure = self.failures[-1] if len(self.failures) > before else None
        text = f"{failure.message} ({failure.place})" if failure else "it failed"
        raise AgentStartError(
            "definition", "instructions_failed", f"instructions: {text}", is_retryable=False
        )

    def require_model(self, policy: TurnPolicy, capabilities: Capabilities, agent: Agent) -> None:
        """
        Raises:
            AgentStartError: the agent needs what its model, or the turn policy, does not allow.
        """
        if "user_turn_finished" in agent.hooks and not policy.leaves_answers(capabilities):
            text = (
                f"agent {agent.name}: the hook user_turn_finished runs before an answer, "
                "but here the model answers by itself; use a model that leaves its replies to us "
                "(openai, azure, local), and another interrupt mode than immediate"
            )
            raise AgentStartError("definition", "hook_unsupported", text, is_retryable=False)

        judges = [each.name for each in agent.guardrails if isinstance(each, ModelGuardrail)]
        if judges and "out_of_band" not in capabilities.reply_options:
            text = (
                f"agent {agent.name}: the guardrail {judges[0]} asks the model of the call, which "
                "gives no replies beside the conversation; use a function instead"
            )
            raise AgentStartError("definition", "guardrail_unsupported", text, is_retryable=False)

    def note_started(self, *, is_restart: bool) -> None:
        """Run `call_started`: the agent is ready."""
        self._has_started = True
        self.hooks.fire("call_started", hooks.CallStarted(is_restart))

    def note_joined(self, uid: int, name: str) -> None:
        """Run `user_joined`; begin a transfer to this person, if it is the expected one."""
        self.hooks.fire("user_joined", hooks.UserJoined(uid, name))
        if self.session is not None:
            joined = self._transfers.handle_joined(self.session, uid)
            self._tasks.start(joined, name="transfer")

    def note_left(self, uid: int, reason: str) -> None:
        """Run `user_left`; end a transfer to this person."""
        self.hooks.fire("user_left", hooks.UserLeft(uid, reason))
        if self.session is not None:
            self._transfers.handle_left(self.session, uid)

    def handle_event(self, event: ServerEvent) -> None:
        """React to an event that the agent published."""
        self.hooks.handle_event(event)
        if isinstance(event, out.AgentResponseToolResult):
            # What the tool has changed inside a value is kept with what it has returned.
            self._remember()
        elif isinstance(event, out.AgentHandedOver):
            handed = hooks.AgentHandedOver(event.previous, event.current)
            for agent in self._had_floor:
                if agent.name in (event.previous, event.current):
                    self.hooks.fire("agent_handed_over", handed, of=agent.hooks)

    def freeze(self) -> None:
        """Keep the conversation as it was heard: the call ends."""
        self._last_entries = [(_closed(one), name) for one, name in self._agent.heard_entries()]

    async def close(self, reason: str, record: Callable[[], dict[str, Any]]) -> None:
        """Run the last hooks, and stop what the owner's code still does."""
        if self._has_started:
            ended = [
                each.hooks["call_ended"] for each in self._had_floor if "call_ended" in each.hooks
            ]
            await self.hooks.finish(ended, lambda: hooks.CallEnded(reason, record()))
        self._remember()
        await self._tasks.close()
        await self.code.close()

    # -- state -------------------------------------------------------------------------------------

    def _note_state(self) -> None:
        # From any thread.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._state_changed.set)

    async def _keep_state(self) -> None:
        while True:
            try:
                async with asyncio.timeout(until_tick_s(STATE_INTERVAL_S, time.monotonic())):
                    await self._state_changed.wait()
            except TimeoutError:
                pass
            self._state_changed.clear()
            self._remember()

    def _remember(self) -> None:
        try:
            text = self.state.dumped()
        except CallError as error:
            # A value was changed inside to something that cannot be stored: the last good one stays.
            if str(error) != self._state_problem:
                self._state_problem = str(error)
                self.code.report("state", "call.state", str(error), "")
            return
        self._state_problem = ""
        now = (text, self.definition.name)
        if now != self._remembered:
            self._remembered = now
            self._agent.remember_call(*now)

    # -- the call (`session.owner_call.CallHost`) --------------------------------------------------

    def entries(self) -> Iterable[tuple[SnapshotEntry, str]]:
        """Return the conversation as heard, each entry with its speaker, where known."""
        return self._agent.heard_entries() if self._last_entries is None else self._last_entries

    def start_owner_task(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine in the background, at most as long as the call."""
        task = self._tasks.start(self.code.contain(coroutine, name), name=name)
        # A coroutine whose task is cancelled before its first step would stay unawaited.
        task.add_done_callback(lambda _: coroutine.close())

    def hang_up(self, *, after_reply: bool, say: str | None) -> None:
        """Have the call end."""
        self._agent.hang_up(after_reply=after_reply, say=say)

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Answer a request to the long-term memory."""
        return await self._agent.ask_memory(request)

    async def load_skill(self, name: str) -> None:
        """Add a skill to the model's instructions.

        Raises:
            CallError: there is no such skill.
        """
        await self._agent.load_skill(name)

    async def hand_over(self, name: str) -> None:
        """Give the floor to another definition.

        Raises:
            CallError: it cannot have it.
        """
        if self.handoff is None:
            text = f"handoff: there is no agent {name}: this agent has no handoffs"
            raise CallError("unknown_agent", text)
        await self.handoff.hand_over(name)

    def take_floor(self, agent: Agent) -> None:
        """Go on with the hooks, guardrails and name of another definition."""
        self.definition = agent
        self.call.agent = agent.name
        if agent not in self._had_floor:
            self._had_floor.append(agent)
        if self.session is not None:
            self.session.history.agent_name = agent.name
        self._note_state()

    async def transfer(self, to: str, *, summary: str | None, should_leave: bool) -> None:
        """Ask for a person to take over."""
        if self.session is None:
            raise CallError("not_ready", "the call has not begun yet")
        self._transfers.request(
            self.session,
            to,
            summary=await self._summary() if summary is None else summary,
            should_leave=should_leave,
        )

    async def _summary(self) -> str:
        """Return a summary by the model; where it writes none, the last turns."""
        try:
            return await self.call.ask(SUMMARY, timeout_s=SUMMARY_TIMEOUT_S)
        except CallError as error:
            self._log.info("the model writes no summary: %s", error.code)
            return last_words(self.call.history)

    def note_tool_failure(self, name: str, cause: str, place: str) -> None:
        """Have a failure of a tool, which was logged already, join the call's record."""
        self.code.note("tool", name, cause, place)

    def _handle_failure(self, failure: OwnerFailure) -> None:
        self.failures.append(failure)
        self._agent.report_failure(failure)
        self.hooks.handle_failure(failure)


def _closed(entry: SnapshotEntry) -> SnapshotEntry:
    """Return the entry as cut if it was still being said."""
    if isinstance(entry, SnapshotText) and entry.is_open:
        return entry.model_copy(update={"is_open": False, "is_cut": True})
    return entry
