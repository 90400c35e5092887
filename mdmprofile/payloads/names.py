"""Subjects and alternative names as SCEP and ACME payloads write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mdmprofile.payloads.base import key, plist_keys

Subject = tuple[tuple[str, str], ...]

_OID = r"[0-2](\.\d+)+"
_MAX_SUBJECT = 4096
_SPECIAL = re.compile(r'[,+"\\<>;\0]|^[ #]| $')
SHORT_NAMES = ("C", "ST", "L", "O", "OU", "CN")


def parse_subject(text: str) -> Subject:
    """Read ``CN=device,O=Example`` or ``/C=US/O=Example/CN=device`` into pairs, in the order written.

    A comma or slash inside a value is escaped with a backslash. Types are Apple's short names (C, ST, L, O, OU,
    CN) or dotted OIDs. Raises ``ValueError`` with a sentence that says what is wrong.
    """
    if len(text) > _MAX_SUBJECT:
        raise ValueError(f"is longer than {_MAX_SUBJECT} characters")
    separator = "/" if text.startswith("/") else ","
    body = text.removeprefix("/")
    pairs = []
    # A separator inside a template belongs to the template.
    for part in re.split(rf"(?<!\\){separator}(?![^{{}}]*}}}})", body):
        name, equals, value = part.strip().partition("=")
        if not equals or not value.strip():
            raise ValueError(f"{part.strip()!r} is not TYPE=value; write a subject as CN=device,O=Example")
        pairs.append((check_type(name.strip()), value.strip().replace(f"\\{separator}", separator)))
    return tuple(pairs)


def check_type(name: str) -> str:
    """Apple's short name or a dotted OID, as it is; raises ``ValueError`` for anything else."""
    if name.upper() in SHORT_NAMES:
        return name.upper()
    if re.fullmatch(_OID, name) is None:
        known = ", ".join(SHORT_NAMES)
        raise ValueError(f"{name!r} is not a name type that devices know: use {known} or a dotted OID")
    return name


def rfc4514(subject: Subject) -> str:
    """The subject as text that nobody can take for another (RFC 4514): the last name first, its marks escaped."""
    return ",".join(f"{name}={_SPECIAL.sub(_escaped, value)}" for name, value in reversed(subject))


def _escaped(found: re.Match[str]) -> str:
    return "\\00" if found[0] == "\0" else f"\\{found[0]}"


def subject_plist(subject: Subject) -> list[list[list[str]]]:
    """The array of arrays of pairs that Apple's Subject key holds."""
    return [[[name, value]] for name, value in subject]


@dataclass(frozen=True, kw_only=True)
class SubjectAltName:
    """The alternative names that the device asks for; each a string, or several in SCEP."""

    rfc822_name: str | tuple[str, ...] | None = key("rfc822Name", default=None)
    dns_name: str | tuple[str, ...] | None = key("dNSName", default=None)
    uri: str | tuple[str, ...] | None = key("uniformResourceIdentifier", default=None)
    nt_principal_name: str | None = key("ntPrincipalName", default=None)

    def as_plist(self) -> dict[str, Any]:
        """The dictionary that Apple's SubjectAltName key holds."""
        return plist_keys(self)
