"""The console page and the client for other pages: the files of `web/` that exist when the server starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from control.http.errors import ApiError

WEB_DIR: Final = Path(__file__).resolve().parents[2] / "web"

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(self), display-capture=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Console:
    """Serves exactly the files found at the start; a request's path is looked up, never opened."""

    def __init__(self, directory: Path = WEB_DIR) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): path
            for path in directory.rglob("*")
            if path.suffix in _TYPES and path.is_file()
        }

    async def handle_page(self, _request: web.Request) -> web.StreamResponse:
        """GET /"""
        return self._file("index.html")

    async def handle_asset(self, request: web.Request) -> web.StreamResponse:
        """GET /web/{path}"""
        return self._file(request.match_info["path"])

    async def handle_client(self, _request: web.Request) -> web.StreamResponse:
        """GET /parley.js"""
        return _passed_on("parley.js")

    async def handle_widget(self, _request: web.Request) -> web.StreamResponse:
        """GET /widget.js"""
        return _passed_on("widget.js")

    def _file(self, name: str) -> web.StreamResponse:
        if name not in self._files:
            raise ApiError(404, "not_found", "no such file")
        path = self._files[name]
        # Revalidated each time: a new version of the server brings a new page.
        headers = {"Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8"}
        return web.FileResponse(path, headers=headers | {"Cache-Control": "no-cache"})


def _passed_on(name: str) -> web.Response:
    """Return a module at a stable address that is the one of `web/` with this name: a page that imports
    both, or widget and client, has one client.
    """
    text = f'export * from "./web/{name}";\n'
    headers = {"Content-Type": f"{_TYPES['.js']}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.Response(text=text, headers=headers)
