"""The conversation's items as the dialogue has them."""

from __future__ import annotations

from typing import Literal

from realtime import struct as wire
from speech.conversation import Conversation, Kept
from speech.dialogue.context import Turn
from speech.settings import Limits


def _spoken(
    conversation: Conversation, status: Literal["completed", "incomplete"] = "completed"
) -> Kept:
    item = wire.MessageItem(id="a", status=status, role="assistant", content=[])
    kept, _ = conversation.add(item)
    for clause in ("One two three four.", " Five."):
        conversation.append_audio(kept, bytes(48_000))
        kept.clauses.append((clause, kept.audio_ms))
    return kept


def test_a_reply_heard_in_part_is_cut() -> None:
    conversation = Conversation(Limits())
    _spoken(conversation)
    assert conversation.history() == (Turn("assistant", "One two three four. Five."),)
    conversation.truncate("a", 0, 500)
    assert conversation.history() == (Turn("assistant", "One two", is_cut=True),)


def test_a_reply_that_was_stopped_is_cut_even_if_all_that_there_is_was_heard() -> None:
    conversation = Conversation(Limits())
    _spoken(conversation, "incomplete")
    assert conversation.history() == (Turn("assistant", "One two three four. Five.", is_cut=True),)
