"""`ProviderProbes`: runs the process that opens a session, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from control.child.environment import outbound_environment
from control.provider_check.messages import MAX_ANSWER_BYTES, Finding, McpProbe, Probe

DEADLINE_S: Final = 40.0
"""For the process to start, to open its session, to speak and to end."""

WAIT_S: Final = 15.0
"""For a probe that is under way to end."""

_ROOT: Final = Path(__file__).resolve().parents[2]
_COMMAND: Final = (sys.executable, "-m", "control.provider_check.child")

_log = logging.getLogger("control.provider_check")


class BusyError(Exception):
    """Another probe is under way, and does not end."""


class ProviderProbes:
    """Opens provider sessions on request, one after the other."""

    def __init__(self, deadline_s: float = DEADLINE_S, wait_s: float = WAIT_S) -> None:
        self._deadline_s = deadline_s
        self._wait_s = wait_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    @property
    def pids(self) -> frozenset[int]:
        """Pid of the process that runs now, if one does."""
        return frozenset() if self._process is None else frozenset({self._process.pid})

    async def run(self, wanted: Probe | McpProbe) -> Finding:
        """Return what came of the probe; its process has ended.

        Raises:
            BusyError: another one is under way for too long.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turn.acquire()
        except TimeoutError as error:
            raise BusyError from error
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._run(wanted)
        except TimeoutError:
            text = f"no answer within {self._deadline_s:g} s"
            return Finding(code="timeout", text=text)
        except OSError as error:
            return Finding(code="failed", text=f"no process can be started: {error.strerror}")
        finally:
            self._turn.release()

    async def _run(self, wanted: Probe | McpProbe) -> Finding:
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control.machine.prctl", str(os.getpid()), *_COMMAND),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=outbound_environment(os.environ),
            cwd=_ROOT,
            start_new_session=True,
            limit=MAX_ANSWER_BYTES,
        )
        try:
            answer, _ = await process.communicate(wanted.to_json())
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            self._process = None
        try:
            return Finding.model_validate_json(answer)
        except ValidationError:
            _log.warning("a probe ended with %s", process.returncode)
            return Finding(code="failed", text=f"its process ended with {process.returncode}")
