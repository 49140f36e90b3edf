"""What the forkserver imports once, so that an agent process begins with everything in place.

Importing this module is its purpose and changes the importing process: only the forkserver does it
(`forkserver` names it as preload). Order matters: environment, imports, rehearsal, frozen
heap.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import os
import sys
import time
from importlib.machinery import ModuleSpec
from typing import Final

from control.processes.environment import (
    FORKSERVER_PID,
    MAIN_MODULE,
    MERGE_PAGES,
    scrub_environment,
)
from control.processes.page_merging import merge_equal_pages
from logs import guard_error_output

LINGER_S: Final = 4.0

# What an agent imports late on purpose, and what our libraries import on first use.
_HEAVY_MODULES: Final = (
    "numpy",
    "av",
    "aiortc",
    "aiohttp",
    "pydantic",
    "cryptography.x509",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "control.processes.child",
    "agent",
    "realtime.openai.model",
    "realtime.providers",
    "realtime.connection",
    "rtc.channel",
    "rtc.engine",
    "rtc.rehearsal",
    "toolsets",
    "encodings.idna",
    "main",
)


def _linger() -> None:
    """Give the agents time to leave their rooms; then our death is theirs (`leash`)."""
    deadline_s = time.monotonic() + LINGER_S
    while time.monotonic() < deadline_s:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return


def _tell(text: str) -> None:
    sys.stderr.write(f"forkserver: {text}\n")


def _import_heavy_modules() -> None:
    for name in _HEAVY_MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            # An agent meets the same error and reports it through its link.
            _tell(f"cannot preload {name}: {error}")


def _rehearse() -> None:
    """What a first call fills on first use is then filled here, once for all agents."""
    try:
        from rtc.rehearsal import rehearse_call

        has_worked = asyncio.run(rehearse_call())
    except Exception as error:  # noqa: BLE001 - agents do without it: whatever it was, they tell
        has_worked, reason = False, repr(error)
    else:
        reason = "no connection over loopback"
    if not has_worked:
        _tell(f"no rehearsal, agents need more memory: {reason}")


def _merge_pages() -> None:
    if os.environ.get(MERGE_PAGES):
        try:
            merge_equal_pages()
        except OSError as error:
            _tell(f"MERGE_PAGES has no effect: {error}")


def _stand_in_for_main() -> None:
    """Make multiprocessing believe that each fork has the server's main module already.

    It would import it again in every child, for pickled things that refer to it. We send none.
    """
    name, _, path = os.environ.get(MAIN_MODULE, "").partition("\n")
    main = sys.modules["__main__"]
    main.__spec__ = ModuleSpec(name, None) if name else None
    if path:
        main.__file__ = path


scrub_environment()
# Whoever reads the log may be stuck; this process, and its forks until they have a log of their
# own, must not be.
guard_error_output()
_stand_in_for_main()
# One thread only: threads do not survive a fork, their locks do.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
# Out of the terminal's foreground group: Ctrl-C is for the server, which then asks us politely.
os.setsid()
os.environ[FORKSERVER_PID] = str(os.getpid())
_merge_pages()
_import_heavy_modules()
_rehearse()
# The server's exit ends the forkserver (multiprocessing's alive pipe); the agents may outlive both
# by this much, and not a moment longer.
atexit.register(_linger)
# A collection in a child would write to every page of the heap and copy it all.
gc.collect()
gc.freeze()
