"""A sound device for programs that want one: PulseAudio, playing into nothing at the true pace."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.real_server import poll

READY_S = 30.0
STOP_S = 10.0


@asynccontextmanager
async def running_sound_server() -> AsyncIterator[dict[str, str]]:
    """Run it; gives the environment of programs that play through it."""
    if shutil.which("pulseaudio") is None:
        pytest.fail(
            "no PulseAudio found: install it, for instance with 'apt-get install pulseaudio'"
        )
    with tempfile.TemporaryDirectory(prefix="parley-sound-") as folder:
        socket = f"{folder}/native"
        process = await asyncio.create_subprocess_exec(
            *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
            *("--load=module-null-sink", "--disable-shm=yes", "--log-target=stderr"),
            f"--load=module-native-protocol-unix auth-anonymous=1 socket={socket}",
            env={**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _wait_for(socket, process)
            yield {"PULSE_SERVER": f"unix:{socket}"}
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(STOP_S):
                await process.wait()


async def _wait_for(socket: str, process: asyncio.subprocess.Process) -> None:
    async def is_there() -> bool:
        assert process.returncode is None, "PulseAudio has ended"
        return os.access(socket, os.F_OK)

    await poll(is_there, READY_S)
