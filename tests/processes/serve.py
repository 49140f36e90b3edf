"""`python -m tests.processes.serve JSON`: the real control server with settings of a test's choice."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from config.settings import Settings
from control.child import environment
from control.forkserver import process as forkserver_process
from control.run import run_server
from control.supervisor import local_model
from control.supervisor.stop_sequence import Deadlines
from logs import configure_logging, guard_standard_output
from logs.secrets import secrets_of

FAULTY_FORKSERVER = (sys.executable, "-m", "tests.processes.faulty_forkserver")


def write_counts(path: Path) -> None:
    """Return the number of live objects by class, after a collection."""
    gc.collect()
    kinds = (type(one) for one in gc.get_objects())
    counts = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(counts))
    new.rename(path)


async def serve(settings: Settings, wanted: dict[str, Any]) -> None:
    """As `run_server`; SIGUSR1 has it count its objects into `counts.json` in its data folder."""
    path = Path(settings.data_dir) / "counts.json"
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write_counts, path)
    await run_server(
        settings,
        "127.0.0.1",
        wanted["port"],
        agent_entry=wanted["agent_entry"],
        deadlines=Deadlines(**wanted["deadlines"]),
        should_reload=wanted["should_reload"],
    )


def main() -> None:
    wanted = json.loads(sys.argv[1])
    if "LD_PRELOAD" in os.environ:
        # A library that a test puts into the server is for its agents too.
        environment._KEPT |= {"LD_PRELOAD"}  # type: ignore[misc]
    settings = Settings.model_validate(wanted["settings"])
    command = (*FAULTY_FORKSERVER, str(settings.data_dir))
    forkserver_process.COMMAND = command  # type: ignore[misc]
    if "PARLEY_TEST_MODEL" in os.environ:
        command = json.loads(os.environ["PARLEY_TEST_MODEL"])
        local_model.SPEECH_COMMAND = command  # type: ignore[misc]
    context = {"process": "server"}
    configure_logging(
        settings.log_level,
        log_format=settings.log_format,
        context=context,
        secrets=secrets_of(settings),
    )
    guard_standard_output()
    asyncio.run(serve(settings, wanted))


if __name__ == "__main__":
    main()
