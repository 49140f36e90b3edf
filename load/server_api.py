"""Requests of a load to the server that it loads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from untrusted.http_answer import NoAnswerError, fetch
from untrusted.json_reader import InvalidJsonError, read_object

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 40.0
READ_TIMEOUT_S: Final = 10.0
METRICS: Final = "/metrics"
_TOKEN_TTL_S: Final = 24 * 3600


class ServerApiError(Exception):
    """The server does not answer, or not as Parley does; the text is one line."""


@dataclass(frozen=True)
class StartRefused:
    """A start that did not succeed.

    code: the error's word; cause: of `at_capacity`, the limit that was met, or of a failed start its phase
    is_refusal: the server had no room; else it tried and failed
    """

    code: str
    cause: str
    text: str
    is_refusal: bool

    @property
    def reason(self) -> str:
        """Code and cause in one."""
        return f"{self.code}: {self.cause}" if self.cause else self.code


@dataclass(frozen=True)
class Started:
    """An agent that is ready. took_ms: as the caller of the API waited"""

    took_ms: float


class ServerApi:
    """The control API of one server, with its key if it needs one."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        api_key: SecretStr | None,
        metrics_token: SecretStr | None = None,
    ) -> None:
        """metrics_token: for the metrics, which a key of a team may not read; None: the key"""
        self.url = url
        self._http = http
        self._headers = _bearer(api_key)
        self._metrics_headers = _bearer(metrics_token or api_key)

    async def start(self, channel: str, fields: dict[str, Any]) -> Started | StartRefused:
        """Start an agent in `channel`; fields: more of the start request.

        Raises:
            ServerApiError: no answer.
        """
        began_s = time.monotonic()
        body = {**fields, "channel_name": channel}
        status, answer = await self._ask("/start_agent", body, START_TIMEOUT_S)
        if status == 200:
            return Started(round((time.monotonic() - began_s) * 1000, 1))
        return _refused(status, answer)

    async def stop(self, channel: str) -> None:
        """Stop the channel's agent, if it has one.

        Raises:
            ServerApiError: no answer.
        """
        await self._ask("/stop_agent", {"channel_name": channel}, STOP_TIMEOUT_S)

    async def room_token(self, channel: str) -> str | None:
        """Return a token for a user of this room; None: it needs none.

        Raises:
            ServerApiError: no answer, or the key may not mint one.
        """
        body = {"channel_name": channel, "role": "user", "ttl_s": _TOKEN_TTL_S}
        status, answer = await self._ask("/token", body, READ_TIMEOUT_S)
        if status != 200:
            raise ServerApiError(f"{self.url}/token: {status} {answer.get('error', '')}")
        token = answer.get("token")
        return None if token is None else str(token)

    async def agents(self) -> list[dict[str, Any]]:
        """Return the live agents.

        Raises:
            ServerApiError: no answer, or the key may not see them.
        """
        status, answer = await self._ask("/agents", None, READ_TIMEOUT_S)
        agents = answer.get("agents")
        if status != 200 or not isinstance(agents, list):
            raise ServerApiError(f"{self.url}/agents: {status} {answer.get('error', '')}")
        return [one for one in agents if isinstance(one, dict)]

    async def metrics(self) -> dict[str, float]:
        """Return all samples of `GET /metrics` by name and labels; empty if it is not to be had."""
        try:
            status, content = await self._fetch(METRICS, None, READ_TIMEOUT_S)
        except ServerApiError:
            return {}
        return parse_metrics(content.decode(errors="replace")) if status == 200 else {}

    async def _ask(
        self, route: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        status, content = await self._fetch(route, body, timeout_s)
        try:
            return status, read_object(content)
        except InvalidJsonError as error:
            raise ServerApiError(f"{self.url}{route} is no Parley server: {error}") from error

    async def _fetch(
        self, route: str, body: dict[str, Any] | None, timeout_s: float
    ) -> tuple[int, bytes]:
        headers = self._metrics_headers if route == METRICS else self._headers
        try:
            return await fetch(
                self._http, f"{self.url}{route}", body=body, headers=headers, timeout_s=timeout_s
            )
        except NoAnswerError as error:
            raise ServerApiError(str(error)) from error


def _bearer(secret: SecretStr | None) -> dict[str, str]:
    return {} if secret is None else {"Authorization": f"Bearer {secret.get_secret_value()}"}


def _refused(status: int, answer: dict[str, Any]) -> StartRefused:
    details = answer.get("details")
    first = details[0] if isinstance(details, list) and details else {}
    cause = first.get("cause") or first.get("phase") if isinstance(first, dict) else ""
    return StartRefused(
        code=str(answer.get("code") or status),
        cause=str(cause or ""),
        text=str(answer.get("error") or f"status {status}")[:300],
        is_refusal=status in (429, 503),
    )


def parse_metrics(text: str) -> dict[str, float]:
    """Return samples of Prometheus' text format, as `name{label="value"}`; labels sorted by name."""
    values: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    except ValueError:
        return {}
    return values
