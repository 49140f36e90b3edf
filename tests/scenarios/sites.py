"""Where scenarios of tests run: a server with the example's agents, and nothing of the developer's settings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from config.settings import Settings
from scenarios.call_start import Surroundings
from scenarios.scripted_server import ScriptedServer
from scenarios.seams import PersonaCaller
from scenarios.site import open_site

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
APP = EXAMPLES / "restaurant.py"

SETTINGS = {"PARLEY_ENV_FILE": "", "AGENT_UNRESPONSIVE_S": "60", "WARM_PROCESSES": "1"}
"""Of a server beside other work, which may hold up its agents."""


_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")


def environment() -> dict[str, str]:
    """The variables of a developer who has set nothing."""
    return SETTINGS | {name: os.environ[name] for name in _KEPT if name in os.environ}


@contextlib.asynccontextmanager
async def example_site(
    persona: PersonaCaller | None = None,
) -> AsyncIterator[tuple[Surroundings, ScriptedServer]]:
    """The example's agents on a server of their own."""
    environ = environment()
    options = Settings.from_env(environ).local_model_options()
    async with open_site(
        options, server_url=None, api_key=None, app=str(APP), environ=environ, persona=persona
    ) as site:
        yield site
