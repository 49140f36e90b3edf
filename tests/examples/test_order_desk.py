"""The order desk: its tools and rules in virtual time, and whole in a real server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from examples.order_desk import database, seed
from parley import testing
from parley.testing import calls, says
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import server_process, until
from tests.processes.test_real_agent import settings

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("find_order", {"number": 1003}),
    ("transfer_to_complaints", {}),
    ("open_complaint", {"number": 1003, "problem": "It is torn."}),
]
FOLDER = Path(__file__).parents[2] / "examples" / "order_desk"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the agents, over a new database."""
    monkeypatch.setattr(database, "DATABASE", tmp_path / "orders.sqlite3")
    seed.create(database.DATABASE)
    from examples.order_desk import app

    return app


def rows(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.asyncio
async def test_an_order_is_changed_once_it_was_looked_up(desk: ModuleType) -> None:
    script = [
        calls("change_quantity", number=1001, quantity=6),
        calls("find_order", number=1001),
        calls("change_quantity", number=1001, quantity=6),
        says("Six chairs."),
    ]
    async with testing.call(desk.orders, script) as call:
        await call.says("Make order 1001 six chairs.")
        first, found, changed = call.tool_calls
        assert first.is_error
        assert "look up order 1001 first" in str(first.output)
        assert found.output == "Order 1001 of Ada Marsh: 4 x garden chair, open."
        assert changed.output == "Order 1001 is now for 6."
        assert call.state == {"orders": [1001]}
    order = database.find_order(1001)
    assert order is not None
    assert order["quantity"] == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("is_allowed", [True, False])
async def test_a_person_allows_a_cancellation(desk: ModuleType, is_allowed: bool) -> None:
    script = [calls("cancel_order", call_id="c1", number=1001), says("Well.")]
    async with testing.call(desk.orders, script, state={"orders": [1001]}) as call:
        await call.says("Cancel order 1001.", wait=False)
        await call.until_event("agent_tool_approval_required")
        await (call.approves("c1") if is_allowed else call.rejects("c1"))
        await call.quiet()
    order = database.find_order(1001)
    assert order is not None
    assert order["state"] == ("cancelled" if is_allowed else "open")


@pytest.mark.asyncio
async def test_what_is_shipped_stays_as_it_is(desk: ModuleType) -> None:
    script = [calls("change_quantity", number=1002, quantity=9), says("No.")]
    async with testing.call(desk.orders, script, state={"orders": [1002]}) as call:
        await call.says("Make order 1002 nine lamps.")
        [made] = call.tool_calls
    assert made.is_error
    assert "cannot be changed any more" in str(made.output)


@pytest.mark.asyncio
async def test_a_promise_is_cut_and_said_in_another_way(desk: ModuleType) -> None:
    script = [says("I promise that it comes today."), says("It should come today.")]
    async with testing.call(desk.orders, script) as call:
        await call.quiet()
        await call.says("When does it come?")
        [tripped] = call.all_events("agent_guardrail_tripped")
        assert tripped.guardrail == "no_guarantees"
        assert call.heard[-1] == "It should come today."


def test_no_text_of_a_model_becomes_sql(desk: ModuleType) -> None:
    problem = "'); DROP TABLE complaints; --"
    assert database.add_complaint(1003, problem)
    assert not database.add_complaint(9, problem)
    assert rows(database.DATABASE, "SELECT number, problem FROM complaints") == [(1003, problem)]


@pytest.mark.asyncio
async def test_a_caller_is_served_by_both_agents_until_the_call_ends(
    tmp_path: Path,
) -> None:
    """Real processes: order looked up, complaint taken by the second agent, end of the call, its row."""
    path = tmp_path / "orders.sqlite3"
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri) | {
            "app": str(FOLDER),
            "app_variables": {"ORDER_DESK_DATABASE": str(path)},
        }
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            start = {"channel_name": "demo", "agent": "orders"}
            status, answer = await server.post("/start_agent", start)
            assert status == 200, answer
            session = await provider.next_session()
            offered = {one["name"] for one in session.settings["tools"]}
            assert {"find_order", "cancel_order", "end_call", "transfer_to_complaints"} <= offered
            for asked, (name, arguments) in enumerate(CALLS, start=1):
                await session.call_tool(name, arguments)
                # Before that, the next call would be one of an unwanted reply.
                await session.wait_for("response.create", asked)
            outputs = [one["item"]["output"] for one in session.all_of("conversation.item.create")]
            assert "rug" in outputs[0]
            assert "complaints about" in str(session.settings["instructions"])
            assert rows(path, "SELECT number FROM complaints") == [(1003,)]
            await session.call_tool("end_call", {"reason": "done"})
            await until(lambda: rows(path, "SELECT * FROM calls") != [])
            assert rows(path, "SELECT * FROM calls") == [("demo", "hung_up", "1003")]
            assert "Traceback" not in server.log.read_text()
