"""The public roots, for servers and signers that need no private CA."""

from __future__ import annotations

from functools import cache

from mdmprofile.certificates import Certificate
from mdmprofile.containers import load_certificates


@cache
def public_roots() -> tuple[Certificate, ...]:
    """The roots of the ``certifi`` bundle: Mozilla's, which stand in for the ones Apple preinstalls."""
    import certifi  # noqa: PLC0415 - seldom needed, and reading it costs more than a build

    return load_certificates(certifi.contents().encode("ascii"), source="public roots")
