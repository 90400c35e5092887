"""What an attacker puts into a profile so that lint does not see the rest, or never ends."""

from __future__ import annotations

import plistlib
import time

from mdmprofile.containers import MAX_ERRORS, MAX_PASSWORD
from mdmprofile.errors import PasswordError
from mdmprofile.findings import Severity
from mdmprofile.printable import shown
from mdmprofile.reader import open_profile
from mdmprofile.rules.lint import lint
from pki import NOW, ec_key, issue, root_ca
from replacing import MDM, PEM, Plist, changed, made, payload, usual

OLD = usual()
BROKEN = b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"


def with_payload(extra: Plist) -> bytes:
    """An enrollment profile with one payload more, before the others."""
    return plistlib.dumps(changed(OLD, lambda each: each["PayloadContent"].insert(0, extra)))


def test_two_faults_in_one_payload_do_not_hide_the_others() -> None:
    """However many blocks are broken, the leaf in the next payload is still found."""
    leaf = made("com.apple.security.root", 8, PayloadContent=issue("mdm.example.com", root_ca()).der)
    for faults in (1, 2, MAX_ERRORS + 5):
        plist = plistlib.loads(with_payload(made(PEM, 9, PayloadContent=BROKEN * faults)))
        plist["PayloadContent"].insert(1, leaf)
        rules = {each.rule for each in lint(plistlib.dumps(plist), now=NOW).findings}
        assert {"profile.certificate-unreadable", "chain.leaf-in-trust"} <= rules


def test_a_crowd_of_information_does_not_hide_an_error() -> None:
    """Sixty unknown keys before a key of the wrong type."""
    wrong = changed(OLD, lambda each: payload(each, MDM).update(UseDevelopmentAPNS="yes"))
    crowded = {f"Unknown{number}": number for number in range(60)} | wrong
    errors = [
        [each.where for each in lint(plistlib.dumps(plist), now=NOW).findings if each.severity is Severity.ERROR]
        for plist in (wrong, crowded)
    ]
    assert errors[0] == errors[1] != []


def test_a_password_of_any_length_is_not_hashed() -> None:
    """It is hashed whole for each part of a PKCS#12, and a profile carries both."""
    device = issue("Device", key=ec_key())
    extra = made("com.apple.security.pkcs12", 9, PayloadContent=device.p12("x"), Password="x" * (MAX_PASSWORD + 1))
    start = time.process_time()
    found = [each for each in lint(with_payload(extra), now=NOW).findings if each.rule == "pkcs12.unreadable"]
    assert len(found) == 1
    assert time.process_time() - start < 10
    assert PasswordError("x").exit_code == 3


def test_a_private_key_in_a_certificate_payload_makes_the_profile_private() -> None:
    """Whoever writes it again must not make it readable by everybody."""
    device = issue("Device")
    assert open_profile(with_payload(made(PEM, 9, PayloadContent=device.key_pem() + device.pem))).profile.holds_secret
    assert not open_profile(with_payload(made(PEM, 9, PayloadContent=device.pem))).profile.of_type("none")


def test_a_message_quotes_no_password_of_a_url() -> None:
    """Reports of lint end up in other people's hands."""
    assert "hunter2" not in shown("http://admin:hunter2@mdm.example.com/mdm")
