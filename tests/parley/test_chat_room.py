"""Chat rooms as owners declare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parley import Agent, ChatRoom, tool
from parley.agent import InvalidDefinitionError
from parley.app import load
from parley.description import describe
from parley.load_problem import AppError

FILE = '''
from parley import Agent, ChatRoom

def find() -> str:
    """Find it."""
    return "found"

ada = Agent("ada", tools=[find])
ben = Agent("ben", tools=[find])
panel = ChatRoom("panel", agents=[ada, "ben"], moderator=lambda view: "ben", display_name="Panel")
'''


def write(folder: Path, text: str) -> str:
    path = folder / "rooms.py"
    path.write_text(text)
    return str(path)


def test_a_room_is_loaded_and_described_with_its_agents(tmp_path: Path) -> None:
    app = load(write(tmp_path, FILE))
    assert (list(app.agents), list(app.rooms)) == (["ada", "ben"], ["panel"])
    panel = describe(app)[-1]
    assert (panel["members"], panel["moderator"]) == (["ada", "ben"], "function")
    assert (panel["file"], panel["line"]) == (str(tmp_path / "rooms.py"), 10)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (('"ben"]', '"cleo"]'), "there is no agent cleo; there is ada, ben"),
        (('"panel"', '"ada"'), "an agent has the name already"),
        (('"ada", tools', '"ada", handoffs=["ben"], tools'), "ada has handoffs"),
        (
            (
                'ben = Agent("ben", tools=[find])',
                "def other(): 'x'\nother.__name__ = 'find'\nben = Agent(\"ben\", tools=[other])",
            ),
            "ada and ben have different tools named find",
        ),
    ],
)
def test_a_room_that_contradicts_its_agents_is_refused_with_its_place(
    tmp_path: Path, change: tuple[str, str], text: str
) -> None:
    with pytest.raises(AppError, match=text):
        load(write(tmp_path, FILE.replace(*change)))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"agents": ["ada"]}, "two to 8 different"),
        ({"agents": ["ada", "ada"]}, "two to 8 different"),
        ({"agents": ["ada", "ben"], "moderator": "loudest"}, "addressed or round_robin"),
        ({"agents": ["ada", "ben"], "max_agent_turns": 101}, "use 0 to 100"),
    ],
)
def test_wrong_values_are_refused_with_a_remedy(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidDefinitionError, match=text):
        ChatRoom("panel", **values)


def test_agents_may_share_a_declared_tool() -> None:
    @tool
    def find() -> str:
        """Find it."""
        return "found"

    room = ChatRoom("panel", agents=[Agent("ada", tools=[find]), Agent("ben", tools=[find])])
    assert room.member_names == ["ada", "ben"]
