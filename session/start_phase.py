"""The phases of an agent's start: each is timed, bounded and named in its failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Final

from realtime.lasting.retry import Trouble
from realtime.model import RealtimeModelError
from rtc.errors import RoomError
from toolsets.mcp import McpServerError

PHASE_TIMEOUT_S: Final = 10.0


class StartFailedError(Exception):
    """The agent never became ready.

    phase: `joining` (the room), `tools` (an MCP server) or `connecting` (the model)
    code: machine word of the cause
    is_retryable: whether another process could fare better
    """

    def __init__(self, phase: str, code: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        self.code = code
        self.is_retryable = is_retryable


@contextlib.asynccontextmanager
async def start_phase(timings_ms: MutableMapping[str, float], name: str) -> AsyncIterator[None]:
    """Run a phase; how long it took goes into `timings_ms`.

    Raises:
        StartFailedError: it took too long, or what it needs failed.
    """
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(PHASE_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise StartFailedError(name, "timeout", f"{name} took too long") from error
    except RealtimeModelError as error:
        is_refused = Trouble(error.code, is_retryable=error.is_retryable).is_refusal
        raise StartFailedError(name, error.code, str(error), is_retryable=not is_refused) from error
    except (RoomError, McpServerError) as error:
        raise StartFailedError(name, error.code, str(error)) from error
    timings_ms[name] = round((time.monotonic() - began_s) * 1000, 1)
