"""Preparation of the forkserver, so that forked agent processes start with everything in place.

It changes its process irreversibly, so only the forkserver runs it. Order matters: environment,
imports, warm-up, the owner's app, immortal objects, frozen heap.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from control.child.environment import scrub_environment
from control.forkserver.immortal_objects import immortalize_objects
from control.machine.prctl import merge_equal_pages
from logs import guard_error_output

# Modules that an agent imports lazily, and those that libraries import on first use.
_HEAVY_MODULES: Final = (
    "numpy",
    "av",
    "aiortc",
    "aiohttp",
    "pydantic",
    "cryptography.x509",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "control.child.main",
    "agent",
    "realtime.openai.model",
    "realtime.providers",
    "realtime.connection",
    "rtc.channel",
    "rtc.engine",
    "rtc.peer.warmup",
    "toolsets",
    "encodings.idna",
    "main",
)


def prepare(*, should_merge_pages: bool, kept_variables: Collection[str] = ()) -> None:
    """Import everything.

    Args:
        should_merge_pages: See `prctl.merge_equal_pages`.
        kept_variables: Variables of the environment that the app may read.
    """
    scrub_environment(kept_variables)
    # Neither this process nor its forks (until they have a log of their own) may block on a log that
    # is not read.
    guard_error_output()
    # One thread only: threads do not survive a fork, their locks do.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if should_merge_pages:
        _merge_pages()
    _import_heavy_modules()
    _warm_up()


def decode_sounds(folders: Sequence[str]) -> None:
    """Decode sounds once for all agents. The server has checked them; what fails now, fails in a call."""
    from config.settings import ConfigError
    from config.sound_files import load_sounds

    try:
        load_sounds([Path(each) for each in folders])
    except ConfigError as error:
        _log(str(error))


def freeze() -> None:
    """Share everything that exists now with all forks."""
    # Garbage would be frozen, and shared by all forks for ever.
    gc.collect()
    immortalize_objects()
    # A collection in a child would write to every page of the heap and copy it all.
    gc.freeze()


def _log(text: str) -> None:
    sys.stderr.write(f"forkserver: {text}\n")


def _import_heavy_modules() -> None:
    for name in _HEAVY_MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            # An agent meets the same error and reports it through its link.
            _log(f"cannot preload {name}: {error}")


def _warm_up() -> None:
    """Fill the caches that a first call fills, once for all agents."""
    try:
        from rtc.peer.warmup import warm_up

        has_worked = asyncio.run(warm_up())
    except Exception as error:  # noqa: BLE001 - optional: agents work without it
        has_worked, reason = False, repr(error)
    else:
        reason = "no connection over loopback"
    if not has_worked:
        _log(f"warm-up failed, agents will need more memory: {reason}")


def _merge_pages() -> None:
    try:
        merge_equal_pages()
    except OSError as error:
        _log(f"MERGE_PAGES has no effect: {error}")
