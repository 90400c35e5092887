"""What Apple's devices ask of the certificate a TLS server shows, beside its dates and its chain.

https://support.apple.com/103769
"""

from __future__ import annotations

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


def judge_server_certificate(certificate: Certificate, where: str) -> Iterable[Finding]:
    """Key size, digest, subjectAltName, extended key usage and validity of a server's own certificate."""
    name = certificate.name
    kind, bits = certificate.key_strength
    if bits < SMALLEST.get(kind, 0):
        yield finding("tls.weak-key", f"{name} has an {kind} key of {bits} bits", where=where)
    if certificate.weak_signature:
        yield finding("tls.weak-signature", f"{name} is signed with SHA-1 or an older digest", where=where)
    if not _has_dns_name(certificate):
        yield finding("tls.hostname", f"{name} has no DNS name in its subjectAltName", where=where)
    if certificate.not_before < _SINCE:
        return
    if _SERVER_AUTH.isdisjoint(certificate.extended_key_usage):
        yield finding("tls.eku", f"{name} has no extendedKeyUsage serverAuth", where=where)
    days = certificate.not_after - certificate.not_before
    if days > _LONGEST:
        yield finding("tls.validity", f"{name} is valid for {days.days} days", where=where)


def _has_dns_name(certificate: Certificate) -> bool:
    try:
        names = certificate.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return bool(names.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, *X509_ERRORS):
        return False


@rule("tls.weak-key", "tls.weak-signature", "tls.hostname", "tls.eku", "tls.validity", on=FILE)
def pinned_server(examined: Examined) -> Iterable[Finding]:
    """A pinned certificate that is no CA is the server's own, so devices ask of it what they ask of any server's."""
    for each in examined.held:
        uuid = each.payload.get("PayloadUUID")
        if isinstance(uuid, str) and uuid in examined.pinned:
            for certificate in each.certificates:
                if role_of(certificate) == LEAF:
                    yield from judge_server_certificate(certificate, each.path)
