"""The end-of-turn model off the loop: absent, failing, and shared by many sessions."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from speech.engines.files import ModelFilesError
from speech.turns.end_of_turn import EndOfTurn, load_end_of_turn_model
from tests.deadlines import DEADLINE_S

pytestmark = pytest.mark.asyncio


class _Model:
    """Answers when it is let; counts how many calls wait at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.released = threading.Event()
        self.calls = 0
        self._error = error

    def probability(self, pcm: bytes) -> float:
        self.calls += 1
        if self._error is not None:
            raise self._error
        assert self.released.wait(DEADLINE_S)
        return len(pcm) / 100


async def test_without_a_file_there_is_no_model_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_end_of_turn_model(tmp_path / "none.onnx") is None
    (record,) = caplog.records
    assert "run `make setup`" in record.getMessage()
    judge = EndOfTurn(None, threads=1)
    assert await judge.probability(b"") is None
    judge.close()


async def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"another model")
    with pytest.raises(ModelFilesError, match="is not the pinned one"):
        load_end_of_turn_model(path)


async def test_a_model_that_fails_has_no_opinion_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = _Model(RuntimeError("broken"))
    judge = EndOfTurn(model, threads=1)
    assert [await judge.probability(b"") for _ in range(3)] == [None] * 3
    judge.close()
    assert model.calls == 3
    assert len(caplog.records) == 1


async def test_judgements_give_way_to_other_work() -> None:
    class Observer:
        def probability(self, _pcm: bytes) -> float:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    judge = EndOfTurn(Observer(), threads=1)
    here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    niceness = await judge.probability(b"")
    judge.close()
    assert niceness is not None
    assert niceness > here
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == here


async def test_judgements_never_hold_up_the_loop() -> None:
    model = _Model()
    judge = EndOfTurn(model, threads=2)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(judge.probability(bytes(count))) for count in range(8)]
        await asyncio.sleep(0)  # the loop runs on, though nothing can answer yet
        assert not any(task.done() for task in asked)
        model.released.set()
    assert [task.result() for task in asked] == [count / 100 for count in range(8)]
    judge.close()
