"""Prefect's server as merrflow runs it: its first page leads to the form, and no page calls an analytics host.

Prefect's pages (3.8) ask amplitude.com for a configuration whatever PREFECT_SERVER_ANALYTICS_ENABLED says, and their
first page is an empty dashboard. So its application is served as it is, behind a layer that gives every page a
Content-Security-Policy, which browsers enforce, and that sends people from "/" to the deployment.
"""

from __future__ import annotations

import os
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import httpx
import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merrflow.flow.busy_database import AskedAgain
from merrflow.flow.names import ANNOTATE

DAY = 24 * 3600
END_SECONDS = 5  # that connections may take when the server ends
_ASK_SECONDS = 5.0
_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_COOKIE = "prefect_ui_version"  # by which Prefect remembers who prefers its older pages
_OLDER = "v1"


def environment(host: str, port: int, keep_days: int) -> dict[str, str]:
    """Prefect's settings for its server; what is set already goes first. keep_days: of its history; 0: all."""
    days = {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs" if keep_days else "events",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(max(keep_days, 1) * DAY),
    }
    place = {"PREFECT_SERVER_API_HOST": host, "PREFECT_SERVER_API_PORT": str(port)}
    return _DEFAULTS | days | place


def policy(api_url: str) -> str:
    """What Prefect's pages may load and call: this server, and the API at this URL if that is another address."""
    parts = urlsplit(api_url)
    api = (
        f" {parts.scheme}://{parts.netloc} ws{parts.scheme.removeprefix('http')}://{parts.netloc}"
        if parts.netloc
        else ""
    )
    return (
        f"default-src 'self'; connect-src 'self'{api}; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
        "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    )


class Pages:
    """ASGI middleware around Prefect's application."""

    def __init__(self, app: ASGIApp, api_url: str) -> None:
        """api_url: of the API, as browsers see it."""
        self._app = app
        self._policy = policy(api_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] == "/" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            answer = RedirectResponse(await self._first_page(headers), 307, {"Cache-Control": "no-store"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, self._with_policy(send))

    async def _first_page(self, headers: Headers) -> str:
        """The page of the deployment, with its runs and the button Run; the list of deployments if it is not known."""
        base = "" if _preferred(headers) == _OLDER else "/v2"
        transport = httpx.ASGITransport(self._app)
        given = {name: headers[name] for name in ("authorization",) if name in headers}
        async with httpx.AsyncClient(transport=transport, base_url="http://prefect", timeout=_ASK_SECONDS) as client:
            try:
                answer = await client.get(f"/api/deployments/name/{ANNOTATE}", headers=given)
                return f"{base}/deployments/deployment/{answer.raise_for_status().json()['id']}"
            except (httpx.HTTPError, ValueError, KeyError):  # no worker has registered yet, or a password is wanted
                return f"{base}/deployments"

    def _with_policy(self, send: Send) -> Send:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Content-Security-Policy"] = self._policy
                    headers["X-Content-Type-Options"] = "nosniff"
                    headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        return with_policy


def _preferred(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def serve(host: str, port: int, keep_days: int) -> None:
    """Blocks until SIGTERM or Ctrl-C."""
    for name, value in environment(host, port, keep_days).items():
        os.environ.setdefault(name, value)
    # Prefect reads its settings from the environment when it is imported.
    from prefect.server.api.server import create_app
    from prefect.settings import PREFECT_UI_API_URL, get_current_settings

    api = get_current_settings().server.api
    uvicorn.run(
        Pages(AskedAgain(create_app(final=True)), PREFECT_UI_API_URL.value() or ""),
        host=host,
        port=port,
        log_level=get_current_settings().server.logging_level.lower(),
        lifespan="on",
        timeout_keep_alive=api.keepalive_timeout,
        timeout_graceful_shutdown=END_SECONDS,
    )
