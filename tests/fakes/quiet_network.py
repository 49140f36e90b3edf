"""`python -m tests.fakes.quiet_network REPORT COMMAND...`: a program in a network that leads nowhere.

It has loopback, one more interface with a default route into nothing, and a name server that knows
no name. The report says which names were asked for and how many packets left by that interface.
Real namespaces of the kernel, which end with the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN_ADDRESS = "192.0.2.2"
_ROUTER = "192.0.2.1"
_NAME_SERVER = "127.0.0.53"
_EVERY_PROTOCOL = 3
_DEADLINE_S = 150.0


@dataclass
class Heard:
    """What a program said to the world."""

    lookups: list[str] = field(default_factory=list)
    packets: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_code: int = 0
    output: str = ""


def run_quietly(folder: Path, command: list[str], environ: dict[str, str]) -> Heard:
    """Run it with an empty home folder; `files` are those it left there."""
    home = folder / "home"
    home.mkdir()
    report = folder / "report.json"
    unshare = ["unshare", "--net", "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    own = [sys.executable, "-m", "tests.fakes.quiet_network", str(report)]
    done = subprocess.run(
        [*unshare, *own, *command],
        cwd=ROOT,
        env=environ | {"HOME": str(home), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert report.exists(), done.stdout
    heard = Heard(**json.loads(report.read_text()))
    heard.output = done.stdout
    heard.files = [str(one.relative_to(home)) for one in sorted(home.rglob("*"))]
    return heard


def _build() -> None:
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(f"nameserver {_NAME_SERVER}\noptions timeout:1 attempts:1\n")
    _run("mount", "--bind", file.name, "/etc/resolv.conf")
    Path(file.name).unlink()
    with contextlib.suppress(OSError):
        # Nothing that the kernel itself would say.
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    for line in (
        "link set lo up",
        "link add out0 type veth peer name nowhere0",
        f"addr add {OWN_ADDRESS}/24 dev out0",
        "link set out0 up",
        "link set nowhere0 up",
        f"neigh add {_ROUTER} lladdr 02:00:00:00:00:01 dev out0 nud permanent",
        f"route add default via {_ROUTER}",
    ):
        _run("ip", *line.split())


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _answer_names(server: socket.socket, heard: Heard) -> None:
    while True:
        question, asker = server.recvfrom(4_096)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode(errors="replace"))
            at += question[at] + 1
        heard.lookups.append(".".join(labels))
        server.sendto(question[:2] + b"\x81\x83" + question[4:], asker)


def _collect(interface: socket.socket, heard: Heard) -> None:
    while True:
        heard.packets.append(interface.recv(2_048)[:64].hex())


def main() -> None:
    report, command = Path(sys.argv[1]), sys.argv[2:]
    heard = Heard()
    _build()
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind((_NAME_SERVER, 53))
    interface = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    interface.bind(("out0", 0))
    with server, interface:
        for target, sock in ((_answer_names, server), (_collect, interface)):
            threading.Thread(target=target, args=(sock, heard), daemon=True).start()
        heard.exit_code = subprocess.run(command, check=False).returncode
        report.write_text(json.dumps(asdict(heard)))


if __name__ == "__main__":
    main()
