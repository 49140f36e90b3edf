"""A small server of Gemini Live, scripted by a test, with fault knobs; TLS as the SDK demands it.

In a test: `async with FakeGeminiServer() as server`, connect a client to `server.uri`, then
`session = await server.next_session()` and let it `hear`, `say`, `call_tools`, `drop` and so on.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.gemini_session import GeminiFaults, GeminiSession, Memory
from tests.fakes.provider_server import ProviderServer, open_socket

__all__ = ["FakeGeminiServer", "GeminiFaults", "GeminiSession", "Tls"]

_PATHS = (
    r"/ws/google.ai.generativelanguage.{version}.GenerativeService.{method:BidiGenerateContent(Constrained)?}",
    "/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent",
)


class Tls:
    """A certificate for this machine that only `client` trusts."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        """host: whom it names, beside 127.0.0.1"""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.path = folder / "certificate.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path = folder / "key.pem"
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.path, key_path)
        self.client = ssl.create_default_context(cafile=str(self.path))


class FakeGeminiServer(ProviderServer[GeminiSession]):
    """Accepts any number of clients on a free port of this machine."""

    def __init__(
        self,
        *,
        faults: GeminiFaults | None = None,
        tls: Tls | None = None,
        reply_with: Callable[[GeminiSession], Any] | None = None,
    ) -> None:
        """reply_with: given to each new session"""
        super().__init__(reply_with=reply_with, tls=None if tls is None else tls.server)
        self.faults = faults or GeminiFaults()
        # Path, query and headers of each handshake.
        self.asked: list[web.BaseRequest] = []
        self._memory = Memory()

    def _add_routes(self, app: web.Application) -> None:
        for path in _PATHS:
            app.router.add_get(path, self._handle_client)

    async def _handle_client(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.was_asked.set()
        if self.faults.is_mute:
            await self._closing.wait()
        key = self.faults.api_key
        shown = request.headers.get("x-goog-api-key") or request.query.get("key")
        if key is not None and shown != key:
            return web.Response(status=403)
        socket = await open_socket(request)
        session = GeminiSession(socket, self.faults, self._memory)
        await self._run(session)
        return socket
