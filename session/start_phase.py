"""Phases of an agent's start: each is timed, bounded and named in its failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Final

from conversation.lifecycle import AgentStartError
from line.errors import LineError
from realtime.model import RealtimeModelError
from realtime.resilience.retry_policy import Failure
from toolsets.mcp import McpServerError

PHASE_TIMEOUT_S: Final = 10.0


@contextlib.asynccontextmanager
async def start_phase(timings_ms: MutableMapping[str, float], name: str) -> AsyncIterator[None]:
    """Run a phase and add its duration to `timings_ms`.

    Raises:
        AgentStartError: the phase timed out, or what it depends on failed.
    """
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(PHASE_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise AgentStartError(name, "timeout", f"{name} took too long") from error
    except RealtimeModelError as error:
        is_refused = Failure(error.code, is_retryable=error.is_retryable).is_refusal
        raise AgentStartError(name, error.code, str(error), is_retryable=not is_refused) from error
    except (LineError, McpServerError) as error:
        raise AgentStartError(name, error.code, str(error)) from error
    timings_ms[name] = round((time.monotonic() - began_s) * 1000, 1)
