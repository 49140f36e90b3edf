"""`python -m tests.processes.serve JSON`: the real control server with settings of a test's choice."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from config import Settings
from control.processes import environment
from control.processes.ladder import Deadlines
from control.server import run_server
from logs import configure_logging


def main() -> None:
    wanted = json.loads(sys.argv[1])
    if "LD_PRELOAD" in os.environ:
        # A library that a test puts into the server is for its agents too.
        environment._KEPT |= {"LD_PRELOAD"}  # type: ignore[misc]
    settings = Settings.model_validate(wanted["settings"])
    context = {"process": "server"}
    configure_logging("INFO", log_format=settings.log_format, context=context)
    asyncio.run(
        run_server(
            settings,
            "127.0.0.1",
            wanted["port"],
            agent_entry=wanted["agent_entry"],
            deadlines=Deadlines(**wanted["deadlines"]),
        )
    )


if __name__ == "__main__":
    main()
