"""One GET within bounds: size, time and redirects, and no word to a server before its certificate was looked at."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mdmprofile.errors import NetworkError
from mdmprofile.printable import printable
from mdmprofile.probe.locations import Location
from mdmprofile.probe.network import Deadline, PlainSocket, Route, connect, proxy_headers, too_slow
from mdmprofile.probe.tls import Served, TlsSocket, open_tls, reason_of, wants_client_certificate

# Bytes; hundreds of servers can be asked at once, and each may send as much.
MAX_DOCUMENT = 1024 * 1024
MAX_REDIRECTS = 5
_OK = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024
_LONGEST_HEADER = 200


class ClientCertificateError(NetworkError):
    """The server answers nobody without a client certificate, which a rehearsal does not have."""


# Looks at what a server showed before anything is asked of it; raises to stop there.
Vet = Callable[[Served], None]


class Answer(NamedTuple):
    """A server's answer; ``body`` is the whole of it, ``served`` is None for plain http.

    ``elsewhere`` is where a redirect to another server leads, which was not followed; empty for any other answer.
    """

    location: Location
    status: int
    content_type: str
    body: bytes
    served: Served | None
    elsewhere: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is the document that was asked for."""
        return self.status == _OK

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


def fetch(location: Location, route: Route, *, limit: int = MAX_DOCUMENT, vet: Vet | None = None) -> Answer:
    """GET a document of at most ``limit`` bytes; redirects are followed on the same server alone.

    Raises ``NetworkError`` when there is no answer in time, it is larger, or redirects lead round in a circle.
    """
    asked = location
    for _ in range(MAX_REDIRECTS + 1):
        answer, reference = _ask(asked, route, limit, vet)
        if not reference:
            return answer
        following = asked.follow(reference)
        if following.origin != location.origin:
            return answer._replace(elsewhere=following.place)
        asked = following
    raise NetworkError(f"redirects more than {MAX_REDIRECTS} times", where=location.place, hint="check the server")


def _ask(location: Location, route: Route, limit: int, vet: Vet | None) -> tuple[Answer, str]:
    """One request; the second value is the Location of a redirect."""
    connection, served, proxied = _connected(location, route, vet)
    deadline = Deadline(route.answer_timeout)
    connection.deadline = deadline
    client = http.client.HTTPConnection(location.host, location.port)
    client.sock = connection
    host = location.origin.partition("://")[2]
    headers = {"Host": host, "Accept": "*/*", "User-Agent": "mdmprofile", "Connection": "close"}
    target = location.target
    if proxied:
        target = location.url
        headers |= proxy_headers(location, route)
    try:
        with deadline.guard(connection):
            return _exchange(client, target, headers, location, served, limit)
    except (http.client.HTTPException, OSError, ValueError) as error:
        if isinstance(error, TimeoutError) or deadline.is_over:
            raise too_slow(location, deadline, connected=True) from None
        if isinstance(error, OSError) and wants_client_certificate(error):
            raise _unproved(location) from None
        raise NetworkError(
            f"does not answer as a web server does: {_told(error)}", where=location.place, hint="check the server"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            client.close()
        with contextlib.suppress(OSError):
            connection.close()


def _connected(
    location: Location, route: Route, vet: Vet | None
) -> tuple[PlainSocket | TlsSocket, Served | None, bool]:
    deadline = Deadline(route.connect_timeout)
    if not location.is_secure:
        plain, proxied = connect(location, route, deadline)
        return plain, None, proxied
    tls, served = open_tls(location, route, deadline)
    if served.problem:
        tls.close()
        raise _unproved(location)
    try:
        if vet is not None:
            vet(served)
    except BaseException:
        tls.close()
        raise
    return tls, served, False


def _unproved(location: Location) -> ClientCertificateError:
    hint = "let it answer this path without one"
    return ClientCertificateError("wants a client certificate", where=location.place, hint=hint)


def _exchange(
    client: http.client.HTTPConnection,
    target: str,
    headers: Mapping[str, str],
    location: Location,
    served: Served | None,
    limit: int,
) -> tuple[Answer, str]:
    client.request("GET", target, headers=dict(headers))
    response = client.getresponse()
    content_type = printable((response.getheader("Content-Type") or "")[:_LONGEST_HEADER])
    reference = response.getheader("Location") or ""
    if response.status in _REDIRECTS and reference:
        return Answer(location, response.status, content_type, b"", served), reference
    body = bytearray()
    while chunk := response.read(min(_CHUNK, limit + 1 - len(body))):
        body += chunk
        if len(body) > limit:
            message = f"sends more than the limit of {limit // 1024:,} KiB"
            raise NetworkError(message, where=location.place, hint="check that it is the right URL")
    if response.length:
        raise NetworkError("breaks off in the middle of its answer", where=location.place, hint="try again")
    return Answer(location, response.status, content_type, bytes(body), served), ""


def _told(error: BaseException) -> str:
    text = reason_of(error) if isinstance(error, OSError) else str(error)
    return printable(text or type(error).__name__)[:_LONGEST_HEADER]
