"""Access: the bearer token for programs, and a cookie derived from it for browsers."""

import hashlib
import hmac
import re
from urllib.parse import urlsplit

from fastapi import Request

from local_workspace.api_errors import ApiError

COOKIE = "lakehouse_workspace"
_LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}
# A name and a port, nothing else: URLs are made of this header, so a `/` in it would change their paths.
_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)


class Auth:
    def __init__(self, token: str) -> None:
        self._token = token.encode()
        # The cookie is not the token: a browser must not hold what opens the API.
        self.cookie = hmac.new(self._token, b"run pages", hashlib.sha256).hexdigest()

    def is_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token)

    def check_api(self, request: Request) -> None:
        """Raise ApiError, as the real API does, without a token or with a wrong one."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise ApiError(401, "401", "Credential was not sent or was of an unsupported type for this API.")
        if not self.is_token(token.strip()):
            raise ApiError(403, "403", "Invalid access token.")

    def may_see_pages(self, request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.cookie.encode())


def is_local_host(request: Request) -> bool:
    """Return whether the Host header names this machine. It protects against DNS rebinding by another site.

    Names below `localhost` never belong to another site (RFC 6761, section 6.3); containers have such names.
    """
    match = _HOST.fullmatch(request.headers.get("host", ""))
    name = match.group(1).lower() if match else ""
    return name in _LOCAL_NAMES or name.endswith(".localhost")


def local_path(target: str) -> str:
    """Return the path to go to after the login if it is one of this server, otherwise the front page."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    harmless = target.startswith("/") and not target.startswith(("//", "/\\"))
    clean = not any(ord(character) < 32 or character == "\\" for character in target)
    return target if harmless and clean and not parts.netloc and not parts.scheme else "/"
