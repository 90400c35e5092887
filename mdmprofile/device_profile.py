"""One device's profile and what is recorded of it, before it is signed and afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.findings import Finding


@dataclass(frozen=True)
class DeviceProfile:
    """What was made for one device; ``data``, the profile as it is sent, is empty when a finding is an error.

    ``certificate`` is the device's where its PKCS#12 is in the profile. ``subject`` and the dates (aware UTC) are its,
    or what the device will ask for and the end that the issuer's stated validity gives. ``client_identifier`` is what
    an ACME server must know.
    """

    data: bytes = field(repr=False)
    findings: tuple[Finding, ...]
    certificate: Certificate | None = None
    subject: str = ""
    not_after: datetime | None = None
    client_identifier: str = field(default="", repr=False)


class Unsigned(NamedTuple):
    """What ``DeviceProfile`` has, with the property list in the place of the signed profile."""

    content: bytes
    findings: tuple[Finding, ...]
    certificate: Certificate | None = None
    subject: str = ""
    not_after: datetime | None = None
    client_identifier: str = ""

    def __repr__(self) -> str:
        return f"Unsigned(subject={self.subject!r})"
