"""A start's cascade, from the HTTP API to the language model that it names, through real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.chat_server import chat_server
from tests.real_server import RealServer, open_real_server, poll

pytestmark = pytest.mark.speech

DEFAULT_KEY = "sk-of-the-settings"
OWN_KEY = "sk-of-the-start"


async def _post(server: RealServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.post(server.url + path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        result: dict[str, Any] = await answer.json()
        return result


def _readable(process: psutil.Process) -> str:
    """What others on the machine may see of a process."""
    folder = Path(f"/proc/{process.pid}")
    parts = (folder / name for name in ("cmdline", "environ"))
    return "".join(part.read_bytes().decode(errors="replace") for part in parts)


@pytest.mark.asyncio
async def test_a_start_reaches_its_own_language_model_also_after_the_local_model_was_lost() -> None:
    async with chat_server() as default, chat_server(model="mine") as own:
        default.api_key, own.api_key = DEFAULT_KEY, OWN_KEY
        async with open_real_server(
            LLM_BASE_URL=default.base_url,
            LLM_MODEL="scripted",
            LLM_API_KEY=DEFAULT_KEY,
            CASCADE_BASE_URLS=own.base_url,
        ) as server:
            for channel, cascade in (("a", {}), ("b", {"base_url": own.base_url, "model": "mine"})):
                model = {**cascade, "api_key": OWN_KEY} if cascade else {"temperature": 0.25}
                wanted = {"channel_name": channel, "cascade": {"language_model": model}}
                await _post(server, "start_agent", wanted)
                await _post(server, f"agents/{channel}/text", {"text": f"Question {channel}?"})
            first, second = await default.wait_for_call(), await own.wait_for_call()
            assert (first.user_text, first.body["temperature"]) == ("Question a?", 0.25)
            assert (second.user_text, second.body["model"]) == ("Question b?", "mine")

            children = psutil.Process(server.process.pid).children(recursive=True)
            seen = "".join(map(_readable, children))
            assert OWN_KEY not in seen
            assert DEFAULT_KEY not in seen

            (model_process,) = (one for one in children if "model" in one.cmdline())
            os.kill(model_process.pid, signal.SIGKILL)
            await poll(lambda: _is_ready(server, model_process), DEADLINE_S)
            await _post(server, "agents/b/text", {"text": "And again?"})
            # Of the first answer nothing was heard: that question may be asked once more before.
            number = 2
            while not (await own.wait_for_call(number)).user_text.endswith("And again?"):
                number += 1
            _, shown = await server.get("agents/b")
            assert OWN_KEY not in str(shown)


async def _is_ready(server: RealServer, lost: psutil.Process) -> bool:
    return not lost.is_running() and (await server.get("readyz"))[0] == 200
