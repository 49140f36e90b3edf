"""Style of report pages: one HTML file that needs nothing else, in light and dark. Pure."""

from __future__ import annotations

from html import escape
from typing import Final

PAGE_STYLE: Final = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1d20; --soft: #5d6068; --grid: #d9dbe0;
  --good: #1f6b33; --bad: #b3261e; --line-0: #1f5fbf; --line-1: #b4450f; --line-2: #2c7a3f;
  --line-3: #7a3fa0; --line-4: #8a6d00; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --ink: #e8e9ec; --soft: #a3a7b0;
  --grid: #363a42; --good: #7fd492; --bad: #ff9a90; --line-0: #7fb0ff; --line-1: #ff9f6b;
  --line-2: #7fd492; --line-3: #cf9bf0; --line-4: #e0c35a; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; }
p.verdict { font-size: 1.15rem; font-weight: 600; }
.how { color: var(--soft); }
p.how { margin: .25rem 0 .75rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--grid); padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; }
td.number, th.number { text-align: right; }
tr.best { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """Return a page; `title` is text, `body` and `style` are HTML and CSS. Nothing may be loaded from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src 'self' data:\">"
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
