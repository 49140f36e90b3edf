"""A network of its own: `home` and `away`, a router between them that can lose everything.

Real network namespaces of the kernel; needs root. Nothing outside of them is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

HOME_ADDRESS = "10.77.1.2"
AWAY_ADDRESS = "10.77.2.2"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespaces:
    """Three namespaces that end with `close`."""

    def __init__(self) -> None:
        """Raises PermissionError: this machine does not let us."""
        base = f"parley-{os.getpid()}"
        self._home, self._router, self._away = (f"{base}-{name}" for name in ("h", "r", "a"))
        self._away_address = AWAY_ADDRESS
        self._cut: list[str] = []
        try:
            _ip("netns", "add", self._home)
        except (RuntimeError, FileNotFoundError) as error:
            raise PermissionError(f"no network namespaces: {error}") from error
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        _ip("netns", "add", self._router)
        _ip("netns", "add", self._away)
        for name in (self._home, self._router, self._away):
            # An address of IPv6 is ready only after some seconds, and Chromium, seeing a network
            # change, gives up what it is loading.
            self._set(name, "net.ipv6.conf.all.disable_ipv6=1")
            self._set(name, "net.ipv6.conf.default.disable_ipv6=1")
            _ip("-n", name, "link", "set", "lo", "up")
        for name, link, subnet in (
            (self._home, "home0", "10.77.1"),
            (self._away, "away0", "10.77.2"),
        ):
            far = ("peer", "name", "eth0", "netns", name)
            _ip("-n", self._router, "link", "add", link, "type", "veth", *far)
            _ip("-n", self._router, "addr", "add", f"{subnet}.1/24", "dev", link)
            _ip("-n", self._router, "link", "set", link, "up")
            _ip("-n", name, "addr", "add", f"{subnet}.2/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", f"{subnet}.1")
        self._set(self._router, "net.ipv4.ip_forward=1")

    @staticmethod
    def _set(name: str, setting: str) -> None:
        """A setting of the kernel; one that it does not know needs no setting."""
        _run("ip", "netns", "exec", name, "sysctl", "-qew", setting)

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """Sockets and processes that this thread makes meanwhile are at home."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        home = os.open(f"/run/netns/{self._home}", os.O_RDONLY)
        try:
            _enter(home)
            yield
        finally:
            _enter(before)
            os.close(home)
            os.close(before)

    @property
    def away_command(self) -> list[str]:
        """What a command begins with, to run away."""
        return ["ip", "netns", "exec", self._away]

    def cut(self, *, udp_only: bool = False, outwards: bool = True, inwards: bool = True) -> None:
        """The router loses what goes to `away` (outwards) and what comes from there (inwards)."""
        protocol = ("ipproto", "udp") if udp_only else ()
        targets = [self._away_address] if outwards else []
        targets += [HOME_ADDRESS] if inwards else []
        for target in targets:
            _ip(
                "-n",
                self._router,
                "rule",
                "add",
                "pref",
                "10",
                "to",
                target,
                *protocol,
                "blackhole",
            )
            self._cut.append(target)

    def heal(self) -> None:
        """The router forwards everything again."""
        while self._cut:
            self._cut.pop()
            _ip("-n", self._router, "rule", "del", "pref", "10")

    def move_away(self, address: str = "10.77.2.3") -> None:
        """`away` gets another address in place of its own."""
        where = ("dev", "eth0")
        _ip("-n", self._away, "addr", "add", f"{address}/24", *where)
        _ip("-n", self._away, "addr", "del", f"{self._away_address}/24", *where)
        _ip("-n", self._away, "addr", "replace", f"{address}/24", *where)
        _ip("-n", self._away, "route", "replace", "default", "via", "10.77.2.1")
        self._away_address = address

    def close(self) -> None:
        """Delete them. Idempotent."""
        for name in (self._home, self._router, self._away):
            with contextlib.suppress(RuntimeError):
                _ip("netns", "del", name)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
