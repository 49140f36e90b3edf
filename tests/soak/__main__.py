"""`python -m tests.soak`: half an hour of calls (SOAK_MINUTES), figures, and whether they are flat."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.soak.churn import Churn, Sample, churning, typical

# Caches fill during the first calls; from then on nothing may grow.
_WARM_UP: Final = 0.15
_MAX_GROWTH_MIB: Final = 6.0
_REPORT_S: Final = 60.0


async def _churn(minutes: float, folder: Path) -> Churn:
    began_s = time.monotonic()
    reported_s = began_s
    async with churning(folder) as churn:
        while (now_s := time.monotonic()) - began_s < minutes * 60:
            try:
                await churn.call()
            except (AssertionError, TimeoutError):
                print((folder / "server.log").read_text()[-4_000:], file=sys.stderr)
                raise
            if now_s - reported_s >= _REPORT_S:
                reported_s = now_s
                print(
                    f"{(now_s - began_s) / 60:5.1f} min  {_line(churn.samples[-30:])}", flush=True
                )
    return churn


def _line(samples: list[Sample]) -> str:
    return (
        f"private {typical(samples, lambda one: one.private_mib):6.1f} MiB  "
        f"descriptors {typical(samples, lambda one: one.descriptors):4.0f}  "
        f"processes {typical(samples, lambda one: one.processes):3.0f}"
    )


def _verdict(samples: list[Sample]) -> bool:
    """Whether the last third of the calls took what the first one did after the warm-up."""
    settled = samples[int(len(samples) * _WARM_UP) :]
    third = max(1, len(settled) // 3)
    first, last = settled[:third], settled[-third:]
    print(f"first   {_line(first)}\nlast    {_line(last)}")
    growth_mib = typical(last, lambda one: one.private_mib) - typical(
        first, lambda one: one.private_mib
    )
    is_flat = growth_mib <= _MAX_GROWTH_MIB
    for figure in (lambda one: one.descriptors, lambda one: one.processes):
        is_flat = is_flat and typical(last, figure) <= typical(first, figure)
    print(f"growth of private memory: {growth_mib:+.1f} MiB: {'flat' if is_flat else 'NOT FLAT'}")
    return is_flat


def main() -> int:
    """Run; 0 when nothing grew."""
    minutes = float(os.environ.get("SOAK_MINUTES", "30"))
    with tempfile.TemporaryDirectory() as folder:
        churn = asyncio.run(_churn(minutes, Path(folder)))
        is_clean = "Traceback" not in (Path(folder) / "server.log").read_text()
    calls = len(churn.samples)
    print(f"{calls} calls, {churn.kills} agents killed in the middle, ", end="")
    print(
        f"{churn.heard_ms / 1000:.0f} s of voice heard, log {'clean' if is_clean else 'NOT CLEAN'}"
    )
    return 0 if _verdict(churn.samples) and is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
