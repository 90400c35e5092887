"""TLS handshakes as a device makes them, without judging: what the server shows is looked at by rules.

https://support.apple.com/103769
"""

from __future__ import annotations

import contextlib
import re
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from mdmprofile.certificates import Certificate
from mdmprofile.errors import CertificateError, NetworkError
from mdmprofile.probe.locations import Location
from mdmprofile.probe.network import Bounded, Deadline, Route, UnreachableError, connect, too_slow

# Who sends more of them wants us to verify signatures.
MAX_SERVED = 20
# TLS 1.2 and newer with the suites that devices offer; and whatever there is. Level 0 keeps OpenSSL from refusing short
# keys and SHA-1 before anybody could say that this is what is wrong.
_MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:@SECLEVEL=0"
_ANY = "ALL:eNULL:!aNULL:@SECLEVEL=0"
_HTTP_1, _HTTP_2 = "http/1.1", "h2"
T = TypeVar("T")


# What Python puts around OpenSSL's words, and what TLS puts before an alert.
_FRAME = re.compile(r"^\[[^\]]*\] ?| ?\(_?ssl\.c:\d+\)")
_PREFIX = re.compile(r"^(?:sslv3|tlsv1|tlsv13) (?=alert )")
_WANTED = ("certificate required", "alert handshake failure", "alert bad certificate", "access denied")


class HttpVersionError(NetworkError):
    """The server speaks no HTTP/1.1, so its documents are not read; devices may well do it."""


class DistrustedError(NetworkError):
    """The server's certificate is not vouched for, so nothing was said to it."""


class TlsSocket(Bounded, ssl.SSLSocket):
    """A TLS connection that ends by its deadline."""


class Served(NamedTuple):
    """What a server shows in a TLS handshake.

    ``chain`` are its certificates in the order they are sent, ``sent`` how many there were. ``modern`` says whether
    it spoke TLS 1.2 or newer with a suite that devices offer, ``problem`` why the handshake was not completed although
    the certificates were seen: a server that insists on a client certificate ends it so.
    """

    location: Location
    version: str
    cipher: str
    chain: tuple[Certificate, ...]
    sent: int
    modern: bool
    problem: str = ""

    @property
    def leaf(self) -> Certificate:
        """The server's own certificate, which is sent first (RFC 8446 section 4.4.2)."""
        return self.chain[0]


def shake_hands(location: Location, route: Route) -> Served:
    """What the server shows; nothing is sent to it beyond the handshake. Raises ``NetworkError``."""
    deadline = Deadline(route.connect_timeout)
    connection, served = open_tls(location, route, deadline, protocols=(_HTTP_2, _HTTP_1))
    connection.close()
    return served


def open_tls(
    location: Location, route: Route, deadline: Deadline, *, protocols: Sequence[str] = (_HTTP_1,)
) -> tuple[TlsSocket, Served]:
    """A TLS connection for one of these ``protocols`` (RFC 7301), and what the server showed; nothing was judged yet.

    Raises ``NetworkError``.
    """
    try:
        return _open(location, route, deadline, _context(protocols, modern=True), modern=True)
    except ssl.SSLError as first:
        # What the server would speak to older clients tells what is wrong with it.
        try:
            return _open(location, route, deadline, _context(protocols, modern=False), modern=False)
        except ssl.SSLError:
            raise _no_tls(location, first) from None


def open_verified(
    location: Location, route: Route, deadline: Deadline, anchors: Sequence[Certificate] | None
) -> TlsSocket:
    """A TLS connection to a server whose certificate is valid for its name, as ``anchors`` vouch for it.

    Without ``anchors`` the system's roots and the public ones do. Raises ``DistrustedError``, and ``NetworkError``
    where there is no TLS.
    """
    try:
        connection, _ = _shaking(location, route, deadline, _verifying(anchors), _shake)
    except ssl.SSLCertVerificationError as error:
        message = f"is not trusted, so nothing was sent to it: {error.verify_message}"
        hint = "name the CA that issued its certificate, and check that the certificate is valid for this name"
        raise DistrustedError(message, where=location.place, hint=hint) from None
    except ssl.SSLError as error:
        raise _no_tls(location, error) from None
    return connection


def _verifying(anchors: Sequence[Certificate] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if anchors is None:
        import certifi  # noqa: PLC0415 - seldom needed

        context.load_default_certs()
        context.load_verify_locations(certifi.where())
    else:
        # An intermediate that somebody names as the CA is enough, as everywhere else.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for each in anchors:
            context.load_verify_locations(cadata=each.der)
    context.set_alpn_protocols([_HTTP_1])
    context.sslsocket_class = TlsSocket
    return context


def _open(
    location: Location, route: Route, deadline: Deadline, context: ssl.SSLContext, *, modern: bool
) -> tuple[TlsSocket, Served]:
    """As ``open_tls`` does it, except that it raises ``ssl.SSLError`` where nothing can be agreed on."""
    return _shaking(location, route, deadline, context, lambda tls: _shaken(tls, location, modern=modern))


def _shaking(
    location: Location, route: Route, deadline: Deadline, context: ssl.SSLContext, shake: Callable[[TlsSocket], T]
) -> tuple[TlsSocket, T]:
    """A connection on which ``shake`` made the handshake, and what that returned; raises ``ssl.SSLError``."""
    connection, _ = connect(location, route, deadline)
    try:
        tls = context.wrap_socket(connection, server_hostname=location.host, do_handshake_on_connect=False)
    except BaseException:
        connection.close()
        raise
    assert isinstance(tls, TlsSocket)  # noqa: S101 - the context was told so
    tls.deadline = deadline
    try:
        with deadline.guard(tls):
            return tls, shake(tls)
    except BaseException as error:
        tls.close()
        if isinstance(error, TimeoutError) or (isinstance(error, OSError) and deadline.is_over):
            raise too_slow(location, deadline) from None
        if isinstance(error, ssl.SSLError):
            raise
        if isinstance(error, OSError):
            message = f"breaks the connection off: {error.strerror or error}"
            raise UnreachableError(message, where=location.place, hint="does it speak TLS on this port?") from None
        raise


def _shake(tls: TlsSocket) -> None:
    tls.settimeout(tls.deadline.left())
    tls.do_handshake()


def _shaken(tls: TlsSocket, location: Location, *, modern: bool) -> Served:
    problem = ""
    try:
        _shake(tls)
    except ssl.SSLError as error:
        # With TLS 1.2 a server that wants a client certificate says so after it has shown its own.
        if not _chain(tls) or tls.deadline.is_over:
            raise
        problem = reason_of(error)
    ders = _chain(tls)
    if not ders:
        raise NetworkError("shows no certificate", where=location.place, hint="check the server's configuration")
    try:
        chain = tuple(
            Certificate(der, location.origin if number == 1 else f"{location.origin} #{number}")
            for number, der in enumerate(ders[:MAX_SERVED], 1)
        )
    except CertificateError as error:
        raise NetworkError(f"shows a certificate that cannot be read: {error.message}", where=location.place) from None
    cipher = tls.cipher()
    return Served(location, tls.version() or "", cipher[0] if cipher else "", chain, len(ders), modern, problem)


def _context(protocols: Sequence[str], *, modern: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whom to trust is judged afterwards, with the profile's certificates and all problems at once.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if modern else ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers(_MODERN if modern else _ANY)
    context.set_alpn_protocols(list(protocols))
    context.sslsocket_class = TlsSocket
    return context


def _chain(tls: TlsSocket) -> list[bytes]:
    """The certificates in DER as they were sent, the server's own first."""
    with contextlib.suppress(ssl.SSLError, ValueError, OSError):
        if sys.version_info >= (3, 13):
            return list(tls.get_unverified_chain())
        # Before Python 3.13 the same method has no public name; those releases get security fixes only.
        inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
        return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain() or ()]
    return []


def reason_of(error: OSError) -> str:
    """What OpenSSL calls it, as words; what the system does otherwise."""
    if not isinstance(error, ssl.SSLError):
        return str(error.strerror or error)
    words = (error.reason or _FRAME.sub("", str(error.strerror or error))).lower().replace("_", " ")
    return _PREFIX.sub("", words).strip()


def wants_client_certificate(error: OSError) -> bool:
    """Whether a server ended the connection because nobody proved who they are (RFC 8446 section 6.2)."""
    return isinstance(error, ssl.SSLError) and any(each in reason_of(error) for each in _WANTED)


def _no_tls(location: Location, error: ssl.SSLError) -> NetworkError:
    reason = reason_of(error)
    if reason in {"wrong version number", "packet length too long", "http request", "record layer failure"}:
        message, hint = "does not speak TLS on this port", "check the port"
    elif "no application protocol" in reason:
        return HttpVersionError("speaks HTTP/2 alone, which is not read here", where=location.place)
    elif reason in {"unexpected eof while reading", "eof occurred in violation of protocol"}:
        message, hint = "ends the connection during the TLS handshake", "check the server's configuration"
    else:
        message = f"fails in the TLS handshake: {reason}"
        hint = "check the server's certificate, key and TLS settings"
    return UnreachableError(message, where=location.place, hint=hint)
