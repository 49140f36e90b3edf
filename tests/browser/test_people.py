"""The page without an agent: people in a channel, what fails, and what the page says about it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.chromium import (
    DENIED_MICROPHONE,
    NO_MICROPHONE,
    expect_sound,
    open_chromium,
)
from tests.browser.console import Console, open_console
from tests.browser.site import open_site

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
START_FAILURE = {
    "error": "the agent failed while connecting (invalid_api_key): wss://example.org refused us",
    "code": "start_failed",
    "details": [{"field": "provider", "msg": "set OPENAI_API_KEY to a valid key"}],
}
IS_WIDER_THAN_WINDOW = "document.documentElement.scrollWidth > innerWidth"
LOST_SERVER = ("ERR_CONNECTION_REFUSED", "WebSocket connection to")


async def join_without_agent(console: Console, channel: str) -> None:
    """Take the way around an agent that does not start."""
    await console.get("#channel").fill(channel)
    await console.get("#join").click()
    await console.page.get_by_role("button", name="Join without agent").click()
    await expect(console.get("#call")).to_be_visible()


@pytest.mark.asyncio
async def test_two_people_hear_and_write_to_each_other() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        async with (
            open_console(browser, site.url, tolerated=("502",)) as ada,
            open_console(browser, site.url, tolerated=("502",), viewport=PHONE) as bob,
        ):
            await ada.page.get_by_text("Agent and call options").click()
            await ada.get("#name").fill("Ada")
            await join_without_agent(ada, "parlour")
            await join_without_agent(bob, "parlour")

            await expect(bob.get(".person")).to_have_count(2)
            await expect(bob.get("#people")).to_contain_text("Ada")
            await expect_sound(ada.page)
            await expect_sound(bob.page)

            await bob.get("#recipient").select_option("room")
            await bob.get("#message").fill("<b>hello</b>")
            await bob.get("#message").press("Enter")
            await expect(ada.entries("chat").locator(".words")).to_have_text("<b>hello</b>")

            await ada.get("#mute").click()
            await expect(ada.get("#mute")).to_have_attribute("aria-pressed", "true")
            await expect(bob.get(".person").filter(has_text="Ada")).to_contain_text("muted")

            assert not await bob.page.evaluate(IS_WIDER_THAN_WINDOW)
            await bob.get("#leave").click()
            await expect(bob.get("#lobby")).to_be_visible()
            await expect(ada.get(".person")).to_have_count(1)


@pytest.mark.asyncio
async def test_a_start_that_fails_shows_its_cause() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        async with open_console(browser, site.url, tolerated=("502",)) as console:
            await console.get("#channel").fill("parlour")
            await console.get("#join").click()
            notice = console.notice("The agent did not start")
            await expect(notice).to_contain_text("while connecting (invalid_api_key)")
            await expect(notice).to_contain_text("set OPENAI_API_KEY to a valid key")
            await expect(console.get("#join")).to_be_enabled()


@pytest.mark.asyncio
async def test_a_bad_channel_name_is_refused_before_anything_starts() -> None:
    async with (
        open_site() as site,
        open_chromium() as browser,
        open_console(browser, site.url) as console,
    ):
        await console.get("#channel").fill("../etc")
        await console.get("#join").click()
        await expect(console.notice("One field needs a change")).to_be_visible()
        await expect(console.get("#channel")).to_have_attribute("aria-invalid", "true")
        assert site.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("flags", "title"),
    [
        pytest.param(NO_MICROPHONE, "No microphone found", id="none"),
        pytest.param(DENIED_MICROPHONE, "The microphone is blocked", id="denied"),
    ],
)
async def test_without_a_microphone_one_can_still_join(flags: tuple[str, ...], title: str) -> None:
    async with open_site() as site, open_chromium(flags) as browser:
        site.start_failure = START_FAILURE
        async with open_console(browser, site.url, tolerated=("502",)) as console:
            await console.get("#channel").fill("parlour")
            await console.get("#join").click()
            await expect(console.notice(title)).to_be_visible()
            assert site.requests == []
            await console.page.get_by_role("button", name="Join without microphone").click()
            await console.page.get_by_role("button", name="Join without agent").click()
            await expect(console.get("#call")).to_be_visible()
            await expect(console.get("#mute")).to_be_disabled()
            await expect(console.get("#user-note")).to_have_text("no microphone")


@pytest.mark.asyncio
async def test_a_lost_server_is_told_and_the_sound_goes_on() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        tolerated = ("502", *LOST_SERVER)
        async with (
            open_console(browser, site.url, tolerated=tolerated) as ada,
            open_console(browser, site.url, tolerated=tolerated) as bob,
        ):
            await join_without_agent(ada, "parlour")
            await join_without_agent(bob, "parlour")
            await expect_sound(ada.page)
            await site.stop()
            await expect(ada.notice("Connection to the server lost")).to_be_visible()
            await expect(ada.get("#status")).to_contain_text("Server lost")
            await expect_sound(ada.page)

            await site.start()
            await expect(ada.notice("Connection to the server lost")).to_have_count(0)
            await expect(ada.get(".person")).to_have_count(2)
            await expect_sound(ada.page)
            assert await ada.page.evaluate("window.parleyTest.connections") == 1


@pytest.mark.asyncio
async def test_the_same_tab_elsewhere_takes_the_call_over() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        async with open_console(browser, site.url, tolerated=("502",)) as first:
            await join_without_agent(first, "parlour")
            kept = await first.page.evaluate("Object.entries(sessionStorage)")
            second = Console(await first.page.context.new_page())
            await second.page.goto(site.url)
            # As browsers do when a tab is duplicated.
            await remember(second, kept)
            await join_without_agent(second, "parlour")
            await expect(first.notice("This call goes on in another tab")).to_be_visible()
            await expect(first.get("#lobby")).to_be_visible()


async def remember(console: Console, kept: list[list[str]]) -> None:
    store = "(kept) => { for (const [name, value] of kept) sessionStorage.setItem(name, value); }"
    await console.page.evaluate(store, kept)


@pytest.mark.asyncio
async def test_a_uid_alone_takes_nobodys_place_and_the_page_gets_another() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        async with (
            open_console(browser, site.url, tolerated=("502",)) as ada,
            open_console(browser, site.url, tolerated=("502",)) as bob,
        ):
            await join_without_agent(ada, "parlour")
            uid = await ada.page.evaluate("sessionStorage.getItem('parley.uid')")
            await remember(bob, [["parley.uid", uid]])
            without_agent = bob.page.get_by_role("button", name="Join without agent")
            await bob.get("#channel").fill("parlour")
            await bob.get("#join").click()
            await without_agent.click()
            await expect(bob.notice("The room did not take you in")).to_be_visible()
            await bob.page.get_by_role("button", name="Try again").click()
            await without_agent.click()
            await expect(bob.get("#call")).to_be_visible()
            await expect(ada.get(".person")).to_have_count(2)
            assert uid != await bob.page.evaluate("sessionStorage.getItem('parley.uid')")


@pytest.mark.asyncio
async def test_a_page_that_goes_away_says_goodbye() -> None:
    async with open_site() as site, open_chromium() as browser:
        site.start_failure = START_FAILURE
        async with (
            open_console(browser, site.url, tolerated=("502",)) as ada,
            open_console(browser, site.url, tolerated=("502",)) as bob,
        ):
            await join_without_agent(ada, "parlour")
            await join_without_agent(bob, "parlour")
            await expect(ada.get(".person")).to_have_count(2)
            await bob.page.goto("about:blank")
            await expect(ada.entries("note")).to_contain_text("left")
            await expect(ada.get(".person")).to_have_count(1)


@pytest.mark.asyncio
async def test_the_agents_of_the_app_are_offered_by_their_names() -> None:
    desk = {"name": "orders", "display_name": "Order desk", "description": "Takes orders."}
    cook = {"name": "cook", "display_name": "The cook", "description": ""}
    async with open_site() as site, open_chromium(NO_MICROPHONE) as browser:
        site.start_failure = START_FAILURE
        async with open_console(browser, site.url, tolerated=("502",)) as console:
            await expect(console.get("#join")).to_be_enabled()
            await expect(console.get("#agent-field")).to_be_hidden()
            agents = [{**one, "greeting": "Order desk, good day."} for one in (desk, cook)]
            site.definitions = {"app": "orders.py", "agents": agents, "problems": []}
            await expect(console.get("#agent-hint")).to_have_text("Takes orders.")
            await console.page.get_by_text("Agent and call options").click()
            greeting = console.get("#greeting")
            await expect(greeting).to_have_attribute("placeholder", "Order desk, good day.")
            join = console.page.get_by_role("button", name="Join without microphone")
            await console.get("#channel").fill("desk")
            await console.get("#join").click()
            await join.click()
            await expect(console.notice("The agent did not start")).to_be_visible()
            start = {"channel_name": "desk", "uid": 1000, "show_tools": "full"}
            assert site.requests == [("/start_agent", {**start, "agent": "orders"})]
            # A choice stays when the app is loaded anew, and what is wrong with it is shown.
            await console.get("#agent").select_option("The cook")
            problem = {"text": "no such tool", "file": "orders.py", "line": 7}
            site.definitions = {"app": "orders.py", "agents": agents[1:], "problems": [problem]}
            notice = console.notice("orders.py cannot be loaded")
            await expect(notice).to_contain_text("orders.py:7: no such tool")
            await expect(console.get("#agent")).to_have_value("cook")
            # None of them: the page's own suggestions are back.
            await console.get("#agent").select_option("")
            await expect(greeting).to_have_value("Hello, how can I help you?")
            site.definitions = {"app": None, "agents": [], "problems": []}
            await expect(notice).to_have_count(0)
            await expect(console.get("#agent-field")).to_be_hidden()
