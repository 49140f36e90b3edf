"""Routes of long-term memory."""

from __future__ import annotations

import re
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from config.agent import THREAD_PATTERN, team_key
from control.http.auth import access_of
from control.http.bodies import parse_query, respond
from control.http.errors import ApiError
from control.keys.access import TeamName
from control.store.memories import Memories
from conversation.memory import MemoryText


class MemoryTexts(BaseModel):
    """Texts that models keep under a key, oldest first."""

    model_config = ConfigDict(frozen=True)

    memory_key: str
    texts: list[MemoryText]


class MemoryDeleted(BaseModel):
    """Answer to the deletion of a memory."""

    model_config = ConfigDict(frozen=True)

    memory_key: str
    deleted: int = Field(description="texts that there were")


class TeamQuery(BaseModel):
    """The team whose memory, person or conversation is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    team: TeamName | Literal[""] = Field(
        default="", description="for keys of no team; others mean that of their own"
    )


class MemoryApi:
    """Handlers of long-term memory."""

    def __init__(self, memories: Memories) -> None:
        self._memories = memories

    async def show(self, request: web.Request) -> web.Response:
        """GET /memory/{key}"""
        key = name_in_path(request, "key")
        texts = await self._memories.texts(team_key(named_team(request), key))
        return respond(MemoryTexts(memory_key=key, texts=texts))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /memory/{key}"""
        key = name_in_path(request, "key")
        deleted = await self._memories.delete(team_key(named_team(request), key))
        return respond(MemoryDeleted(memory_key=key, deleted=deleted))


def named_team(request: web.Request) -> str:
    """Return the team of the request's key; of a key of no team, the one that its query names.

    Raises:
        ApiError: 400, the query is invalid.
    """
    asked = parse_query(request, TeamQuery).team
    team = access_of(request).only_team
    return asked if team is None else team


def name_in_path(request: web.Request, name: str) -> str:
    """Return this part of the path, the name of a memory, person or conversation.

    Raises:
        ApiError: 400, it is none.
    """
    text = request.match_info[name]
    if re.fullmatch(THREAD_PATTERN, text) is None:
        raise ApiError(400, "invalid_request", f"{name}: 1 to 128 letters, digits and _ . : @ -")
    return text
