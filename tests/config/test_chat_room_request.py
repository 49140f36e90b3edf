"""The chat room that a start asks for, and the configuration of each of its agents."""

from __future__ import annotations

from typing import Any

import pytest

from config.agent import AgentConfig, AgentRequest, agent_config
from config.definition import Definition
from config.local_model import LocalModelAddress
from config.settings import AgentConfigError, Settings
from conversation.moderation import ModeratorRule

DEFINITIONS = {
    "ada": Definition(
        name="ada", display_name="Ada", voice="marin", instructions="Explain {topic}."
    ),
    "ben": Definition(
        name="ben", display_name="Ben", voice="cedar", model="other", skills=("doubt",)
    ),
    "panel": Definition(
        name="panel",
        display_name="The panel",
        members=("ben", "ada"),
        moderator="function",
        max_agent_turns=2,
    ),
}
SETTINGS = Settings.from_env(
    {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "sk-0123456789abcdef", "OPENAI_MODEL": "m"}
)


def built(**values: Any) -> AgentConfig:
    name = values.get("definition")
    request = AgentRequest(channel_name="demo", metadata={"topic": "tides"}, **values)
    return agent_config(
        SETTINGS,
        request,
        agent_id="a1",
        room_url="http://127.0.0.1:1",
        room_token=None,
        local_model=LocalModelAddress("ws://127.0.0.1:2"),
        skills={"doubt": "Doubt everything."},
        definition=DEFINITIONS[name] if name else None,
        definitions=DEFINITIONS,
    )


def test_agents_that_a_request_names_share_the_conversation() -> None:
    config = built(agents=("ada", "ben"))
    room = config.chat_room
    assert room is not None
    assert (config.definition, config.name) == ("ada", "Ada, Ben")
    assert (room.name, room.moderator, room.max_agent_turns) == ("", ModeratorRule.ADDRESSED, 4)
    ada, ben = (config.of_member(member) for member in room.members)
    assert (ada.name, ada.voice, ada.system_message) == ("Ada", "marin", "Explain tides.")
    assert (ben.name, ben.voice, ben.provider.model) == ("Ben", "cedar", "other")
    assert (ada.provider.model, ben.skills) == ("m", {"doubt": "Doubt everything."})
    plain = AgentConfig.model_validate(config.to_json())
    assert plain.chat_room is not None
    assert plain.chat_room.members[1].provider.api_key is not None
    key = plain.chat_room.members[1].provider.api_key.get_secret_value()
    assert key == "sk-0123456789abcdef"


def test_a_chat_room_of_the_app_is_named_like_an_agent() -> None:
    config = built(definition="panel")
    assert config.chat_room is not None
    assert (config.definition, config.name) == ("ben", "The panel")
    assert (config.chat_room.name, config.chat_room.max_agent_turns) == ("panel", 2)
    assert config.chat_room.moderator is ModeratorRule.ADDRESSED
    tightened = built(definition="panel", max_agent_turns=0, moderator=ModeratorRule.ROUND_ROBIN)
    assert tightened.chat_room is not None
    assert tightened.chat_room.max_agent_turns == 0
    assert tightened.chat_room.moderator is ModeratorRule.ROUND_ROBIN


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"agents": ("ada", "cleo")}, "there is no cleo"),
        ({"agents": ("ada", "panel")}, "cannot be an agent of another"),
        ({"agents": ("ada", "ben"), "definition": "ada"}, "either an agent, or several"),
        ({"agents": ("ada", "ben"), "voice": "sage"}, "voice: each of several agents has its own"),
        ({"definition": "panel", "system_message": "x"}, "instructions: each of several"),
    ],
)
def test_what_several_agents_cannot_share_is_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(AgentConfigError, match=text):
        built(**values)


def test_an_update_of_one_agent_leaves_the_others_as_they_are() -> None:
    changed = built(definition="panel").updated({"voice": "sage"}, agent="ada")
    assert changed.chat_room is not None
    assert [member.voice for member in changed.chat_room.members] == ["cedar", "sage"]
    assert changed.voice == built(definition="panel").voice
