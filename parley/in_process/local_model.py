"""The local model, for applications that run agents in-process and have no server."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Final

from pydantic import SecretStr

from config.local_model import LocalModelAddress
from config.settings import Settings
from control.supervisor.local_model import LocalModel

READY_WITHIN_S: Final = 60.0


@contextlib.asynccontextmanager
async def local_model(settings: Settings | None = None) -> AsyncIterator[str]:
    """Start the local model as a child process and yield its address, for `LOCAL_MODEL_URI`.

    Each call without that setting starts one of its own, which takes seconds: share one among several.

    Raises:
        AgentStartError: it cannot be started.
    """
    async with started_local_model(settings or Settings()) as address:
        yield address.uri


@contextlib.asynccontextmanager
async def started_local_model(settings: Settings) -> AsyncIterator[LocalModelAddress]:
    """Start the local model as a child process, with these settings, for one application.

    Raises:
        AgentStartError: it cannot be started.
    """
    model = LocalModel(settings, secret=SecretStr(secrets.token_urlsafe(32)))
    try:
        await model.wait_ready(READY_WITHIN_S)
        yield model.address
    finally:
        await model.stop()
