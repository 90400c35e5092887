"""The part of the catalogue that is about live servers, and about a server's own certificate wherever it is seen.

``catalogue.RULES`` holds these rules too; nobody else reads this module.
"""

from __future__ import annotations

from mdmprofile.catalogue_payloads import DOCS, Rule

_TLS = "https://support.apple.com/103769"
_DISTRIBUTE = "https://support.apple.com/guide/deployment/distribute-certificates-depcdc9a6a3f/web"
_SERVICE = f"{DOCS}providing-information-about-your-device-management-service"
_SCEP = f"{DOCS}scep"
_RFC8894 = "https://www.rfc-editor.org/rfc/rfc8894"

LIVE_RULES: dict[str, Rule] = {
    "tls.unreachable": Rule(
        "error",
        "A server cannot be reached, so no device can connect to it.",
        "check the name, the port, the firewall and whether the server runs",
        "mdmprofile",
    ),
    "tls.untrusted": Rule(
        "error",
        "The server's certificate does not lead to a root that devices trust.",
        "put the root that issued it into the profile, or let the server show a certificate of that root",
        _DISTRIBUTE,
    ),
    "tls.incomplete-chain": Rule(
        "error",
        "The server does not send every intermediate, and the profile may not carry it either.",
        "configure the server to send its certificate and every intermediate, in this order",
        _DISTRIBUTE,
    ),
    "tls.hostname": Rule(
        "error",
        "A server certificate has no DNS name in its subjectAltName, or not the server's.",
        "have it reissued with the server's DNS name in subjectAltName, or let the server show another for this name",
        _TLS,
    ),
    "tls.expired": Rule(
        "error",
        "A certificate that the server's chain needs has expired or is not valid yet.",
        "renew it on the server; what is in the profile changes only with a new profile",
        _DISTRIBUTE,
    ),
    "tls.weak-key": Rule(
        "error",
        "A server certificate, or a CA above it, has an RSA key under 2048 bits or an EC key under 256.",
        "have it reissued with a longer key",
        _TLS,
    ),
    "tls.weak-signature": Rule(
        "error",
        "A server certificate, or an intermediate above it, is signed with SHA-1 or an older digest.",
        "have it reissued with SHA-256",
        _TLS,
    ),
    "tls.eku": Rule(
        "error",
        "A server certificate is not for servers: its extendedKeyUsage lacks serverAuth.",
        "have it reissued with extendedKeyUsage serverAuth",
        _TLS,
    ),
    "tls.validity": Rule(
        "error",
        "A server certificate issued since 2019-07-01 is valid for more than 825 days, or a public one for over 398.",
        "have it reissued for a shorter time",
        _TLS,
    ),
    "tls.version": Rule(
        "error",
        "The server speaks no TLS 1.2 or newer with forward secrecy.",
        "allow TLS 1.2 and 1.3 with ECDHE cipher suites",
        _TLS,
    ),
    "tls.pinning": Rule(
        "error",
        "The live server shows none of the certificates that the MDM payload pins it to.",
        "send a profile with the next pins before the server's certificate changes",
        f"{DOCS}mdm",
    ),
    "tls.not-judged": Rule(
        "info",
        "Dates alone were judged, not whether a device would trust the server.",
        "give the roots with --trust, or use mdmprofile doctor with the profile",
        "mdmprofile",
    ),
    "scep.unreachable": Rule(
        "error",
        "The SCEP server cannot be reached, or does not answer as RFC 8894 says.",
        "check the URL and the server; devices get no identity without it",
        _RFC8894,
    ),
    "scep.fingerprint": Rule(
        "error",
        "CAFingerprint is not that of the SCEP server's CA certificate.",
        "find out which CA is the right one: a renewed one needs a new profile, any other is not your SCEP server",
        _SCEP,
    ),
    "scep.content-type": Rule(
        "warning",
        "The SCEP server answers with another content type than RFC 8894 names.",
        "let it answer application/x-x509-ca-cert, or application/x-x509-ca-ra-cert for several certificates",
        f"{_RFC8894}#section-4.2.1",
    ),
    "acme.unreachable": Rule(
        "error",
        "The ACME server cannot be reached, or does not answer with a directory.",
        "check the URL and the server; devices get no identity without it",
        "https://www.rfc-editor.org/rfc/rfc8555#section-7.1.1",
    ),
    "service.inconsistent": Rule(
        "error",
        "What the server publishes does not fit the profile or the config.",
        "publish what mdmprofile build wrote beside the profile",
        _SERVICE,
    ),
    "service.content-type": Rule(
        "warning",
        "A published document has another content type than Apple names.",
        "see mdmprofile trust --snippet for a web server's configuration",
        _SERVICE,
    ),
    "service.elsewhere": Rule(
        "warning",
        "A document is on another host, or redirects there, and was not fetched.",
        "name it as a target of its own, if you know the host",
        "mdmprofile",
    ),
    "live.passed": Rule(
        "info", "A step of the rehearsal went as a device needs it.", "there is nothing to do", "mdmprofile"
    ),
    "live.not-tried": Rule(
        "info",
        "A step of the rehearsal could not be tried, or must not be.",
        "try it with one device before the profile goes to all",
        "mdmprofile",
    ),
    "service.not-fetched": Rule(
        "info",
        "Of a URL with a path, only the certificates of the server were looked at.",
        "name /MDMServiceConfig, a profile or a certificate file, where its content matters",
        "mdmprofile",
    ),
}
