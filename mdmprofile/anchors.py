"""The certificates that a user trusts: CA files, or the public roots."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mdmprofile.certificates import Certificate
from mdmprofile.containers import load_certificates
from mdmprofile.errors import CertificateError
from mdmprofile.inputs import read_file

SYSTEM = "system"


def load_anchors(names: Iterable[str]) -> tuple[Certificate, ...]:
    """The CAs in these files; ``system`` stands for the public roots.

    A file without a CA would make every signer untrusted without saying why, so it raises ``CertificateError``.
    """
    found: list[Certificate] = []
    for name in names:
        if name == SYSTEM:
            from mdmprofile.public import public_roots  # noqa: PLC0415 - only when asked for

            found.extend(public_roots())
            continue
        authorities = [each for each in load_certificates(read_file(Path(name)), source=name) if each.is_ca]
        if not authorities:
            raise CertificateError("holds no CA certificate", where=name, hint="give the root or intermediate")
        found.extend(authorities)
    return tuple(dict.fromkeys(found))
