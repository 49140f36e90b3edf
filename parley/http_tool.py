"""`HttpTool`: a tool that is an HTTP request, declared rather than coded."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal
from urllib.parse import quote

import yarl
from pydantic import BaseModel

from parley.tool_definition import NeedsApproval, ToolDefinitionError
from tool_schema import GivenSchema, InvalidArgumentsError, ModelSchema
from tools import DEFAULT_TIMEOUT_S, Schema, is_tool_name

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MAX_RESULT_BYTES: Final = 32_000
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WITH_BODY: Final = ("POST", "PUT", "PATCH")
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAMPLE: Final = "x"


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret; it holds a name, never the value.

    variable: of the environment; form: text around the value, `{}`
    """

    variable: str
    form: str = "{}"

    def read(self) -> str | None:
        """Return the text with the value; None if the variable is not set."""
        value = os.environ.get(self.variable, "").strip()
        return self.form.replace("{}", value) if value else None


def secret(variable: str, form: str = "{}") -> Secret:
    """Refer to a variable of the environment: `secret("ORDERS_TOKEN", "Bearer {}")`.

    The server hands it to agents if `APP_VARIABLES` names it.
    """
    return Secret(variable, form)


@dataclass(frozen=True, kw_only=True, eq=False)
class HttpTool:
    """A tool that is an HTTP request. Its host must be in `HTTP_TOOL_HOSTS`.

    Arguments go where they are named: into `{placeholders}` of the URL's path and query, encoded; into
    the query, where `query` names them or the method has no body; all others into a JSON body.

    Attributes:
        name, description: For the model.
        url: Of http or https, with placeholders.
        headers: Values are texts, or `secret(...)`; arguments never get into headers.
        parameters: JSON Schema, or a pydantic model; None: the placeholders and `query`, as texts.
        query: Names of arguments that go into the query.
        max_result_bytes: A longer answer is an error.
        needs_approval, cancel_on_interrupt, timeout_s, is_silent: As of `Tool`.
    """

    name: str
    description: str
    url: str
    method: Method = "GET"
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    parameters: Mapping[str, Any] | type[BaseModel] | None = None
    query: Sequence[str] = ()
    max_result_bytes: int = MAX_RESULT_BYTES
    needs_approval: NeedsApproval = False
    cancel_on_interrupt: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_silent: bool = False
    place: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        # The line that makes it, for errors: 0 is this method, 1 the generated one around it.
        frame = sys._getframe(2)  # noqa: SLF001 - as `warnings` and `logging` do
        object.__setattr__(self, "place", f"{frame.f_code.co_filename}:{frame.f_lineno}")

    @property
    def host(self) -> str:
        """Host, with the port that is called."""
        url = yarl.URL(_PLACEHOLDER.sub(_SAMPLE, self.url))
        return f"{url.host}:{url.port}"

    @cached_property
    def schema(self) -> Schema:
        """Schema of the arguments.

        Raises:
            ToolDefinitionError: None follows from the declaration.
        """
        try:
            if isinstance(self.parameters, type):
                return ModelSchema(self.parameters)
            return GivenSchema(self.parameters or self._plain_parameters())
        except (ValueError, TypeError, AttributeError) as error:
            raise self._error(f"parameters: {error}") from error

    def check(self) -> None:
        """
        Raises:
            ToolDefinitionError: The tool cannot be offered as it is declared.
        """
        for problem in (
            self._problem_of_values(),
            self._problem_of_url(),
            self._problem_of_arguments(),
            self._problem_of_headers(),
        ):
            if problem is not None:
                raise self._error(problem)

    def sent_headers(self) -> dict[str, str]:
        """Return the headers with secrets in clear text.

        Raises:
            ToolDefinitionError: A variable is not set; names it.
        """
        sent: dict[str, str] = {}
        for name, value in self.headers.items():
            text = value.read() if isinstance(value, Secret) else value
            if text is None:
                assert isinstance(value, Secret)
                remedy = "set it, and name it in APP_VARIABLES where a server runs the agent"
                raise self._error(f"there is no variable {value.variable}: {remedy}")
            if _HEADER_VALUE.fullmatch(text) is None:
                raise self._error(f"header {name}: its value has characters that no header takes")
            sent[name] = text
        return sent

    def secret_values(self) -> frozenset[str]:
        """Return the values of the secrets that are set, in clear text."""
        used = [value for value in self.headers.values() if isinstance(value, Secret)]
        return frozenset(filter(None, (Secret(each.variable).read() for each in used)))

    def request(self, arguments: Mapping[str, Any]) -> tuple[yarl.URL, dict[str, Any] | None]:
        """Return URL and JSON body for these arguments.

        Raises:
            InvalidArgumentsError: An argument cannot stand in the path.
        """
        left = dict(arguments)
        parts = {name: _text(left.pop(name, "")) for name in self._placeholders}
        url = _filled(self.url, parts)
        has_body = self.method in _WITH_BODY
        named = [name for name in left if name in self.query or not has_body]
        pairs = [(name, _text(each)) for name in named for each in _values(left.pop(name))]
        return url.extend_query(pairs) if pairs else url, left if has_body else None

    @property
    def _placeholders(self) -> list[str]:
        return list(dict.fromkeys(_PLACEHOLDER.findall(self.url)))

    def _plain_parameters(self) -> dict[str, Any]:
        names = dict.fromkeys([*self._placeholders, *self.query])
        return {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "required": self._placeholders,
            "additionalProperties": False,
        }

    def _problem_of_values(self) -> str | None:
        if not is_tool_name(self.name):
            return "names are 1 to 64 letters, digits, underscores and hyphens"
        if self.method not in _METHODS:
            return f"method: one of {', '.join(_METHODS)}"
        if isinstance(self.query, str):
            return "query: give a list of names"
        if not (self.timeout_s > 0 and self.max_result_bytes > 0):
            return "timeout_s and max_result_bytes must be above 0"
        return None

    def _problem_of_url(self) -> str | None:
        before, _, after = self.url.partition("://")
        authority = re.split(r"[/?#]", after, maxsplit=1)[0]
        if before not in ("http", "https") or not authority:
            return "url: need http://… or https://…"
        if "{" in authority or "@" in authority:
            return "url: its host is fixed; user and password belong into headers"
        if "#" in after:
            return "url: what follows # is never sent"
        if "{" in _PLACEHOLDER.sub("", self.url):
            return "url: placeholders are {name}"
        try:
            has_host = bool(yarl.URL(_PLACEHOLDER.sub(_SAMPLE, self.url)).host)
        except ValueError as error:
            return f"url: {error}"
        return None if has_host else "url: it has no host"

    def _problem_of_arguments(self) -> str | None:
        properties = self.schema.parameters.get("properties", {})
        required = self.schema.parameters.get("required", [])
        for name in self._placeholders:
            if name not in required:
                return f"url: {{{name}}} must be one of the required parameters"
        for name in self.query:
            if name not in properties:
                return f"query: there is no parameter {name}"
        return None

    def _problem_of_headers(self) -> str | None:
        for name, value in self.headers.items():
            if _HEADER.fullmatch(name) is None or name.lower() in ("host", "content-length"):
                return f"header {name!r}: there can be no such header"
            if isinstance(value, Secret):
                if _VARIABLE.fullmatch(value.variable) is None or "{}" not in value.form:
                    return f'header {name}: write secret("NAME") or secret("NAME", "Bearer {{}}")'
            elif not isinstance(value, str):
                return f"header {name}: give a text or a secret"
        return None

    def _error(self, text: str) -> ToolDefinitionError:
        return ToolDefinitionError(f"tool {self.name}: {text}", self.place)


def _filled(url: str, parts: Mapping[str, str]) -> yarl.URL:
    """Return the URL with its placeholders filled, so that a value stays within its place."""
    path, mark, query = url.partition("?")
    path = _PLACEHOLDER.sub(lambda found: _segment(parts[found[1]]), path)
    query = _PLACEHOLDER.sub(lambda found: _quoted(parts[found[1]]), query)
    return yarl.URL(path + mark + query, encoded=True)


def _segment(text: str) -> str:
    # A server may resolve dots even where they are encoded, and nothing shifts what follows.
    if text.strip(".") == "":
        raise InvalidArgumentsError(f"an argument of the path must be more than {text!r}")
    return _quoted(text)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            return ""
    return json.dumps(value, ensure_ascii=False)


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
