"""Coroutines of others that never wait: run now, without a task or a round of the loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


def run_without_suspending(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end. What it raises passes.

    Raises:
        RuntimeError: it waits for something after all, and was closed.
    """
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"unknown aiortc: {coroutine!r} waits for something")
