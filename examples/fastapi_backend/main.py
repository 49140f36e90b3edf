"""A shop's own backend: its page talks to an agent, and Parley's API key stays here.

In one terminal, Parley with a key, a secret for room tokens, and the page's origin:

    API_KEYS=$KEY ROOM_TOKEN_SECRET=$SECRET ALLOWED_ORIGINS=http://127.0.0.1:8000 \
        make run APP=examples/order_desk

In another one (KEY and SECRET are 32 characters or more, of `openssl rand -hex 32`):

    python3 -m venv /tmp/shop && /tmp/shop/bin/pip install -r examples/fastapi_backend/requirements.txt
    PARLEY_API_KEY=$KEY /tmp/shop/bin/uvicorn --app-dir examples/fastapi_backend main:app --port 8000

and open http://127.0.0.1:8000. PARLEY_URL (http://127.0.0.1:8080) is where the page and this backend reach Parley.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse

PARLEY_URL = os.environ.get("PARLEY_URL", "http://127.0.0.1:8080").rstrip("/")
API_KEY = os.environ["PARLEY_API_KEY"]
AGENT = "orders"
CHANNEL = r"^visit-[0-9a-f]{16}$"

MAX_STARTS_PER_MINUTE = 30
"""Of all visitors together: each start costs. A shop that knows its visitors counts for each of them."""

PAGE = Path(__file__).with_name("index.html").read_text(encoding="utf-8")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=PARLEY_URL, headers=headers, timeout=30) as client:
        app.state.parley = client
        yield


app = FastAPI(lifespan=_lifespan)
_starts: deque[float] = deque(maxlen=MAX_STARTS_PER_MINUTE)


@app.exception_handler(HTTPException)
async def show_problem(_request: Request, problem: HTTPException) -> JSONResponse:
    """Answer in the form of which the widget shows the sentence."""
    return JSONResponse({"error": problem.detail}, problem.status_code)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    """Serve the page, with the place of Parley filled in."""
    return PAGE.replace("PARLEY_URL", PARLEY_URL)


@app.post("/session")
async def session(
    channel: Annotated[str | None, Body(embed=True, pattern=CHANNEL)] = None,
) -> dict[str, str]:
    """Start an agent for a visitor, and give the page a token for its channel.

    The page names a channel when the call comes back after a drop and its token has expired: its name is
    the proof that the visitor was in it, so it must not be guessable. Which agent it is, we decide.
    """
    if channel is None:
        channel = f"visit-{secrets.token_hex(8)}"
        _count_start()
        await _ask("/start_agent", {"channel_name": channel, "agent": AGENT})
    token = await _ask("/token", {"channel_name": channel, "role": "user", "ttl_s": 600})
    return {"server": PARLEY_URL, "channel": channel, "token": str(token["token"])}


def _count_start() -> None:
    """Refuse one start too many."""
    now_s = time.monotonic()
    if len(_starts) == MAX_STARTS_PER_MINUTE and now_s - _starts[0] < 60:
        raise HTTPException(429, "All our lines are busy. Please try again in a minute.")
    _starts.append(now_s)


async def _ask(path: str, body: dict[str, object]) -> dict[str, object]:
    """Ask Parley. Its reasons are for the shop's log; the visitor gets a sentence."""
    client: httpx.AsyncClient = app.state.parley
    try:
        answer = await client.post(path, json=body)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise HTTPException(503, "Nobody can take your call at the moment.") from error
    found: dict[str, object] = answer.json()
    return found
