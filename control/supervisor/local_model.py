"""`LocalModel`: the speech server and, with `LLM_MODEL=embedded`, the language model beside it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from config.local_model import LocalModelAddress
from config.settings import Settings
from control.supervisor.loopback_server import LoopbackServer, ServerState
from conversation.lifecycle import AgentStartError

_log = logging.getLogger("control.local_model")

SPEECH_COMMAND: Final[Sequence[str]] = (
    *(sys.executable, "-m", "main", "model", "--fd", "{fd}", "--options_from_stdin"),
)
# Wait for the embedded language model once speech is ready.
_LANGUAGE_MODEL_S: Final = 10.0

LANGUAGE_MODEL_COMMAND: Final[Sequence[str]] = (sys.executable, "-m", "main", "llm", "--fd", "{fd}")


class LocalModel:
    """Keep the servers of the local model running from `start` to `stop`.

    The speech server is the one that counts: without its language model it answers by its rules, and
    says of the rest that it cannot be reached.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        secret: SecretStr | None = None,
        allowed_origins: tuple[str, ...] = (),
    ) -> None:
        """
        Args:
            settings: which recogniser, language model and voice; the port.
            secret: by which agents choose options of their own.
            allowed_origins: of pages that may connect besides those of this machine.

        Raises:
            OSError: the port is taken.
        """
        self.language_model: LoopbackServer | None = None
        """The embedded language model; None: rules, or a server of the owner's."""
        if settings.has_embedded_language_model:
            self.language_model = LoopbackServer("embedded language model", LANGUAGE_MODEL_COMMAND)
        options = settings.local_model_options(
            secret=secret,
            embedded_base_url=f"{self.language_model.uri}/v1" if self.language_model else None,
            allowed_origins=allowed_origins,
        )
        self._options_secret = options.options_secret
        try:
            self.speech = LoopbackServer(
                "local model",
                SPEECH_COMMAND,
                port=settings.local_model_port,
                stdin=options.to_json(),
            )
        except OSError:
            if self.language_model is not None:
                self.language_model.release()
            raise
        self._servers = [self.speech, *([self.language_model] if self.language_model else ())]

    @property
    def address(self) -> LocalModelAddress:
        """Address of the speech server."""
        uri = f"ws{self.speech.uri.removeprefix('http')}"
        return LocalModelAddress(uri, self._options_secret)

    @property
    def state(self) -> ServerState:
        """State of the speech server."""
        return self.speech.state

    @property
    def problem(self) -> str:
        """The reason why the speech server is not ready, if it is known."""
        return self.speech.problem

    @property
    def warning(self) -> str | None:
        """The part that speech has to do without at present; None: nothing."""
        server = self.language_model
        if server is None or server.state in (ServerState.OFF, ServerState.READY):
            return None
        return f"{server.name} {server.state} {server.problem}".strip()

    @property
    def pids(self) -> frozenset[int]:
        """Pids of the children."""
        return frozenset(server.pid for server in self._servers if server.pid is not None)

    def start(self) -> None:
        """Start the servers, unless they are running or failed within the restart window. Idempotent."""
        for server in self._servers:
            server.start()

    async def wait_ready(self, deadline_s: float) -> None:
        """Start the servers if necessary; return when speech is ready. The language model is given a little
        longer.

        Raises:
            AgentStartError: phase `model`; speech is not ready within the deadline, or failed for good.
        """
        self.start()
        await self.speech.wait_ready(deadline_s)
        if self.language_model is None:
            return
        try:
            # It loads in a fraction of the time.
            await self.language_model.wait_ready(_LANGUAGE_MODEL_S)
        except AgentStartError as error:
            _log.warning("%s: starts go on without it", error)

    async def stop(self) -> None:
        """Stop the children with SIGTERM, then SIGKILL; frees the ports. Idempotent."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.stop())

    def kill(self) -> None:
        """Send SIGKILL to the children without waiting for their exit."""
        for server in self._servers:
            server.kill()
