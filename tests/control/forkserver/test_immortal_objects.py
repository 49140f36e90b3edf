"""Immortal objects, in processes of their own: they stay immortal until the process ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from control.forkserver.immortal_objects import can_immortalize

ROOT = Path(__file__).resolve().parents[3]

_BEFORE = """
import json, os, sys
from control.forkserver.immortal_objects import immortalize_objects
TEXTS = [f"text number {number}" for number in range(100_000)]
def greet(name):
    return "good morning", name
"""

_COUNTS = """
immortal = immortalize_objects()
before = [sys.getrefcount(one) for one in (TEXTS[7], greet, greet.__code__.co_consts[1])]
kept = [TEXTS[7], greet, greet.__code__.co_consts[1]] * 1000
after = [sys.getrefcount(one) for one in (TEXTS[7], greet, greet.__code__.co_consts[1])]
late = f"made {len(kept)}"
late_before = sys.getrefcount(late)
more = [late] * 50
print(json.dumps([immortal, before, after, sys.getrefcount(late) - late_before, greet("you")]))
"""

_FORK = """
immortalize_objects()
def private_kb():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))
ours, theirs = os.pipe()
if os.fork() == 0:
    before_kb = private_kb()
    held = [text for text in TEXTS for _ in range(1)]
    list_kb = sys.getsizeof(held) // 1024
    os.write(theirs, json.dumps(private_kb() - before_kb - list_kb).encode())
    os._exit(0)
os.wait()
print(os.read(ours, 100).decode())
"""


def _run(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_counts_of_immortal_objects_stand_still_and_those_of_later_ones_do_not() -> None:
    immortal, before, after, late_references, greeting = _run(_COUNTS)
    if can_immortalize():
        assert immortal > 100_000
        assert after == before
    else:
        assert immortal == 0
        assert after > before
    assert late_references == 50
    assert greeting == ["good morning", "you"]


def test_a_fork_that_refers_to_immortal_objects_copies_no_page_of_theirs() -> None:
    copied_kb = _run(_FORK)
    # 100 000 short texts take 7 MB.
    assert copied_kb < 1000 if can_immortalize() else copied_kb > 5000


def test_objects_are_immortal_on_every_supported_interpreter_that_has_them() -> None:
    assert can_immortalize() == (sys.version_info >= (3, 12))
