"""`llama_request`: a client's chat-completions request as llama.cpp gets it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from speech.embedded.errors import RequestError
from speech.embedded.model_file import MODEL_NAME
from untrusted.json_reader import InvalidJsonError, read_object

TOOLS_WHEN_REQUIRED: Final = {"tools_in_prompt": "when_required"}
"""Field of requests: the model is told of tools only where it must call one. Otherwise it calls none,
but talks of functions and reads hundreds of tokens more.
"""

# Begins the marks of turns, such as <|im_end|>: text that has one would end its turn and begin another.
_MARK: Final = "<|"
_NO_MARK: Final = "< |"

_MAX_MESSAGES: Final = 1_000
_MAX_TOOLS: Final = 128


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _CalledFunction(BaseModel):
    name: str
    arguments: str

    def plain(self) -> dict[str, Any]:
        """Return it with arguments that are an object: the template takes no others."""
        try:
            arguments = json.dumps(read_object(self.arguments))
        except InvalidJsonError:
            arguments = "{}"
        return {"name": self.name, "arguments": arguments}


class _Call(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: _CalledFunction


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] = []
    tool_call_id: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it with text alone as its content."""
        content = self.content or ""
        if not isinstance(content, str):
            content = "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": content.replace(_MARK, _NO_MARK)}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": call.function.plain()}
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


_ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]


class _Function(BaseModel):
    name: _ToolName
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Function


class _NamedFunction(BaseModel):
    name: _ToolName


class _NamedTool(BaseModel):
    type: Literal["function"]
    function: _NamedFunction


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _JsonSchema(BaseModel):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _Request(BaseModel):
    """Fields of OpenAI's that are honoured; the rest is ignored, as other servers do.

    tools_in_prompt: ours, see `TOOLS_WHEN_REQUIRED`
    """

    model_config = ConfigDict(extra="ignore")

    messages: list[_Message] = Field(min_length=1, max_length=_MAX_MESSAGES)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    tools: list[_Tool] = Field(default=[], max_length=_MAX_TOOLS)
    tool_choice: Literal["auto", "none", "required"] | _NamedTool | None = None
    parallel_tool_calls: bool = False
    response_format: _ResponseFormat | None = None
    tools_in_prompt: Literal["always", "when_required"] = "always"


_PASSED_ON: Final = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
)


@dataclass(frozen=True, slots=True)
class LlamaRequest:
    """A request for llama.cpp.

    is_constrained_call: its answer is the JSON object of a tool call and becomes one (`tool_calls`)
    """

    body: dict[str, Any]
    is_stream: bool
    is_constrained_call: bool = False


def llama_request(given: dict[str, Any], max_reply_tokens: int) -> LlamaRequest:
    """Return the request, checked, with `max_reply_tokens` as the limit of its reply.

    Raises:
        RequestError: 400, it is not one that this server can carry out.
    """
    try:
        request = _Request.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise RequestError(400, "invalid_request", f"{path}: {first['msg']}") from error
    limits = (request.max_tokens, request.max_completion_tokens, max_reply_tokens)
    body: dict[str, Any] = {
        "model": MODEL_NAME,
        "messages": [message.plain() for message in request.messages],
        "stream": request.stream,
        "max_tokens": min(limit for limit in limits if limit is not None),
    }
    values = {name: getattr(request, name) for name in _PASSED_ON}
    body |= {name: value for name, value in values.items() if value is not None}
    if request.stream_options is not None:
        body["stream_options"] = {"include_usage": request.stream_options.include_usage}
    if request.response_format is not None:
        body["response_format"] = request.response_format.model_dump(
            by_alias=True, exclude_none=True
        )
    offered = _wanted_tools(request)
    if request.tools and (offered or request.tools_in_prompt == "always"):
        body["tools"] = [tool.model_dump() for tool in request.tools]
        body["tool_choice"] = "none" if request.tool_choice == "none" or offered else "auto"
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if offered:
        body |= _constraint(offered)
    return LlamaRequest(body, request.stream, bool(offered))


def _wanted_tools(request: _Request) -> list[_Function]:
    """Return the tools of which one has to be called; none: the model is free."""
    functions = [tool.function for tool in request.tools]
    match request.tool_choice:
        case "required":
            wanted = functions
        case _NamedTool(function=named):
            wanted = [each for each in functions if each.name == named.name]
        case _:
            return []
    if not wanted:
        raise RequestError(400, "invalid_request", "tool_choice: no such tool is offered")
    return wanted


def _constraint(offered: list[_Function]) -> dict[str, Any]:
    """Return the fields that leave the model one of these calls and nothing else.

    llama.cpp's own grammar for `required` allows text before the call, without end.
    """
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": one.name}, "arguments": one.parameters},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for one in offered
    ]
    schema = {"anyOf": calls} if len(calls) > 1 else calls[0]
    return {
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
        "chat_template_kwargs": {"is_call_required": True},
        # Arguments repeat what was said.
        "repeat_penalty": 1.0,
    }
