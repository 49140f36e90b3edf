"""`Orders`: the owner's commands to one agent process, each with its answer or its error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from control.placement import AgentGoneError, AgentSilentError
from control.processes.link import Command, CommandDone
from conversation.live_commands import CommandRefusedError, CommandResult, LiveCommand

ANSWER_DEADLINE_S: Final = 5.0
MAX_OPEN: Final = 64
"""Commands that may wait for one agent's answer; a further one is refused."""


class Orders:
    """Numbers commands, matches answers. Whoever waits always gets one or an error."""

    def __init__(self) -> None:
        self._number = 0
        self._open: dict[int, asyncio.Future[CommandResult]] = {}

    async def ask(
        self,
        command: LiveCommand,
        send: Callable[[Command], None],
        *,
        deadline_s: float = ANSWER_DEADLINE_S,
    ) -> CommandResult:
        """Have it carried out.

        Raises:
            CommandRefusedError: the agent said no, or too many commands wait for it.
            AgentSilentError: no answer within the deadline.
            AgentGoneError: its process ended first.
        """
        if len(self._open) >= MAX_OPEN:
            raise CommandRefusedError("too_many_events", f"{MAX_OPEN} commands wait for its answer")
        self._number += 1
        number = self._number
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            send(Command(number=number, command=command))
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            raise AgentSilentError(deadline_s) from None
        finally:
            self._open.pop(number, None)

    def handle_done(self, message: CommandDone) -> None:
        """The agent answered; too late is as good as never."""
        answer = self._open.pop(message.number, None)
        if answer is None or answer.done():
            return
        if message.code is not None:
            answer.set_exception(CommandRefusedError(message.code, message.message))
        else:
            answer.set_result(message.result or CommandResult())

    def close(self) -> None:
        """The process is gone, and with it all answers. Idempotent."""
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(AgentGoneError())
