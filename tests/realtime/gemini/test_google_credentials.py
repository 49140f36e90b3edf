"""Google's application default credentials, by the real library against token servers of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from aiohttp import web

from realtime.api_keys import forget_key, resolve_key
from realtime.gemini.google_credentials import SCOPE, GoogleCredentials
from realtime.gemini.model import GeminiLiveModel
from realtime.model import ModelConnectError
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults
from tests.fakes.http_server import HttpServer
from tests.realtime.gemini.call import MODEL, config


class TokenServer:
    """Google's token endpoint and metadata server, as its documentation has them."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.forms: list[dict[str, Any]] = []
        self.status = 200
        self._server = HttpServer(port=0)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/token", self._grant)
        app.router.add_get("/", self._ping)
        app.router.add_get("/computeMetadata/v1/{path:.*}", self._metadata)
        await self._server.start(app)

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    async def _grant(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        self.forms.append(dict(await request.post()))
        if self.status == 302:
            raise web.HTTPFound("http://127.0.0.1:9/elsewhere")
        if self.status != 200:
            body = {"error": "invalid_grant", "error_description": "not you, sk-secret"}
            return web.json_response(body, status=self.status)
        return web.json_response(
            {"access_token": f"ya29.{len(self.forms)}", "expires_in": 3600, "token_type": "Bearer"}
        )

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(headers={"Metadata-Flavor": "Google"})

    async def _metadata(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        headers = {"Metadata-Flavor": "Google"}
        match request.match_info["path"]:
            case "instance/service-accounts/default/":
                body: Any = {"email": "robot@p.iam", "scopes": [SCOPE], "aliases": ["default"]}
                return web.json_response(body, headers=headers)
            case path if path.endswith("/token"):
                body = {"access_token": "ya29.machine", "expires_in": 3600, "token_type": "Bearer"}
                return web.json_response(body, headers=headers)
            case "project/project-id":
                return web.Response(text="p", headers=headers)
            case _:
                return web.Response(text="googleapis.com", headers=headers)


@pytest_asyncio.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    server = TokenServer()
    await server.start()
    yield server
    await server.stop()


def service_account(tokens: TokenServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of a service account in the environment; returns its private key."""
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA"], capture_output=True, check=True, text=True
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": made.stdout,
        "client_email": "robot@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://{tokens.host}/token",
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return made.stdout


@pytest.mark.asyncio
async def test_a_service_account_opens_sessions_at_vertex(
    tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_account(tokens, tmp_path, monkeypatch)
    key = GoogleCredentials()
    query = {"project": "p", "location": "l"}
    async with FakeGeminiServer(faults=GeminiFaults()) as server:
        for _ in range(2):
            model = GeminiLiveModel(MODEL)
            await model.connect(config(server, query=query, api_key=key))
            await model.close()
        shown = [asked.headers["Authorization"] for asked in server.asked]
    assert shown == ["Bearer ya29.1"] * 2, "a token is kept as long as it is valid"
    assertion = tokens.forms[0]["assertion"]
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert (claims["iss"], claims["scope"]) == ("robot@p.iam.gserviceaccount.com", SCOPE)
    assert forget_key(key), "a kept token that is refused is made anew"
    assert await resolve_key(key) == "ya29.2"
    assert not forget_key(key)


@pytest.mark.asyncio
async def test_the_account_of_the_machine_is_used_without_a_file(
    tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    # As GCE_METADATA_HOST, which the library reads when it is imported.
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", tokens.host)
    monkeypatch.setenv("GCE_METADATA_IP", tokens.host)
    assert await resolve_key(GoogleCredentials()) == "ya29.machine"
    assert all(each.headers["Metadata-Flavor"] == "Google" for each in tokens.asked)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 302])
async def test_a_refusal_is_named_without_what_was_answered(
    status: int, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_account(tokens, tmp_path, monkeypatch)
    tokens.status = status
    with pytest.raises(ModelConnectError) as caught:
        await resolve_key(GoogleCredentials())
    assert caught.value.code == "no_api_key"
    assert str(caught.value).startswith("Google gave no credentials (")
    assert "secret" not in str(caught.value)


@pytest.mark.asyncio
async def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ModelConnectError, match="requirements-vertex"):
        await resolve_key(GoogleCredentials())
