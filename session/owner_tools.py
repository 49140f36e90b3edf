"""Tools of a definition, offered to the model of one conversation."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import yarl

from parley.agent import Agent
from parley.call import Call
from parley.http_tool import HttpTool
from parley.ready_tools import adapted
from parley.tool_definition import Tool, ToolDefinitionError
from tool_functions import ApprovalRule
from tool_schema import InvalidArgumentsError
from tools import ToolContext, ToolDeclarationError, ToolError
from toolsets.http_calls import HttpCalls


def register_tools(
    definition: Agent,
    tools: ToolContext,
    call: Call | None = None,
    *,
    http: HttpCalls | None = None,
) -> None:
    """Register the tools that `definition` declares.

    call, http: for its functions and HTTP tools; None at load, when none of them runs

    Raises:
        ToolDeclarationError: A name is taken, or a tool cannot be offered as it is declared.
    """
    for declared in definition.tools:
        match each := adapted(declared, definition):
            case Tool():
                function = (
                    functools.partial(each.function, call) if each.takes_call else each.function
                )
                _register(each, each.text, function, tools, call)
            case HttpTool():
                _register(each, each.description, _request(each, http), tools, call)
            case _:
                text = f"agent {definition.name}: tools: {each!r} is no function and no tool"
                raise ToolDeclarationError(text)


def _register(
    tool: Tool | HttpTool,
    description: str,
    function: Callable[..., Any],
    tools: ToolContext,
    call: Call | None,
) -> None:
    tool.check()
    tools.register_function(
        tool.name,
        description,
        function,
        tool.schema,
        timeout_s=tool.timeout_s,
        cancel_on_interrupt=tool.cancel_on_interrupt,
        needs_approval=_approval_rule(tool, call),
        start_response=not tool.is_silent,
        place=tool.place,
    )


def _request(tool: HttpTool, http: HttpCalls | None) -> Callable[..., Awaitable[Any]]:
    """Return a function that makes the requests of `tool`."""
    tool.check()
    headers, secrets = tool.sent_headers(), tool.secret_values()
    if http is not None and not http.allows(
        yarl.URL(f"{tool.url.partition(':')[0]}://{tool.host}")
    ):
        text = f"tool {tool.name}: {tool.host} is not in HTTP_TOOL_HOSTS: add it there"
        raise ToolDefinitionError(text, tool.place)

    async def request(**arguments: Any) -> Any:
        assert http is not None
        try:
            url, body = tool.request(arguments)
        except InvalidArgumentsError as error:
            raise ToolError(str(error)) from error
        return await http.request(
            tool.method,
            url,
            headers=headers,
            body=body,
            secrets=secrets,
            max_bytes=tool.max_result_bytes,
        )

    return request


def _approval_rule(tool: Tool | HttpTool, call: Call | None) -> ApprovalRule:
    rule = tool.needs_approval
    return rule if isinstance(rule, bool) else functools.partial(rule, call)  # type: ignore[arg-type]
