"""The payload types by their Apple names, for code that tells payloads apart without making any."""

from __future__ import annotations

ROOT = "com.apple.security.root"
PKCS1 = "com.apple.security.pkcs1"
PEM = "com.apple.security.pem"
PKCS12 = "com.apple.security.pkcs12"
SCEP = "com.apple.security.scep"
ACME = "com.apple.security.acme"
MDM = "com.apple.mdm"
REMOVAL_PASSWORD = "com.apple.profileRemovalPassword"  # noqa: S105 - the name of a payload

CERTIFICATES = (ROOT, PKCS1, PEM)
IDENTITIES = (SCEP, ACME, PKCS12)
