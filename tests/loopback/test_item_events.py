"""Events of conversation items at a client, through turns and a lost provider session."""

from __future__ import annotations

import pytest

from tests.fakes.openai_frames import frame
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Person, Stage
from tests.realtime.resilience.stage import told


def _updates(person: Person) -> list[tuple[str, str, str]]:
    updates = person.all_of("agent_item_updated")
    return [(each["role"], each["status"], each["text"]) for each in updates]


@pytest.mark.asyncio
async def test_items_are_added_once_and_updated_with_what_was_heard() -> None:
    async with Stage() as stage:
        session = await stage.start(interrupt={"mode": "immediate"})
        person = await stage.join()
        item_id = await session.speech_started()
        await session.speech_stopped(item_id, "count to three")
        reply = await session.say(tone(300), "one two three")
        await person.wait_event("agent_playout_done")
        await person.wait_event("agent_item_updated", 2)
        assert _updates(person) == [
            ("user", "completed", "count to three"),
            ("assistant", "completed", "one two three"),
        ]
        added = person.all_of("agent_item_added")
        assert [(each["item_id"], each["role"]) for each in added] == [
            (item_id, "user"),
            (reply.item_id, "assistant"),
        ]

        await session.drop()
        second = await stage.provider.next_session()
        await second.wait_for("conversation.item.create", 2)
        assert told(second) == ["user: count to three", "assistant: one two three"]
        await second.send(
            frame(
                "input_audio_buffer.timeout_triggered",
                item_id="silent",
                audio_start_ms=0,
                audio_end_ms=6_000,
            )
        )
        await person.wait_event("agent_input_timeout_triggered")
        assert len(person.all_of("agent_item_added")) == 2, "replayed items are no new ones"
