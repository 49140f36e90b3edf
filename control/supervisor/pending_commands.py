"""`PendingCommands`: API commands sent to one agent process, matched with their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from control.ipc.link import CommandDone
from control.placement import AgentGoneError, AgentSilentError
from conversation.events.commands import CommandRefusedError, CommandResult

ANSWER_DEADLINE_S: Final = 5.0
MAX_PENDING: Final = 64
"""Commands that may wait for one agent's answer; further ones are refused."""


class PendingCommands:
    """Numbers commands and matches answers; every caller gets an answer or an error."""

    def __init__(self) -> None:
        # Number of the last command; unique per process.
        self._number = 0
        self._pending: dict[int, asyncio.Future[CommandResult]] = {}

    async def execute(
        self,
        send: Callable[[int], None],
        *,
        deadline_s: float = ANSWER_DEADLINE_S,
    ) -> CommandResult:
        """Send a command and return its result. send: sends it under the number it is given.

        Raises:
            CommandRefusedError: the agent refused it, or too many commands are pending.
            AgentSilentError: no answer within the deadline.
            AgentGoneError: the process ended first.
        """
        if len(self._pending) >= MAX_PENDING:
            raise CommandRefusedError("too_many_events", f"{MAX_PENDING} commands are pending")
        self._number += 1
        number = self._number
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            send(number)
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            raise AgentSilentError(deadline_s) from None
        finally:
            self._pending.pop(number, None)

    def handle_done(self, message: CommandDone) -> None:
        """Complete the command that was answered; an answer after the deadline is dropped."""
        answer = self._pending.pop(message.number, None)
        if answer is None or answer.done():
            return
        if message.code is not None:
            answer.set_exception(CommandRefusedError(message.code, message.message))
        else:
            answer.set_result(message.result or CommandResult())

    def close(self) -> None:
        """Fail all pending commands, because the process is gone. Idempotent."""
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(AgentGoneError())
