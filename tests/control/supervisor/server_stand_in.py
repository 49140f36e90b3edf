"""A supervised server without a purpose: `FD [ready | loading | crash | deaf | talk]`."""

from __future__ import annotations

import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if sys.argv[2] == "loading" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        if sys.argv[2] == "talk":
            sys.stderr.write("x" * 1_000 + "\n")


def main() -> None:
    if sys.argv[2] == "crash":
        sys.exit("main: the speech packages are missing")
    if sys.argv[2] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = HTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(sys.argv[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
