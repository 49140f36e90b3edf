"""The servers of the local model, with stand-ins for their programs."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from config.local_model import EMBEDDED_MODEL
from config.settings import Settings
from control.supervisor import local_model
from control.supervisor.local_model import LocalModel
from control.supervisor.loopback_server import ServerState
from conversation.lifecycle import AgentStartError
from speech.options import ProcessOptions
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import is_gone, until

EMBEDDED = Settings(llm_model=EMBEDDED_MODEL)


@asynccontextmanager
async def started(
    monkeypatch: pytest.MonkeyPatch, speech: str, language_model: str
) -> AsyncIterator[LocalModel]:
    stand_in = (sys.executable, "-m", "tests.control.supervisor.server_stand_in", "{fd}")
    monkeypatch.setattr(local_model, "SPEECH_COMMAND", (*stand_in, speech))
    monkeypatch.setattr(local_model, "LANGUAGE_MODEL_COMMAND", (*stand_in, language_model))
    model = LocalModel(EMBEDDED, secret=SecretStr("s3cret"))
    try:
        yield model
    finally:
        await model.stop()


@pytest.mark.asyncio
async def test_both_run_and_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(monkeypatch, "ready", "ready") as model:
        assert (model.state, model.pids, model.warning) == (ServerState.OFF, frozenset(), None)
        await model.wait_ready(DEADLINE_S)
        assert model.language_model is not None
        assert model.language_model.state is ServerState.READY
        pids = model.pids
        assert len(pids) == 2
        assert (model.state, model.warning) == (ServerState.READY, None)
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.asyncio
async def test_speech_gets_the_address_of_its_language_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with started(monkeypatch, "ready", "ready") as model:
        assert model.language_model is not None
        options = ProcessOptions.model_validate(json.loads(model.speech._stdin))
        language_model = options.session.language_model
        assert language_model is not None
        assert language_model.base_url == f"{model.language_model.uri}/v1"
        assert language_model.rules == "first"
        assert language_model.context_tokens == 4_096
        assert model.address.secret == SecretStr("s3cret")
        assert model.address.uri.partition(":")[0] == "ws"


@pytest.mark.asyncio
async def test_calls_go_on_without_a_language_model_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_model, "_LANGUAGE_MODEL_S", 0.1)
    async with started(monkeypatch, "ready", "crash") as model:
        await model.wait_ready(DEADLINE_S)
        await until(lambda: "packages are missing" in (model.warning or ""))
        assert model.state is ServerState.READY


@pytest.mark.asyncio
async def test_no_call_goes_without_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(monkeypatch, "loading", "ready") as model:
        with pytest.raises(AgentStartError, match="the local model is starting"):
            await model.wait_ready(0.5)


@pytest.mark.asyncio
async def test_a_port_that_is_taken_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(monkeypatch, "ready", "ready") as model:
        port = int(model.speech.uri.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            LocalModel(Settings(llm_model=EMBEDDED_MODEL, local_model_port=port))


@pytest.mark.asyncio
async def test_killing_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(monkeypatch, "deaf", "deaf") as model:
        await model.wait_ready(DEADLINE_S)
        pids = model.pids
        model.kill()
        await until(lambda: model.pids.isdisjoint(pids))
