"""CPU time that the text of replies takes on its way to the voice: `python -m bench.spoken_text`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from bench.figures import HEADER, row
from speech.spoken_text.clause_splitter import ClauseSplitter, clauses
from speech.spoken_text.spoken_form import spoken_form

_REPLY = """Sure, here is what I found for your trip to Lisbon. The train leaves at 3:45 p.m. from \
platform 4, and it takes about 2.5 hours, which is faster than the bus.

1. **Book online** at [the site](https://example.com/book?id=3)
2. Bring your ID

Tickets cost $45.50 each - hurry! I have put a *table* of all departures below, because there are
more than you asked for.

| Train | Departs |
|---|---|
| IC 502 | 15:45 |
"""
_ROUNDS = 200


def main() -> None:
    """Print microseconds per token of a stream and per clause."""
    tokens = re.findall(r"\s?\w{1,5}|\W", _REPLY)
    spoken = [clause.spoken for clause in clauses(_REPLY) if clause.spoken]
    print(HEADER)
    _print("push a token", lambda: _stream(tokens), len(tokens))
    _print("spoken form of a clause", lambda: [spoken_form(text) for text in spoken], len(spoken))


def _stream(tokens: list[str]) -> None:
    splitter = ClauseSplitter()
    for token in tokens:
        splitter.push(token)
    splitter.flush()


def _print(name: str, run: Callable[[], object], count: int) -> None:
    times: list[float] = []
    for _ in range(_ROUNDS):
        start = time.thread_time()
        run()
        times.append((time.thread_time() - start) / count * 1e6)
    print(row(name, "us", times))


if __name__ == "__main__":
    main()
