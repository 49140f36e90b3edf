"""Command line: `python -m main server | agent | call | check | test | load | export | model | llm | token | keys`. Nothing runs at import."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import sys
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from cli.export_filters import EXPORT_FILTERS
from config.environment import read_environment
from config.problems import near_misses
from config.settings import ConfigError, Settings
from control.child.environment import adopt_variables
from control.keys.access import KeyLimits, Scope
from logs.writer import open_standard_descriptors
from rtc.identifiers import MAX_UID, is_channel_name
from telemetry_opt_out import switch_off_telemetry
from utils import held_stop_signals
from version import VERSION

MAX_CALLS: Final = 10_000
"""Of one load."""
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600}


class _OneLineParser(argparse.ArgumentParser):
    """Argument parser whose errors are one line.

    An option of several words may be spelled with `_` or with `-`.
    """

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Add an argument; see `argparse`. Adds the other spelling of an option."""
        if names[0].startswith("--") and "_" in names[0]:
            names = (*names, f"--{names[0][2:].replace('_', '-')}")
        return super().add_argument(*names, **options)

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


def _agent_uid(text: str) -> int:
    return 0 if text == "0" else _uid(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


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


def _name(text: str) -> str:
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError("1 to 64 of a to z, digits, _ and -")
    return text


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return amount


def _overlap(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds above 0")
    return seconds


def _calls(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CALLS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_CALLS}")
    return int(text)


def _duration(text: str) -> float:
    number, factor = (text[:-1], _UNITS_S[text[-1]]) if text[-1:] in _UNITS_S else (text, 1)
    return _seconds(number) * factor


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their options."""
    parser = _OneLineParser(prog="main", description="Self-hosted realtime voice agents.")
    parser.add_argument("--version", action="version", version=f"Parley {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    server = commands.add_parser("server", help="control server, room and local model")
    server.add_argument("--host", help="address to listen on (SERVER_HOST)")
    server.add_argument("--port", type=int, help="port to listen on (SERVER_PORT)")
    server.add_argument(
        "--reload", action="store_true", help="load the app again when its files change"
    )

    agent = commands.add_parser("agent", help="one agent in the foreground")
    call = commands.add_parser("call", help="call an agent with a WAV file")
    check = commands.add_parser("check", help="check an app without a server")
    test = commands.add_parser("test", help="call agents as scenarios say, and check what happens")
    token = commands.add_parser("token", help="mint a room token")
    for command in (agent, call, token):
        command.add_argument("--channel_name", type=_channel_name, required=True)
    for command in (server, agent, call, check, test):
        command.add_argument("--app", help="your agents: a file, folder or module (APP)")
    check.add_argument("--json", action="store_true", help="print a JSON object")
    for command in (agent, call):
        command.add_argument("--agent", help="name of an agent of the app")
    for command in (agent, call, test):
        command.add_argument("--server", type=_server_url, help="URL of the server to join")

    agent.add_argument("--uid", type=_agent_uid, help="the agent's number in the channel (1000)")
    agent.add_argument("--name", help="display name in the channel (Parley)")
    agent.add_argument("--system_message", help="instructions for the model")
    agent.add_argument("--voice", help="a voice of the provider")
    agent.add_argument("--language", help="expected language of the users (en)")
    agent.add_argument("--provider", help="a name of docs/providers.md (MODEL_PROVIDER)")
    agent.add_argument("--model", help="a model of the provider (its setting)")
    agent.add_argument("--greeting", help="said when a user joins")
    agent.add_argument("--toolset", help="a registered tool set (everyday), or mcp:NAME")
    agent.add_argument("--skills", type=_names, help="texts of SKILLS_DIR, comma separated")
    agent.add_argument("--person_id", help="whom the call is with, for long-term memory")
    agent.add_argument(
        "--recording", action="store_true", default=None, help="record the call (RECORDINGS_DIR)"
    )

    token.add_argument("--uid", type=_uid, required=True)

    call.add_argument("--uid", type=_uid, help="assigned by the server when absent")
    call.add_argument("--token", help="room token, when the server asks for one")
    call.add_argument("--in", dest="question", type=Path, required=True, help="WAV to say")
    call.add_argument("--out", dest="answer", type=Path, required=True, help="WAV to record")
    call.add_argument("--max_wait_s", type=_seconds, default=20.0, help="for a reply, then give up")

    _add_load(commands)
    _add_export(commands)
    _add_test_options(test)

    model = commands.add_parser("model", help="the local model server alone")
    llm = commands.add_parser("llm", help="the packaged language model's server alone, on loopback")
    for command in (model, llm):
        where = command.add_mutually_exclusive_group(required=True)
        where.add_argument("--port", type=int, help="port to listen on, 0 for any")
        # A listening socket, inherited.
        where.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    model.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others need LOCAL_MODEL_API_KEY"
    )
    # In place of the settings: of a parent, so that no key is in arguments or environment.
    model.add_argument("--options_from_stdin", action="store_true", help=argparse.SUPPRESS)

    token.add_argument("--role", choices=("user", "agent", "listener"), default="user")
    token.add_argument("--ttl_s", type=int, default=3600)
    token.add_argument("--team", type=_name, help="for calls of this team alone")
    _add_keys(commands)
    return parser


def _add_keys(commands: Any) -> None:
    """Add the command `keys`."""
    keys = commands.add_parser("keys", help="named API keys of a server")
    what = keys.add_subparsers(dest="what", required=True, metavar="what")
    add = what.add_parser("add", help="create a key and print its secret, this once")
    change = what.add_parser("change", help="change scopes and limits; what is not named stays")
    shown = what.add_parser("list", help="all keys, without their secrets")
    rotate = what.add_parser("rotate", help="print a new secret; the old one works for a while")
    revoke = what.add_parser("revoke", help="refuse a key from now on")
    for command in (add, change, rotate, revoke):
        command.add_argument("name", type=_name, metavar="NAME")
    for command in (add, change, shown, rotate, revoke):
        command.add_argument("--server", type=_server_url, help="URL of the server")
    for command in (add, change):
        command.add_argument(
            "--scope",
            action="append",
            choices=[*map(str, Scope)],
            required=command is add,
            help="repeatable",
        )
        command.add_argument("--agents", type=_count, help="most live agents at once")
        command.add_argument("--starts_per_minute", type=_count)
        command.add_argument("--minutes_per_day", type=_amount, help="of all calls, by days of UTC")
        command.add_argument("--cost_per_day", type=_amount, help="by MODEL_PRICES")
    add.add_argument("--team", type=_name, default="", help="whose calls it starts and sees")
    change.add_argument(
        "--no_limit",
        action="append",
        default=[],
        choices=[*KeyLimits.model_fields],
        help="take this limit away; repeatable",
    )
    rotate.add_argument("--overlap_s", type=_overlap, default=24 * 3600)


def _add_load(commands: Any) -> None:
    """Add the command `load`."""
    load = commands.add_parser("load", help="many simulated callers against a server")
    load.add_argument("--calls", type=_calls, help="at once (10); with --find-limit the most (200)")
    load.add_argument("--ramp", type=_duration, default=5.0, help="time over which they begin (5s)")
    load.add_argument(
        "--duration", type=_duration, default=60.0, help="time that counts, of each level (60s)"
    )
    load.add_argument(
        "--find-limit", action="store_true", help="search the most calls that go well"
    )
    load.add_argument("--agent", help="name of an agent of the server's app")
    load.add_argument(
        "--say", type=Path, nargs="+", default=[], metavar="WAV", help="what callers say, in turn"
    )
    load.add_argument(
        "--scenario", type=Path, metavar="FILE", help="agent, start and sentences of a scenario"
    )
    load.add_argument("--server", type=_server_url, help="URL of the server")
    load.add_argument("--report", type=Path, help="folder for a page with plots")
    load.add_argument("--json", type=Path, help="file for all figures")


def _add_export(commands: Any) -> None:
    """Add the command `export`."""
    export = commands.add_parser("export", help="stored calls of a server as a file")
    export.add_argument("file", type=Path, metavar="FILE", help="ends with .csv or .jsonl")
    for name, description in EXPORT_FILTERS.items():
        export.add_argument(f"--{name}", help=f"calls {description}")
    export.add_argument("--transcripts", action="store_true", help="what was said, too")
    export.add_argument("--server", type=_server_url, help="URL of the server")


def _add_test_options(test: argparse.ArgumentParser) -> None:
    test.add_argument("files", type=Path, nargs="+", metavar="FILE", help="scenarios (YAML)")
    test.add_argument("--only", action="append", metavar="NAME", help="a scenario, or a tag")
    test.add_argument("--agent", help="agent to call, in place of those that scenarios name")
    test.add_argument("--repeat", type=_count, help="runs of each, in place of its own number")
    test.add_argument("--parallel", type=_count, default=1, help="calls at a time (1)")
    test.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    test.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    test.add_argument("--report", type=Path, metavar="DIR", help="write a page with recordings")
    test.add_argument(
        "--api_key_from_env", metavar="NAME", help="variable with the key (the first of API_KEYS)"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    open_standard_descriptors()
    options = build_parser().parse_args(arguments)
    environment = read_environment(os.environ)
    adopt_variables(environment.from_file)
    switch_off_telemetry()
    # Late: some libraries read variables when they are imported, and all of them take time. Threads that
    # they start then never get signals to stop, which are the main thread's.
    with held_stop_signals():
        from cli.commands import COMMANDS
        from cli.running import CommandError

    options.near_misses = [
        *near_misses(environment.variables, Settings.model_fields, environment.places)
    ]
    try:
        settings = Settings.from_env(
            environment.variables, problems=environment.problems, places=environment.places
        )
        return COMMANDS[options.command](options, settings)
    except (CommandError, ConfigError) as error:
        with contextlib.suppress(OSError):
            print(f"main: {error}", *options.near_misses, sep="\n  ", file=sys.stderr, flush=True)
        return error.exit_code if isinstance(error, CommandError) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
