"""The device's certificate as a proxy passes it on that has ended the TLS connection, and verified the device's key.

RFC 9440 (Client-Cert); https://nginx.org/en/docs/http/ngx_http_ssl_module.html ($ssl_client_escaped_cert);
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers (x-forwarded-client-cert)
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import unquote_to_bytes

from mdmprofile.cms.detached import MAX_CERTIFICATE
from mdmprofile.containers import load_certificates
from mdmprofile.errors import CertificateError, ConfigError, MessageFormatError

Form = Literal["rfc9440", "nginx", "envoy"]

UNIX = "unix"
MAX_VALUE = 64 * 1024
_HEADERS: dict[str, str] = {"rfc9440": "Client-Cert", "nginx": "X-Client-Cert", "envoy": "X-Forwarded-Client-Cert"}
_BYTES = re.compile(rb":([A-Za-z0-9+/]*={0,2}):")
_BEGIN = b"-----BEGIN CERTIFICATE-----"
# One element of Envoy's header: a quoted value may hold anything, with a backslash before a quote.
_PAIR = re.compile(rb'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)(;|\Z)')


class ProxyCertificates:
    """How a proxy passes certificates on, and the addresses of the proxies that may.

    ``form`` is ``rfc9440``, ``nginx`` or ``envoy``; ``trusted`` are addresses and networks, such as ``127.0.0.1`` and
    ``10.0.0.0/8``, and ``unix`` for a server that listens on a socket; ``header`` is the header's name where it is not
    the usual one. From any other address the header counts for nothing: anybody could send it. Raises ``ConfigError``.

    What the address is, the server says: one that takes it from ``X-Forwarded-For`` lets clients choose theirs, as
    uvicorn does without ``--no-proxy-headers``. WSGI cannot tell ``X_Client_Cert`` from ``X-Client-Cert``: the proxy or
    the server has to drop headers with underscores.
    """

    def __init__(self, form: Form, *, trusted: Iterable[str], header: str = "") -> None:
        if form not in _HEADERS:
            raise ConfigError(f"{form!r} is no form", where="form", hint=f"use one of {', '.join(_HEADERS)}")
        self.form = form
        self.header = (header or _HEADERS[form]).lower()
        addresses = [trusted] if isinstance(trusted, str) else list(trusted)
        self._unix = UNIX in addresses
        try:
            self._networks = tuple(ipaddress.ip_network(each) for each in addresses if each != UNIX)
        except ValueError as error:
            raise ConfigError(str(error), where="trusted", hint="write 10.0.0.1 or 10.0.0.0/8") from None

    def trusts(self, address: str | None) -> bool:
        """Whether a connection from this address is a proxy's; None is that of a socket."""
        if not address:
            return self._unix
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        # IPv4 as a server on an IPv6 socket sees it.
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)

    def certificate(self, values: Sequence[bytes]) -> bytes | None:
        """The certificate in DER that a proxy's headers hold; None when the device had none.

        Raises ``MessageFormatError`` when there is more than one, or something else.
        """
        values = [each.strip() for each in values if each.strip()]
        if not values:
            return None
        if len(values) > 1 or len(values[0]) > MAX_VALUE:
            raise self._refusal("is there more than once, or too long")
        if self.form == "rfc9440":
            match = _BYTES.fullmatch(values[0])
            if match is None:
                raise self._refusal("is not one byte sequence (RFC 8941)")
            return self._single(_decoded(match[1]))
        pem = self._element(values[0]) if self.form == "envoy" else values[0]
        if pem is None:
            return None
        data = unquote_to_bytes(pem)
        # Text around it would be ignored, and two headers that a server has joined would pass for one.
        if not data.startswith(_BEGIN):
            raise self._refusal("does not begin with a certificate in PEM")
        return self._single(data)

    def _element(self, value: bytes) -> bytes | None:
        """The certificate in Envoy's header, which is one element: others are what other proxies say."""
        found: dict[bytes, bytes] = {}
        at = 0
        while at < len(value):
            match = _PAIR.match(value, at)
            if match is None:
                raise self._refusal("has several elements, or is malformed; have the proxy set it (SANITIZE_SET)")
            key = match[1].lower()
            if key in found and key == b"cert":
                raise self._refusal("has two certificates")
            found[key] = match[2].strip(b'"')
            at = match.end()
        return found.get(b"cert")

    def _single(self, data: bytes) -> bytes:
        # In PEM it has a third more, and line ends.
        if len(data) > 2 * MAX_CERTIFICATE:
            raise self._refusal(f"holds more than a certificate of {MAX_CERTIFICATE:,} bytes")
        try:
            certificates = load_certificates(data, source=self.header)
        except CertificateError as error:
            raise self._refusal(f"holds no certificate: {error.message}") from None
        if len(certificates) != 1:
            raise self._refusal("holds several certificates")
        return certificates[0].der

    def _refusal(self, reason: str) -> MessageFormatError:
        return MessageFormatError(reason, where=self.header, hint="see what the proxy sends")


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return b""
