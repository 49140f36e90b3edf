"""Run the benchmarks and print the report: `python -m bench [latency] [cost] [local]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform

from bench.cost import CALLS, measure_costs
from bench.figures import HEADER, row
from bench.latency import Latencies, measure_call, measure_starts
from bench.local import measure_local
from bench.stand import running_server

PARTS = ("latency", "cost", "local")


async def run(parts: list[str]) -> None:
    """Measure the chosen parts one after another."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, all on loopback")
    print(HEADER)
    if "latency" in parts or "cost" in parts:
        async with running_server() as server:
            if "latency" in parts:
                figures = Latencies()
                await measure_starts(server, figures)
                await measure_call(server, figures)
                _print_latencies(figures)
            if "cost" in parts:
                costs = await measure_costs(server)
                print(
                    row(
                        f"cores per call, listening, {CALLS} calls",
                        "cores",
                        costs.listening_cores,
                        digits=3,
                    )
                )
                print(
                    row(
                        f"cores per call, speaking, {CALLS} calls",
                        "cores",
                        costs.speaking_cores,
                        digits=3,
                    )
                )
                print(row("private memory per call", "MB", costs.private_mb))
                print(row("proportional memory per call", "MB", costs.proportional_mb))
    if "local" in parts:
        local = await measure_local()
        print(row("start to ready, local model", "ms", local.start))
        print(row("end of speech to first agent audio, local model", "ms", local.answer))


def _print_latencies(figures: Latencies) -> None:
    print(row("start to ready (room and model session)", "ms", figures.start))
    print(row("mouth to model", "ms", figures.mouth_to_model, digits=2))
    print(row("model to ear, agent silent before", "ms", figures.model_to_ear, digits=2))
    print(row("barge-in: speech_started to last loud packet", "ms", figures.barge_in, digits=2))
    print(row("truncate minus heard", "ms", figures.truncate_error))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench", description="Parley's figures.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    asyncio.run(run(parser.parse_args().parts))
