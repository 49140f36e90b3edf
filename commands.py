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
from typing import Any, Final, TypeVar

from pydantic import SecretStr

from config import AgentConfig, Settings
from conversation.lifecycle import ExitReason
from logs import configure_logging, flush_logs, guard_standard_output, say
from logs.secrets import secrets_of
from provider_config import provider_config
from setting_problems import near_misses
from utils import sole_cause

T = TypeVar("T")

_LAST_LINES_S: Final = 5.0
"""What is left of the output of a call waits so long for its reader."""

_TOKEN_TTL_S: Final = 24 * 3600
"""Of our own tokens, which are shown again whenever a connection to the room is made anew."""


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
    return SecretStr(
        mint_token(secret, channel=channel_name, uid=uid, role=role, ttl_s=_TOKEN_TTL_S)
    )


def _agent_token(
    server_url: str, settings: Settings, channel_name: str, uid: int
) -> SecretStr | None:
    """What an agent shows to its room: of our own secret, or else of the server's.

    Raises:
        CommandError: the server does not give one.
    """
    own = _room_token(settings, channel_name, uid, "agent")
    if own is not None:
        return own
    wanted = {"channel_name": channel_name, "uid": uid, "role": "agent", "ttl_s": _TOKEN_TTL_S}
    token = _ask_server(f"{server_url}/token", settings, wanted).get("token")
    return None if token is None else SecretStr(str(token))


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
    server_url = _server_url(options, settings)
    local_uri = settings.local_model_uri
    name = options.provider or settings.model_provider
    if name == "local" and local_uri is None:
        local_uri = _ask_local_model_uri(server_url, settings)
    provider = provider_config(settings, name, local_uri=local_uri or "")
    config = AgentConfig(
        agent_id=f"foreground-{options.channel_name}-{options.uid}",
        channel_name=options.channel_name,
        uid=options.uid,
        room_url=server_url,
        room_token=_agent_token(server_url, settings, options.channel_name, options.uid),
        provider=provider,
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


def _ask_local_model_uri(server_url: str, settings: Settings) -> str:
    """Where the running server keeps its local model; one with keys tells it to their holders."""
    uri = _ask_server(f"{server_url}/readyz", settings).get("local_model_uri")
    if not uri:
        raise CommandError(
            "the server tells of no local model: set LOCAL_MODEL_URI, or API_KEYS if it has keys"
        )
    return str(uri)


def _ask_server(
    url: str, settings: Settings, body: dict[str, object] | None = None
) -> dict[str, Any]:
    """The answer of a running server's API to GET, or to POST with a `body`; with our first key.

    Raises:
        CommandError: nobody answers, or the request is refused.
    """
    import json
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    from json_reader import read_object
    from proxies import outbound_proxy

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """Our key is for the server that was named, not for wherever it points."""

        def redirect_request(self, *_: object) -> None:
            return None

    # Through the owner's proxy, unless it is this machine.
    proxy = outbound_proxy(url)
    proxies = {} if proxy is None else {urlsplit(url).scheme: str(proxy)}
    opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler(proxies))
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if settings.api_keys:
        key = settings.api_keys[0].get_secret_value()
        request.add_header("Authorization", f"Bearer {key}")
    try:
        try:
            answer = opener.open(request, timeout=5)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            told = read_object(answer.read())
    except (OSError, ValueError) as error:
        raise CommandError(f"no server answers at {url}: {error}") from error
    if answer.status >= 400 and "error" in told:
        raise CommandError(f"{url}: {told['error']}")
    return told


def run_call_command(options: argparse.Namespace, settings: Settings) -> int:
    """Call an agent: say a WAV file, record the answer, print what is said."""
    from rtc.call import Call, CallError

    token = options.token
    if token is None and settings.room_token_secret is not None:
        minted = _room_token(settings, options.channel_name, options.uid or 0, "user")
        token = minted.get_secret_value() if minted else None
    configure_logging("WARNING", secrets=[token] if token else [])
    # Whoever reads what is printed must not hold up the call.
    guard_standard_output()
    call = Call(
        _server_url(options, settings),
        channel_name=options.channel_name,
        uid=options.uid,
        token=token,
        max_wait_s=options.max_wait_s,
        on_line=say,
    )

    async def run() -> None:
        with _stop_on_signal(call.stop):
            await call.run(options.question, options.answer)

    try:
        _run(run())
    except CallError as error:
        raise CommandError(str(error)) from error
    finally:
        flush_logs(_LAST_LINES_S)
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
    token = mint_token(
        secret,
        channel=options.channel_name,
        uid=options.uid,
        role=options.role,
        ttl_s=options.ttl_s,
    )
    try:
        # Not buffered: what cannot be written would be tried again at the end of the interpreter.
        os.write(1, f"{token}\n".encode())
    except OSError as error:
        raise CommandError(f"the token cannot be printed: {error.strerror}") from error
    return 0


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
