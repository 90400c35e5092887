"""What Apple's devices ask of the certificate a TLS server shows, beside its dates and its chain.

https://support.apple.com/103769
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.chain import LEAF, role_of
from mdmprofile.findings import Finding, finding
from mdmprofile.rules.chains import SMALLEST
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.registry import FILE, rule

# serverAuth and anyExtendedKeyUsage (RFC 5280 section 4.2.1.12).
_SERVER_AUTH = frozenset(("1.3.6.1.5.5.7.3.1", "2.5.29.37.0"))
_LONGEST = timedelta(days=825)
# Older certificates are held to neither a usage nor a validity.
_SINCE = datetime(2019, 7, 1, tzinfo=UTC)
# https://support.apple.com/102028
_LONGEST_PUBLIC = timedelta(days=398)
_PUBLIC_SINCE = datetime(2020, 9, 1, tzinfo=UTC)
_SHOWN = 5
_LONGEST_NAME = 100
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def judge_server_certificate(
    certificate: Certificate, where: str, *, host: str = "", public: bool = False
) -> Iterable[Finding]:
    """Key size, digest, subjectAltName, extended key usage and validity of a server's own certificate.

    With ``host`` that name or IP address must be among its names; a ``public`` CA's may be valid for a shorter time.
    """
    name = certificate.name
    problem = key_problem(certificate)
    if problem:
        yield finding("tls.weak-key", f"{name} {problem}", where=where)
    if certificate.weak_signature:
        yield finding("tls.weak-signature", f"{name} is signed with SHA-1 or an older digest", where=where)
    if host and not names_host(certificate, host):
        yield finding("tls.hostname", f"{name} is not for {host}: {_names(certificate)}", where=where)
    elif not host and not _dns_names(certificate):
        yield finding("tls.hostname", f"{name} has no DNS name in its subjectAltName", where=where)
    if certificate.not_before < _SINCE:
        return
    if not may_serve(certificate):
        yield finding("tls.eku", f"{name} has no extendedKeyUsage serverAuth", where=where)
    days = certificate.not_after - certificate.not_before
    limited = public and certificate.not_before >= _PUBLIC_SINCE
    longest = _LONGEST_PUBLIC if limited else _LONGEST
    if days > longest:
        of_whom = ", and Apple allows a public CA's " if limited else ", and devices allow "
        message = f"{name} is valid for {days.days} days{of_whom}{longest.days}"
        yield finding("tls.validity", message, where=where)


def key_problem(certificate: Certificate) -> str:
    """What is wrong with a key in a chain that devices follow; empty when nothing is."""
    kind, bits = certificate.key_strength
    if not kind:
        return "has a key that is neither RSA nor EC"
    if bits < SMALLEST[kind]:
        return f"has an {kind} key of {bits} bits"
    if kind == "EC" and certificate.curve not in _CURVES:
        return f"has an EC key on the curve {certificate.curve}, which is not one of P-256, P-384 and P-521"
    return ""


def may_serve(certificate: Certificate) -> bool:
    """Whether its extendedKeyUsage has serverAuth."""
    return not _SERVER_AUTH.isdisjoint(certificate.extended_key_usage)


def names_host(certificate: Certificate, host: str) -> bool:
    """Whether subjectAltName has the host: a DNS name (RFC 6125 section 6.4, one wildcard label), or an IP address."""
    try:
        return ipaddress.ip_address(host) in _addresses(certificate)
    except ValueError:
        wanted = host.lower().removesuffix(".")
        below = wanted.partition(".")[2]
        return any(
            name == wanted or (name.startswith("*.") and "." in below and name[2:] == below)
            for name in (each.lower().removesuffix(".") for each in _dns_names(certificate))
        )


def alternative_names(certificate: Certificate) -> tuple[list[str], list[object]]:
    """The DNS names and the IP addresses of subjectAltName."""
    return _dns_names(certificate), _addresses(certificate)


def _names(certificate: Certificate) -> str:
    known = [each[:_LONGEST_NAME] for each in (*_dns_names(certificate), *map(str, _addresses(certificate)))]
    if not known:
        return "it has no name in its subjectAltName"
    return f"it is for {', '.join(known[:_SHOWN])}{' and others' if known[_SHOWN:] else ''}"


def _dns_names(certificate: Certificate) -> list[str]:
    names = _alternative_names(certificate)
    return names.get_values_for_type(x509.DNSName) if names else []


def _addresses(certificate: Certificate) -> list[object]:
    names = _alternative_names(certificate)
    return list(names.get_values_for_type(x509.IPAddress)) if names else []


def _alternative_names(certificate: Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *X509_ERRORS):
        return None


@rule("tls.weak-key", "tls.weak-signature", "tls.hostname", "tls.eku", "tls.validity", on=FILE)
def pinned_server(examined: Examined) -> Iterable[Finding]:
    """A pinned certificate that is no CA is the server's own, so devices ask of it what they ask of any server's."""
    for each in examined.held:
        uuid = each.payload.get("PayloadUUID")
        if isinstance(uuid, str) and uuid in examined.pinned:
            for certificate in each.certificates:
                if role_of(certificate) == LEAF:
                    yield from judge_server_certificate(certificate, each.path)
