"""`python -m main model`: the local model server alone, for clients of OpenAI's Realtime API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cli.running import CommandError, listening_socket, run, stop_on_signal
from config.settings import Settings
from logs import configure_logging
from logs.secrets import secrets_of
from utils import is_loopback

if TYPE_CHECKING:
    from aiohttp import web

    from speech.options import ProcessOptions
    from speech.server import ModelServer

_log = logging.getLogger(__name__)


def run_model_command(options: argparse.Namespace, settings: Settings) -> int:
    """Run the local model server alone."""
    from speech.options import ProcessOptions
    from speech.server import SpeechError, run_model_server
    from speech.settings import SpeechSettings

    configure_logging(
        settings.log_level,
        log_format=settings.log_format,
        context={"process": "model"},
        secrets=secrets_of(settings),
    )
    is_supervised = options.fd is not None
    given: ProcessOptions | None = None
    if options.options_from_stdin:
        given = ProcessOptions.model_validate_json(sys.stdin.buffer.read())
    sock = listening_socket(options, "local model", options.host)
    # Agents come over WebSockets: a supervised server does without what WebRTC takes.
    extend = None if is_supervised else _calls(settings, options.host)

    def say_address(port: int) -> None:
        _log.info("OpenAI's Realtime API at http://%s:%d/v1", options.host, port)

    async def serve() -> None:
        stopped = asyncio.Event()
        with stop_on_signal(stopped.set):
            async with _process_options(given, settings) as process_options:
                await run_model_server(
                    replace(SpeechSettings.of(process_options), host=options.host),
                    sock=sock,
                    stopped=stopped,
                    on_listening=None if is_supervised else say_address,
                    extend=extend,
                )

    try:
        run(serve())
    except SpeechError as error:
        raise CommandError(str(error)) from error
    return 0


@contextlib.asynccontextmanager
async def _process_options(
    given: ProcessOptions | None, settings: Settings
) -> AsyncIterator[ProcessOptions]:
    """Yield the options that were given, or those of the settings: then the packaged language model
    runs meanwhile, if they ask for it.
    """
    if given is not None:
        yield given
        return
    if not settings.has_embedded_language_model:
        yield settings.local_model_options(allowed_origins=settings.allowed_origins)
        return
    # Late: the server's own parts take time to import.
    from control.readiness import require_embedded_model
    from control.supervisor.local_model import LANGUAGE_MODEL_COMMAND
    from control.supervisor.loopback_server import LoopbackServer

    require_embedded_model(settings)
    server = LoopbackServer("embedded language model", LANGUAGE_MODEL_COMMAND)
    server.start()
    try:
        yield settings.local_model_options(
            embedded_base_url=f"{server.uri}/v1", allowed_origins=settings.allowed_origins
        )
    finally:
        await server.stop()


def _calls(settings: Settings, host: str) -> Callable[[ModelServer, web.Application], None]:
    """Return what adds the routes of WebRTC calls."""
    from realtime_calls.calls import Calls
    from realtime_calls.options import CallOptions, OpusOptions
    from rtc.options import MediaOptions
    from rtc.room_server.ice_servers import IceServers

    secret = settings.turn_secret
    servers = IceServers(
        stun_urls=settings.stun_urls,
        turn_urls=settings.turn_urls,
        turn_secret=secret.get_secret_value() if secret else "",
        turn_ttl_s=settings.turn_credential_ttl_s,
    )
    call_options = CallOptions(
        media=MediaOptions(has_loopback=is_loopback(host), network=settings.media_network),
        opus=OpusOptions(
            bitrate_bps=settings.opus_bitrate_bps,
            complexity=settings.opus_complexity,
            expected_loss_percent=settings.opus_expected_loss_percent,
        ),
        ice_servers=lambda: servers.for_participant(0),
    )
    return lambda server, app: Calls(server, call_options).add_routes(app)
