"""Instruments for every test: nothing may be left behind, and no coroutine may block the loop."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

_CLOSED_WITHIN_S = 2.0

# No property becomes false because a machine stood still for a moment. The examples are always the
# same ones, unless somebody asks for so many that are new.
_EXAMPLES = os.environ.get("PROPERTY_EXAMPLES")
settings.register_profile(
    "parley",
    max_examples=100 if _EXAMPLES is None else int(_EXAMPLES),
    derandomize=_EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("parley")


def _open_descriptors() -> dict[str, str]:
    """Descriptor number -> what it is, for those of this process."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith(("socket:", "pipe:")) or "/tests/" in target:
            found[entry.name] = target
    return found


def _leaked(before: Mapping[str, str]) -> dict[str, str]:
    gc.collect()
    return {
        number: what for number, what in _open_descriptors().items() if before.get(number) != what
    }


def _children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in text.split()}


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """A test ends with the sockets, pipes and child processes that it began with."""
    # What is there when a test begins stays out of the collections below: each of them would look
    # through all that was imported and kept by the tests before, which took most of the time.
    gc.collect()
    gc.freeze()
    descriptors, children = _open_descriptors(), _children()
    yield
    leaked = _leaked(descriptors)
    deadline_s = time.monotonic() + _CLOSED_WITHIN_S
    while leaked and time.monotonic() < deadline_s:
        # A thread of a library may be about to close its own.
        time.sleep(0.01)
        leaked = _leaked(descriptors)
    assert not leaked, f"descriptors left open: {leaked}"
    left = _children() - children
    assert not left, f"child processes left: {left}"


async def _left_running(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that are no one's; one that has all it waits for ends within a few rounds of the loop."""
    left: set[asyncio.Task[Any]] = set()
    for _ in range(5):
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
    return left


@pytest_asyncio.fixture(autouse=True)
async def no_lost_tasks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """An asyncio test ends with no task of its own running and no failure that nobody saw."""
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: problems.append(context))
    # On a busy machine every callback is slow: asyncio's warning would be taken for one of ours.
    loop.slow_callback_duration = float("inf")
    before = asyncio.all_tasks()
    yield
    gc.collect()
    left = await _left_running(before)
    assert not left, f"tasks left running: {left}"
    assert not problems, f"failures nobody saw: {problems}"
