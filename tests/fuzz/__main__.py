"""`python -m tests.fuzz`: every target with FUZZ_INPUTS (2000) inputs of ours and as many guided ones."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS, Target

_ROOT = Path(__file__).resolve().parents[2]
_DEADLINE_S = 900.0


def feed_many(target: Target, count: int) -> int:
    """Feed `count` inputs; returns how many there were. Raises what the target should not."""
    fed = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=inputs(target))
    def feed(data: bytes) -> None:
        nonlocal fed
        fed += 1
        target.feed(data)

    try:
        feed()
    finally:
        target.close()
    return fed


def run_guided(target: Target, count: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same with inputs that follow coverage, in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.guided", target.name, str(count), str(folder)]
    return subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
    )


def main() -> int:
    """Run all; 0 when nothing was found."""
    count = int(os.environ.get("FUZZ_INPUTS", "2000"))
    total, failures = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for target in TARGETS:
            began_s = time.monotonic()
            fed = feed_many(target, count)
            guided = run_guided(target, count, Path(folder))
            total += fed + count
            if guided.returncode != 0:
                failures += 1
                print(guided.stdout[-2_000:], guided.stderr[-4_000:])
            took_s = time.monotonic() - began_s
            verdict = "ok" if guided.returncode == 0 else "FOUND SOMETHING"
            print(
                f"{target.name:26} {fed + count:6} inputs  {took_s:5.1f} s  {verdict}", flush=True
            )
    print(f"{total} inputs, {failures} targets with findings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
