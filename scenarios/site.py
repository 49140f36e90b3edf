"""Everything that runs of scenarios need, opened and closed together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

from scenarios.call_start import Surroundings
from scenarios.engines import Engines
from scenarios.format import ScenarioError
from scenarios.own_server import open_own_server
from scenarios.scripted_server import ScriptedServer
from scenarios.seams import PersonaCaller
from scenarios.server_api import ServerApi
from speech.options import ProcessOptions
from speech.settings import SpeechSettings


@contextlib.asynccontextmanager
async def open_site(
    local_model: ProcessOptions,
    *,
    server_url: str | None,
    api_key: str | None,
    app: str | None,
    environ: Mapping[str, str],
    persona: PersonaCaller | None = None,
) -> AsyncIterator[tuple[Surroundings, ScriptedServer]]:
    """Yield what runs share; ends the server that it starts, with all of its processes.

    local_model: options of voices for simulated people
    server_url: of a server that runs; None: one is started, with `app` and the settings of `environ`

    Raises:
        ScenarioError: A part cannot be had.
    """
    async with AsyncExitStack() as stack:
        engines = Engines(SpeechSettings.of(local_model))
        stack.push_async_callback(engines.close)
        scripted = ScriptedServer()
        try:
            await scripted.start()
        except OSError as error:
            raise ScenarioError(f"the scripted model cannot listen: {error.strerror}") from error
        stack.push_async_callback(scripted.close)
        url, key = server_url, api_key
        if url is None:
            own = open_own_server(app, scripted.base_url, environ)
            url, key = await stack.enter_async_context(own), None
        api = await stack.enter_async_context(ServerApi(url, key))
        around = Surroundings(api, engines, is_own_server=server_url is None, persona=persona)
        yield around, scripted
