"""Many calls at once, as `python -m main load` makes them: how many go well, and at what cost.

`CROWD_CALLS` (40) calls for `CROWD_S` (40) seconds against a server with a model's side that answers each turn
with 4.5 s of speech, 0.3 s after it (`tests/fakes/answering_model.py`). With `CROWD_FIND_LIMIT=1` the load
searches the most calls that go well, up to `CROWD_CALLS`. `CROWD_REPORT` names a folder for its page.
Callers are processes of their own; the model's side is this one. `MAX_CPU_PERCENT` and `MERGE_PAGES` are
passed on to the server.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.figures import row
from bench.speech import talk
from bench.stand import ROOT, end_process, running_server
from tests.fakes.answering_model import AnsweringModel, appended_frames

CALLS: Final = int(os.environ.get("CROWD_CALLS", "40"))
LENGTH_S: Final = float(os.environ.get("CROWD_S", "40"))
IS_SEARCH: Final = os.environ.get("CROWD_FIND_LIMIT", "") not in ("", "0")
REPORT: Final = os.environ.get("CROWD_REPORT", "")
_ANSWER_S: Final = 4.5


async def rows() -> list[str]:
    """Every figure of this part."""
    model = AnsweringModel(talk(_ANSWER_S))
    async with running_server(
        scripted=model,
        DRAIN_DEADLINE_S="0",
        LOG_LEVEL="ERROR",
        MAX_CPU_PERCENT=os.environ.get("MAX_CPU_PERCENT", ""),
        MERGE_PAGES=os.environ.get("MERGE_PAGES", ""),
    ) as server:
        own_s, began_s = time.process_time(), time.monotonic()
        result = await _load(server.url)
        model_cores = (time.process_time() - own_s) / (time.monotonic() - began_s)
    lines = [] if not IS_SEARCH else [line for one in result["levels"] for line in _short(one)]
    level = result["best"] or result["levels"][-1]
    frames, late = appended_frames(
        model.sessions, level["began_s"], level["began_s"] + level["length_s"]
    )
    heard_late = round(level["frames"] * (level["late_percent"] or 0) / 100)
    return [
        *lines,
        *_rows(level, frames, late, heard_late, model_cores),
        f"  {_first_limit(result)}",
    ]


async def _load(url: str) -> dict[str, Any]:
    """Run the command, and return what is in its JSON file."""
    with tempfile.TemporaryDirectory(prefix="parley-crowd-") as folder:
        file = Path(folder) / "load.json"
        options = ["--find-limit"] if IS_SEARCH else []
        options += ["--report", REPORT] if REPORT else []
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "load", "--server", url, "--json", str(file)),
            *("--calls", str(CALLS), "--ramp", f"{10.0 if IS_SEARCH else max(5.0, CALLS / 4)}s"),
            *("--duration", f"{LENGTH_S}s", *options),
            cwd=ROOT,
            env={**os.environ, "PARLEY_ENV_FILE": ""},
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await process.wait()
        finally:
            await end_process(process)
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return result


def _rows(
    level: dict[str, Any], frames: int, late: int, heard_late: int, model_cores: float
) -> list[str]:
    name = f"{level['calls']} of {level['wanted']} calls"
    latency, total = level["latency_ms"], level["frames"] + frames
    return [
        row(f"{name}: frames late at the callers", "%", _known(level["late_percent"]), digits=2),
        row(f"{name}: frames late at the model", "%", _share(late, frames), digits=2),
        row(f"{name}: late of all frames", "%", _share(late + heard_late, total), digits=2),
        row(f"{name}: frames our callers sent late", "%", _known(level["sent_late_percent"]), digits=2),
        row(f"{name}: mouth to ear, median and p95", "ms", [latency["median"], latency["p95"]] if latency else []),
        row(f"{name}: gaps heard", "gaps", [level["gaps"]]),
        row(f"{name}: calls in which nothing was heard", "calls", [level["silent"]]),
        row(f"{name}: calls that ended early", "calls", [level["ended"]]),
        row(f"{name}: cores per agent", "cores", _known(level["cores_per_agent"]), digits=3),
        row(f"{name}: cores of all agents", "cores", _known(level["agent_cores"]), digits=2),
        row(f"{name}: cores of the server", "cores", _known(level["server_cores"]), digits=2),
        row(f"{name}: cores of the callers", "cores", _known(level["caller_cores"]), digits=2),
        row(f"{name}: cores of the model's side", "cores", [model_cores], digits=2),
        row(f"{name}: private memory per agent", "MB", _known(level["mb_per_agent"])),
        row(f"{name}: the machine", "%", _known(level["machine_percent"])),
    ]  # fmt: skip


def _short(level: dict[str, Any]) -> list[str]:
    return [
        row(
            f"{level['calls']} calls: frames late at the callers",
            "%",
            _known(level["late_percent"]),
            digits=2,
        )
    ]


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _share(part: int, whole: int) -> list[float]:
    return [100 * part / whole] if whole else []


def _first_limit(result: dict[str, Any]) -> str:
    limit = result["limit"]
    return "no limit was met" if limit is None else f"first limit: {limit['text']}"
