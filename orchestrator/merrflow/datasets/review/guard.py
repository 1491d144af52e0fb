"""Who may ask a server of pages for anything: pages of itself alone, and people with the token if there is one.

Loopback does not keep out pages of other sites that the same browser shows: they may send requests to any address
(CSRF), or reach it under a name of their own (DNS rebinding). So the Host must be this server's, what changes anything
must come from its own page, and nothing may be embedded elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from merrflow_serving.credentials import BEARER, Tokens

COOKIE = "merrflow_review"
MAX_BODY = 256 << 10  # bytes; verdicts are the largest requests
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        tokens: Tokens,
        secure: bool,
        *,
        policy: str = POLICY,
        is_door: Callable[[str], bool] = lambda path: path == "/",
    ) -> None:
        """hosts: what the Host header may be; empty: anything, for servers with a token. secure: whether TLS is on.
        policy: the Content-Security-Policy of all answers. is_door: whether people may come in by this path, from a
        link elsewhere or with ?token=TOKEN.
        """
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._tokens = tokens
        self._secure = secure
        self._headers = _HEADERS | {"Content-Security-Policy": policy}
        self._is_door = is_door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no websockets
        answer = self._refusal(scope)
        if answer is not None:
            await answer(scope, receive, self._with_headers(send))
            return
        await self._app(scope, receive, self._with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that goes no further."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        own = f"{'https' if self._secure else 'http'}://{host}"
        changes = scope["method"] not in ("GET", "HEAD")
        if self._hosts and host not in self._hosts:
            return _no(421, f"this server is {' or '.join(sorted(self._hosts))}; open it under that name")
        if changes and origin != own:
            return _no(403, "only the server's own page may change anything")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not self._is_door(scope["path"]):
            return _no(403, "only the server's own page may ask for this")
        if changes and not (
            headers.get("content-length", "").isdecimal() and int(headers["content-length"]) <= MAX_BODY
        ):
            return _no(413, f"a request has a length of at most {MAX_BODY} bytes")
        return self._log_in(scope, headers) if self._tokens else None

    def _log_in(self, scope: Scope, headers: Headers) -> Response | None:
        given = headers.get("authorization", "") or BEARER + _cookie(headers)
        if self._tokens.admits([("authorization", given)]):
            return None
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._is_door(scope["path"]) and self._tokens.admits([("authorization", BEARER + token)]):
            answer = RedirectResponse(scope["path"], status_code=303)  # so that the token stays in no address bar
            answer.set_cookie(COOKIE, token, httponly=True, secure=self._secure, samesite="strict")
            return answer
        return _no(401, "open the address with ?token=TOKEN, or send the token as a bearer token")

    def _with_headers(self, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return with_headers


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _no(status: int, message: str) -> Response:
    return JSONResponse({"detail": message}, status_code=status)
