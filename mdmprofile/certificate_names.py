"""Subjects and alternative names as certificates hold them, checked before anything is signed (RFC 5280)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from mdmprofile.certificates import X509_ERRORS, first_line
from mdmprofile.errors import IssueError
from mdmprofile.payloads.names import Subject, SubjectAltName
from mdmprofile.printable import shown

SUBJECT, ALTERNATIVE = "identity.subject", "identity.subject_alt_name"
# Microsoft's userPrincipalName, an otherName that holds a UTF8String.
_PRINCIPAL = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")

_OIDS = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
}
# The upper bounds of RFC 5280 appendix A.1, in bytes of UTF-8; types that are not named there get the last one.
_LONGEST = {
    NameOID.STATE_OR_PROVINCE_NAME: 128,
    NameOID.LOCALITY_NAME: 128,
    NameOID.ORGANIZATION_NAME: 64,
    NameOID.ORGANIZATIONAL_UNIT_NAME: 64,
    NameOID.COMMON_NAME: 64,
    NameOID.TITLE: 64,
    NameOID.SERIAL_NUMBER: 64,
    NameOID.EMAIL_ADDRESS: 255,
}
_LONGEST_OTHER = 1024
# Types that are not UTF8String have alphabets of their own, which nobody checks when they are encoded.
_PRINTABLE = (r"[A-Za-z0-9 '()+,\-./:=?]+", "letters, digits and ' ( ) + , - . / : = ?")
_ALPHABETS = {
    NameOID.COUNTRY_NAME: (r"[A-Za-z]{2}", "two letters, such as US"),
    NameOID.SERIAL_NUMBER: _PRINTABLE,
    NameOID.DN_QUALIFIER: _PRINTABLE,
    NameOID.EMAIL_ADDRESS: (r"[!-~]+", "ASCII"),
    NameOID.DOMAIN_COMPONENT: (r"[!-~]+", "ASCII"),
}

# RFC 5280 section 4.2.1.6: the preferred name syntax of RFC 1034, with digits first as RFC 1123 allows.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2048}")


def subject_name(subject: Subject) -> x509.Name:
    """The subject as a certificate has it, in the order given, each pair a name of its own.

    Raises ``IssueError`` that names the type whose value no certificate may hold.
    """
    if not subject:
        raise IssueError(
            "is empty, so nobody could tell whose certificate it is", where=SUBJECT, hint="name the device"
        )
    return x509.Name([_attribute(name, value) for name, value in subject])


def check_subject(name: x509.Name) -> None:
    """Hold a subject that somebody else wrote to the same rules; raises ``IssueError``."""
    subject_name(tuple((each.oid.dotted_string, _text(each.value)) for each in name))


def general_names(alternative: SubjectAltName) -> list[x509.GeneralName]:
    """The alternative names as a certificate has them; none for an empty one. Raises ``IssueError``."""
    return [
        *(x509.RFC822Name(_email(each)) for each in _several(alternative.rfc822_name)),
        *(x509.DNSName(_host(each)) for each in _several(alternative.dns_name)),
        *(x509.UniformResourceIdentifier(_uri(each)) for each in _several(alternative.uri)),
        *(x509.OtherName(_PRINCIPAL, _utf8_string(each)) for each in _several(alternative.nt_principal_name)),
    ]


def check_general_names(names: Iterable[x509.GeneralName]) -> None:
    """Hold alternative names that somebody else wrote to the same rules; raises ``IssueError``."""
    for each in names:
        if isinstance(each, x509.RFC822Name):
            _email(each.value)
        elif isinstance(each, x509.DNSName):
            _host(each.value)
        elif isinstance(each, x509.UniformResourceIdentifier):
            _uri(each.value)


def _attribute(name: str, value: str) -> x509.NameAttribute[str]:
    try:
        oid = _OIDS.get(name) or x509.ObjectIdentifier(name)
        _check(name, oid, value)
        attribute = x509.NameAttribute(oid, value)
        if name not in _OIDS:
            # Numbers that are no object identifier are noticed only when they are encoded.
            x509.Name([attribute]).public_bytes()
    except X509_ERRORS as error:
        raise IssueError(f"{name} cannot be written: {first_line(error)}", where=SUBJECT, hint="correct it") from None
    return attribute


def _check(name: str, oid: x509.ObjectIdentifier, value: str) -> None:
    if not value.strip():
        raise IssueError(f"{name} is empty", where=SUBJECT, hint="give it a value, or leave it out")
    if not _is_one_line(value):
        raise IssueError(f"{name} holds a control character", where=SUBJECT, hint="remove it")
    alphabet = _ALPHABETS.get(oid)
    if alphabet is not None and re.fullmatch(alphabet[0], value) is None:
        raise IssueError(f"{name} is {shown(value)}, and has to be {alphabet[1]}", where=SUBJECT, hint="correct it")
    longest = _LONGEST.get(oid, _LONGEST_OTHER)
    if len(value.encode("utf-8")) > longest:
        message = f"{name} is longer than {longest} characters (bytes of UTF-8): {shown(value)}"
        raise IssueError(message, where=SUBJECT, hint="shorten it")


def _is_one_line(text: str) -> bool:
    """Whether no control character, line end or half of a character is in it; people's device names hold the rest."""
    return text.isprintable() or not any(unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} for each in text)


def _text(value: str | bytes) -> str:
    """The value of somebody else's name; a bit string is none that could be read."""
    if isinstance(value, bytes):
        raise IssueError("holds a bit string", where=SUBJECT, hint="have the request made again without it")
    return value


def _several(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return given if isinstance(given, tuple) else () if given is None else (given,)


def _host(name: str) -> str:
    return _matching(name, _HOST, "DNS name", "write it as mac.example.com")


def _email(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if _LOCAL_PART.fullmatch(local) is None or _HOST.fullmatch(domain) is None:
        raise _bad(address, "e-mail address", "write it as user@example.com, in ASCII")
    return address


def _uri(uri: str) -> str:
    return _matching(uri, _URI, "URI", "write it in ASCII, with its scheme, such as urn:example:device")


def _matching(text: str, pattern: re.Pattern[str], kind: str, hint: str) -> str:
    if pattern.fullmatch(text) is None:
        raise _bad(text, kind, hint)
    return text


def _bad(text: str, kind: str, hint: str) -> IssueError:
    return IssueError(f"{shown(text)} is no {kind} that a certificate may hold", where=ALTERNATIVE, hint=hint)


def _utf8_string(text: str) -> bytes:
    """The text as a UTF8String in DER."""
    if not text.strip() or not _is_one_line(text) or len(text) > _LONGEST_OTHER:
        raise _bad(text, "principal name", "write it as user@EXAMPLE.COM")
    data = text.encode("utf-8")
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    short = len(data) < 0x80  # noqa: PLR2004 - where DER's short form of a length ends
    return b"\x0c" + (length if short else bytes([0x80 | len(length)]) + length) + data
