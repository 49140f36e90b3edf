"""Small helpers that any layer may use: owned tasks, files of PCM. Knows nothing of ours."""

from __future__ import annotations

import asyncio
import logging
import time
import wave
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_log = logging.getLogger("utils")


def wall_clock_ms() -> int:
    """Unix time in milliseconds, for stamps in messages and logs; never for deadlines."""
    return int(time.time() * 1000)


class OwnedTasks:
    """Tasks with an owner: each failure is logged at once, and `close` leaves none behind."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` as a task of this owner."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._handle_done)
        return task

    def _handle_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task %s failed", task.get_name(), exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel every task and wait until it ended. Our own cancellation passes through."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def sole_cause(error: BaseException) -> BaseException:
    """What a group of one member, or of one within another, was raised for; else `error` itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait for its end; `asyncio.wait` never raises the child's cancellation."""
    task.cancel()
    await asyncio.wait([task])


def is_loopback(netloc: str) -> bool:
    """Whether `host` or `host:port` is a name of this machine that nobody else can let point here."""
    try:
        name = urlsplit(f"//{netloc}").hostname
    except ValueError:
        return False
    return name in ("127.0.0.1", "::1", "localhost")


def is_own_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` was served by who is called `host` in a request of it.

    Schemes are not compared: behind a proxy that ends TLS ours is another one.
    """
    try:
        name = urlsplit(origin).netloc
    except ValueError:
        return False
    return name != "" and name.lower() == host.lower()


def shorten(value: Any, limit: int = 120) -> Any:
    """A copy of parsed JSON with long strings cut, for wire logging."""
    match value:
        case str() if len(value) > limit:
            return f"{value[:limit]}… ({len(value)} characters)"
        case dict():
            return {key: shorten(item, limit) for key, item in value.items()}
        case list():
            return [shorten(item, limit) for item in value]
        case _:
            return value


class PcmDump:
    """Appends raw PCM16 to a file for debugging; the file appears with the first audio.

    A disk that does not take it costs the rest of the file, never the call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._is_given_up = False

    def write(self, pcm: bytes) -> None:
        """Append `pcm`."""
        if self._is_given_up:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb", buffering=64 * 1024)
            self._file.write(pcm)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Flush and close; safe to repeat."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._is_given_up = True
        _log.warning("%s is incomplete: %s", self._path.name, error.strerror)
        self.close()


def write_wav(path: Path, pcm: bytes, sample_rate_hz: int) -> None:
    """Write PCM16 mono samples as a WAV file."""
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate_hz)
        wav.writeframes(pcm)


async def run_unless(stopped: asyncio.Future[Any], coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Run `coroutine` until it ends or `stopped` is done; then it is cancelled and None returned."""
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            await cancel_and_wait(task)
    return None if task.cancelled() else task.result()
