"""What a request tells of a visitor and a page: the `context` of events.

From ASGI scopes (Starlette, FastAPI, Django) and WSGI environments (Flask, Django), or by hand.
Nothing here fails for what a visitor sends; what cannot be read counts as not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self
from urllib.parse import quote, quote_from_bytes

from whichvariant.events.web_address import WebAddress, read_web_address

_CAMPAIGN = {
    "utm_campaign": "name",
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_term": "term",
    "utm_content": "content",
}

_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_MOST_LANGUAGES = 32
_MOST_COOKIES = 512

# What may stand in a request's target as it is. Everything else is bytes that a client did not
# encode; browsers encode them in what they call the address.
_SENT = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
_SENT_PATH = _SENT.replace("?", "")
_DECODED_PATH = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """A visitor's request, as far as events tell of it.

    Parameters
    ----------
    url
        The page's whole address, as the visitor's browser shows it; "" for none.
    referrer
        The whole address of the page before.
    user_agent, locale
        As browsers give them: the locale is a language tag such as ``de-DE``.
    title
        The page's title, which page events carry.
    client_ip
        The visitor's address. It is no part of events; a client can send it on as `X-Force-IP`.
    cookies
        By name, as they were sent (not percent-decoded).
    location
        Where the visitor is, in the API's shape: `context.location` of events. None leaves it to
        the server; an empty one tells the server not to look.
    """

    url: str = ""
    referrer: str = ""
    user_agent: str = ""
    locale: str = ""
    title: str = ""
    client_ip: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)
    location: Mapping[str, Any] | None = None

    @classmethod
    def from_asgi(
        cls,
        scope: Mapping[str, Any],
        *,
        base_url: str | None = None,
        client_ip: str | None = None,
        title: str = "",
        location: Mapping[str, Any] | None = None,
    ) -> Self:
        """From an ASGI scope of type ``http`` or ``websocket``.

        Parameters
        ----------
        base_url
            Scheme and host that visitors use, such as ``https://shop.example``, in place of what
            the request says. For servers behind a proxy: its headers are not believed here, since
            anybody can send them; let the ASGI server read them, or say the base.
        client_ip
            The visitor's address in place of the peer's, for the same reason.
        title, location
            As in the class.
        """
        headers = _joined(scope.get("headers") or ())
        scheme = str(scope.get("scheme") or "http")
        raw_path = scope.get("raw_path")
        path = quote_from_bytes(bytes(raw_path), _SENT_PATH) if raw_path else ""
        if not path.startswith("/"):
            path = quote(str(scope.get("path") or "/"), _DECODED_PATH, errors="replace")
        query = quote_from_bytes(bytes(scope.get("query_string") or b""), _SENT)
        server = scope.get("server") or ("", None)
        peer = scope.get("client")
        return cls._from_parts(
            headers,
            base_url or _base(scheme, headers.get("host", ""), server[0], server[1]),
            f"{path}?{query}" if query else path,
            client_ip=client_ip or (str(peer[0]) if peer else None),
            title=title,
            location=location,
        )

    @classmethod
    def from_wsgi(
        cls,
        environ: Mapping[str, Any],
        *,
        base_url: str | None = None,
        client_ip: str | None = None,
        title: str = "",
        location: Mapping[str, Any] | None = None,
    ) -> Self:
        """From a WSGI environment. Parameters are those of `from_asgi`.

        Of Django take the request (`from_request`): it changes its environment.
        """
        headers = {
            name[5:].replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        scheme = str(environ.get("wsgi.url_scheme") or "http")
        server = (environ.get("SERVER_NAME") or "", environ.get("SERVER_PORT"))
        return cls._from_parts(
            headers,
            base_url or _base(scheme, headers.get("host", ""), *server),
            _target(environ),
            client_ip=client_ip or environ.get("REMOTE_ADDR") or None,
            title=title,
            location=location,
        )

    @classmethod
    def from_request(cls, request: Any, **parameters: Any) -> Self:
        """From a request of Starlette, FastAPI, Django or Flask. Parameters as in `from_asgi`.

        TypeError if the request has neither an ASGI ``scope`` nor a WSGI ``environ``.
        """
        scope = getattr(request, "scope", None)
        if isinstance(scope, Mapping):
            return cls.from_asgi(scope, **parameters)
        environ = getattr(request, "environ", None)
        if isinstance(environ, Mapping):
            if hasattr(request, "META"):
                # Django writes the path into the environment as text, where bytes are due.
                path = str(request.path).encode("utf-8", "replace").decode("latin-1")
                environ = {**environ, "SCRIPT_NAME": "", "PATH_INFO": path}
            return cls.from_wsgi(environ, **parameters)
        raise TypeError(f"{type(request).__name__} has neither an ASGI scope nor a WSGI environ")

    @classmethod
    def _from_parts(
        cls,
        headers: Mapping[str, str],
        base: str,
        target: str,
        *,
        client_ip: str | None,
        title: str,
        location: Mapping[str, Any] | None,
    ) -> Self:
        return cls(
            url=base.rstrip("/") + target,
            referrer=headers.get("referer", ""),
            user_agent=headers.get("user-agent", ""),
            locale=preferred_language(headers.get("accept-language", "")),
            title=title,
            client_ip=client_ip,
            cookies=_read_cookies(headers.get("cookie", "")),
            location=location,
        )

    # ---- what the address says ----------------------------------------------------------------

    @cached_property
    def _address(self) -> WebAddress | None:
        return read_web_address(self.url)

    @property
    def path(self) -> str:
        """The address's path as browsers spell it; "" without an address."""
        return "" if self._address is None else self._address.path

    @property
    def search(self) -> str:
        """The query string with its ``?``, as browsers spell it; "" without one."""
        return "" if self._address is None else self._address.search

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of repeated ones the last."""
        return {} if self._address is None else dict(self._address.query)

    @property
    def campaign(self) -> dict[str, str]:
        """`context.campaign`: name, source, medium, term and content from the ``utm_`` parameters.

        Empty parameters are left out, as in the SDKs.
        """
        query = {} if self._address is None else self._address.query
        return {name: query[key] for key, name in _CAMPAIGN.items() if query.get(key)}

    @property
    def page(self) -> dict[str, Any]:
        """`context.page`. Where the address is none, all of it is empty, as in the SDKs."""
        if self._address is None:
            return {"path": "", "query": {}, "referrer": "", "search": "", "url": ""}
        return {
            "path": self._address.path,
            "query": dict(self._address.query),
            "referrer": self.referrer,
            "search": self._address.search,
            "url": self.url,
        }

    def to_context(self) -> dict[str, Any]:
        """`context` of an event, but for its `library`. A new dict each time."""
        context: dict[str, Any] = {"campaign": self.campaign, "page": self.page}
        if self.user_agent:
            context["userAgent"] = self.user_agent
        if self.locale:
            context["locale"] = self.locale
        if self.location is not None:
            context["location"] = dict(self.location)
        return context


def preferred_language(accepted: str) -> str:
    """The language tag that an `Accept-Language` header prefers; "" if it names none."""
    best, most = "", 0.0
    for part in accepted.split(",")[:_MOST_LANGUAGES]:
        tag, _, parameter = part.partition(";")
        name, equals, text = parameter.strip().partition("=")
        weight = 1.0
        if equals and name.strip().lower() == "q":
            try:
                weight = float(text)
            except ValueError:
                continue
        # The first of several that are liked equally well; NaN is not more than anything.
        if weight > most and _LANGUAGE.fullmatch(tag.strip()):
            best, most = tag.strip(), weight
    return best


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; of repeated ones the parts of a list, or the first."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = bytes(name).decode("latin-1").lower()
        text = bytes(value).decode("latin-1")
        if key not in found:
            found[key] = text
        elif key == "cookie":
            found[key] += f"; {text}"
        elif key == "accept-language":
            found[key] += f", {text}"
    return found


def _base(scheme: str, host: str, server: str, port: Any) -> str:
    scheme = _SCHEMES.get(scheme, scheme)
    if not host:
        # A Unix socket has a path in its place.
        server = "localhost" if "/" in server else server
        host = f"[{server}]" if ":" in server else server
        if port and str(port) != str(_DEFAULT_PORTS.get(scheme)):
            host = f"{host}:{port}"
    return f"{scheme}://{host}"


def _target(environ: Mapping[str, Any]) -> str:
    """Path and query of a WSGI request, as they were sent as far as that can be told."""
    # Servers decode the path before they hand it on; most give the undecoded target as well.
    for name in ("REQUEST_URI", "RAW_URI"):
        target = environ.get(name)
        if isinstance(target, str) and target.startswith("/"):
            return _encoded(target, _SENT)
    path = f"{environ.get('SCRIPT_NAME') or ''}{environ.get('PATH_INFO') or ''}"
    query = _encoded(str(environ.get("QUERY_STRING") or ""), _SENT)
    path = _encoded(path, _DECODED_PATH) or "/"
    return f"{path}?{query}" if query else path


def _encoded(text: str, safe: str) -> str:
    """A text of WSGI, whose characters stand for bytes."""
    return quote_from_bytes(text.encode("latin-1", "replace"), safe)


def _read_cookies(header: str) -> dict[str, str]:
    """Cookies by name, the first of each: browsers send the most specific one first."""
    found: dict[str, str] = {}
    for part in header.split(";")[:_MOST_COOKIES]:
        name, equals, value = part.strip().partition("=")
        if not equals or not name:
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        found.setdefault(name.strip(), value)
    return found
