"""What the forkserver does once, so that an agent process begins with everything in place.

It changes the process that does it: only the forkserver does. Order matters: environment, imports,
rehearsal, frozen heap.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from typing import Final

from control.processes.environment import scrub_environment
from control.processes.page_merging import merge_equal_pages
from logs import guard_error_output

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


def prepare(*, should_merge_pages: bool) -> None:
    """should_merge_pages: let the kernel keep equal pages of the forks once (`page_merging`)"""
    scrub_environment()
    # Whoever reads the log may be stuck; this process, and its forks until they have a log of their
    # own, must not be.
    guard_error_output()
    # One thread only: threads do not survive a fork, their locks do.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if should_merge_pages:
        _merge_pages()
    _import_heavy_modules()
    _rehearse()
    # A collection in a child would write to every page of the heap and copy it all.
    gc.collect()
    gc.freeze()


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
    try:
        merge_equal_pages()
    except OSError as error:
        _tell(f"MERGE_PAGES has no effect: {error}")
