"""The form of the start page: every field of a start can be chosen there, and mistakes are explained."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import expect

from control.api.schemas import StartAgentRequest
from tests.browser.accessibility import expect_accessible_everywhere
from tests.browser.chromium import open_chromium
from tests.browser.console import Console, open_console
from tests.browser.site import open_site

pytestmark = pytest.mark.browser

# For each field that the page has no words of its own for; a new field of a start is missing here.
CHOSEN: dict[str, Any] = {
    "agents": ["first", "second"],
    "moderator": "round_robin",
    "max_agent_turns": 3,
    "name": "Robin",
    "metadata": {"customer": "c1"},
    "skills": ["billing"],
    "memory": ["likes tea"],
    "goodbye": "Bye.",
    "turn_detection": {"type": "server_vad"},
    "interrupt": {"min_words": 2},
    "sounds": {"normalise": True},
    "model_settings": {"temperature": 0.5},
    "cascade": {"noise_suppression": True},
    "tool_results_from": "anyone",
    "tool_approvals_from": [7],
    "show_tools": "none",
    "reads_chat": False,
    "posts_deltas": True,
    "shows_provider_events": True,
    "thread_id": "t1",
    "person_id": "p1",
    "memory_key": "m1",
    "user_uid": 5,
    "max_duration_s": 600.5,
    "idle_timeout_s": 60,
    "max_tokens": 1000,
    "max_cost": 1.5,
    "user_wait_s": 20,
    "rejoin_grace_s": 5,
    "wait": True,
    "summarise": True,
    "extract": {"type": "object", "properties": {"city": {"type": "string"}}},
}
OWN_PLACE = {
    *("channel_name", "uid", "agent", "language", "provider", "model", "voice", "toolset"),
    *("greeting", "instructions", "tools", "recording"),
}


async def open_options(console: Console) -> None:
    await console.page.get_by_text("Agent and call options").click()
    await console.page.get_by_text("All fields of a start").click()


async def fill_in(console: Console, name: str, value: Any) -> None:
    field = console.get(f"#start-{name}")
    if await field.evaluate("(field) => field.tagName") == "SELECT":
        await field.select_option(value if isinstance(value, str) else str(value).lower())
    else:
        is_json = await field.evaluate("(field) => field.classList.contains('code')")
        await field.fill(json.dumps(value) if is_json else str(value))


@pytest.mark.asyncio
async def test_every_field_of_a_start_can_be_chosen() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        await expect(console.get("#all-fields-grid > .field").first).to_be_attached()
        names = await console.page.eval_on_selector_all(
            "#join-form [data-field]", "(fields) => fields.map((field) => field.dataset.field)"
        )
        assert sorted(names) == sorted(StartAgentRequest.model_fields)
        assert set(CHOSEN) | OWN_PLACE == set(StartAgentRequest.model_fields)

        await open_options(console)
        await expect_accessible_everywhere(console.page)
        for name, value in CHOSEN.items():
            await fill_in(console, name, value)
        await console.get("#provider").select_option("openai")
        await console.get("#voice-engine").select_option("kokoro")
        await console.join("chosen")
        body = next(body for path, body in site.requests if path == "/start_agent")
        assert {name: body[name] for name in CHOSEN} == CHOSEN | {
            "cascade": {"noise_suppression": True, "voice": {"engine": "kokoro"}}
        }
        assert body["provider"] == "openai"
        # The server would understand all of it.
        StartAgentRequest.model_validate(body)


@pytest.mark.asyncio
async def test_mistakes_are_explained_and_choices_are_kept_in_the_address() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(
            browser,
            f"{site.url}#/?channel=linked&provider=xai&max_cost=2&reads_chat=false",
            tolerated=("502",),
        ) as console,
    ):
        page = console.page
        await expect(page.get_by_label("Channel", exact=True)).to_have_value("linked")
        await expect(console.get("#provider")).to_have_value("xai")
        await expect(console.get("#provider-hint")).to_contain_text("XAI_API_KEY")
        await expect(console.get("#start-max_cost")).to_have_value("2")
        await expect(console.get("#start-reads_chat")).to_have_value("false")
        await console.get("#join-form details").first.evaluate("(one) => { one.open = true; }")
        offered = await console.get("#provider option").all_inner_texts()
        assert offered[:2] == ["Server default: Local model", "Local model"]
        assert "xAI (not set up)" in offered

        metadata = console.get("#start-metadata")
        await metadata.evaluate("(field) => { field.value = '{\"a\": 1,}'; }")
        await console.get("#join").click()
        await expect(console.notice("One field needs a change")).to_contain_text(
            "metadata: this is not JSON"
        )
        await expect(metadata).to_be_focused()
        await expect(metadata).to_have_attribute("aria-invalid", "true")
        await metadata.fill("")
        await console.get("#start-user_uid").fill("0")
        await console.get("#join").click()
        await expect(console.notice("One field needs a change")).to_contain_text("user_uid")
        await console.get("#start-user_uid").fill("9")
        # What only the server can judge leads to its field too.
        site.start_failure = {
            "error": "Invalid request data: interrupt.min_words: Input should be a valid integer",
            "code": "invalid_request",
        }
        await console.get("#join").click()
        await expect(console.notice("The agent did not start")).to_contain_text("min_words")
        await expect(console.get("#start-interrupt")).to_be_focused()
        site.start_failure = None
        site.requests.clear()
        await console.get("#start-cascade").fill('{"voice": {"api_key": "k"}}')
        await page.get_by_role("button", name="Put choices into the address").click()
        address = page.url
        assert "max_cost=2" in address
        assert "user_uid=9" in address
        assert "api_key" not in address
        await page.goto("about:blank")
        await page.goto(address)
        await expect(console.get("#start-user_uid")).to_have_value("9")
        await expect(console.get("#provider")).to_have_value("xai")
        await console.join("linked")
        body = next(body for path, body in site.requests if path == "/start_agent")
        chosen = {name: body[name] for name in ("provider", "max_cost", "reads_chat", "user_uid")}
        assert chosen == {"provider": "xai", "max_cost": 2, "reads_chat": False, "user_uid": 9}
