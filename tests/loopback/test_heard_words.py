"""The words that were heard of a reply are the same everywhere they are kept. Real WebRTC."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.child.conversation_sync import Changes
from control.ipc.link import Forget, Remember
from control.store.archive import Archive
from control.store.database import database_url
from conversation.snapshot import ConversationSnapshot, SnapshotEntry, SnapshotText
from tests.control.store.samples import config
from tests.fakes.openai_frames import Reply
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage
from tests.realtime.resilience.stage import told

WORDS = " ".join(f"word{number}" for number in range(31))
RECEIVED = tone(2000)
# In a voice of normal pace all words take some ten seconds: 1.5 s make about one in seven audible.
MOST_HEARD_WORDS = 8


def _last(entries: list[SnapshotEntry]) -> SnapshotText:
    entry = entries[-1]
    assert isinstance(entry, SnapshotText)
    return entry


async def _stored(entries: list[SnapshotEntry], folder: Path) -> SnapshotText:
    """The last entry of the transcript that the control server stores for these."""
    archive = Archive(database_url(folder, None), "this")
    archive.start(list)
    try:
        call = await archive.open_call(config("call"))
        archive.recorder.handle_start(call, restarts=0)
        for message in Changes(None).since_last(entries):
            assert isinstance(message, Forget | Remember)
            archive.recorder.handle_message(call, message)
        entry = (await archive.transcript("call")).entries[-1]
        assert isinstance(entry, SnapshotText)
        return entry
    finally:
        await archive.close()


@pytest.mark.asyncio
async def test_client_next_session_restart_and_store_have_the_same_heard_words(
    tmp_path: Path,
) -> None:
    async with Stage() as stage:
        session = await stage.start(interrupt={"mode": "immediate"})
        person = await stage.join()
        reply = Reply()
        # All words at once, and of their audio only the first two seconds.
        await session.send(reply.begin(), *reply.begin_speech(), reply.words(WORDS))
        await session.send(reply.audio(RECEIVED))
        await person.wait_loud(1400)
        assert stage.agent is not None
        playing = _last(stage.agent.conversation())
        assert playing.is_open

        await session.speech_started()
        interrupted = await person.wait_event("agent_interrupted")
        heard = interrupted["heard"]
        assert WORDS.startswith(heard)
        assert 1 < len(heard.split()) <= MOST_HEARD_WORDS
        assert heard.startswith(playing.text)

        remembered = stage.agent.conversation()
        replies = [
            entry
            for entry in remembered
            if isinstance(entry, SnapshotText) and entry.role == "assistant"
        ]
        assert [(entry.text, entry.is_cut) for entry in replies] == [(heard, True)]
        stored = await _stored(list(replies), tmp_path)
        assert (stored.text, stored.is_cut) == (heard, True)

        await session.drop()
        second = await stage.provider.next_session()
        await second.wait_for("conversation.item.create")
        assert told(second) == [f"assistant: {heard} …"]
        stage.agent.stop()
        await stage.ended()

        snapshot = ConversationSnapshot()
        for entry in remembered:
            snapshot.update(entry)
        restarted = await stage.start(conversation_seed=snapshot.seed())
        await restarted.wait_for("conversation.item.create")
        assert told(restarted) == [f"assistant: {heard} …"]


@pytest.mark.asyncio
async def test_a_reply_that_a_lost_provider_broke_off_goes_on_after_the_words_that_were_heard() -> (
    None
):
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        person.send(type="client_response_create")
        await session.wait_for("response.create")
        reply = Reply()
        await session.send(reply.begin(), *reply.begin_speech(), reply.words(WORDS))
        await session.send(reply.audio(RECEIVED))
        await person.wait_loud(200)
        await session.drop()
        second = await stage.provider.next_session()
        await second.wait_for("response.create")
        # All audio that came is played; words whose audio never came were not heard.
        await person.wait_event("agent_playout_done")
        assert stage.agent is not None
        remembered = _last(stage.agent.conversation())
        assert WORDS.startswith(remembered.text)
        assert 4 < len(remembered.text.split()) <= 1.5 * MOST_HEARD_WORDS
        item, note = told(second)[:2]
        assert item == f"assistant: {remembered.text} …"
        assert f"up to these words: {remembered.text!r}." in note
