"""The fleet that benchmarks measure with: enrollment profiles as a server makes one for each of many devices."""

from __future__ import annotations

import plistlib
import uuid
from pathlib import Path

from mdmprofile.certificates import Identity
from mdmprofile.containers import load_certificates, load_private_key


def device_profile(template: bytes, number: int) -> bytes:
    """The enrollment profile for one device: the same CAs, its own UUIDs and challenge."""
    plist = plistlib.loads(template)
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"identity-{number}")).upper()
    plist["PayloadUUID"] = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"profile-{number}")).upper()
    for payload in plist["PayloadContent"]:
        if payload["PayloadType"] == "com.apple.security.scep":
            payload["PayloadUUID"] = identity
            payload["PayloadContent"]["Challenge"] = f"{number:064x}"
            payload["PayloadContent"]["Subject"] = [[["O", "Example Inc."]], [["CN", f"device-{number:05}"]]]
        elif payload["PayloadType"] == "com.apple.mdm":
            payload["IdentityCertificateUUID"] = identity
            payload["ServerURL"] += f"?device={number}"
    return plistlib.dumps(plist)


def demo_signer(demo: Path) -> Identity:
    """The signer of a demo folder, with its intermediate."""
    pki = demo / "pki"
    (certificate,) = load_certificates((pki / "signer.pem").read_bytes())
    chain = load_certificates((pki / "intermediate.pem").read_bytes())
    return Identity(certificate, load_private_key((pki / "signer.key").read_bytes()), chain)
