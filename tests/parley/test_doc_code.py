"""Code on the pages about agents in-process runs as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from parley import ConversationStore
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import FakeSession, tone
from tests.parley.in_process.calls import settings_of

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    """Python programs of a page: blocks that begin with an import."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for block in found if re.match(r"(from|import) ", block)]


PROGRAMS = [
    pytest.param(code, id=f"{page}-{at}")
    for page in ("migrating.md", "in-process.md")
    for at, code in enumerate(blocks(page))
    if "asyncio.run" in code or "agent.realtime" in code
]


def answer(session: FakeSession) -> Any:
    """The first reply calls a tool if there is one, the next one speaks."""
    tools = [tool["name"] for tool in session.settings.get("tools", ())]
    if "get_weather" in tools and not session.all_of("conversation.item.create")[1:]:
        return session.call_tool("get_weather", {"city": "Rome"})
    return session.say(tone(100), "It is sunny in Rome")


@pytest.mark.asyncio
@pytest.mark.parametrize("code", PROGRAMS)
async def test_a_program_runs(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The programs of several pages name the same conversation.
    monkeypatch.setattr("parley.in_process.run.IN_MEMORY", ConversationStore())
    printed: list[str] = []
    namespace = {"__name__": "__main__", "print": lambda *words: printed.append(str(words[0]))}
    async with FakeRealtimeServer() as server:
        for name, value in {**settings_of(server), "MODEL_PROVIDER": "openai"}.items():
            monkeypatch.setenv(name, value)
        # In a thread, since it runs a loop of its own.
        running = asyncio.get_running_loop().create_task(
            asyncio.to_thread(exec, compile(code, "page", "exec"), namespace)
        )
        session = await server.next_session()
        session.reply_with = answer
        async with asyncio.timeout(DEADLINE_S):
            await running
    assert printed
    if "get_weather" in code:
        outputs = [e["item"].get("output") for e in session.all_of("conversation.item.create")]
        assert "sunny in Rome" in outputs


def test_the_unit_test_of_the_page_about_tests_passes() -> None:
    (code,) = blocks("testing-your-agent.md")
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "testing-your-agent.md", "exec"), namespace)
    (test,) = [value for name, value in namespace.items() if name.startswith("test_")]
    asyncio.run(test())
