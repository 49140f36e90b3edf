"""`EndOfTurn`: the model of turns that are over, off the loop, shared by all sessions of a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from speech.turns.smart_turn import EndOfTurnModel, SmartTurn, installed_path

_log = logging.getLogger(__name__)

_NICENESS = 10


def load_end_of_turn_model(path: Path | None = None) -> EndOfTurnModel | None:
    """The installed model, or None, logged once, where there is none: words alone decide then.

    Raises:
        ModelFilesError: the file is there and is not the pinned one, or there is no runtime.
    """
    path = path or installed_path()
    if not path.is_file():
        _log.warning(
            "no end-of-turn model (%s is missing: run `make setup`): semantic_vad goes by words alone",
            path,
        )
        return None
    return SmartTurn(path)


def _give_way() -> None:
    """Lower the priority of this thread alone; on Linux each has its own."""
    with contextlib.suppress(OSError):  # some sandboxes have no priorities
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class EndOfTurn:
    """Runs the model in threads of its own, which give way to recognition and synthesis: a turn can
    end without this judgement, and not without its words.
    """

    def __init__(self, model: EndOfTurnModel | None, *, threads: int) -> None:
        self._model = model
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix="end-of-turn", initializer=_give_way
        )
        self._has_failed = False

    async def probability(self, pcm: bytes) -> float | None:
        """Probability that PCM16 mono at 16 kHz up to a pause is a whole turn; None: not known."""
        if self._model is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._model.probability, pcm)
        except Exception as error:  # noqa: BLE001 - engines may raise anything, words decide then
            if not self._has_failed:
                _log.warning("the end-of-turn model failed: words alone decide", exc_info=error)
            self._has_failed = True
            return None

    def close(self) -> None:
        """Drop what waits; calls under way end by themselves within a second."""
        self._threads.shutdown(wait=False, cancel_futures=True)
