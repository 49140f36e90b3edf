"""Ask the server of this container for `GET /healthz`; exit with 1 unless it answers.

Standard library only, so that a check costs little and works in any image.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 4.0


def main() -> None:
    """Exit with 1 and say on standard error what is wrong, if anything is."""
    host, port = os.environ.get("SERVER_HOST", ""), os.environ.get("SERVER_PORT", "8080")
    # A server on every address answers on loopback too.
    address = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(address, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except OSError as error:
        sys.exit(f"no answer from {address}:{port}: {error}")
    finally:
        connection.close()
    if status != http.client.OK:
        sys.exit(f"GET /healthz: {status}")


if __name__ == "__main__":
    main()
