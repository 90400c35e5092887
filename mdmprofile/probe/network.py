"""Connections within a deadline: names, addresses, proxies; a server that says nothing holds nobody."""

from __future__ import annotations

import base64
import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from mdmprofile.errors import NetworkError
from mdmprofile.printable import printable
from mdmprofile.probe.locations import Location

CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0
# Bytes of a proxy's answer to CONNECT.
_LONGEST_ANSWER = 64 * 1024
_NAME = "check the name, or give its address with --resolve HOST:PORT:ADDRESS"
_CUT = "check the address and the network"


class UnreachableError(NetworkError):
    """There is no connection to the server, so asking for something else there is of no use."""


@dataclass(frozen=True)
class Route:
    """How servers are reached.

    ``resolve`` maps a host and port to the IP address that is used instead of the name's own. ``proxy`` is an
    ``http://`` URL; None takes the usual environment variables, and an empty one goes directly. ``connect_timeout``
    covers name, connection and handshake, ``answer_timeout`` a whole answer; both in seconds.
    """

    resolve: Mapping[tuple[str, int], str] = field(default_factory=dict)
    proxy: str | None = field(default=None, repr=False)
    connect_timeout: float = CONNECT_TIMEOUT
    answer_timeout: float = ANSWER_TIMEOUT


class Deadline:
    """A moment on the monotonic clock by which something must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain; raises ``TimeoutError`` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self._end <= time.monotonic()

    @contextlib.contextmanager
    def guard(self, connection: socket.socket) -> Iterator[None]:
        """Shut the connection at the deadline, whoever is busy with it.

        OpenSSL takes in a stream of empty records without ever coming back to us, as long as there are more of them.
        """
        watchdog = threading.Timer(max(self._end - time.monotonic(), 0), _shut, (connection,))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The TLS socket's own method would take the connection from under whoever reads it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Bounded:
    """What makes every read and write of a socket end by ``deadline``, however slowly the bytes come.

    A socket's own timeout bounds each operation alone, so a server that sends a byte now and then would hold it for
    ever.
    """

    deadline: Deadline

    def recv_into(self, *arguments: Any, **more: Any) -> int:  # noqa: ANN401 - the socket's own
        """As the socket does it."""
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]  # the socket's own
        received: int = super().recv_into(*arguments, **more)  # type: ignore[misc]
        return received

    def sendall(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401
        """As the socket does it."""
        self.settimeout(self.deadline.left())  # type: ignore[attr-defined]
        super().sendall(*arguments, **more)  # type: ignore[misc]


class PlainSocket(Bounded, socket.socket):
    """A TCP connection that ends by its deadline."""


def connect(location: Location, route: Route, deadline: Deadline) -> tuple[PlainSocket, bool]:
    """A TCP connection to the server, through a proxy where one is set; and whether it ends at the proxy.

    It ends there for http, where the proxy is asked for the whole URL, as ``ask_through`` prepares it. Raises
    ``NetworkError``.
    """
    proxy = _proxy(location, route)
    try:
        if proxy is None:
            return _direct(location.host, location.port, route, deadline), False
        address, port, headers = proxy
        connection = _direct(address, port, route, deadline)
        if not location.is_secure:
            return connection, True
        try:
            _tunnel(connection, location, route, headers)
        except BaseException:
            connection.close()
            raise
    except TimeoutError:
        raise too_slow(location, deadline) from None
    except OSError as error:
        raise _refused(location, error, proxy=proxy[0] if proxy else "") from None
    return connection, False


def too_slow(location: Location, deadline: Deadline, *, connected: bool = False) -> NetworkError:
    """The error of a server that lets the time pass, ``connected`` or not."""
    kind, flag = (NetworkError, "--timeout") if connected else (UnreachableError, "--connect-timeout")
    hint = f"check the address and the network, or give more time with {flag}"
    return kind(f"does not answer within {deadline.seconds:g} seconds", where=location.place, hint=hint)


def proxy_headers(location: Location, route: Route) -> dict[str, str]:
    """What a proxy wants to see in a request for an http URL: its own credentials."""
    proxy = _proxy(location, route)
    return proxy[2] if proxy else {}


def _direct(host: str, port: int, route: Route, deadline: Deadline) -> PlainSocket:
    """Connect to one address after the other; each gets its share of the time that is left."""
    addresses = _addresses(host, port, route, deadline)
    failure: OSError = OSError("has no address")
    for number, (family, address) in enumerate(addresses):
        connection = PlainSocket(family, socket.SOCK_STREAM)
        connection.deadline = deadline
        try:
            connection.settimeout(deadline.left() / (len(addresses) - number))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _addresses(host: str, port: int, route: Route, deadline: Deadline) -> list[tuple[int, Any]]:
    """Addresses of a host; a resolver that hangs is left behind in its thread, because nothing can stop it."""
    known = route.resolve.get((host, port), host)
    answer: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answer.put(socket.getaddrinfo(known, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else OSError("has a name that cannot exist"))

    threading.Thread(target=look_up, daemon=True).start()
    try:
        found = answer.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, OSError):
        raise found
    return [(family, address) for family, _, _, _, address in found]


def _proxy(location: Location, route: Route) -> tuple[str, int, dict[str, str]] | None:
    """Host, port and credentials of the proxy for this location; None where there is none."""
    url = route.proxy
    if url is None:
        from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow to import, for servers only

        known = getproxies()
        url = known.get(location.scheme) or known.get("all")
        if not url or proxy_bypass(f"{location.host}:{location.port}"):
            return None
    if not url:
        return None
    advice = 'give another with --proxy, or --proxy "" to go directly'
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        message = "is reached through a proxy whose URL cannot be read"
        raise NetworkError(message, where=location.place, hint=advice) from None
    if parts.scheme != "http" or not host:
        kind = f"{printable(parts.scheme)}://{printable(host or '')}"
        message = f"is reached through a proxy that is no http:// URL: {kind}"
        raise NetworkError(message, where=location.place, hint=advice)
    if parts.username is None:
        return host, port, {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    encoded = base64.b64encode(credentials.encode("utf-8", "surrogateescape")).decode("ascii")
    return host, port, {"Proxy-Authorization": f"Basic {encoded}"}


def _tunnel(connection: PlainSocket, location: Location, route: Route, headers: Mapping[str, str]) -> None:
    """Have the proxy connect us through (RFC 9110 section 9.3.6)."""
    host = route.resolve.get((location.host, location.port), location.host)
    authority = f"[{host}]:{location.port}" if ":" in host else f"{host}:{location.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *(f"{a}: {b}" for a, b in headers.items())]
    connection.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
    answer = bytearray()
    buffer = bytearray(1)
    # Byte by byte: what follows the answer is the server's, and must stay in the socket.
    while not answer.endswith(b"\r\n\r\n"):
        if len(answer) > _LONGEST_ANSWER or not connection.recv_into(buffer):
            raise UnreachableError("is not reached: the proxy does not answer as one", where=location.place, hint=_CUT)
        answer += buffer
    status = bytes(answer).split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1][:1] != b"2":  # noqa: PLR2004 - version and code
        told = printable(b" ".join(status[1:]).decode("ascii", "replace"))[:100]
        message = f"is not reached: the proxy answers {told}"
        raise UnreachableError(message, where=location.place, hint="check the proxy")


def _refused(location: Location, error: OSError, *, proxy: str) -> NetworkError:
    """Why there is no connection; with a proxy it is that one's fault, because the server was not met yet."""
    who = f"is not reached: the proxy {proxy} " if proxy else ""
    if isinstance(error, socket.gaierror):
        message, hint = f"{who}cannot be resolved: no address is known for it", _NAME
    elif isinstance(error, ConnectionRefusedError):
        port = "" if proxy else f" on port {location.port}"
        message, hint = f"{who}refuses connections{port}", f"is the {'proxy' if proxy else 'server'} running?"
    else:
        message, hint = f"{who}cannot be reached: {error.strerror or error}", _CUT
    return UnreachableError(message, where=location.place, hint=hint)
