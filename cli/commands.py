"""Commands of `main.py`: each turns options and settings into a running program."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from typing import Final

from cli.agent import run_agent_command
from cli.app import run_check_command
from cli.keys import run_keys_command
from cli.model import run_model_command
from cli.running import (
    WRONG_APP,
    CommandError,
    listening_socket,
    log_near_misses,
    run,
    stop_on_signal,
)
from cli.scenarios import run_test_command
from cli.server_client import room_token, server_url
from config.settings import Settings
from logs import configure_logging, flush_logs, guard_standard_output, say
from logs.secrets import secrets_of

_LAST_LINES_S: Final = 5.0
"""Longest wait for a reader to take the last output of a call."""


def run_server_command(options: argparse.Namespace, settings: Settings) -> int:
    """Run the control server with everything it supervises."""
    from control.run import run_server
    from control.server import AppFailedError, ServerError

    configure_logging(
        settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )
    guard_standard_output()
    log_near_misses(options)
    host = options.host or settings.server_host
    port = settings.server_port if options.port is None else options.port
    if options.app is not None:
        settings = settings.model_copy(update={"app": options.app})
    if options.reload and settings.app is None:
        raise CommandError("--reload: name the app that it watches, with --app or APP")
    try:
        run(run_server(settings, host, port, should_reload=options.reload))
    except AppFailedError as error:
        raise CommandError(str(error), WRONG_APP) from error
    except ServerError as error:
        raise CommandError(str(error)) from error
    return 0


def run_call_command(options: argparse.Namespace, settings: Settings) -> int:
    """Call an agent: play a WAV file, record the answer, print the transcript."""
    from cli.agent_of_call import agent_of_call
    from cli.call import Call, CallError

    token = options.token
    if token is None and settings.room_token_secret is not None:
        minted = room_token(settings, options.channel_name, options.uid or 0, "user")
        token = minted.get_secret_value() if minted else None
    configure_logging("WARNING", secrets=[token] if token else [])
    # A slow reader of standard output must not delay the call.
    guard_standard_output()
    beside = agent_of_call(options, settings)
    call = Call(
        server_url(options, settings),
        channel_name=options.channel_name,
        uid=options.uid,
        token=token,
        max_wait_s=options.max_wait_s,
        on_line=say,
    )

    async def make_call() -> None:
        with stop_on_signal(call.stop):
            async with beside:
                await call.run(options.question, options.answer)

    try:
        run(make_call())
    except CallError as error:
        raise CommandError(str(error)) from error
    finally:
        flush_logs(_LAST_LINES_S)
    return 0


def run_llm_command(options: argparse.Namespace, settings: Settings) -> int:
    """Run the packaged language model's server alone."""
    from speech.embedded.errors import EmbeddedModelError
    from speech.embedded.server import run_embedded_server
    from speech.embedded.settings import EmbeddedSettings

    configure_logging(
        settings.log_level,
        log_format=settings.log_format,
        context={"process": "llm"},
        secrets=secrets_of(settings),
    )
    sock = listening_socket(options, "embedded language model")
    # A supervised one has the speech server of this machine as its client, and no key.
    key = settings.local_model_api_key if options.fd is None else None
    embedded = EmbeddedSettings(api_key=None if key is None else key.get_secret_value())

    async def serve() -> None:
        stopped = asyncio.Event()
        with stop_on_signal(stopped.set):
            await run_embedded_server(embedded, sock=sock, stopped=stopped)

    try:
        run(serve())
    except EmbeddedModelError as error:
        raise CommandError(str(error)) from error
    return 0


def run_token_command(options: argparse.Namespace, settings: Settings) -> int:
    """Print a room token."""
    from rtc.room_server.tokens import mint_token

    if settings.room_token_secret is None:
        raise CommandError("ROOM_TOKEN_SECRET is not set: this server needs no tokens")
    if options.ttl_s <= 0:
        raise CommandError("--ttl_s: a token must live for at least a second")
    secret = settings.room_token_secret.get_secret_value()
    token = mint_token(
        secret,
        channel=options.channel_name,
        uid=options.uid,
        role=options.role,
        ttl_s=options.ttl_s,
        team=options.team,
    )
    try:
        # Unbuffered: a failed write would be repeated when the interpreter exits.
        os.write(1, f"{token}\n".encode())
    except OSError as error:
        raise CommandError(f"the token cannot be printed: {error.strerror}") from error
    return 0


def _run_export_command(options: argparse.Namespace, settings: Settings) -> int:
    from cli.export import run_export_command

    return run_export_command(options, settings)


def _run_load_command(options: argparse.Namespace, settings: Settings) -> int:
    from cli.load import run_load_command

    return run_load_command(options, settings)


COMMANDS: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
    "server": run_server_command,
    "agent": run_agent_command,
    "call": run_call_command,
    "check": run_check_command,
    "export": _run_export_command,
    "load": _run_load_command,
    "test": run_test_command,
    "model": run_model_command,
    "llm": run_llm_command,
    "token": run_token_command,
    "keys": run_keys_command,
}
