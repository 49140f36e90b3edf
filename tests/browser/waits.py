"""What tests of both browsers wait for in a page."""

from __future__ import annotations

from typing import Any, Final, Protocol

WAIT_MS: Final = 30_000

# An element; what stands behind `>>` is looked for in the shadow of what stands before.
FIND: Final = """(selector) => selector.split(' >> ').reduce(
  (root, part) => (root?.shadowRoot ?? root)?.querySelector(part) ?? null, document)"""


class Scripted(Protocol):
    """A page that runs scripts."""

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a function gives in the page."""
        ...


async def wait_until(page: Scripted, script: str, argument: Any = None) -> Any:
    """Until `script`, a function of `find` (by selector) and `argument`, gives something true."""
    # Pages forbid to evaluate a text, so it becomes part of the function.
    until = f"""async ({{ argument, deadlineMs }}) => {{
      const find = {FIND};
      const isMet = {script};
      const since = performance.now();
      for (;;) {{
        const found = isMet(find, argument);
        if (found) return found;
        if (performance.now() > since + deadlineMs) throw new Error('not met: ' + isMet + JSON.stringify(argument));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }}
    }}"""
    return await page.evaluate(until, {"argument": argument, "deadlineMs": WAIT_MS})


async def wait_until_seen(page: Scripted, selector: str) -> None:
    """Until an element can be seen and used."""
    await wait_until(
        page,
        "(find, selector) => { const found = find(selector);"
        " return found !== null && !found.disabled && found.getClientRects().length > 0; }",
        selector,
    )


async def wait_for_text(page: Scripted, selector: str, text: str) -> None:
    """Until an element contains a text."""
    script = "(find, [selector, text]) => find(selector)?.textContent.includes(text)"
    await wait_until(page, script, [selector, text])
