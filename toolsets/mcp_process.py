"""Program of an MCP server that is a command: start, messages, and end with all its children."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from untrusted.json_reader import InvalidJsonError, read_object
from utils import OwnedTasks

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""Of one message; a longer one ends the server."""

_MAX_LOGGED_BYTES: Final = 16 * 1024
"""Of a line of its error output; a longer one is logged in parts."""

END_GRACE_S: Final = 1.0
"""Time for the program to end by itself, once its input is closed."""

_KEEPER: Final = Path(__file__).parent / "process_wrapper.py"
# Longer than the wrapper takes to kill everything.
_KEEPER_DEADLINE_S: Final = 2.5

_log = logging.getLogger("tools.mcp")


class McpProcess:
    """A transport of `mcp.Client`: one JSON message a line on the program's standard streams.

    The program runs under `process_wrapper.py`: none of its descendants outlives this or the agent's process.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._is_ended = False
        self._ending: asyncio.Task[None] | None = None
        self._streams: list[Any] = []
        self._tasks = OwnedTasks(_log)

    async def __aenter__(self) -> TransportStreams:
        """Start the program.

        Raises:
            OSError: there is no such program, or it may not be run.
        """
        import anyio
        from mcp.client.stdio import get_default_environment

        if shutil.which(self._command[0]) is None:
            raise FileNotFoundError(self._command[0])
        keeper = (sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()))
        self._process = await asyncio.create_subprocess_exec(
            *keeper,
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Not inherited: it could forge lines of our log, and block on its reader.
            stderr=asyncio.subprocess.PIPE,
            env=get_default_environment(),
            start_new_session=True,
            limit=MAX_LINE_BYTES,
        )
        heard, to_session = anyio.create_memory_object_stream[Any](0)
        to_program, said = anyio.create_memory_object_stream[Any](0)
        self._streams = [heard, to_session, to_program, said]
        self._tasks.start(self._read(self._process, heard), name="mcp output")
        self._tasks.start(self._write(self._process, said, heard), name="mcp input")
        self._tasks.start(self._log_errors(self._process), name="mcp error output")
        if self._is_ended:
            # Closed while it was being started.
            self._terminate()
        return to_session, to_program

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.end(grace_s=END_GRACE_S if error is None else 0.0)

    async def end(self, *, grace_s: float) -> None:
        """End the program and all its children. Idempotent; safe at any time.

        grace_s: time to end by itself; a cancelled caller does not stop the end
        """
        self._is_ended = True
        if self._process is None:
            return
        if grace_s <= 0:
            self._terminate()
        if self._ending is None:
            self._ending = self._tasks.start(self._end(self._process, grace_s), name="mcp end")
        await asyncio.wait([self._ending])

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _end(self, process: asyncio.subprocess.Process, grace_s: float) -> None:
        assert process.stdin is not None
        process.stdin.close()
        if not await _is_over(process, grace_s):
            self._terminate()
            if not await _is_over(process, _KEEPER_DEADLINE_S):
                _log.warning("the program of a tool server does not end; it is left to the kernel")
                process.kill()
        for stream in self._streams:
            stream.close()

    async def _read(
        self,
        process: asyncio.subprocess.Process,
        heard: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        """Pass the program's messages on; read to the end after the session closed, so that it can exit."""
        import anyio

        assert process.stdout is not None
        is_heard = True
        try:
            while line := await process.stdout.readline():
                if is_heard and line.strip():
                    try:
                        await heard.send(_parsed(line))
                    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                        is_heard = False
        except (ValueError, OSError) as error:
            _log.warning("a tool server's output cannot be read: %s", type(error).__name__)
            self._terminate()
        finally:
            heard.close()

    async def _log_errors(self, process: asyncio.subprocess.Process) -> None:
        """Log the program's error output, at DEBUG only: it may hold private words."""
        assert process.stderr is not None
        part = b""
        while data := await process.stderr.read(_MAX_LOGGED_BYTES):
            *lines, part = (part + data).split(b"\n")
            if len(part) > _MAX_LOGGED_BYTES:
                lines.append(part)
                part = b""
            if _log.isEnabledFor(logging.DEBUG):
                _log_lines(lines)
        _log_lines([part])

    async def _write(
        self,
        process: asyncio.subprocess.Process,
        said: MemoryObjectReceiveStream[SessionMessage],
        heard: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        import anyio

        assert process.stdin is not None
        try:
            async for each in said:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(f"{text}\n".encode())
                await process.stdin.drain()
        except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            # Requests that wait for an answer fail.
            heard.close()


def _log_lines(lines: list[bytes]) -> None:
    for line in lines:
        if text := line.decode(errors="replace").strip():
            _log.debug("tool server: %s", text)


async def _is_over(process: asyncio.subprocess.Process, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return process.returncode is not None
    return True


def _parsed(line: bytes) -> SessionMessage | Exception:
    """Parse a message; anything else becomes an error for the session."""
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        message = jsonrpc_message_adapter.validate_python(read_object(line), by_name=False)
    except (InvalidJsonError, ValueError) as error:
        _log.debug("a line of a tool server is not a message", exc_info=error)
        return ValueError("not a message")
    return SessionMessage(message)
