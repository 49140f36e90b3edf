"""Images from people in the room, in messages and in chunks, to models that see and one that does not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.images import chunks, jpeg, shown
from tests.loopback.gemini_stage import GeminiStage
from tests.loopback.stage import Person, Stage
from tests.loopback.test_network import wait_until


async def send_all(person: Person, events: list[dict[str, Any]]) -> None:
    """Send events, each once the sender's own buffer has room for it."""
    for event in events:
        text = json.dumps(event)
        await wait_until(lambda text=text: person.channel.send_event(text))  # type: ignore[misc]


async def errors(person: Person, count: int) -> list[tuple[str, str]]:
    """Code and text of the first refusals."""
    await person.wait_event("agent_error", count)
    return [(each["code"], each["message"]) for each in person.all_of("agent_error")]


@pytest.mark.asyncio
async def test_a_large_image_reaches_the_model_in_chunks_and_a_small_one_in_a_message() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        ready = await person.wait_event("agent_ready")
        assert ready["has_image_input"] is True
        large, small = jpeg(400_000), jpeg(40_000)
        events = chunks(large, "first")
        assert len(events) == 10
        await send_all(person, events[::-1])
        image = base64.b64encode(small).decode()
        declared = {"type": "image/jpeg"}
        await send_all(
            person, [{"type": "client_image_append", "image": image, "format": declared}]
        )
        await session.wait_for("conversation.item.create", 2)
        frames = session.all_of("conversation.item.create")
        assert shown(frames) == [large, small]
        url = frames[0]["item"]["content"][0]["image_url"]
        assert url.startswith("data:image/jpeg;base64,")
        assert session.all_of("response.create") == [], "an image asks for no reply"


@pytest.mark.asyncio
async def test_what_is_no_image_or_not_all_of_one_is_answered_and_the_next_one_is_shown() -> None:
    async with Stage() as stage:
        session = await stage.start()
        person = await stage.join()
        text = base64.b64encode(b"GIF89a and so on").decode()
        person.send(type="client_image_append", image=text)
        await send_all(person, chunks(jpeg(100_000), "odd")[:1] * 2)
        await send_all(person, chunks(jpeg(200_000), "part")[:2])
        await send_all(person, chunks(jpeg(150_000), "whole"))
        told = await errors(person, 3)
        assert [code for code, _ in told] == ["invalid_event", "invalid_event", "image_incomplete"]
        assert "neither JPEG" in told[0][1]
        assert "image odd: index and count" in told[1][1]
        assert "image part: given up for image whole" in told[2][1]
        await session.wait_for("conversation.item.create")
        assert shown(session.all_of("conversation.item.create")) == [jpeg(150_000)]


@pytest.mark.asyncio
async def test_an_image_in_chunks_reaches_gemini_which_takes_jpeg_only() -> None:
    async with GeminiStage() as stage:
        session = await stage.start_gemini()
        person = await stage.join()
        picture = jpeg(300_000)
        await send_all(person, chunks(picture, "a"))
        await session.wait_for("realtimeInput", "video")
        assert session.pictures == [picture]
        png = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
        person.send(type="client_image_append", image=png)
        ((code, words),) = await errors(person, 1)
        assert (code, words) == ("unsupported_by_model", "this model sees images in JPEG only")


@pytest.mark.asyncio
async def test_a_model_that_sees_nothing_is_said_to_be_blind() -> None:
    async with Stage() as stage:
        config = stage.config().provider
        blind = config.model_copy(update={"name": "openai-compatible"})
        session = await stage.start(provider=blind)
        person = await stage.join()
        assert (await person.wait_event("agent_ready"))["has_image_input"] is False
        await send_all(person, chunks(jpeg(100_000), "a"))
        ((code, words),) = await errors(person, 1)
        assert (code, words) == ("unsupported_by_model", "this model cannot see images")
        assert session.all_of("conversation.item.create") == []
