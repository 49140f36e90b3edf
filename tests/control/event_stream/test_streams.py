"""Event streams over a real socket: resumed, with gaps, slow, crowded, ended."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from config.agent import AgentConfig
from control.event_stream.streams import BATCH, MAX_ENDED, MAX_READERS, Streams
from control.ipc.link import Event, Ready, StateChanged
from control.placement import ExitRecord
from conversation.events.server_events import AgentInputTranscriptionDone
from conversation.lifecycle import AgentState, ExitReason
from tests.control.api.test_agents import KEYED, error_of
from tests.control.served_api import Api, serve_api
from tests.control.sse import listening
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import agent_config, until
from utils import wall_clock_ms

PATH = "/agents/demo/events"


def say(streams: Streams, config: AgentConfig, *words: str) -> None:
    for text in words:
        event = AgentInputTranscriptionDone(
            agent_id=config.agent_id, agent_name="Ada", transcript=text, item_id="i"
        )
        streams.handle_message(config, Event(event=event))


def begin(streams: Streams, channel_name: str = "demo", **changes: Any) -> AgentConfig:
    config = agent_config(channel_name).model_copy(update=changes)
    streams.handle_start(config, restarts=0)
    streams.handle_message(config, StateChanged(state=AgentState.JOINING, at_ms=1))
    streams.handle_message(config, Ready(timings_ms={}))
    return config


def end(streams: Streams, config: AgentConfig, **changes: Any) -> None:
    record = ExitRecord(
        agent_id=config.agent_id,
        channel_name=config.channel_name,
        uid=config.uid,
        pid=7,
        exit_reason=ExitReason.STOPPED,
        exit_code=0,
        stopped_by="ask",
        uptime_s=1.0,
        ended_at_ms=1,
        stacks="secret frames",
    )
    streams.handle_exit(record.model_copy(update=changes))


@pytest.mark.asyncio
async def test_a_reader_hears_what_happens_from_now_on_until_the_end() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        config = begin(streams)
        async with listening(api, PATH) as reader:
            first = await reader.block()
            assert first is not None
            assert first.comment == "retry: 1000"
            say(streams, config, "one", "two")
            end(streams, config, is_restarted=True, exit_reason=ExitReason.CRASHED)
            streams.handle_start(config, restarts=1)
            streams.handle_message(config, StateChanged(state=AgentState.EXITED, at_ms=1))
            end(streams, config)
            told = await reader.rest()
        assert [one.type for one in told] == [
            "agent_input_transcription_done",
            "agent_input_transcription_done",
            "agent_exited",
            "agent_state_changed",
            "agent_exited",
        ]
        assert [one.data["is_restarted"] for one in (told[2], told[4])] == [True, False]
        assert told[3].data["state"] == "starting"
        assert [one.event_id for one in told] == [f"id-demo:{n}" for n in range(3, 8)]
        assert "secret" not in str(told)


@pytest.mark.asyncio
async def test_every_event_has_its_time() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        before_ms = wall_clock_ms()
        config = begin(streams)
        say(streams, config, "one")
        end(streams, config)
        after_ms = wall_clock_ms()
        async with listening(api, PATH, "0") as reader:
            *told, exited = await reader.rest()
        assert [one.type for one in told][-1] == "agent_input_transcription_done"
        assert all(before_ms <= one.data["at_ms"] <= after_ms for one in told)
        assert exited.data["at_ms"] == 1  # of the record


@pytest.mark.asyncio
async def test_a_reader_resumes_where_it_was_and_gets_gaps() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        config = begin(streams)
        say(streams, config, *map(str, range(600)))
        end(streams, config)
        async with listening(api, PATH, "id-demo:600") as reader:
            told = await reader.rest()
            assert [one.data.get("transcript") for one in told] == ["598", "599", None]
        async with listening(api, PATH + "?last_event_id=id-demo:10") as reader:
            gap, *rest = await reader.rest()
            assert (gap.type, gap.event_id, gap.data["missed"]) == ("stream_gap", None, 81)
            assert len(rest) == 512
        async with listening(api, PATH, "0") as reader:
            gap, *rest = await reader.rest()
            assert (gap.data["missed"], len(rest)) == (91, 512)
        async with listening(api, PATH, "another-call:3") as reader:
            gap, *rest = await reader.rest()
            assert (gap.type, gap.data["missed"], len(rest)) == ("stream_gap", None, 512)
        # Nothing is left to say: an EventSource does not come again.
        over = await api.get(PATH, headers={"Last-Event-ID": "id-demo:603"})
        assert (over.status, await over.text()) == (204, "")


@pytest.mark.asyncio
async def test_an_idle_stream_has_heartbeats_and_a_stuck_reader_is_cut() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        events = api.handlers.events
        events._heartbeat_s, events._write_deadline_s = 0.01, 0.2
        config = begin(streams)
        async with listening(api, PATH) as reader:
            await reader.block()
            beat = await reader.block()
            assert beat is not None
            assert beat.comment == ": heartbeat"
        sock = await deaf_reader(api)
        try:
            async with asyncio.timeout(DEADLINE_S):
                while (stream := streams._streams["demo"]).readers:
                    say(streams, config, "x" * 20_000)
                    await asyncio.sleep(0)
        finally:
            sock.close()
        assert stream.readers == 0


async def deaf_reader(api: Api) -> socket.socket:
    """Somebody who asks and never reads."""
    sock = socket.create_connection((api.host, api.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await until(lambda: api.streams._streams["demo"].readers)
    return sock


@pytest.mark.asyncio
async def test_what_cannot_be_read_is_said() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        assert await error_of(await api.get(PATH)) == (404, "not_running")
        config = begin(streams)
        for wrong in ("x", "id-demo:", "id-demo:-1", "id-demo:" + "9" * 19, "1.5"):
            response = await api.get(PATH, headers={"Last-Event-ID": wrong})
            assert await error_of(response) == (400, "invalid_request"), wrong
        places = [streams.reader("demo", None) for _ in range(MAX_READERS)]
        for place in places:
            assert place is not None
            place.__enter__()
        assert await error_of(await api.get(PATH)) == (429, "too_many_streams")
        for place in places:
            assert place is not None
            place.__exit__()
        end(streams, config)
        assert await error_of(await api.get(PATH)) == (404, "not_running")
    async with serve_api(KEYED, streams) as api:
        assert await error_of(await api.get(PATH)) == (401, "unauthorized")


def test_of_ended_calls_the_last_ones_are_kept() -> None:
    streams = Streams()
    live = begin(streams, "live")
    for number in range(MAX_ENDED + 5):
        end(streams, begin(streams, f"c{number}"))
    assert streams.reader("c4", "0") is None
    assert streams.reader("c5", "0") is not None
    assert streams.reader("live", "0") is not None
    # A late word of an earlier call in the same channel is nobody's.
    earlier = live.model_copy(update={"agent_id": "earlier"})
    end(streams, earlier)
    assert not streams._streams["live"].is_over


@pytest.mark.asyncio
async def test_a_deleted_call_leaves_current_readers_nothing() -> None:
    streams = Streams()
    async with serve_api(streams=streams) as api:
        config = begin(streams)
        say(streams, config, *map(str, range(300)))
        end(streams, config)
        reader = streams.reader("demo", "0")
        assert reader is not None
        assert len(reader.take()) == BATCH
        # One call later: somebody still reads the one before.
        later = begin(streams, agent_id="later")
        say(streams, later, "of the later one")
        streams.forget_calls({"id-demo"})
        (gap,) = reader.take()
        assert "stream_gap" in gap.data
        assert (reader.is_done, reader.take()) == (True, [])
        end(streams, later)
        async with listening(api, PATH, "0") as told:
            assert "of the later one" in str(await told.rest())
        streams.forget_calls({"later"})
        for known in (None, "0", "later:1"):
            assert streams.reader("demo", known) is None
