"""The product's agent with a fault: held in a state, or doing harm on a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from agent import AgentObserver, RealtimeKitAgent
from config.agent import AgentConfig
from conversation.lifecycle import AgentState, ExitReason
from line.line import CreateLine

HARM = signal.SIGUSR2
"""Signal that triggers the harm named in its system message."""

_BITE_BYTES = 8 * 1024 * 1024
_BITES = 12


class FaultyAgent(RealtimeKitAgent):
    """System message: `hold=STATE harm=block|memory|descriptors|release`, each optional."""

    def __init__(
        self,
        config: AgentConfig,
        observer: AgentObserver | None = None,
        *,
        line: CreateLine | None = None,
    ) -> None:
        words = dict(word.split("=") for word in (config.system_message or "").split())
        self._hold = words.get("hold")
        self._harm = words.get("harm", "block")
        self._harmed: list[Any] = []
        self._released = asyncio.Event()
        super().__init__(config, observer, line=line)

    async def run(self) -> ExitReason:
        """Run as the product's agent, unless held before the start."""
        asyncio.get_running_loop().add_signal_handler(HARM, self._do_harm)
        await self._held(AgentState.STARTING)
        return await super().run()

    async def _join(self) -> None:
        await self._held(AgentState.JOINING)
        await super()._join()

    async def _connect(self) -> None:
        await self._held(AgentState.CONNECTING)
        await super()._connect()

    async def _leave(self) -> None:
        if self._hold == AgentState.STOPPING:
            self._lifecycle.advance(AgentState.STOPPING)
            await self._held(AgentState.STOPPING)
        await super()._leave()

    async def _held(self, state: AgentState) -> None:
        # In the first process only: the next one shows whether it recovers.
        if self._hold == state and self._config.conversation_seed is None:
            await self._released.wait()

    def _do_harm(self) -> None:
        match self._harm:
            case "release":
                self._released.set()
            case "memory":
                self._eat(_BITES)
            case "descriptors":
                try:
                    while True:
                        self._harmed.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    os.close(self._harmed.pop())
            case _:
                time.sleep(3600)

    def _eat(self, bites: int) -> None:
        # In steps of the loop: it is not to be taken for a blocked one.
        self._harmed.append(os.urandom(_BITE_BYTES))
        if bites > 1:
            asyncio.get_running_loop().call_soon(self._eat, bites - 1)
