"""GET /agents/definitions: the agents of the owner's app, and why its last version cannot be loaded."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, Field

from config.definition import Definition
from control.app_catalog import AppCatalog
from control.http.auth import access_of
from control.http.bodies import respond


class DefinitionProblem(BaseModel):
    """A mistake to mend in the app. file and line: empty and 0 where it has no place"""

    text: str
    file: str
    line: int


class DefinitionSummary(BaseModel):
    """An agent that a start may name."""

    name: str
    display_name: str = Field(description="name that people see")
    description: str
    provider: str | None = Field(description="null: of the settings, like model and voice")
    model: str | None
    voice: str | None
    language: str | None
    greeting: str | None
    has_instructions: bool
    has_dynamic_instructions: bool = Field(description="a function of the call makes them")
    tools: tuple[str, ...]
    toolsets: tuple[str, ...]
    mcp_servers: tuple[str, ...]
    skills: tuple[str, ...]
    loadable_skills: tuple[str, ...]
    hooks: tuple[str, ...]
    guardrails: tuple[str, ...]
    handoffs: tuple[str, ...]
    members: tuple[str, ...] = Field(description="agents of a chat room; else empty")
    moderator: str = Field(description="of a chat room: a rule, or `function`")
    file: str
    line: int

    @classmethod
    def of(cls, definition: Definition) -> DefinitionSummary:
        """Return the summary of a definition."""
        values = definition.model_dump(include=set(cls.model_fields))
        has_instructions = bool(definition.instructions) or definition.has_dynamic_instructions
        shown = {"display_name": definition.shown_name, "has_instructions": has_instructions}
        return cls.model_validate(values | shown)


class DefinitionList(BaseModel):
    """Agents of the last version of the app that could be loaded."""

    app: str | None = Field(description="setting APP; null: this server has no app")
    agents: list[DefinitionSummary]
    problems: list[DefinitionProblem] = Field(
        description="why the present version of the app cannot be loaded; empty for keys of a team"
    )
    is_watched: bool = Field(description="the app is loaded again when its files change")
    loads: int = Field(description="successful loads since the server's start")
    loaded_at_ms: int | None = Field(description="Unix time of the last one")


class DefinitionsApi:
    """Handler of the definitions."""

    def __init__(self, catalog: AppCatalog | None) -> None:
        self._catalog = catalog

    async def list_definitions(self, request: web.Request) -> web.Response:
        """GET /agents/definitions"""
        catalog = self._catalog
        if catalog is None:
            answer = DefinitionList(
                app=None, agents=[], problems=[], is_watched=False, loads=0, loaded_at_ms=None
            )
            return respond(answer)
        problems = [
            DefinitionProblem(text=each.text, file=each.file, line=each.line)
            for each in catalog.problems
            if access_of(request).is_of_all_teams
        ]
        answer = DefinitionList(
            app=catalog.source.name,
            agents=[DefinitionSummary.of(one) for one in catalog.definitions.values()],
            problems=problems,
            is_watched=catalog.is_watched,
            loads=catalog.loads,
            loaded_at_ms=catalog.loaded_at_ms,
        )
        return respond(answer)
