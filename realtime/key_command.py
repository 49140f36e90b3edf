"""`KeyCommand`: a key function that runs a program, as `az account get-access-token` is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from realtime.api_keys import MAX_KEY_CHARACTERS, checked_key, no_key

DEADLINE_S: Final = 8.0
"""Below that of a connect, so that its error names the program."""

LIFETIME_S: Final = 300.0

_END_TIMEOUT_S: Final = 1.0
_UNREAD_BYTES: Final = 4 * 1024 * 1024
"""Above all that a pipe holds: a paused pipe would hide the end of the process."""


class KeyCommand:
    """The first line that matters of a program's output. No shell; its error output is dropped.

    A key is kept for a while, over reconnects, and until the provider refuses it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        lifetime_s: float = LIFETIME_S,
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._argv = tuple(argv)
        self._lifetime_s = lifetime_s
        self._deadline_s = deadline_s
        self._clock = clock
        self._key: str | None = None
        self._made_s = 0.0
        self._is_reused = False
        # Of several sessions that open at once, one runs the program.
        self._turn = asyncio.Lock()

    async def __call__(self) -> str:
        """Return the key.

        Raises:
            ModelConnectError: the program gave none in time.
        """
        async with self._turn:
            is_fresh = self._clock() - self._made_s < self._lifetime_s
            self._is_reused = self._key is not None and is_fresh
            if self._key is None or not is_fresh:
                self._key = None
                self._key = await self._make()
                self._made_s = self._clock()
            return self._key

    def forget(self) -> bool:
        """See `realtime.api_keys.KeptKey`."""
        was_reused, self._is_reused, self._key = self._is_reused, False, None
        return was_reused

    async def _make(self) -> str:
        name = os.path.basename(self._argv[0])
        source = f"the key command {name}"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                limit=_UNREAD_BYTES,
            )
        except (OSError, ValueError) as error:
            raise no_key(f"{source} cannot be run ({type(error).__name__})") from None
        try:
            async with asyncio.timeout(self._deadline_s):
                output = await _read(process, source)
                status = await process.wait()
        except TimeoutError:
            raise no_key(f"{source} gave none in {self._deadline_s:g} s") from None
        finally:
            # With what it may have started, whose output nothing waits for.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                # Longer only if something left the program's session with its output in hand.
                async with asyncio.timeout(_END_TIMEOUT_S):
                    await process.wait()
        if status != 0:
            raise no_key(f"{source} failed with status {status}")
        return checked_key(output.decode("utf-8", "replace"), source)


async def _read(process: asyncio.subprocess.Process, source: str) -> bytes:
    assert process.stdout is not None
    output = bytearray()
    while piece := await process.stdout.read(MAX_KEY_CHARACTERS):
        output += piece
        if len(output) > MAX_KEY_CHARACTERS:
            raise no_key(f"{source} wrote more than {MAX_KEY_CHARACTERS} bytes")
    return bytes(output)
