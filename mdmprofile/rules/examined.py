"""A profile as lint looks at it: the file, its signature, the certificates in its payloads, and the date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.cms.verify import Signature
from mdmprofile.containers import MAX_IN_ONE_FILE, is_pkcs12
from mdmprofile.errors import CertificateError
from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.reader import OpenedProfile, payload_certificates
from mdmprofile.shared import placed

AUTO, AS_ENROLLMENT, AS_TRUST = "auto", "enrollment", "trust"
KINDS = (AUTO, AS_ENROLLMENT, AS_TRUST)

_LONGEST = 200
_PINNING = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")


class Held(NamedTuple):
    """One certificate payload: its path, its dictionary, the certificates in it, or why there are none."""

    path: str
    payload: Mapping[str, Any]
    certificates: tuple[Certificate, ...]
    problem: str

    @property
    def kind(self) -> Any:  # noqa: ANN401 - property-list values are of any type
        """The payload's type, one of ``types.CERTIFICATES``."""
        return self.payload.get("PayloadType")

    @property
    def content(self) -> bytes:
        """The payload's data; empty where it is none."""
        content = self.payload.get("PayloadContent")
        return content if isinstance(content, bytes) else b""


@dataclass(frozen=True, eq=False)
class Examined:
    """What the rules of a file look at; ``data`` is the file as it was read, ``now`` is aware UTC.

    ``kind`` is what the file was said to be, one of ``KINDS``.
    """

    opened: OpenedProfile
    data: bytes = field(repr=False)
    held: tuple[Held, ...] = field(repr=False)
    now: datetime
    kind: str = AUTO

    @property
    def profile(self) -> Profile:
        """The profile itself."""
        return self.opened.profile

    @property
    def signature(self) -> Signature | None:
        """The signature; None when the file is not signed."""
        return self.opened.signature

    @cached_property
    def enrolls(self) -> bool:
        """Whether it is judged as an enrollment profile."""
        return self.kind == AS_ENROLLMENT or (self.kind == AUTO and bool(self.profile.of_type(types.MDM)))

    @cached_property
    def pinned(self) -> frozenset[str]:
        """The UUIDs of the payloads that the MDM payload pins its server to."""
        pins = (each.get(name) for _, each in self.profile.of_type(types.MDM) for name in _PINNING)
        return frozenset(uuid for each in pins if isinstance(each, list) for uuid in each if isinstance(uuid, str))

    @cached_property
    def authorities(self) -> tuple[Certificate, ...]:
        """The CA certificates in certificate payloads, each once, with its payload's path as its source."""
        return tuple(dict.fromkeys(ca for each in self.held for ca in each.certificates if ca.is_ca))


def examine(opened: OpenedProfile, data: bytes, *, now: datetime, kind: str = AUTO) -> Examined:
    """Read the certificates of a profile's payloads, so that its rules can look at them.

    Raises ``CertificateError`` for more certificates than a device could ever need.
    """
    held: list[Held] = []
    count = 0
    for path, payload in opened.profile.of_type(*types.CERTIFICATES):
        certificates, problem = _read(payload.get("PayloadContent"))
        count += len(certificates)
        if count > MAX_IN_ONE_FILE:
            raise CertificateError(f"holds more than {MAX_IN_ONE_FILE} certificates", where=opened.source)
        held.append(Held(path, payload, tuple(placed(each, path) for each in certificates), problem))
    return Examined(opened, data, tuple(held), now, kind)


def _read(content: object) -> tuple[tuple[Certificate, ...], str]:
    if not isinstance(content, bytes) or not content.strip():
        return (), "it holds no data"
    if is_pkcs12(content):
        # Opening one costs what its maker chose, and it has no place here whatever is in it.
        return (), "it holds a PKCS#12 file"
    try:
        return payload_certificates(content, source=""), ""
    except CertificateError as error:
        return (), f"it {error.message}"[:_LONGEST]
