"""The same with the real local model: it hears real voices, and a "uh-huh" is no "stop"."""

from __future__ import annotations

import pytest

from conversation.turn_taking.backchannel import Backchannels, words_of
from tests.loopback.provider_sides import local
from tests.loopback.stage import Person, Stage
from tests.speech.talk import spoken, utterance

TIMES_TOLD = 3
# However long a busy machine takes to understand them.
WORDS_DECIDE = {"words_timeout_ms": 10_000, "sure_after_ms": 10_000}


def say(person: Person, pcm: bytes) -> None:
    person.channel.push_audio_frame(pcm, key=object())


async def goes_on_over(person: Person, question: bytes, murmur: bytes) -> bool:
    """Whether the story that is asked for goes on over a murmur.

    A machine that is held up tears sounds, and what is taken for words then rightly ends it.
    """
    turns = len(person.all_of("agent_input_transcription_done"))
    say(person, question)
    await person.wait_event("agent_input_transcription_done", turns + 1)
    await person.wait_loud(person.loud_ms + 1500)
    paused, resumed, cut, turns = (
        len(person.all_of(f"agent_{name}"))
        for name in ("paused", "resumed", "interrupted", "input_transcription_done")
    )
    say(person, murmur)
    await person.wait_event("agent_paused", paused + 1)
    await person.until(
        lambda: (
            len(person.all_of("agent_resumed")) > resumed
            or len(person.all_of("agent_interrupted")) > cut
        )
    )
    # The voice first, what is told about it after.
    torn = (await person.wait_event("agent_input_transcription_done", turns + 1))["transcript"]
    if len(person.all_of("agent_resumed")) > resumed:
        return bool(person.all_of("agent_resumed")[-1]["cause"] == "backchannel")
    assert Backchannels("en", ()).meant(words_of(torn)), f"cut by a murmur: {torn}"
    return False


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_uh_huh_lets_the_story_go_on_and_stop_stops_it() -> None:
    # Made beforehand: it takes long, and the call would stand still meanwhile.
    uh_huh = spoken("Uh huh.")
    question, stop = utterance("u18_f"), utterance("u10_f")
    async with local() as model, Stage() as stage:
        await stage.run_until_ready(provider=model.config, interrupt=WORDS_DECIDE)
        person = await stage.join()
        for _ in range(TIMES_TOLD):
            if await goes_on_over(person, question, uh_huh):
                break
        assert [one["cause"] for one in person.all_of("agent_resumed")][-1:] == ["backchannel"]
        cuts = len(person.all_of("agent_interrupted"))
        turns = len(person.all_of("agent_input_transcription_done"))
        replies = len(person.all_of("agent_response_created"))
        heard_ms = person.loud_ms
        await person.wait_loud(heard_ms + 1500)
        assert len(person.all_of("agent_interrupted")) == cuts
        say(person, stop)
        interrupted = await person.wait_event("agent_interrupted", cuts + 1)
        assert len(interrupted["heard"].split()) > 5
        order = await person.wait_event("agent_input_transcription_done", turns + 1)
        assert (order["transcript"].lower().strip(" ."), order["uid"]) == ("stop", 7)
        # The order is answered, the "uh-huh" was not.
        await person.wait_event("agent_response_created", replies + 1)
        assert len(person.all_of("agent_response_created")) == replies + 1


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.asyncio
async def test_a_start_with_semantic_detection_lets_a_speaker_think() -> None:
    """A second of silence in the middle of a sentence; plain detection ends a turn there."""
    thinking = bytes(1_000 * 48)
    words = spoken("The package arrived yesterday but,") + thinking + spoken("the box was damaged.")
    async with local() as model, Stage() as stage:
        await stage.run_until_ready(
            provider=model.config, turn_detection={"type": "semantic_vad", "eagerness": "auto"}
        )
        person = await stage.join()
        say(person, words)
        heard = (await person.wait_event("agent_input_transcription_done"))["transcript"].lower()
        # Both halves are in one turn, whichever words of them a small recogniser gets.
        assert any(word in heard for word in ("package", "arrived", "yesterday")), heard
        assert any(word in heard for word in ("box", "damaged")), heard
