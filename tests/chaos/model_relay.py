"""`python -m tests.chaos.model_relay FD PORT`: a local model's process whose model is the test's own,
which listens on PORT.
"""

from __future__ import annotations

import asyncio
import socket
import sys

_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    first = await reader.readline()
    if b"/healthz" in first:
        writer.write(_HEALTHY)
        writer.close()
        return
    upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    upstream.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(pump(reader, upstream))
        group.create_task(pump(upstream_reader, writer))


async def main() -> None:
    server = await asyncio.start_server(serve, sock=socket.socket(fileno=int(sys.argv[1])))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
