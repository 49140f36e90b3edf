"""Sessions that are opened on request, in a process of their own."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.providers import ProviderConfig
from control.provider_check.messages import McpProbe, Probe
from control.provider_check.runner import BusyError, ProviderProbes
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults, say_hello
from tests.real_server import poll, wait_until_gone

FACTORIES = "tests.control.provider_check.owner_factories"
KEY = "sk-of-the-owner"


def provider(uri: str, *, key: str = KEY, factory: str | None = None) -> ProviderConfig:
    path = None if factory is None else f"{FACTORIES}:{factory}"
    name = "openai" if factory is None else "own"
    return ProviderConfig(name=name, model="m", base_uri=uri, api_key=SecretStr(key), factory=path)


@pytest.mark.asyncio
async def test_a_session_is_opened_with_the_key_and_speaks() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key=KEY), reply_with=say_hello) as server:
        probes = ProviderProbes()
        opened = await probes.run(Probe(provider=provider(server.uri, factory="create_noisy")))
        assert (opened.code, opened.sound) == ("", "")
        assert opened.took_ms > 0
        spoken = await probes.run(Probe(provider=provider(server.uri), say="Hello."))
        assert spoken.code == ""
        assert len(base64.b64decode(spoken.sound)) > spoken.rate_hz / 10
        refused = await probes.run(Probe(provider=provider(server.uri, key="sk-other")))
        assert refused.code == "invalid_api_key"
        assert "check the API key" in refused.text
        assert "sk-other" not in refused.text
        assert probes.pids == frozenset()


@pytest.mark.asyncio
async def test_an_mcp_server_is_opened_and_its_tools_are_listed(tmp_path: Path) -> None:
    script, pid_file = Path(__file__).parents[2] / "fakes" / "mcp_server.py", tmp_path / "pid"
    probes = ProviderProbes()
    address = SecretStr(f"{sys.executable} {script} {pid_file}")
    opened = await probes.run(McpProbe(mcp_server="words", address=address))
    assert (opened.code, opened.text) == ("", "")
    assert "count_words" in opened.tools
    await wait_until_gone(int(pid_file.read_text()))
    silent = SecretStr("no-such-program --token hidden")
    missing = await probes.run(McpProbe(mcp_server="words", address=silent))
    assert missing.code == "unreachable"
    assert "hidden" not in missing.text


@pytest.mark.asyncio
async def test_an_owners_factory_harms_nothing() -> None:
    uri = "ws://127.0.0.1:9"
    broken = await ProviderProbes().run(Probe(provider=provider(uri, factory="create_broken")))
    assert (broken.code, broken.text) == ("failed", "its code failed: RuntimeError")
    probes = ProviderProbes(deadline_s=3.0, wait_s=0.1)
    async with asyncio.TaskGroup() as group:
        wanted = Probe(provider=provider(uri, factory="create_hanging"))
        hanging = group.create_task(probes.run(wanted))

        async def is_running() -> bool:
            return bool(probes.pids)

        await poll(is_running, DEADLINE_S)
        (pid,) = probes.pids
        with pytest.raises(BusyError):
            await probes.run(Probe(provider=provider(uri)))
    assert hanging.result().code == "timeout"
    await wait_until_gone(pid)
