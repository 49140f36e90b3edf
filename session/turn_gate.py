"""`TurnGate`: what an owner does with a user's turn before it is answered.

Each turn passes the guardrails on input, then the hook `user_turn_finished`, in a task of its own.
The reply is asked for when that is over. Where the provider answers by itself, the guardrails come
after the fact: the reply to a turn that may not pass is cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from conversation.events import server_events as out
from parley.guardrails import Cut, EndCall, Replace, Retry
from parley.hooks import UserTurnFinished
from realtime.events import AddText, CreateResponse, DeleteItem, ModelCommand
from realtime.model import ModelDisconnectedError, UnsupportedCommandError
from session.context import SessionContext
from session.owner import Owner
from session.owner_guardrails import Tripped
from session.reply_output import ReplyOutput
from session.turn_policy import TurnPolicy
from untrusted.boundary import InputKind
from utils import BoundedDict, OwnedTasks

MAX_TURNS: Final = 16
"""Turns that wait to be looked at; past it the oldest is answered as it is."""

WORDS_TIMEOUT_S: Final = 3.0
"""After a turn was committed: without its words by then, it is looked at without them."""

_NEXT_COMMIT: Final = ""

_WITHHELD: Final = "A message of the user was withheld from you: {reason}"


@dataclass(frozen=True, slots=True)
class UserTurn:
    """A turn of a user. add: adds a written one to the conversation, which has it only then"""

    item_id: str
    text: str
    uid: int | None
    add: Callable[[str], Awaitable[None]] | None = None


class TurnGate:
    """One per session with a definition."""

    def __init__(
        self,
        context: SessionContext,
        owner: Owner,
        *,
        reply_output: ReplyOutput,
        policy: TurnPolicy,
    ) -> None:
        self._context = context
        self._owner = owner
        self._reply_output = reply_output
        self._policy = policy
        self._turns: deque[UserTurn] = deque(maxlen=MAX_TURNS)
        self._work: asyncio.Task[None] | None = None
        # A reply was asked for while turns are looked at.
        self._is_asked = False
        # Turns whose words are still to come, each with the end of the wait.
        self._expected: dict[str, asyncio.Task[None]] = {}
        # Turns of which the model has lost what was said.
        self._withheld: BoundedDict[str, None] = BoundedDict(MAX_TURNS)
        self._tasks = OwnedTasks(context.log)

    @property
    def is_needed(self) -> bool:
        """True if turns are looked at before they are answered."""
        owner = self._owner
        return owner.hooks.has("user_turn_finished") or bool(owner.guardrails.of("input"))

    @property
    def _is_late(self) -> bool:
        """True if a reply may have begun before the turn is looked at."""
        return not (self._policy.is_answering or self._policy.is_manual)

    def expect_commit(self) -> None:
        """Wait for the turn that a client ends by hand to be part of the conversation."""
        self._expect(_NEXT_COMMIT)

    def expect_words(self, item_id: str) -> None:
        """Wait for the words of a turn that is part of the conversation now."""
        self._expect(item_id)
        self._forget(_NEXT_COMMIT)

    def _expect(self, item_id: str) -> None:
        async def wait() -> None:
            await asyncio.sleep(WORDS_TIMEOUT_S)
            self._context.log.info("no words came of a turn, it is answered without them")
            del self._expected[item_id]
            if item_id != _NEXT_COMMIT:
                self.take(UserTurn(item_id, "", None))
            with self._context.boundary.guard(
                InputKind.INTERNAL, "turn without words", expected=(ModelDisconnectedError,)
            ):
                await self._ask_if_due()

        if self.is_needed and item_id not in self._expected:
            self._expected[item_id] = self._tasks.start(wait(), name="words of a turn")

    def _forget(self, item_id: str) -> None:
        if (expected := self._expected.pop(item_id, None)) is not None:
            expected.cancel()

    def take(self, turn: UserTurn) -> None:
        """Look at a turn, after those before it; returns at once."""
        if not self.is_needed and turn.add is None:
            return
        self._turns.append(turn)
        if self._work is None or self._work.done():
            self._work = self._tasks.start(self._look(), name="user turn")

    async def settle(self, item_id: str) -> None:
        """Wait no longer for the words of this turn: it was taken, or meant nothing."""
        self._forget(item_id)
        await self._ask_if_due()

    async def ask(self) -> None:
        """Ask for a reply once all turns so far were looked at; returns at once."""
        self._is_asked = True
        await self._ask_if_due()

    async def _ask_if_due(self) -> None:
        is_waiting = bool(self._expected) or (self._work is not None and not self._work.done())
        if self._is_asked and not is_waiting:
            self._is_asked = False
            await self._send(CreateResponse())

    def withholds(self, item_id: str) -> bool:
        """Return true if a guardrail has removed this turn from the conversation."""
        return item_id in self._withheld

    def withdraw(self) -> None:
        """Ask for no reply to the turns so far."""
        self._is_asked = False

    async def _look(self) -> None:
        is_any_passed = False
        while self._turns:
            turn = self._turns.popleft()
            with self._context.boundary.guard(
                InputKind.HOOK, "user turn", expected=(ModelDisconnectedError,)
            ):
                is_any_passed = await self._pass(turn) or is_any_passed
        if self._is_asked and not self._expected:
            self._is_asked = False
            if is_any_passed:
                await self._send(CreateResponse())

    async def _pass(self, turn: UserTurn) -> bool:
        """Look at one turn; return true if it may be answered."""
        tripped = await self._owner.guardrails.check_all("input", turn.text)
        for one in tripped:
            self._context.log.warning("a turn tripped the guardrail %s", one.guardrail.name)
            self._context.publisher.publish(
                out.AgentGuardrailTripped,
                response_id="",
                item_id=turn.item_id,
                guardrail=one.guardrail.name,
                check="input",
            )
        if tripped and not await self._enforce(turn, tripped[-1]):
            return False
        if turn.add is not None:
            await turn.add(tripped[-1].text if tripped else turn.text)
        elif tripped:
            await self._send(AddText(tripped[-1].text, "user"))
            if self._is_late:
                await self._send(CreateResponse())
        await self._run_hook(replace(turn, text=tripped[-1].text) if tripped else turn)
        return True

    async def _enforce(self, turn: UserTurn, tripped: Tripped) -> bool:
        """Have the model forget the turn; return true if another text takes its place."""
        if self._is_late:
            await self._reply_output.interrupt(should_cancel=True)
        if turn.add is None:
            self._withheld[turn.item_id] = None
            self._context.history.drop(turn.item_id)
            await self._send(DeleteItem(turn.item_id))
        match tripped.action:
            case Replace():
                return True
            case Cut(reason) if reason:
                await self._send(AddText(_WITHHELD.format(reason=reason), "system"))
            case Retry(instructions):
                await self._send(CreateResponse(instructions))
            case EndCall(say):
                self._owner.hang_up(after_reply=False, say=say)
            case _:
                pass
        return False

    async def _run_hook(self, turn: UserTurn) -> None:
        event = UserTurnFinished(turn.text, turn.uid)
        await self._owner.hooks.run("user_turn_finished", event)
        added: Any = event.add_text
        if isinstance(added, str) and added:
            await self._send(AddText(added, "system"))
        elif added is not None and not isinstance(added, str):
            kind = type(added).__name__
            self._owner.code.report(
                "hook", "user_turn_finished", f"add_text is {kind}, no text", ""
            )

    async def _send(self, command: ModelCommand) -> None:
        try:
            await self._context.model.send(command)
        except UnsupportedCommandError as error:
            self._context.log.info("the turn stays as it is: %s", error)

    async def close(self) -> None:
        """Look at no more turns."""
        await self._tasks.close()
