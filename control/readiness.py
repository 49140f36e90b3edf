"""What starts need of the machine beside processes: looked at now and then, off the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from config import ConfigError, Settings
from control.api.skills import load_skills
from control.api.starts import prepare_recordings
from control.store.opening import checked_url
from provider_config import provider_config, provider_factories
from proxies import InvalidProxyError, outbound_proxy
from setting_problems import describe
from utils import OwnedTasks

LOOK_S: Final = 10.0
_HANGING_S: Final = 30.0

_log = logging.getLogger("control.readiness")


class Surroundings:
    """What is told is not older than `LOOK_S`, or says that it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: list[str] = []
        self._looked_s = time.monotonic()
        self._tasks = OwnedTasks(_log)

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start(self._look_now_and_then(), name="readiness")

    async def close(self) -> None:
        """Look no more. Idempotent."""
        await self._tasks.close()

    def warnings(self) -> list[str]:
        """What starts that ask for it would not get."""
        if time.monotonic() - self._looked_s > LOOK_S + _HANGING_S:
            return [*self._found, "the folders of the server do not answer"]
        return self._found

    async def _look_now_and_then(self) -> None:
        while True:
            self._found = await asyncio.to_thread(lambda: [*look(self._settings)])
            self._looked_s = time.monotonic()
            await asyncio.sleep(LOOK_S)


def look(settings: Settings) -> Iterator[str]:
    """What is wrong now. May block."""
    if not _is_writable(settings.data_dir):
        text = "is gone or cannot be written: what is stored there may be lost"
        yield f"DATA_DIR: {settings.data_dir} {text}"
    if (folder := settings.recordings_dir) is not None and not _is_writable(folder):
        yield f"RECORDINGS_DIR: {folder} cannot be written: no call can be recorded"
    for server in settings.mcp_servers:
        if server.url is None and shutil.which(server.command[0]) is None:
            # The name alone: commands may hold keys.
            yield f"MCP_SERVERS: the program of {server.name} is not found"


def require_startable(settings: Settings, host: str) -> None:
    """Look at what settings name before anything is begun.

    Raises:
        ConfigError: something of it cannot be used; the text names all that cannot.
    """
    given = settings.store_url
    problems = []
    for check in (
        lambda: settings.require_safe_bind(host),
        lambda: load_skills(settings.skills_dir),
        lambda: prepare_recordings(settings.recordings_dir),
        lambda: checked_url(settings.data_dir, given.get_secret_value() if given else None),
        lambda: provider_factories(settings),
    ):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(describe(problems))


def missing_provider(settings: Settings) -> str | None:
    """Why the default provider, or the one that takes over, cannot be made; None: it can, as far as
    can be seen without running it. May block.
    """
    try:
        factories = provider_factories(settings)
    except ConfigError as error:
        return str(error)
    for name in filter(None, (settings.model_provider, settings.fallback_provider)):
        module = factories.get(name, "").partition(":")[0].partition(".")[0]
        if module and find_spec(module) is None:
            return f"PROVIDER_FACTORIES: there is no module {module}, which {name} names"
    return _proxy_problem(settings)


def _proxy_problem(settings: Settings) -> str | None:
    """Why the owner's proxy does not lead to the default provider, as far as it can be read off."""
    name, local_uri = settings.model_provider, settings.local_model_uri or ""
    # One that is not configured at all is told by starts.
    with contextlib.suppress(ConfigError):
        config = provider_config(settings, name, local_uri=local_uri)
        try:
            outbound_proxy(config.base_uri)
        except InvalidProxyError as error:
            return f"{error}: {name} cannot be reached"
        except ValueError:
            return f"{name}: {config.base_uri} is not a usable address"
    return None


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
