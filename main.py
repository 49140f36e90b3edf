"""The command line: `python -m main server | agent | call | model | token`. Nothing runs at import."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from config import MAX_UID, ConfigError, Settings, is_channel_name
from logs.writer import open_standard_descriptors
from opt_outs import switch_off_telemetry


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line; `--help` tells the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _channel_name(text: str) -> str:
    if not is_channel_name(text):
        raise argparse.ArgumentTypeError("use 1 to 64 of A-Z a-z 0-9 _ - . and begin with no sign")
    return text


def _uid(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_UID:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_UID}")
    return int(text)


def _server_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname)
        is_usable = is_usable and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: use http://HOST:PORT")
    return text.rstrip("/")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds above 0")
    return seconds


def build_parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    parser = _OneLineParser(prog="main", description="Self-hosted realtime voice agents.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    server = commands.add_parser("server", help="control server, room and local model")
    server.add_argument("--host", help="address to listen on (SERVER_HOST)")
    server.add_argument("--port", type=int, help="port to listen on (SERVER_PORT)")

    agent = commands.add_parser("agent", help="one agent in the foreground")
    call = commands.add_parser("call", help="call an agent with a WAV file")
    token = commands.add_parser("token", help="mint a room token")
    for command in (agent, call, token):
        command.add_argument("--channel_name", type=_channel_name, required=True)
    for command in (agent, token):
        command.add_argument("--uid", type=_uid, required=True)
    for command in (agent, call):
        command.add_argument("--server", type=_server_url, help="URL of the server to join")

    agent.add_argument("--greeting", help="said when somebody joins")
    agent.add_argument("--provider", help="a name of docs/providers.md (MODEL_PROVIDER)")
    agent.add_argument("--toolset", help="a registered tool set, for example everyday")

    call.add_argument("--uid", type=_uid, help="assigned by the server when absent")
    call.add_argument("--token", help="room token, when the server asks for one")
    call.add_argument("--in", dest="question", type=Path, required=True, help="WAV to say")
    call.add_argument("--out", dest="answer", type=Path, required=True, help="WAV to record")
    call.add_argument("--max_wait_s", type=_seconds, default=20.0, help="for a reply, then give up")

    model = commands.add_parser("model", help="the local model server alone")
    where = model.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="loopback port to listen on, 0 for any")
    where.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a listening socket, inherited

    token.add_argument("--role", choices=("user", "agent"), default="user")
    token.add_argument("--ttl_s", type=int, default=3600)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    open_standard_descriptors()
    switch_off_telemetry()
    from commands import COMMANDS, CommandError  # heavy imports wait for valid arguments

    options = build_parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options, Settings.from_env(os.environ))
    except (CommandError, ConfigError) as error:
        with contextlib.suppress(OSError):
            print(f"main: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
