"""Requests that carry an API key, within bounds: to a server that is verified, never to where that one points.

The probe asks anybody, and judges afterwards; here a key and a profile are in the request, so that the server is judged
before anything is said to it.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.errors import DeliveryError, NetworkError
from mdmprofile.printable import printable
from mdmprofile.probe.locations import Location, locate, name_of
from mdmprofile.probe.network import Deadline, PlainSocket, Route, connect, proxy_headers, too_slow
from mdmprofile.probe.tls import TlsSocket, open_verified, reason_of

# Bytes; a server may send back all of what it was given, in base64 and with line ends.
_MOST_OF_ITS_OWN = 64 * 1024
_CHUNK = 64 * 1024
_LONGEST = 200
_HIDDEN = "***"


class Request(NamedTuple):
    """What is asked of a server; ``target`` is path and query, ``body`` the whole of it."""

    method: str
    target: str
    content_type: str
    body: bytes

    def __repr__(self) -> str:
        # A profile can hold a password.
        return f"Request({self.method} {self.target}, {len(self.body)} bytes)"


class Reply(NamedTuple):
    """What a server answered; ``elsewhere`` is where a redirect leads, ``retry_after`` when it wants to be asked."""

    status: int
    body: bytes
    retry_after: str = ""
    elsewhere: str = ""

    @property
    def said(self) -> str:
        """The status in numbers and in words, which are the standard's: the server's could be anything."""
        return f"{self.status} {http.client.responses.get(self.status, '')}".strip()


class Courier:
    """Brings requests to one server, with HTTP basic authentication (RFC 7617).

    ``anchors`` are the CAs that vouch for the server; without them the system's and the public ones do. Raises
    ``DeliveryError`` for a URL that is not https, unless its host is this machine or ``allow_http`` is set.
    """

    def __init__(
        self,
        location: Location,
        route: Route,
        *,
        user: str,
        key: str,
        anchors: Sequence[Certificate] | None = None,
        allow_http: bool = False,
    ) -> None:
        local = _is_local(location, route)
        if not (location.is_secure or local or allow_http):
            message = "is no https URL, so everybody on the way could read the API key and the profile"
            raise DeliveryError(message, where=location.place, hint="use https, or allow it with --allow-http")
        self.location = location
        # A proxy would get the key in the clear, and could not reach this machine anyway.
        self._route = replace(route, proxy="") if local and not location.is_secure else route
        self._anchors = anchors
        self._key = key
        self._token = base64.b64encode(f"{user}:{key}".encode()).decode("ascii")

    def bring(self, request: Request) -> Reply:
        """The server's whole answer.

        Raises ``NetworkError``: an ``UnreachableError`` or ``DistrustedError`` where the request did not arrive,
        another one where nobody knows.
        """
        location, route = self.location.at(request.target), self._route
        opening = Deadline(route.connect_timeout)
        connection: PlainSocket | TlsSocket
        if location.is_secure:
            connection, proxied = open_verified(location, route, opening, self._anchors), False
        else:
            connection, proxied = connect(location, route, opening)
        headers = {
            "Host": location.origin.partition("://")[2],
            "Authorization": f"Basic {self._token}",
            "Content-Type": request.content_type,
            "Accept": "application/json",
            "User-Agent": "mdmprofile",
            "Connection": "close",
        }
        target = location.url if proxied else location.target
        if proxied:
            headers |= proxy_headers(location, route)
        deadline = Deadline(route.answer_timeout)
        connection.deadline = deadline
        client = http.client.HTTPConnection(location.host, location.port)
        client.sock = connection
        try:
            with deadline.guard(connection):
                return self._exchange(client, request._replace(target=target), headers)
        except (http.client.HTTPException, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) or deadline.is_over:
                raise too_slow(self.location, deadline, connected=True) from None
            told = self.masked(reason_of(error) if isinstance(error, OSError) else str(error) or type(error).__name__)
            message = f"does not answer as a web server does: {told}"
            raise NetworkError(message, where=self.location.place, hint="check the server") from None
        finally:
            with contextlib.suppress(OSError):
                client.close()
            with contextlib.suppress(OSError):
                connection.close()

    def masked(self, text: str) -> str:
        """What somebody else wrote, short and printable, and without the API key where a server sends it back."""
        for each in (self._token, self._key):
            text = text.replace(each, _HIDDEN)
        text = printable(" ".join(text.split()))
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

    def _exchange(self, client: http.client.HTTPConnection, request: Request, headers: dict[str, str]) -> Reply:
        # A server that has heard enough answers and closes; what it says is worth more than that it closed.
        with contextlib.suppress(ConnectionError):
            client.request(request.method, request.target, body=request.body, headers=headers)
        response = client.getresponse()
        limit = _MOST_OF_ITS_OWN + 2 * len(request.body)
        body = bytearray()
        while chunk := response.read(min(_CHUNK, limit + 1 - len(body))):
            body += chunk
            if len(body) > limit:
                message = f"sends more than the limit of {limit // 1024:,} KiB"
                raise NetworkError(message, where=self.location.place, hint="check that it is the right URL")
        if response.length:
            raise NetworkError("breaks off in the middle of its answer", where=self.location.place, hint="try again")
        elsewhere = response.getheader("Location") or ""
        return Reply(
            response.status,
            bytes(body),
            (response.getheader("Retry-After") or "").strip(),
            self.masked(name_of(elsewhere)) if elsewhere else "",
        )


def server_location(url: str) -> Location:
    """An MDM server's URL taken apart, without a slash at the end of its path. Raises ``NetworkError``."""
    location = locate(url)
    if "?" in location.target:
        raise NetworkError("has a query, so that no path can be added", where=location.place, hint="leave it out")
    return location.at(location.target.rstrip("/"))


def _is_local(location: Location, route: Route) -> bool:
    host = route.resolve.get((location.host, location.port), location.host)
    address = location._replace(host=host).address
    return address.is_loopback if address is not None else host == "localhost"
