"""`python -m tests.fuzz.guided TARGET RUNS FOLDER`: one target under atheris, which follows coverage."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(
    include=["rtc", "realtime", "conversation", "control", "session"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS, seed_bytes


def main(name: str, runs: str, folder: str) -> None:
    """Does not return: the engine ends the process, with 0 when it found nothing."""
    target = next(one for one in TARGETS if one.name == name)
    corpus = Path(folder) / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(seed_bytes(seed))
    options = [f"-atheris_runs={runs}", "-max_len=4096", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], target.feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
