"""A PostgreSQL of the tests' own: its files in a temporary folder, reached by a socket in there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
_DEADLINE_S = 30.0
_USER = "postgres"


def _folder_of_programs() -> Path:
    if (found := shutil.which("initdb")) is not None:
        # Perhaps a link to it, alone.
        return Path(found).resolve().parent
    for place in _PLACES:
        root, _, pattern = place.lstrip("/").partition("/")
        if matches := sorted(Path("/", root).glob(f"{pattern}/initdb")):
            return matches[-1].parent
    raise AssertionError("PostgreSQL is missing: install it with 'apt-get install postgresql'")


class Postgres:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = _folder_of_programs()
        # It refuses to be run by root.
        self._user = _USER if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@/{_USER}?host={self._folder}"

    def __enter__(self) -> Postgres:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--no-sync", "-A", "trust", "-U", _USER, "-D", f"{self._folder}/data")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        arguments = ("-D", f"{self._folder}/data", "-k", str(self._folder), "-F")
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), *arguments, "-c", "listen_addresses="],
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + _DEADLINE_S
        while self._run("pg_isready", "-h", str(self._folder), is_checked=False) != 0:
            assert time.monotonic() < deadline_s, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        assert self._process is not None
        # What is under way is given up, as in a crash, but nothing of it is left running.
        self._process.send_signal(3)
        self._process.wait(_DEADLINE_S)

    def sql(self, text: str) -> None:
        self._run("psql", "-h", str(self._folder), "-U", _USER, "-q", "-c", text)

    def _run(self, program: str, *arguments: str, is_checked: bool = True) -> int:
        return subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            timeout=_DEADLINE_S,
            check=is_checked,
        ).returncode


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="parley-pg-") as name, Postgres(Path(name)) as server:
        yield server
