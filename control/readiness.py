"""`ReadinessChecks`: folders, programs and providers that starts need, checked in a thread."""

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

from config.agent import prepare_recordings
from config.local_model import EMBEDDED_MODEL, LocalModelAddress
from config.problems import describe
from config.providers import provider_config, provider_factories
from config.settings import ConfigError, Settings
from config.skills import load_skills
from config.sound_files import load_sounds, sound_folders
from control.store.opening import checked_url
from proxies import InvalidProxyError, outbound_proxy
from speech.embedded.model_file import SETUP, missing_package
from utils import OwnedTasks

CHECK_INTERVAL_S: Final = 10.0
# A check that takes longer hangs, for example on a network file system.
_MAX_CHECK_S: Final = 30.0

_log = logging.getLogger("control.readiness")


class ReadinessChecks:
    """Warnings of the last check, at most `CHECK_INTERVAL_S` old, or one that checks hang."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: list[str] = []
        self._checked_s = time.monotonic()
        self._tasks = OwnedTasks(_log)

    def start(self) -> None:
        """Check periodically, in the background."""
        self._tasks.start(self._check_periodically(), name="readiness")

    async def close(self) -> None:
        """Stop checking. Idempotent."""
        await self._tasks.close()

    def warnings(self) -> list[str]:
        """Return what starts that need it would not get, one line each."""
        if time.monotonic() - self._checked_s > CHECK_INTERVAL_S + _MAX_CHECK_S:
            return [
                *self._found,
                "checks of the server's folders hang: is a file system not answering?",
            ]
        return self._found

    async def _check_periodically(self) -> None:
        while True:
            self._found = await asyncio.to_thread(lambda: [*find_problems(self._settings)])
            self._checked_s = time.monotonic()
            await asyncio.sleep(CHECK_INTERVAL_S)


def find_problems(settings: Settings) -> Iterator[str]:
    """Yield what is wrong now. May block."""
    if not _is_writable(settings.data_dir):
        text = "is missing or not writable: data stored there may be lost"
        yield f"DATA_DIR: {settings.data_dir} {text}"
    if (folder := settings.recordings_dir) is not None and not _is_writable(folder):
        yield f"RECORDINGS_DIR: {folder} is not writable: no call can be recorded"
    for server in settings.mcp_servers:
        if server.url is None and shutil.which(server.command[0]) is None:
            # Not the command itself: it may hold keys.
            yield f"MCP_SERVERS: the program of {server.name} is not found"


def require_startable(settings: Settings, host: str) -> None:
    """Check everything that the settings name, before anything is started.

    Raises:
        ConfigError: at least one thing cannot be used; the text names all of them.
    """
    given = settings.store_url
    problems = []
    for check in (
        lambda: settings.require_safe_bind(host),
        lambda: load_skills(settings.skills_dir),
        lambda: load_sounds(sound_folders(settings)),
        lambda: prepare_recordings(settings.recordings_dir),
        lambda: checked_url(settings.data_dir, given.get_secret_value() if given else None),
        lambda: provider_factories(settings),
        lambda: require_embedded_model(settings),
    ):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(describe(problems))


def require_embedded_model(settings: Settings) -> None:
    """Check that the packaged language model is installed, where the settings ask for it.

    Raises:
        ConfigError: it is not.
    """
    if not settings.has_embedded_language_model or settings.local_model_uri is not None:
        return
    if (name := missing_package()) is not None:
        text = f"LLM_MODEL: {EMBEDDED_MODEL} needs the package {name}: run `{SETUP}`"
        raise ConfigError(text)


def missing_provider(settings: Settings) -> str | None:
    """Return why the default or the fallback provider cannot be created; None if no problem can be
    found without running it. May block.
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
    """Return why the configured proxy cannot lead to the default provider; None if it may."""
    name = settings.model_provider
    local_model = LocalModelAddress(settings.local_model_uri or "")
    # A provider without configuration is reported by starts.
    with contextlib.suppress(ConfigError):
        config = provider_config(settings, name, local_model=local_model)
        try:
            outbound_proxy(config.base_uri)
        except InvalidProxyError as error:
            return f"{error}: {name} cannot be reached"
        except ValueError:
            return f"{name}: {config.base_uri} is not a usable address"
    return None


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
