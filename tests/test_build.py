"""The main job: a config in, profiles and documents out, judged by independent parsers."""

from __future__ import annotations

import base64
import json
import plistlib
from collections.abc import Callable
from pathlib import Path

from conftest import Command
from pki import Site, signed_content


def built(site: Site, mdmprofile: Command, *flags: str) -> Path:
    """Build the site and return its output directory."""
    out = site.folder / "out"
    outcome = mdmprofile("build", "-c", site.config, "-o", out, *flags)
    assert outcome.code == 0, outcome.err + outcome.out
    return out


def content(openssl: Callable[..., bytes], signed: Path, root: Path) -> dict[str, object]:
    """The property list inside a signed profile."""
    plist: dict[str, object] = plistlib.loads(signed_content(openssl, signed, root))
    return plist


def test_signed_profile_verifies_against_the_root_and_parses_with_libplist(
    site: Site, mdmprofile: Command, openssl: Callable[..., bytes], plistutil: Callable[[bytes], bytes]
) -> None:
    """Two independent tools accept both profiles: openssl the signature, libplist the property list."""
    out = built(site, mdmprofile)
    for profile in ("enroll.mobileconfig", "trust.mobileconfig"):
        plain = signed_content(openssl, out / profile, site.folder / "root.pem")
        assert plistlib.loads(plistutil(plain)) == plistlib.loads(plain)


def test_certificates_come_before_the_identity_and_mdm_comes_last(
    site: Site, mdmprofile: Command, openssl: Callable[..., bytes]
) -> None:
    """Payloads install in order, so the chain must stand before the payload that needs it."""
    plist = content(openssl, built(site, mdmprofile) / "enroll.mobileconfig", site.folder / "root.pem")
    payloads = plist["PayloadContent"]
    assert isinstance(payloads, list)
    assert [each["PayloadType"] for each in payloads] == [
        "com.apple.security.root",
        "com.apple.security.pkcs1",
        "com.apple.security.scep",
        "com.apple.mdm",
    ]
    assert [payloads[0]["PayloadContent"], payloads[1]["PayloadContent"]] == [site.root.der, site.intermediate.der]
    assert payloads[3]["IdentityCertificateUUID"] == payloads[2]["PayloadUUID"]


def test_service_documents_hold_the_urls_and_the_anchors(site: Site, mdmprofile: Command) -> None:
    """A server publishes them as they are."""
    out = built(site, mdmprofile)
    assert json.loads((out / "MDMServiceConfig").read_text()) == {
        "dep_enrollment_url": "https://mdm.example.com/enroll",
        "dep_anchor_certs_url": "https://mdm.example.com/dep_anchor_certs",
        "trust_profile_url": "https://mdm.example.com/trust.mobileconfig",
    }
    anchors = [base64.b64decode(each) for each in json.loads((out / "dep_anchor_certs").read_text())]
    assert anchors == [site.root.der]
