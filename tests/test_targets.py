"""What check reads: profiles, certificate files, PKCS#12, anchors, configs and directories."""

from __future__ import annotations

import base64
import json
import os
import plistlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from conftest import Command, Outcome
from mdmprofile import folders
from mdmprofile.moments import stamp
from mdmprofile.reader import open_profile
from mdmprofile.targets import read_target
from pki import (
    DAY,
    NOW,
    Entity,
    Site,
    ec_key,
    intermediate_ca,
    issue,
    push_certificate,
    root_ca,
    server_leaf,
)

Openssl = Callable[..., bytes]
Payload = dict[str, Any]
PINS = "ServerURLPinningCertificateUUIDs"


def check(mdmprofile: Command, *arguments: str | Path) -> Outcome:
    """The JSON report of check."""
    return mdmprofile("check", *arguments, "--format", "json")


def rows(outcome: Outcome) -> list[tuple[str, str]]:
    """Role and name of every certificate of the report, in its order."""
    return [(each["role"], each["subject"].partition("CN=")[2]) for each in outcome.json["certificates"]]


def names(outcome: Outcome) -> list[str]:
    """The names of the report's certificates, sorted."""
    return sorted(each for _, each in rows(outcome))


def places(outcome: Outcome) -> list[str]:
    """Where the report's errors are."""
    return [each["where"] for each in outcome.json["errors"]]


def payload(kind: str, content: object = None, **more: object) -> Payload:
    """A payload of a profile that somebody else made."""
    keys = {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"com.example.{kind}", **more}
    return keys if content is None else keys | {"PayloadContent": content}


def certificate(entity: Entity, uuid: object = "A", kind: str = "com.apple.security.root") -> Payload:
    """A certificate payload in DER."""
    return payload(kind, entity.der, PayloadUUID=uuid)


def profile(*payloads: object, **top: object) -> bytes:
    """An unsigned profile that somebody else made."""
    keys = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example", "PayloadUUID": "P"}
    return plistlib.dumps({**keys, "PayloadContent": list(payloads), **top})


def bundle(*entities: Entity) -> bytes:
    """PEM certificates one after the other, with the text around them that people leave there."""
    return b"".join(b"# next one\n" + each.pem + b"and so on\n" for each in entities)


def three() -> tuple[Entity, Entity, Entity]:
    """A root, an intermediate and a server's leaf."""
    root = root_ca("Alpha")
    intermediate = intermediate_ca(root, "Beta")
    return root, intermediate, server_leaf(intermediate, "gamma.example.com")


THREE = [("root", "Alpha"), ("intermediate", "Beta"), ("leaf", "gamma.example.com")]


@pytest.fixture
def built(site: Site, mdmprofile: Command) -> Path:
    """The signed profile of the site."""
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 0
    return site.folder / "out" / "enroll.mobileconfig"


@pytest.fixture
def unsigned(site: Site, mdmprofile: Command) -> Path:
    """The profile of the site without a signature, so that its identities count from the tests' today on."""
    site.edit(lambda text: text.partition("[signing]")[0])
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    return site.folder / "out" / "enroll.mobileconfig"


class TestProfiles:
    """Signed or not, ours or somebody else's."""

    def test_signed_profile_counts_what_it_holds_and_what_signed_it(
        self, site: Site, built: Path, mdmprofile: Command
    ) -> None:
        """Roots, intermediates and the signer, each once, with its place; the SCEP identity's end is not known."""
        outcome = check(mdmprofile, built)
        found = {(each["role"], each["sha256"]): each["where"] for each in outcome.json["certificates"]}
        assert found == {
            ("root", site.root.sha256): f"{built}: PayloadContent[0]",
            ("intermediate", site.intermediate.sha256): f"{built}: PayloadContent[1]",
            ("signer", site.signer.sha256): found["signer", site.signer.sha256],
        }
        assert found["signer", site.signer.sha256].startswith(f"{built} signature")
        assert outcome.rules == ["expiry.identity-unknown"]
        assert outcome.code == 0

    def test_unsigned_profile_is_read_like_a_signed_one(self, site: Site, mdmprofile: Command) -> None:
        """Only the signer is not there."""
        site.edit(lambda text: text.partition("[signing]")[0])
        assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
        outcome = check(mdmprofile, site.folder / "out" / "enroll.mobileconfig")
        assert rows(outcome) == [("root", "Test Root"), ("intermediate", "Test Intermediate")]
        assert outcome.code == 0

    def test_profile_signed_by_openssl_in_a_stream_is_read(
        self, site: Site, tmp_path: Path, mdmprofile: Command, openssl: Openssl
    ) -> None:
        """Other tools write BER with indefinite lengths and embed what they like."""
        unsigned, signed = tmp_path / "a.plist", tmp_path / "a.mobileconfig"
        unsigned.write_bytes(profile(certificate(site.root)))
        signer = ("-signer", site.folder / "signer.pem", "-inkey", site.folder / "signer.key")
        more = ("-certfile", site.folder / "intermediate.pem", "-binary", "-nodetach", "-stream", "-outform", "DER")
        openssl("cms", "-sign", *signer, *more, "-in", unsigned, "-out", signed)
        outcome = check(mdmprofile, signed)
        assert Counter(rows(outcome)) == Counter(
            [("root", "Test Root"), ("intermediate", "Test Intermediate"), ("signer", "Profile Signer")]
        )
        assert outcome.code == 0

    def test_expired_signer_is_an_error(self, site: Site, built: Path, mdmprofile: Command) -> None:
        """New installs of this file show as not verified from then on."""
        outcome = mdmprofile("check", built, "--format", "json", at=stamp(NOW + 731 * DAY))
        (found,) = [each for each in outcome.json["findings"] if each["rule"] == "expiry.expired"]
        assert found["message"].startswith("signer Profile Signer expired on")
        assert outcome.code == 2
        assert site.signer.sha256 in {each["sha256"] for each in outcome.json["certificates"]}

    def test_changed_profile_has_an_invalid_signature_and_is_still_read(self, built: Path, mdmprofile: Command) -> None:
        """One letter changed after signing is an error that names the file; the dates are judged all the same."""
        data = built.read_bytes()
        built.write_bytes(data.replace(b"Example MDM", b"Exampla MDM", 1))
        outcome = check(mdmprofile, built)
        assert "signature.invalid" in outcome.rules
        assert outcome.json["findings"][0]["where"].startswith(str(built))
        assert Counter(role for role, _ in rows(outcome)) == Counter(["root", "intermediate", "signer"])
        assert outcome.code == 2

    def test_change_that_broke_the_property_list_is_reported_with_the_signature(
        self, built: Path, mdmprofile: Command
    ) -> None:
        """Who sees only 'not a property list' would not think of tampering."""
        built.write_bytes(built.read_bytes().replace(b"<dict>", b"<dict<", 1))
        outcome = check(mdmprofile, built)
        assert "signature.invalid" in outcome.rules
        assert places(outcome) == [str(built)]
        assert outcome.code == 2

    def test_damaged_unsigned_profile_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Cut short, it cannot be read; there is no signature to speak of."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(profile(certificate(root_ca()))[:-20])
        outcome = check(mdmprofile, file)
        assert outcome.code == 3
        assert places(outcome) == [str(file)]
        assert outcome.json["findings"] == []

    def test_encrypted_profile_cannot_be_judged(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Its certificates are inside, so nothing found would be a false all-clear."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(profile(EncryptedPayloadContent=b"opaque"))
        outcome = mdmprofile("check", file)
        assert outcome.code == 3
        assert "is encrypted" in outcome.err

    def test_changed_encrypted_profile_still_has_an_invalid_signature(
        self, site: Site, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """The signature is outside the encryption, so tampering and the signer's end can be seen."""
        inner, outer = tmp_path / "inner.mobileconfig", tmp_path / "outer.mobileconfig"
        inner.write_bytes(profile(EncryptedPayloadContent=b"opaque"))
        signer = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
        assert mdmprofile("sign", inner, "-o", outer, *signer).code in {0, 1}
        outer.write_bytes(outer.read_bytes().replace(b"com.example", b"com.exampla", 1))
        outcome = check(mdmprofile, outer)
        assert "signature.invalid" in outcome.rules
        assert rows(outcome) == [("signer", "Profile Signer")]
        assert outcome.code == 2

    def test_same_certificate_in_two_payloads_is_one_row(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A certificate ends once."""
        root, file = root_ca(), tmp_path / "a.mobileconfig"
        file.write_bytes(profile(certificate(root, "A"), certificate(root, "B")))
        assert rows(check(mdmprofile, file)) == [("root", "Test Root")]

    @pytest.mark.parametrize("binary", [False, True], ids=["xml", "binary"])
    @pytest.mark.parametrize("kind", ["root", "pkcs1", "pem"])
    def test_role_comes_from_the_certificate_not_from_the_payload(
        self, tmp_path: Path, mdmprofile: Command, kind: str, binary: bool
    ) -> None:
        """People put intermediates into root payloads and the other way round."""
        file = tmp_path / "a.mobileconfig"
        data = profile(*(certificate(each, kind=f"com.apple.security.{kind}") for each in three()))
        if binary:
            data = plistlib.dumps(plistlib.loads(data), fmt=plistlib.FMT_BINARY)
        file.write_bytes(data)
        assert rows(check(mdmprofile, file)) == THREE

    def test_every_certificate_of_a_pem_payload_counts(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A bundle in a payload is a bundle: its second certificate may be the one that ends."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(profile(payload("com.apple.security.pem", bundle(*three()), PayloadUUID="A")))
        assert rows(check(mdmprofile, file)) == THREE

    @pytest.mark.parametrize("key", [PINS, "CheckInURLPinningCertificateUUIDs"])
    def test_pinned_leaf_is_baked_in(self, tmp_path: Path, mdmprofile: Command, key: str) -> None:
        """The MDM payload pins it by UUID, so only a new profile lets the server have another."""
        root, intermediate, leaf = three()
        file = tmp_path / "a.mobileconfig"
        mdm = payload("com.apple.mdm", None, **{key: ["LEAF", "ROOT", 7]})
        file.write_bytes(profile(certificate(root, "ROOT"), certificate(leaf, "LEAF"), mdm))
        outcome = mdmprofile("check", file, "--format", "json", "--replace-on", "2032-03-20")
        assert rows(outcome) == [("root", "Alpha"), ("pinned", "gamma.example.com")]
        assert outcome.rules == ["expiry.before-replacement"]
        assert intermediate.sha256 not in outcome.out

    def test_pinning_list_that_is_no_list_pins_nothing(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Somebody else's profile may hold anything under a key."""
        leaf, file = three()[2], tmp_path / "a.mobileconfig"
        file.write_bytes(profile(certificate(leaf, "LEAF"), payload("com.apple.mdm", None, **{PINS: "LEAF"})))
        assert rows(check(mdmprofile, file)) == [("leaf", "gamma.example.com")]

    @pytest.mark.parametrize("uuid", [["A"], {"A": "B"}], ids=["array", "dictionary"])
    def test_payload_uuid_of_another_type_does_not_stop_the_reading(
        self, tmp_path: Path, mdmprofile: Command, uuid: object
    ) -> None:
        """A UUID that is an array or a dictionary pins nothing; the certificate still ends."""
        leaf, file = three()[2], tmp_path / "a.mobileconfig"
        file.write_bytes(profile(certificate(leaf, uuid), payload("com.apple.mdm", None, **{PINS: ["A"]})))
        outcome = check(mdmprofile, file)
        assert outcome.err == ""
        assert rows(outcome) == [("leaf", "gamma.example.com")]

    @pytest.mark.parametrize("content", [b"no certificate", "text", 5], ids=["garbage", "text", "number"])
    def test_certificate_payload_without_a_certificate_is_an_error_beside_the_others(
        self, tmp_path: Path, mdmprofile: Command, content: object
    ) -> None:
        """A device refuses the profile; the rest is judged all the same."""
        file = tmp_path / "a.mobileconfig"
        broken = payload("com.apple.security.root", content, PayloadUUID="B")
        file.write_bytes(profile(broken, certificate(root_ca())))
        outcome = check(mdmprofile, file)
        assert outcome.rules == ["profile.certificate-unreadable"]
        assert outcome.json["findings"][0]["where"] == f"{file}: PayloadContent[0]"
        assert rows(outcome) == [("root", "Test Root")]
        assert outcome.code == 2

    @pytest.mark.parametrize("protocol", ["scep", "acme"])
    def test_identity_that_a_device_fetches_is_unknown(
        self, tmp_path: Path, mdmprofile: Command, protocol: str
    ) -> None:
        """A profile does not say how long the issuer's certificates last; that is information, not a warning."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(profile(certificate(root_ca()), payload(f"com.apple.security.{protocol}")))
        outcome = check(mdmprofile, file)
        (found,) = outcome.json["findings"]
        assert (found["rule"], found["severity"]) == ("expiry.identity-unknown", "info")
        assert f"identity from {protocol.upper()}" in found["message"]
        assert outcome.code == 0

    def test_entries_that_are_no_payloads_are_passed_over(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Strings and numbers among the payloads hide none of the certificates."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(profile("text", 5, certificate(root_ca())))
        assert rows(check(mdmprofile, file)) == [("root", "Test Root")]

    def test_profile_comes_from_standard_input(self, built: Path) -> None:
        """A dash is standard input, and reports say so."""
        arguments = ("check", "-", "--format", "json", "--at", stamp(NOW))
        done = subprocess.run(
            [sys.executable, "-m", "mdmprofile", *arguments],
            input=built.read_bytes(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        where = [each["where"] for each in json.loads(done.stdout)["certificates"]]
        assert where[0] == "standard input: PayloadContent[0]"
        assert len(where) == 3


class TestPkcs12Payloads:
    """An identity inside a profile, opened with the password beside it."""

    @staticmethod
    def of(data: object, **more: object) -> bytes:
        """A profile with a PKCS#12 payload."""
        return profile(payload("com.apple.security.pkcs12", data, PayloadUUID="I", **more))

    def test_identity_is_judged_by_its_certificate(self, tmp_path: Path, mdmprofile: Command) -> None:
        """It is baked in, so the replacement date counts."""
        device, file = issue("Device", root_ca()), tmp_path / "a.mobileconfig"
        file.write_bytes(self.of(device.p12("secret"), Password="secret"))
        outcome = mdmprofile("check", file, "--format", "json", "--replace-on", "2032-02-15")
        assert rows(outcome) == [("identity", "Device")]
        assert outcome.json["certificates"][0]["where"] == f"{file}: PayloadContent[0]"
        assert outcome.rules == ["expiry.before-replacement"]

    def test_certificates_beside_the_identity_count_too(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Every certificate found is reported, as it is for a PKCS#12 file."""
        root, intermediate, _ = three()
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(self.of(issue("Device", intermediate).p12("secret", [intermediate, root]), Password="secret"))
        assert Counter(rows(check(mdmprofile, file))) == Counter([("identity", "Device"), *THREE[:2]])

    def test_identity_without_its_password_is_unknown(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The device asks its user; nobody here knows when it ends."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(self.of(issue("Device", root_ca()).p12("secret")))
        outcome = check(mdmprofile, file)
        assert outcome.rules == ["expiry.identity-unknown"]
        assert outcome.code == 0

    @pytest.mark.parametrize("password", ["wrong", "", 4711], ids=["wrong", "empty", "number"])
    def test_wrong_password_is_an_error_that_does_not_show_it(
        self, tmp_path: Path, mdmprofile: Command, password: object
    ) -> None:
        """A device could not import it either."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(self.of(issue("Device", root_ca()).p12("secret"), Password=password))
        outcome = check(mdmprofile, file)
        assert outcome.rules == ["pkcs12.unreadable", "expiry.identity-unknown"]
        assert outcome.code == 2
        assert "4711" not in outcome.out
        assert "secret" not in outcome.out

    def test_payload_without_data_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Text is no PKCS#12."""
        file = tmp_path / "a.mobileconfig"
        file.write_bytes(self.of("text", Password="secret"))
        outcome = check(mdmprofile, file)
        assert outcome.rules == ["pkcs12.unreadable"]
        assert outcome.code == 2


class TestTrustInSigners:
    """--trust: whether the signers of profiles lead to a CA that the caller names."""

    def test_signer_below_the_trusted_root_is_fine(self, site: Site, built: Path, mdmprofile: Command) -> None:
        """The intermediate is embedded, the root given."""
        outcome = check(mdmprofile, built, "--trust", site.folder / "root.pem")
        assert outcome.code == 0
        assert "signature.untrusted" not in outcome.rules

    def test_signer_of_another_ca_is_an_error_that_names_its_file(
        self, site: Site, tmp_path: Path, built: Path, mdmprofile: Command
    ) -> None:
        """Of two profiles with the same signer each gets its own finding."""
        stranger, copy = tmp_path / "stranger.pem", tmp_path / "copy.mobileconfig"
        stranger.write_bytes(root_ca("Stranger").pem)
        copy.write_bytes(built.read_bytes())
        outcome = check(mdmprofile, built, copy, "--trust", stranger)
        where = [each["where"] for each in outcome.json["findings"] if each["rule"] == "signature.untrusted"]
        assert outcome.code == 2
        assert len(where) == 2
        assert where[0].startswith(str(built))
        assert where[1].startswith(str(copy))
        assert check(mdmprofile, built, "--trust", stranger, "--trust", site.folder / "root.pem").code == 0

    def test_trusting_a_file_without_a_ca_is_refused(self, site: Site, built: Path, mdmprofile: Command) -> None:
        """It would make every signer untrusted without saying why."""
        outcome = mdmprofile("check", built, "--trust", site.folder / "server.pem")
        assert outcome.code == 3
        assert "holds no CA certificate" in outcome.err

    def test_system_stands_for_the_public_roots(self, built: Path, mdmprofile: Command) -> None:
        """A private CA is not among them."""
        outcome = check(mdmprofile, built, "--trust", "system")
        assert "signature.untrusted" in outcome.rules
        assert outcome.code == 2


class TestCertificateFiles:
    """Every container, and every certificate in it."""

    def test_every_certificate_of_a_bundle_counts(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The last one may be the one that ends; each says which of the file it is."""
        root, intermediate, leaf = three()
        last = issue("Last", root, start=NOW - 9 * DAY, end=NOW - DAY)
        file = tmp_path / "bundle.pem"
        file.write_bytes(bundle(root, intermediate, leaf, last))
        outcome = check(mdmprofile, file)
        assert rows(outcome) == [*THREE, ("leaf", "Last")]
        assert [each["where"] for each in outcome.json["certificates"]] == [f"{file} #{n}" for n in range(1, 5)]
        (found,) = outcome.json["findings"]
        assert (found["rule"], found["where"]) == ("expiry.expired", f"{file} #4")
        assert outcome.code == 2

    @pytest.mark.parametrize("form", ["PEM", "DER"])
    def test_pkcs7_bundle_counts_every_certificate(
        self, tmp_path: Path, mdmprofile: Command, openssl: Openssl, form: str
    ) -> None:
        """A p7b that openssl made."""
        pem, file = tmp_path / "bundle.pem", tmp_path / "bundle.p7b"
        pem.write_bytes(bundle(*three()))
        openssl("crl2pkcs7", "-nocrl", "-certfile", pem, "-outform", form, "-out", file)
        assert sorted(rows(check(mdmprofile, file))) == sorted(THREE)

    def test_single_der_certificate_has_the_file_as_its_place(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The format is told by the bytes, so the suffix may lie."""
        push = push_certificate(root_ca())
        file = tmp_path / "push.pem"
        file.write_bytes(push.der)
        (row,) = check(mdmprofile, file).json["certificates"]
        assert row == {
            "role": "push",
            "subject": push.subject.rfc4514_string(),
            "sha256": push.sha256,
            "not_before": stamp(NOW - DAY),
            "not_after": stamp(NOW + 365 * DAY),
            "days_left": 365,
            "where": str(file),
            "baked_in": False,
        }

    def test_certificate_twice_in_a_bundle_is_one_row(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A certificate ends once."""
        root, file = root_ca(), tmp_path / "bundle.pem"
        file.write_bytes(bundle(root, root))
        assert rows(check(mdmprofile, file)) == [("root", "Test Root")]

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "is empty"),
            (b"hello", "holds no certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA", "cut short"),
            (root_ca(key=ec_key()).der[:-9], "cannot be parsed"),
        ],
        ids=["empty", "text", "pem cut short", "der cut short"],
    )
    def test_file_without_a_readable_certificate_is_an_error_beside_the_others(
        self, tmp_path: Path, mdmprofile: Command, data: bytes, says: str
    ) -> None:
        """One unreadable file is exit 3, and every other target is still reported."""
        bad, good = tmp_path / "bad.pem", tmp_path / "good.pem"
        bad.write_bytes(data)
        good.write_bytes(root_ca().pem)
        outcome = check(mdmprofile, bad, good)
        assert outcome.code == 3
        assert says in outcome.err
        assert places(outcome) == [str(bad)]
        assert rows(outcome) == [("root", "Test Root")]


class TestPkcs12Files:
    """PKCS#12 targets and their password."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """An identity with its chain."""
        root, intermediate, _ = three()
        file = tmp_path / "device.p12"
        file.write_bytes(issue("Device", intermediate).p12("secret-4711", [intermediate, root]))
        return file

    def test_identity_and_its_chain_count(self, file: Path, mdmprofile: Command) -> None:
        """With the password, the certificate of the key is the identity, the rest have their own roles."""
        password = file.with_name("password.txt")
        password.write_text("secret-4711\n")
        outcome = check(mdmprofile, file, "--password-file", password)
        assert Counter(rows(outcome)) == Counter([("identity", "Device"), *THREE[:2]])
        assert outcome.code == 0

    @pytest.mark.parametrize("password", [None, "wrong-4712"], ids=["none", "wrong"])
    def test_without_the_right_password_the_others_are_still_reported(
        self, file: Path, mdmprofile: Command, password: str | None
    ) -> None:
        """Exit 3, an expired certificate beside it is still found, and no password shows."""
        expired = file.with_name("expired.pem")
        expired.write_bytes(issue("Expired", ca=True, start=NOW - 9 * DAY, end=NOW - DAY).pem)
        flags: tuple[str | Path, ...] = ()
        if password is not None:
            file.with_name("password.txt").write_text(password)
            flags = ("--password-file", file.with_name("password.txt"))
        alone = mdmprofile("check", file, *flags)
        assert alone.code == 3
        assert "password" in alone.err
        assert "4712" not in alone.out + alone.err
        both = check(mdmprofile, file, expired, *flags)
        assert both.code == 2
        assert both.rules == ["expiry.expired"]
        assert places(both) == [str(file)]

    def test_password_file_that_is_not_there_is_an_error(self, file: Path, mdmprofile: Command) -> None:
        """It was asked for by name."""
        outcome = mdmprofile("check", file, "--password-file", file.with_name("nowhere.txt"))
        assert outcome.code == 3
        assert "nowhere.txt" in outcome.err

    def test_store_of_trusted_certificates_without_a_key_is_read(
        self, tmp_path: Path, mdmprofile: Command, openssl: Openssl
    ) -> None:
        """Windows and Java export CAs that way."""
        pem, file, password = tmp_path / "cas.pem", tmp_path / "cas.p12", tmp_path / "password.txt"
        pem.write_bytes(bundle(*three()[:2]))
        password.write_text("changeit")
        openssl("pkcs12", "-export", "-nokeys", "-in", pem, "-out", file, "-passout", "pass:changeit")
        assert sorted(rows(check(mdmprofile, file, "--password-file", password))) == sorted(THREE[:2])


class TestAnchors:
    """dep_anchor_certs: a JSON array of base64 certificates."""

    @pytest.mark.parametrize("wrapped", [False, True], ids=["one line", "wrapped"])
    def test_every_anchor_counts(self, tmp_path: Path, mdmprofile: Command, wrapped: bool) -> None:
        """Apple's own examples wrap the base64; ours does not."""
        encode = base64.encodebytes if wrapped else base64.b64encode
        file = tmp_path / "dep_anchor_certs"
        file.write_text("\n" + json.dumps([encode(each.der).decode() for each in three()]))
        outcome = check(mdmprofile, file)
        assert rows(outcome) == THREE
        assert [each["where"] for each in outcome.json["certificates"]] == [f"{file} #{n}" for n in range(1, 4)]

    def test_document_that_build_published_is_read(self, built: Path, mdmprofile: Command) -> None:
        """What we write, we read."""
        outcome = check(mdmprofile, built.with_name("dep_anchor_certs"))
        assert ("root", "Test Root") in rows(outcome)
        assert outcome.code == 0

    def test_empty_document_is_fine(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A publicly trusted server publishes an empty array."""
        file = tmp_path / "dep_anchor_certs"
        file.write_text("[]")
        outcome = check(mdmprofile, file)
        assert (outcome.code, outcome.json["certificates"], outcome.err) == (0, [], "")

    @pytest.mark.parametrize(
        "text",
        ["[", "[5]", '["!!"]', '[{"a": 1}]', '["aGVsbG8="]', "[" * 5000, "[null]", "[1e99999999999]", "[" + "9" * 5000],
        ids=["cut", "number", "not base64", "table", "no certificate", "deep", "null", "infinity", "long number"],
    )
    def test_anything_else_is_an_error_in_one_line(self, tmp_path: Path, mdmprofile: Command, text: str) -> None:
        """Whatever the JSON or base64 reader makes of it."""
        file = tmp_path / "dep_anchor_certs"
        file.write_text(text)
        outcome = mdmprofile("check", file)
        assert outcome.code == 3
        assert outcome.err.startswith(f"mdmprofile: error: {file}")
        assert outcome.err.count("\n") == 1


class TestConfigs:
    """enroll.toml: everything that its files hold, without the secrets that dates do not need."""

    SCEP = "root intermediate leaf signer push"

    def test_everything_that_the_config_names_is_watched(self, site: Site, mdmprofile: Command) -> None:
        """Each certificate with its role and file; the SCEP identity has no certificate yet."""
        outcome = check(mdmprofile, site.config)
        found = {each["role"]: Path(each["where"]).name for each in outcome.json["certificates"]}
        assert found == {
            "root": "root.pem",
            "intermediate": "intermediate.pem",
            "leaf": "server.pem",
            "signer": "signer.pem",
            "push": "push.pem",
        }
        assert outcome.code == 0

    @pytest.mark.parametrize(
        "challenge",
        ['{ env = "NOBODY_SET_THIS" }', '{ file = "absent.txt" }', '{ command = ["false"] }', '{ prompt = "Secret" }'],
        ids=["env", "file", "command", "prompt"],
    )
    def test_absent_secrets_do_not_stop_it(self, site: Site, mdmprofile: Command, challenge: str) -> None:
        """Monitoring runs where neither the challenge nor the signer's key is."""
        site.edit(lambda text: text.replace('{ file = "challenge.txt" }', challenge))
        site.edit(lambda text: text.replace('key = "signer.key"', 'key = "signer.key"\nkey_password = { env = "NO" }'))
        (site.folder / "signer.key").unlink()
        outcome = check(mdmprofile, site.config)
        assert [role for role, _ in rows(outcome)] == self.SCEP.split()
        assert (outcome.code, outcome.err) == (0, "")

    def test_acme_identity_needs_no_secret_either(self, site: Site, mdmprofile: Command) -> None:
        """A client identifier whose device is not known stays as it is."""
        acme = (
            '[identity]\ntype = "acme"\ndirectory_url = "https://mdm.example.com/acme"\n'
            'client_identifier = "{{ device.serial }}"\nvalidity = "90d"\n\n'
        )
        site.edit(lambda text: re.sub(r"\[identity\].*?(?=\[signing\])", lambda _: acme, text, flags=re.DOTALL))
        outcome = check(mdmprofile, site.config)
        assert outcome.err == ""
        assert outcome.json["plan"]["limited_by"] == "identity from ACME, valid for 90 days"

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ('"https://mdm.example.com/mdm"', '"https://mdm.example.com/mdm?serial={{ device.serial }}"'),
            ('"com.example.mdm.enroll"', '"com.example.mdm.{{ device.serial }}"'),
        ],
        ids=["URL", "identifier"],
    )
    def test_variables_that_nobody_gave_do_not_stop_it(
        self, site: Site, mdmprofile: Command, before: str, after: str
    ) -> None:
        """A config for many devices has dates like any other, and check has no way to be given variables."""
        site.edit(lambda text: text.replace(before, after))
        outcome = check(mdmprofile, site.config)
        assert (outcome.code, outcome.err) == (0, "")
        assert [role for role, _ in rows(outcome)] == self.SCEP.split()

    def test_pkcs12_identity_is_opened_with_the_config_s_password(self, site: Site, mdmprofile: Command) -> None:
        """Its certificate is what ends; without the password it is an error beside the rest."""
        pkcs12 = '[identity]\ntype = "pkcs12"\nfile = "device.p12"\npassword = { file = "password.txt" }\n\n'
        site.edit(lambda text: re.sub(r"\[identity\].*?(?=\[signing\])", lambda _: pkcs12, text, flags=re.DOTALL))
        (site.folder / "device.p12").write_bytes(issue("Device", site.intermediate).p12("secret"))
        (site.folder / "password.txt").write_text("secret\n")
        assert ("identity", "Device") in rows(check(mdmprofile, site.config))
        (site.folder / "password.txt").unlink()
        outcome = check(mdmprofile, site.config)
        assert outcome.code == 3
        assert "password.txt" in outcome.err
        assert [role for role, _ in rows(outcome)] == self.SCEP.split()
        assert outcome.rules == ["expiry.identity-unknown"]

    def test_file_that_is_not_there_is_an_error_beside_the_rest(self, site: Site, mdmprofile: Command) -> None:
        """Every file that is missing is named, and everything else is judged."""
        (site.folder / "root.pem").unlink()
        (site.folder / "push.pem").unlink()
        outcome = check(mdmprofile, site.config)
        assert outcome.code == 3
        assert sorted(Path(each).name for each in places(outcome)) == ["push.pem", "root.pem"]
        assert [role for role, _ in rows(outcome)] == ["intermediate", "leaf", "signer"]
        worse = mdmprofile("check", site.config, "--format", "json", at=stamp(NOW + 800 * DAY))
        assert worse.code == 2

    def test_signer_from_a_pkcs12_counts_with_its_chain(self, site: Site, mdmprofile: Command) -> None:
        """Its intermediates are embedded in the signature, and so are baked in; a root never is."""
        other = root_ca("Signing Root")
        below = intermediate_ca(other, "Signing Intermediate")
        (site.folder / "signer.p12").write_bytes(issue("Other Signer", below).p12("secret", [below, other]))
        signing = '[signing]\npkcs12 = "signer.p12"\npkcs12_password = "secret"\n'
        site.edit(lambda text: text.partition("[signing]")[0] + signing)
        found = rows(check(mdmprofile, site.config))
        assert ("signer", "Other Signer") in found
        assert ("intermediate", "Signing Intermediate") in found
        assert "Signing Root" not in {each for _, each in found}

    def test_signing_chain_counts_its_intermediates_once(self, site: Site, mdmprofile: Command) -> None:
        """Only what is above the signer is embedded; an intermediate that trust has too is one row."""
        other = root_ca("Signing Root")
        below = intermediate_ca(other, "Signing Intermediate")
        (site.folder / "chain.pem").write_bytes(bundle(other, below, issue("Leaf", other), site.intermediate))
        site.edit(lambda text: text + 'chain = ["chain.pem"]\n')
        found = Counter(rows(check(mdmprofile, site.config)))
        assert found["intermediate", "Test Intermediate"] == 1
        assert {"Leaf", "Signing Root", "Signing Intermediate"}.isdisjoint(each for _, each in found)

    @pytest.mark.parametrize("order", [1, -1], ids=["signer first", "signer last"])
    def test_whole_chain_in_the_signer_file_counts(self, site: Site, mdmprofile: Command, order: int) -> None:
        """The signer is the certificate that is no CA, wherever it stands in its file, and its chain counts too."""
        other = root_ca("Signing Root")
        below = intermediate_ca(other, "Signing Intermediate")
        signer = issue("Other Signer", below, key=ec_key())
        (site.folder / "signer.pem").write_bytes(bundle(*(signer, below, other)[::order]))
        (site.folder / "signer.key").write_bytes(signer.key_pem())
        found = rows(check(mdmprofile, site.config))
        assert ("signer", "Other Signer") in found
        assert ("intermediate", "Signing Intermediate") in found

    def test_public_trust_embeds_nothing_so_nothing_of_it_is_watched(self, site: Site, mdmprofile: Command) -> None:
        """With a public CA the profile carries no trust certificate, and its signature the signer's intermediate."""
        site.edit(lambda text: text.replace("[trust]", "[trust]\npublic = true"))
        found = [role for role, _ in rows(check(mdmprofile, site.config))]
        assert found == ["leaf", "signer", "intermediate", "push"]

    def test_pinned_certificates_are_watched_as_pinned(self, site: Site, mdmprofile: Command) -> None:
        """Both lists, each certificate once."""
        (site.folder / "a.pem").write_bytes(server_leaf(site.intermediate, "a.example.com").pem)
        (site.folder / "b.pem").write_bytes(server_leaf(site.intermediate, "b.example.com").pem)
        lists = 'url_pinning_certificates = ["a.pem"]\ncheckin_url_pinning_certificates = ["a.pem", "b.pem"]\n\n[trust]'
        site.edit(lambda text: text.replace("[trust]", lists))
        found = rows(check(mdmprofile, site.config))
        assert [each for each in found if each[0] == "pinned"] == [
            ("pinned", "a.example.com"),
            ("pinned", "b.example.com"),
        ]

    def test_mistakes_in_the_config_are_all_named_and_other_targets_judged(
        self, site: Site, mdmprofile: Command
    ) -> None:
        """An unknown key and a wrong value, each one line."""
        site.edit(lambda text: text.replace("replace_on", "replace_onn").replace('"scep"', '"skep"'))
        outcome = check(mdmprofile, site.config, site.folder / "root.pem")
        assert outcome.code == 3
        assert len(places(outcome)) == 2
        assert rows(outcome) == [("root", "Test Root")]


class TestDirectories:
    """A directory is read with everything below it."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A directory with one certificate, and one more below it."""
        folder = tmp_path / "pki"
        (folder / "below" / "deeper").mkdir(parents=True)
        (folder / "root.pem").write_bytes(root_ca("Above").pem)
        (folder / "below" / "deeper" / "ca.CRT").write_bytes(root_ca("Below").pem)
        return folder

    def test_directories_below_are_read_too(self, folder: Path, mdmprofile: Command) -> None:
        """Suffixes in any case."""
        outcome = check(mdmprofile, folder)
        assert names(outcome) == ["Above", "Below"]
        assert (outcome.code, outcome.err) == (0, "")

    @pytest.mark.parametrize(
        ("file", "data"),
        [
            ("signer.key", "key"),
            ("signer.pem", "key"),
            ("signer-encrypted.pem", "encrypted key"),
            ("README.md", b"-----BEGIN CERTIFICATE----- is how a certificate begins"),
            ("certs.txt", b"\x00\x01"),
            ("pyproject.toml", b"[project]\nname = 'other'\n"),
            ("broken.toml", b"= not toml ="),
            (".hidden.pem", b"broken"),
            (".git/objects.pem", b"broken"),
        ],
        ids=[
            "key",
            "key in pem",
            "encrypted key",
            "text",
            "other suffix",
            "foreign toml",
            "no toml",
            "hidden file",
            "hidden directory",
        ],
    )
    def test_keys_hidden_and_foreign_files_are_ignored(
        self, folder: Path, mdmprofile: Command, file: str, data: bytes | str
    ) -> None:
        """They are none of our business, and say nothing about dates."""
        keys = {"key": root_ca().key_pem(), "encrypted key": root_ca(key=ec_key()).key_pem("secret")}
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(keys[data] if isinstance(data, str) else data)
        outcome = check(mdmprofile, folder)
        assert names(outcome) == ["Above", "Below"]
        assert (outcome.code, outcome.err) == (0, "")

    @pytest.mark.parametrize("file", ["enroll.toml", "mdm.toml"])
    @pytest.mark.parametrize("lines", [2, 9, 20])
    def test_config_that_is_cut_off_is_an_error_and_no_silence(
        self, site: Site, folder: Path, mdmprofile: Command, file: str, lines: int
    ) -> None:
        """Wherever the line ends in the middle, it is still the file that nobody may overlook."""
        kept = site.config.read_text().splitlines()[:lines]
        (folder / file).write_text("\n".join([*kept, 'name = "cut']))
        outcome = check(mdmprofile, folder)
        assert (outcome.code, places(outcome)) == (3, [str(folder / file)])
        assert names(outcome) == ["Above", "Below"]

    @pytest.mark.parametrize("data", [b"", b"\n", b"\x00\xff", "[profile]\n".encode("utf-16"), b"[project]\n"])
    def test_file_with_the_name_of_a_config_is_one(self, folder: Path, mdmprofile: Command, data: bytes) -> None:
        """Empty, overwritten, or in another encoding: nothing else is called enroll.toml."""
        (folder / "enroll.toml").write_bytes(data)
        outcome = check(mdmprofile, folder)
        assert outcome.code == 3
        assert all(each.startswith(str(folder / "enroll.toml")) for each in places(outcome))
        assert names(outcome) == ["Above", "Below"]

    @pytest.mark.parametrize(
        "text",
        ["[profile.release]\nlto = true\n[dependencies\n", "[server]\nport = 8080\n", "# the [identity]\n[build\n"],
        ids=["cargo", "server", "comment"],
    )
    def test_toml_of_other_programs_is_none_of_ours(self, folder: Path, mdmprofile: Command, text: str) -> None:
        """Neither a table of ours in TOML that is whole, nor damage to tables of others, makes a config."""
        (folder / "other.toml").write_text(text)
        outcome = check(mdmprofile, folder)
        assert (outcome.code, outcome.err) == (0, "")
        assert names(outcome) == ["Above", "Below"]

    @pytest.mark.parametrize(
        ("file", "arguments"),
        [
            ("SIGNER.PEM", ("pkey",)),
            ("public.pem", ("pkey", "-pubout")),
            ("request.pem", ("req", "-new", "-subj", "/CN=device", "-config", "/dev/null", "-key")),
            ("parameters.pem", ("ecparam", "-name", "prime256v1")),
        ],
        ids=["key in capitals", "public key", "request", "parameters"],
    )
    def test_pem_files_of_other_things_are_ignored(
        self, folder: Path, mdmprofile: Command, openssl: Openssl, file: str, arguments: tuple[str, ...]
    ) -> None:
        """A CA's directory is full of them; an exit 3 for each would make every run a failure."""
        key = folder.with_name("signer.key")
        key.write_bytes(root_ca().key_pem())
        given = {"pkey": ("-in", key), "req": (key,), "ecparam": ()}[arguments[0]]
        (folder / file).write_bytes(openssl(*arguments, *given))
        outcome = check(mdmprofile, folder)
        assert names(outcome) == ["Above", "Below"]
        assert (outcome.code, outcome.err) == (0, "")

    def test_key_with_its_certificate_in_one_file_counts(self, folder: Path, mdmprofile: Command) -> None:
        """HAProxy and others want both in one PEM."""
        leaf = server_leaf(root_ca(), "both.example.com")
        (folder / "both.pem").write_bytes(leaf.key_pem() + leaf.pem)
        assert "both.example.com" in names(check(mdmprofile, folder))

    def test_unreadable_certificate_file_is_an_error_beside_the_others(self, folder: Path, mdmprofile: Command) -> None:
        """It has a suffix of the trade, so it should hold a certificate: exit 3, and the rest is reported."""
        (folder / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n")
        (folder / "empty.cer").write_bytes(b"")
        outcome = check(mdmprofile, folder)
        assert outcome.code == 3
        assert places(outcome) == [str(folder / "broken.pem"), str(folder / "empty.cer")]
        assert names(outcome) == ["Above", "Below"]

    def test_file_that_is_too_large_is_an_error_beside_the_others(self, folder: Path, mdmprofile: Command) -> None:
        """Neither a huge PEM nor a huge TOML stops the rest."""
        for file in ("huge.pem", "huge.toml"):
            with (folder / file).open("wb") as stream:
                stream.truncate(33 * 1024 * 1024)
        outcome = check(mdmprofile, folder)
        assert outcome.code == 3
        assert sorted(places(outcome)) == [str(folder / "huge.pem"), str(folder / "huge.toml")]
        assert names(outcome) == ["Above", "Below"]

    @pytest.mark.parametrize("content", ["nothing", "foreign"])
    def test_directory_without_anything_to_judge_is_an_error(
        self, tmp_path: Path, mdmprofile: Command, content: str
    ) -> None:
        """A mistyped directory must not look like a healthy one."""
        folder = tmp_path / "empty"
        folder.mkdir()
        if content == "foreign":
            (folder / "notes.txt").write_text("nothing here")
        outcome = mdmprofile("check", folder)
        assert outcome.code == 3
        assert f"{folder}: holds no profile, certificate or config" in outcome.err

    def test_directory_of_too_many_files_is_refused(
        self, tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A slip such as checking the whole disk ends with an error, not after hours."""
        monkeypatch.setattr(folders, "MAX_FILES", 100)
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(101):
            (folder / f"{number}.der").touch()
        outcome = mdmprofile("check", folder)
        assert outcome.code == 3
        assert "more than 100 files" in outcome.err

    def test_config_in_the_directory_gives_its_dates_to_the_files_beside_it(
        self, site: Site, mdmprofile: Command
    ) -> None:
        """Roles by the config where it names them, and its replacement for a root that it does not name."""
        (site.folder / "next-root.pem").write_bytes(root_ca("Next Root", days=200).pem)
        outcome = check(mdmprofile, site.folder)
        assert {("signer", "Profile Signer"), ("root", "Next Root")} <= {*rows(outcome)}
        assert [each["where"] for each in outcome.json["findings"]] == [str(site.folder / "next-root.pem")]
        assert outcome.rules == ["expiry.before-replacement"]

    def test_profile_is_held_against_the_config_of_its_identifier(
        self, site: Site, unsigned: Path, mdmprofile: Command
    ) -> None:
        """Wherever either lies and whichever comes first: the planned date, and the margin, are the config's."""
        elsewhere = unsigned.rename(site.folder.parent / "elsewhere.mobileconfig")
        soon = ("--identity-validity", "200d")
        for named in ((site.config, elsewhere), (elsewhere, site.config)):
            report = check(mdmprofile, *named, *soon)
            assert report.json["plan"]["replace_on"] == "2031-09-01T00:00:00Z"
            late = [each["where"] for each in report.json["findings"] if each["rule"] == "expiry.before-replacement"]
            # The flag lies over what the config says of its own identities too.
            assert sorted(each.startswith(str(elsewhere)) for each in late) == [False, True]
            assert "planned for 2031-09-01" in mdmprofile("check", *named, *soon).out
            metrics = mdmprofile("check", *named, *soon, "--format", "prometheus").out
            assert re.search(r"(?m)^mdmprofile_planned_replacement_timestamp_seconds \d", metrics)
            asked = check(mdmprofile, *named, "--replace-on", "2031-05-01").json["plan"]["replace_on"]
            assert asked == "2031-05-01T00:00:00Z"
        alone = check(mdmprofile, elsewhere, *soon)
        assert (alone.json["plan"]["replace_on"], alone.code) == (None, 0)

    def test_of_two_configs_with_the_identifier_neither_speaks_for_the_profile(
        self, site: Site, unsigned: Path, mdmprofile: Command
    ) -> None:
        """Unless they say the same, nobody can tell which of them is meant."""
        other = site.folder / "other.toml"
        other.write_text(site.config.read_text())
        named = (site.config, other, unsigned, "--identity-validity", "200d")

        def late() -> list[str]:
            found = check(mdmprofile, *named).json["findings"]
            return [each["where"] for each in found if each["rule"] == "expiry.before-replacement"]

        assert any(each.startswith(str(unsigned)) for each in late())
        other.write_text(other.read_text().replace("2031-09-01", "2031-10-01"))
        assert not any(each.startswith(str(unsigned)) for each in late())

    def test_each_config_is_judged_by_its_own_dates(self, site: Site, mdmprofile: Command) -> None:
        """Of two sites in one directory the later replacement must not be lost."""
        folder = site.folder.parent / "sites"
        for each, day in (("a", "2031-04-01"), ("b", "2032-03-01")):
            (folder / each).mkdir(parents=True)
            for file in site.folder.iterdir():
                (folder / each / file.name).write_bytes(file.read_bytes())
            config = folder / each / "enroll.toml"
            config.write_text(config.read_text().replace("2031-09-01", day))
        alone = check(mdmprofile, folder / "b" / "enroll.toml")
        assert "expiry.before-replacement" in alone.rules
        assert "expiry.before-replacement" in check(mdmprofile, folder).rules

    @pytest.mark.parametrize("folder_name", ["plain", "client #3"])
    def test_pkcs12_that_the_config_opens_needs_no_password_again(
        self, site: Site, mdmprofile: Command, folder_name: str
    ) -> None:
        """The config beside it holds the password; another PKCS#12 without one is still an error."""
        folder = site.folder.with_name(folder_name)
        site.folder.rename(folder)
        pkcs12 = '[identity]\ntype = "pkcs12"\nfile = "device.p12"\npassword = "secret"\n\n'
        config = folder / "enroll.toml"
        config.write_text(
            re.sub(r"\[identity\].*?(?=\[signing\])", lambda _: pkcs12, config.read_text(), flags=re.DOTALL)
        )
        (folder / "device.p12").write_bytes(issue("Device", site.intermediate).p12("secret", [site.root]))
        outcome = check(mdmprofile, folder)
        assert ("identity", "Device") in rows(outcome)
        assert (outcome.code, outcome.err) == (0, "")
        (folder / "other.p12").write_bytes(issue("Other", site.intermediate).p12("unknown"))
        outcome = check(mdmprofile, folder)
        assert outcome.code == 3
        assert places(outcome) == [str(folder / "other.p12")]

    @pytest.mark.parametrize("name", ["f", "f.txt", "f.bundle", "f.chain", "f.key", "f.0", "f.p7s"])
    @pytest.mark.parametrize("form", ["pem", "der"])
    def test_expired_certificate_counts_whatever_its_file_is_called(
        self, tmp_path: Path, mdmprofile: Command, name: str, form: str
    ) -> None:
        """A certificate that is passed over because of its name is a false all-clear."""
        expired = root_ca("Over", days=-1)
        (tmp_path / "root.pem").write_bytes(root_ca().pem)
        (tmp_path / name).write_bytes(expired.pem if form == "pem" else expired.der)
        outcome = check(mdmprofile, tmp_path)
        assert (outcome.code, outcome.rules) == (2, ["expiry.expired"])

    def test_build_output_directory_is_read(self, built: Path, mdmprofile: Command) -> None:
        """Both profiles with a signature each, and the anchors."""
        outcome = check(mdmprofile, built.parent)
        found = Counter(each["where"].partition(".mobileconfig")[0] for each in outcome.json["certificates"])
        anchors = f"{built.with_name('dep_anchor_certs')} #1"
        assert found == {str(built.with_suffix("")): 3, str(built.with_name("trust")): 3, anchors: 1}
        assert outcome.code == 0


class TestTargetsThatAreNone:
    """Paths that cannot be read."""

    @pytest.mark.parametrize("url", ["https://mdm.invalid", "https://mdm.invalid:8443/mdm", "http://a.invalid"])
    def test_server_that_is_none_is_no_absent_file(self, tmp_path: Path, mdmprofile: Command, url: str) -> None:
        """It is asked for as a server, and other targets are still judged; what reads files alone says so."""
        good = tmp_path / "good.pem"
        good.write_bytes(root_ca().pem)
        outcome = check(mdmprofile, url, good)
        assert outcome.code == 3
        assert url in outcome.err
        assert "no such file" not in outcome.err
        assert rows(outcome) == [("root", "Test Root")]
        assert "mdmprofile check reads servers" in mdmprofile("plan", url).err

    @pytest.mark.parametrize("path", ["absent.pem", "a" * 300], ids=["absent", "name too long"])
    def test_absent_file_is_an_error_beside_the_others(self, tmp_path: Path, mdmprofile: Command, path: str) -> None:
        """A typing mistake, or the text of a certificate pasted where its file belongs."""
        good = tmp_path / "good.pem"
        good.write_bytes(root_ca().pem)
        outcome = mdmprofile("check", tmp_path / path, good)
        assert outcome.code == 3
        assert outcome.err.startswith(f"mdmprofile: error: {tmp_path / path}: ")
        assert "internal error" not in outcome.err
        assert "Test Root" in outcome.out

    def test_identities_of_a_signed_profile_count_from_the_signature_on(
        self, site: Site, mdmprofile: Command, tmp_path: Path
    ) -> None:
        """Devices enrolled after the signature, so the first of their certificates ends its validity later."""
        out = tmp_path / "out"
        assert mdmprofile("build", "-c", site.config, "-o", out).code == 0
        profile = out / "enroll.mobileconfig"
        signed = open_profile(profile.read_bytes()).signature
        assert signed is not None
        start = signed.signers[0].signing_time
        assert start is not None
        late = (start + 340 * DAY).strftime("%Y-%m-%d")
        alone = mdmprofile("check", profile, "--format", "json", at=late)
        assert "expiry.soon" not in alone.rules
        assert "expiry.identity-unknown" in alone.rules
        for arguments in ((site.config, profile), (profile, "--identity-validity", "365d")):
            outcome = mdmprofile("check", *arguments, "--format", "json", at=late)
            ends = [each for each in outcome.json["findings"] if each["rule"] == "expiry.soon"]
            assert [str(profile) in each["where"] for each in ends] == [True]
            assert "identity from SCEP, valid for 365 days from" in ends[0]["message"]

    def test_read_target_keeps_errors_as_values(self, tmp_path: Path) -> None:
        """A library caller gets what could be read and what could not, without an exception."""
        (target,) = read_target(str(tmp_path / "absent.pem"), now=NOW)
        assert target.watched == ()
        assert [each.where for each in target.errors] == [str(tmp_path / "absent.pem")]

    def test_subject_without_a_common_name_is_shown_whole(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A root of nothing but an organization, and one with an empty subject, still have a name."""
        plain = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Only Org")])
        (tmp_path / "a.pem").write_bytes(issue(plain, ca=True).pem)
        empty = issue(x509.Name([]), ca=True)
        (tmp_path / "b.pem").write_bytes(empty.pem)
        out = mdmprofile("check", tmp_path / "a.pem", tmp_path / "b.pem").out
        assert "O=Only Org" in out
        assert f"sha256 {empty.sha256[:16]}" in out


def test_config_that_was_only_found_cannot_make_the_check_wait(mdmprofile: Command, site: Site) -> None:
    """A pipe that nobody writes to would be waited for without end."""
    (site.folder / "push.pem").unlink()
    os.mkfifo(site.folder / "push.pem")
    outcome = check(mdmprofile, site.folder)
    assert outcome.code == 3
    assert "pipe" in outcome.err
    assert ("root", "Test Root") in rows(outcome)


def test_certificate_that_is_baked_in_anywhere_is_baked_in(mdmprofile: Command, site: Site) -> None:
    """The signer's intermediate is also in the server's bundle, where it could be renewed without a new profile."""
    middle = issue("Short", site.root, ca=True, end=NOW + 40 * DAY)
    signer = issue("Short Signer", middle, end=NOW + 400 * DAY)
    (site.folder / "signer.pem").write_bytes(signer.pem)
    (site.folder / "signer.key").write_bytes(signer.key_pem())
    (site.folder / "short.pem").write_bytes(middle.pem)
    (site.folder / "server.pem").write_bytes(site.server.pem + site.intermediate.pem + middle.pem)
    site.edit(lambda config: config.replace('key = "signer.key"', 'key = "signer.key"\nchain = ["short.pem"]'))
    outcome = check(mdmprofile, site.config)
    assert outcome.json["plan"]["limited_by"] == "intermediate Short"
    assert [each["baked_in"] for each in outcome.json["certificates"] if each["subject"] == "CN=Short"] == [True]
