"""End of turn by ear: smart-turn v3.2, a model of how speech sounds that is over, in 23 languages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from speech.engines import files, mel, onnx

HEARD_S: Final = 8
"""It hears the last seconds of a turn, silence before a shorter one."""

SHA256: Final = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"

_HEARD_SAMPLES: Final = HEARD_S * mel.SAMPLE_RATE_HZ
_LEAST_VARIANCE: Final = 1e-7


class EndOfTurnModel(Protocol):
    """Judge of pauses. Called from worker threads, several at once."""

    def probability(self, pcm: bytes) -> float:
        """Probability that the speaker has finished: of PCM16 mono at 16 kHz up to a pause,
        with some 200 ms of it.
        """
        ...


class SmartTurn:
    """The model in `path`, 50 ms of one core a call."""

    def __init__(self, path: Path) -> None:
        """Verify and load (blocks for about 100 ms).

        Raises:
            ModelFilesError: the file is missing or not the pinned one, or there is no runtime.
        """
        files.verify(path, SHA256)
        self._session: Any = onnx.open_session(path)

    def probability(self, pcm: bytes) -> float:
        """As `EndOfTurnModel` has it."""
        outputs = self._session.run(None, {"input_features": features(pcm)[np.newaxis]})
        return float(outputs[0].reshape(-1)[0])


def features(pcm: bytes) -> mel.Floats:
    """Whisper's features [80, 800] of the last seconds at zero mean and unit variance."""
    samples = np.zeros(_HEARD_SAMPLES, np.float32)
    heard = np.frombuffer(pcm[-_HEARD_SAMPLES * 2 :], np.int16)
    if len(heard):
        samples[-len(heard) :] = heard.astype(np.float32) / 32768.0
    scale = np.sqrt(samples.var() + _LEAST_VARIANCE)
    return mel.log_mel((samples - samples.mean()) / scale)


def installed_path() -> Path:
    """The place of the file, beside the installed packages; `speech.turns.install` puts it there."""
    return Path(sys.prefix) / "share" / "parley" / "smart-turn-v3.2-cpu.onnx"
