"""Run the benchmarks and print the report: `python -m bench [PART...]`, all parts by default."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import platform

from bench.figures import HEADER

PARTS = {
    "latency": "bench.latency",
    "bridge": "bench.bridge",
    "cost": "bench.cost",
    "crowd": "bench.crowd",
    "local": "bench.local",
    "language_model": "bench.language_model",
    "restart": "bench.restart",
    "provider_loss": "bench.provider_loss",
    "loss": "bench.loss",
    "hour": "bench.hour",
    "store": "bench.store",
    "stored_calls": "bench.stored_calls",
    "blocking_tool": "bench.blocking_tool",
    "small_model_tools": "bench.small_model_tools",
    "end_of_turn": "bench.end_of_turn",
    "stock": "bench.stock",
    "peers": "bench.peers.comparison",
    "cascade_peers": "bench.peers.cascades",
}


def main() -> None:
    """Measure the chosen parts one after another."""
    parser = argparse.ArgumentParser(prog="bench", description="Parley's figures.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, all on loopback")
    print(HEADER, flush=True)
    for part in parts:
        for line in asyncio.run(importlib.import_module(PARTS[part]).rows()):
            print(line, flush=True)


if __name__ == "__main__":
    main()
