"""Spans of a real call, as a collector gets them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.otlp_collector import OtlpCollector
from tests.processes.test_logs import GREETING, PROMPT, SECRETS, TOOL, talk
from tests.processes.test_recall import calling

HEADER_SECRET = "a-secret-of-the-collector"


@pytest.mark.asyncio
async def test_a_call_over_a_crash_is_one_trace_without_words(tmp_path: Path) -> None:
    async with OtlpCollector() as collector:
        settings = {
            "otel_exporter_otlp_endpoint": collector.uri,
            "otel_exporter_otlp_headers": f"x-token={HEADER_SECRET}",
        }
        options: dict[str, Any] = {"greeting": GREETING, "system_message": PROMPT, "tools": [TOOL]}
        async with calling(tmp_path, changes=settings, **options) as scene:
            await talk(scene.session)
            await scene.person.wait_event("agent_turn_measured")
            await scene.session.call_tool("look_up", {"what": "a wombat of the log"})
            await scene.person.wait_event("agent_response_tool_use_done")
            await scene.survive()
            await scene.server.post("/stop_agent", {"channel_name": "demo"})
            call = await collector.wait_for("call")
            log = scene.server.log.read_text()
        assert {span.trace_id for span in collector.spans} == {call.trace_id}
        names = [span.name for span in collector.spans]
        assert names.count("start") == 2
        assert names.count("start.connecting") == 2
        assert {"turn", "turn.model", "response"} <= set(names)
        (tool,) = [span for span in collector.spans if span.name == "tool"]
        assert tool.status.message == "crashed"
        operations = {
            one.value.string_value
            for span in collector.spans
            for one in span.attributes
            if one.key == "gen_ai.operation.name"
        }
        assert operations == {"invoke_agent", "chat", "execute_tool"}
        assert all(
            call.start_time_unix_nano <= span.end_time_unix_nano <= call.end_time_unix_nano
            for span in collector.spans
        )
        assert collector.services >= {"parley"}
        assert {one["x-token"] for one in collector.headers} == {HEADER_SECRET}
        told = b"".join(collector.bodies)
        for secret in (*SECRETS[:-1], HEADER_SECRET):
            assert secret.encode() not in told
        assert HEADER_SECRET not in log


@pytest.mark.asyncio
async def test_a_collector_that_is_away_costs_no_call(tmp_path: Path) -> None:
    settings = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:9"}
    async with calling(tmp_path, changes=settings) as scene:
        await talk(scene.session)
        await scene.person.wait_event("agent_turn_measured")
        status, answer = await scene.server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["exit_reason"]) == (200, "stopped")
        scene.server.signal(signal.SIGINT)
        assert await asyncio.to_thread(scene.server.wait) == 0
