"""axe-core in a page of Chromium: the rules of WCAG 2.2, A and AA, and axe's best practices."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final, Literal

from playwright.async_api import Page

SIZES: Final[tuple[tuple[Literal["light", "dark"], int], ...]] = (
    ("light", 1280),
    ("dark", 1280),
    ("dark", 390),
    ("light", 390),
)
"""Colour schemes and widths of windows; the last is a phone's."""

_SOURCE: Final = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
_RUN: Final = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  // Colours that are on their way to others have no contrast of their own.
  for (const animation of document.getAnimations()) {
    if (animation.effect.getComputedTiming().iterations !== Infinity) animation.finish();
  }
  const { violations } = await axe.run({ runOnly: tags, resultTypes: ['violations'] });
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`)]);
}"""


async def expect_accessible(page: Page) -> None:
    """No rule is broken by what the page shows now."""
    # By the debugger: the page's own policy forbids scripts of others.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_SOURCE)
    violations: list[Any] = await page.evaluate(_RUN)
    assert not violations, violations


async def expect_accessible_everywhere(page: Page) -> None:
    """Light, dark, and as wide as a phone: no rule is broken, and nothing sticks out of the window."""
    for scheme, width in SIZES:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 844})
        await expect_accessible(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.set_viewport_size({"width": 1280, "height": 844})
