"""What each command of `main.py` does: turn options and settings into something that runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from pydantic import SecretStr

from config import AgentConfig, Settings
from conversation.lifecycle import ExitReason
from logs import configure_logging, guard_standard_output
from logs.secrets import secrets_of
from provider_config import provider_config
from setting_problems import near_misses
from utils import sole_cause

T = TypeVar("T")


class CommandError(Exception):
    """A command cannot go on; the text is the one line its user sees."""


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it; an error that only a group of tasks stands between comes out as itself."""
    try:
        return asyncio.run(coroutine)
    except BaseExceptionGroup as group:
        raise sole_cause(group) from group.__cause__


def _server_url(options: argparse.Namespace, settings: Settings) -> str:
    return options.server or f"http://127.0.0.1:{settings.server_port}"


def _room_token(settings: Settings, channel_name: str, uid: int, role: str) -> SecretStr | None:
    from rtc.tokens import mint_token

    if settings.room_token_secret is None:
        return None
    secret = settings.room_token_secret.get_secret_value()
    return SecretStr(mint_token(secret, channel=channel_name, uid=uid, role=role, ttl_s=3600))


def run_server_command(options: argparse.Namespace, settings: Settings) -> int:
    """The control server with everything it supervises."""
    from control.server import ServerError
    from control.serving import run_server

    configure_logging(
        settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )
    guard_standard_output()
    for line in near_misses(os.environ, Settings.model_fields):
        logging.getLogger("settings").warning(line)
    host = options.host or settings.server_host
    port = settings.server_port if options.port is None else options.port
    try:
        _run(run_server(settings, host, port))
    except ServerError as error:
        raise CommandError(str(error)) from error
    return 0


def run_agent_command(options: argparse.Namespace, settings: Settings) -> int:
    """One agent in the foreground, against a running server."""
    from agent import RealtimeKitAgent, StartFailedError

    context = {"channel": options.channel_name, "uid": options.uid}
    configure_logging(
        settings.log_level,
        log_format=settings.log_format,
        context=context,
        secrets=secrets_of(settings),
    )
    guard_standard_output()
    local_uri = settings.local_model_uri
    name = options.provider or settings.model_provider
    if name == "local" and local_uri is None:
        local_uri = _ask_local_model_uri(_server_url(options, settings))
    config = AgentConfig(
        agent_id=f"foreground-{options.channel_name}-{options.uid}",
        channel_name=options.channel_name,
        uid=options.uid,
        room_url=_server_url(options, settings),
        room_token=_room_token(settings, options.channel_name, options.uid, "agent"),
        provider=provider_config(settings, name, local_uri=local_uri or ""),
        greeting=options.greeting,
        toolset=options.toolset,
        mcp_server=settings.mcp_server(options.toolset),
        media=settings.media_network,
        guardrails=settings.guardrails,
        agents=settings.agents_file,
        opus=settings.opus,
        log_level=settings.log_level,
        log_format=settings.log_format,
        verbose=settings.verbose,
        agent_pcm_dir=settings.dump_dir if settings.write_agent_pcm else None,
        rtc_pcm_dir=settings.dump_dir if settings.write_rtc_pcm else None,
    )

    async def run() -> ExitReason:
        agent = RealtimeKitAgent(config)
        with _stop_on_signal(agent.stop):
            return await agent.run()

    try:
        _run(run())
    except StartFailedError as error:
        raise CommandError(f"{error.phase} failed ({error.code}): {error}") from error
    return 0


def _ask_local_model_uri(server_url: str) -> str:
    """Where the running server keeps its local model."""
    import json
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    from proxies import outbound_proxy

    # Through the owner's proxy, unless it is this machine.
    proxy = outbound_proxy(server_url)
    proxies = {} if proxy is None else {urlsplit(server_url).scheme: str(proxy)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        try:
            answer = opener.open(f"{server_url}/readyz", timeout=5)
        except urllib.error.HTTPError as not_ready:
            answer = not_ready  # still loading: its sessions wait until it is ready
        with answer:
            uri = json.load(answer).get("local_model_uri")
    except (OSError, ValueError) as error:
        raise CommandError(f"no server answers at {server_url}: {error}") from error
    if not uri:
        raise CommandError("the server runs no local model: set LOCAL_MODEL_URI")
    return str(uri)


def run_call_command(options: argparse.Namespace, settings: Settings) -> int:
    """Call an agent: say a WAV file, record the answer, print what is said."""
    from rtc.call import Call, CallError

    token = options.token
    if token is None and settings.room_token_secret is not None:
        minted = _room_token(settings, options.channel_name, options.uid or 0, "user")
        token = minted.get_secret_value() if minted else None
    configure_logging("WARNING", secrets=[token] if token else [])
    call = Call(
        _server_url(options, settings),
        channel_name=options.channel_name,
        uid=options.uid,
        token=token,
        max_wait_s=options.max_wait_s,
        on_line=_print_line,
    )

    async def run() -> None:
        with _stop_on_signal(call.stop):
            await call.run(options.question, options.answer)

    try:
        _run(run())
    except CallError as error:
        raise CommandError(str(error)) from error
    return 0


def run_model_command(options: argparse.Namespace, settings: Settings) -> int:
    """The local model server alone."""
    from speech.server import SpeechError, run_model_server

    context = {"process": "model"}
    configure_logging(settings.log_level, log_format=settings.log_format, context=context)
    try:
        sock = (
            socket.socket(fileno=options.fd)
            if options.fd is not None
            else socket.create_server(("127.0.0.1", options.port))
        )
    except (OSError, OverflowError) as error:
        raise CommandError(f"cannot listen for the local model: {error}") from error

    async def run() -> None:
        stopped = asyncio.Event()
        with _stop_on_signal(stopped.set):
            await run_model_server(sock=sock, stopped=stopped)

    try:
        _run(run())
    except SpeechError as error:
        raise CommandError(str(error)) from error
    return 0


def run_token_command(options: argparse.Namespace, settings: Settings) -> int:
    """Print a room token."""
    from rtc.tokens import mint_token

    if settings.room_token_secret is None:
        raise CommandError("ROOM_TOKEN_SECRET is not set: this server needs no tokens")
    if options.ttl_s <= 0:
        raise CommandError("--ttl_s: a token must live for at least a second")
    secret = settings.room_token_secret.get_secret_value()
    _print_line(
        mint_token(
            secret,
            channel=options.channel_name,
            uid=options.uid,
            role=options.role,
            ttl_s=options.ttl_s,
        )
    )
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is the command's output


@contextlib.contextmanager
def _stop_on_signal(stop: Callable[[], Any]) -> Iterator[None]:
    """Call `stop` on the first SIGINT or SIGTERM; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle() -> None:
        for other in numbers:
            loop.remove_signal_handler(other)
        stop()

    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


COMMANDS: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
    "server": run_server_command,
    "agent": run_agent_command,
    "call": run_call_command,
    "model": run_model_command,
    "token": run_token_command,
}
