"""What an enemy could hand in: nothing of it runs a command, hides a certificate, or takes the machine."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import pkcs12
from cryptography import x509

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import verify
from mdmprofile.containers import load_certificates, load_pkcs12, load_private_key
from mdmprofile.errors import CertificateError, ProfileError, SecretError, SignatureFormatError
from mdmprofile.profile import MAX_PAYLOADS, parse
from mdmprofile.reader import is_profile
from mdmprofile.secret import SecretSource
from mdmprofile.targets import date_identities, read_target
from pki import DAY, NOW, Entity, Site, ec_key, issue, root_ca

SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"


def profile(*payloads: dict[str, object]) -> bytes:
    """An unsigned profile of these payloads."""
    top = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "a", "PayloadUUID": "u"}
    return plistlib.dumps(top | {"PayloadContent": list(payloads)})


def root_payload(der: bytes) -> dict[str, object]:
    """A root payload."""
    return {"PayloadType": "com.apple.security.root", "PayloadContent": der}


@pytest.mark.parametrize("table", ["identity", "signing"])
def test_command_of_a_config_that_was_only_found_is_not_run(site: Site, mdmprofile: Command, table: str) -> None:
    """Whoever can put a file into a directory must not be able to have commands run by its check."""
    (site.folder / "device.p12").write_bytes(issue("Device").p12("secret"))
    password = '{ command = ["sh", "-c", "touch ran; echo secret"] }'
    if table == "identity":
        text = f'[identity]\ntype = "pkcs12"\nfile = "device.p12"\npassword = {password}\n'
    else:
        text = '[identity]\ntype = "scep"\nurl = "https://a.example"\n[signing]\npkcs12 = "device.p12"\n'
        text += f"pkcs12_password = {password}\n"
    site.edit(lambda before: before.partition("[identity]")[0] + text)
    outcome = mdmprofile("check", site.folder)
    assert outcome.code == 3
    assert "comes from a command, which is not run" in outcome.err
    assert not Path("ran").exists()
    assert not (site.folder / "ran").exists()


def test_command_whose_child_keeps_the_pipe_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killing the command does not kill what it started, and nobody waits for that."""
    monkeypatch.setattr("mdmprofile.secret.COMMAND_SECONDS", 0.5)
    source = SecretSource("command", ("sh", "-c", "sleep 3 & wait"), "identity.challenge")
    with pytest.raises(SecretError, match="gave no answer"):
        source.fetch()


def test_profile_of_endless_payloads_is_refused() -> None:
    """A binary property list names one payload many times at a byte or two each."""
    payload = root_payload(b"")
    fine = plistlib.dumps({"PayloadContent": [payload] * MAX_PAYLOADS}, fmt=plistlib.FMT_BINARY)
    assert len(parse(fine).payloads) == MAX_PAYLOADS
    many = plistlib.dumps({"PayloadContent": [payload] * (MAX_PAYLOADS + 1)}, fmt=plistlib.FMT_BINARY)
    with pytest.raises(ProfileError, match="more than 500 payloads"):
        parse(many)


def test_payloads_of_endless_bundles_stop_at_the_limit(tmp_path: Path, mdmprofile: Command) -> None:
    """Each payload can hold a bundle; their sum is what counts."""
    bundle = b"".join(root_ca(f"Root {number}", key=ec_key()).pem for number in range(30))
    pem: dict[str, object] = {"PayloadType": "com.apple.security.pem", "PayloadContent": bundle}
    (tmp_path / "many.mobileconfig").write_bytes(profile(*[pem] * 80))
    outcome = mdmprofile("check", tmp_path / "many.mobileconfig")
    assert outcome.code == 3
    assert "more than 2000 certificates" in outcome.err


def test_object_identifier_of_absurd_length_is_refused_before_it_is_read() -> None:
    """Reading one takes time that grows with the square of its length."""
    oid = b"\x06\x83" + (100_000).to_bytes(3, "big") + b"\x81" * 99_999 + b"\x01"
    signed = b"\x02\x01\x01\x31\x00\x30\x80" + oid + b"\x00\x00\x31\x00"
    data = b"\x30\x80" + SIGNED_DATA + b"\xa0\x80\x30\x80" + signed + b"\x00" * 6
    with pytest.raises(SignatureFormatError):
        parse_signed_data(data)
    assert is_profile(data)


def test_pkcs12_that_wants_endless_iterations_is_refused() -> None:
    """The count stands in the file, so whoever made the file chooses how long the processor is busy."""
    data = issue("Device").p12("secret")
    assert load_pkcs12(data, password=b"secret").certificate.name == "Device"
    slow = pkcs12.Pfx.load(data)
    slow["mac_data"]["iterations"] = 2**31 - 1
    with pytest.raises(CertificateError, match="more than 3,000,000 iterations"):
        load_pkcs12(slow.dump(force=True), password=b"secret")


@pytest.mark.parametrize("tampered", [False, True], ids=["intact", "tampered"])
def test_profile_cut_into_pieces_is_judged_as_a_profile(tmp_path: Path, mdmprofile: Command, tampered: bool) -> None:
    """A piece can end in the middle of the word that tells a property list."""
    content = profile(root_payload(root_ca("Ends soon", days=3).der))
    if tampered:
        signer = issue("Signer", key=ec_key())
        whole = sign(content, Identity(signer.ours, signer.key)).replace(b"Configuration", b"Konfiguration", 1)
        (tmp_path / "a").write_bytes(whole)
        assert mdmprofile("check", tmp_path / "a", "--format", "json").rules[0] == "signature.invalid"
        return
    cut = content.index(b"<plist") + 3
    pieces = b"".join(b"\x04\x82" + len(each).to_bytes(2, "big") + each for each in (content[:cut], content[cut:]))
    encapsulated = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80" + pieces + b"\x00" * 4
    signed = b"\x02\x01\x01\x31\x00\x30\x80" + encapsulated + b"\x00\x00\x31\x00"
    data = b"\x30\x80" + SIGNED_DATA + b"\xa0\x80\x30\x80" + signed + b"\x00" * 6
    assert b"<plist" not in data
    (tmp_path / "a").write_bytes(data)
    outcome = mdmprofile("check", tmp_path / "a", "--format", "json")
    assert outcome.code == 2
    assert {"expiry.critical", "signature.invalid"} == set(outcome.rules)


def test_pem_inside_a_certificate_does_not_stand_in_for_it(tmp_path: Path, mdmprofile: Command) -> None:
    """An extension can hold any text, another certificate's PEM too."""
    hidden = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), root_ca("Long lived", key=ec_key()).pem)
    (tmp_path / "a.mobileconfig").write_bytes(
        profile(root_payload(issue("Ends soon", ca=True, end=NOW + 2 * DAY, extensions=[hidden]).der))
    )
    outcome = mdmprofile("check", tmp_path / "a.mobileconfig", "--format", "json")
    assert [each["subject"] for each in outcome.json["certificates"]] == ["CN=Ends soon"]
    assert outcome.rules == ["expiry.critical"]


def test_profile_whose_signature_was_taken_off_fails_the_trust_that_was_asked_for(
    tmp_path: Path, mdmprofile: Command
) -> None:
    """Otherwise an enemy would only have to strip the signature."""
    root = root_ca()
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "a.mobileconfig").write_bytes(profile(root_payload(root.der)))
    arguments = ("check", tmp_path / "a.mobileconfig", "--format", "json")
    assert mdmprofile(*arguments).rules == []
    outcome = mdmprofile(*arguments, "--trust", tmp_path / "root.pem")
    assert (outcome.code, outcome.rules) == (2, ["signature.missing"])


def test_signing_time_to_come_does_not_prolong_an_identity(site: Site, mdmprofile: Command) -> None:
    """The signer states the time; only the past is believed."""
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    earlier = NOW - timedelta(days=3650)
    targets = read_target(str(site.folder / "out" / "enroll.mobileconfig"), now=earlier)
    (target,) = date_identities(targets, now=earlier, validity=30 * DAY)
    (identity,) = [each for each in target.watched if each.role == "identity"]
    assert identity.not_after == earlier + 30 * DAY


def test_key_left_open_by_a_template_is_no_all_clear(site: Site, mdmprofile: Command) -> None:
    """Certificates and dates that a variable hides are not judged, and that is said."""
    site.edit(lambda text: text.replace('"root.pem", ', '"{{ site }}/root.pem", '))
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert (outcome.code, outcome.rules) == (1, ["config.unfilled"])
    assert outcome.json["findings"][0]["where"].endswith("trust.certificates")
    outcome = mdmprofile("check", site.config, "--var", f"site={site.folder}", "--format", "json")
    assert (outcome.code, outcome.rules) == (0, [])


def test_unrelated_ca_in_the_signers_chain_file_does_not_stop_a_build(site: Site, mdmprofile: Command) -> None:
    """Only what is above the signer goes into the signature, so only that can end."""
    other = issue("Over", root_ca("Other Root"), ca=True, end=NOW - DAY, start=NOW - 9 * DAY)
    (site.folder / "chain.pem").write_bytes(site.intermediate.pem + other.pem)
    site.edit(lambda text: text + 'chain = ["chain.pem"]\n')
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0


def test_text_before_a_certificate_may_begin_like_json(tmp_path: Path, mdmprofile: Command) -> None:
    """People write what a certificate is above it."""
    (tmp_path / "root.pem").write_bytes(b"[root CA]\n" + root_ca().pem)
    assert mdmprofile("check", tmp_path / "root.pem").code == 0


def test_one_endless_name_does_not_widen_every_row(tmp_path: Path, mdmprofile: Command) -> None:
    """A thousand rows, each padded to the longest name, would fill a disk."""
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60)
    long = issue(x509.Name([organization] * 400), ca=True, key=ec_key())
    (tmp_path / "a.pem").write_bytes(long.pem + b"".join(root_ca(f"R{n}", key=ec_key()).pem for n in range(20)))
    outcome = mdmprofile("check", tmp_path / "a.pem")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) < 600


def test_expired_fingerprint_of_a_scep_ca_is_judged(site: Site, mdmprofile: Command) -> None:
    """Its fingerprint is in the profile, and after its end no device gets an identity."""
    (site.folder / "scep-ca.pem").write_bytes(root_ca("SCEP CA", days=-1).pem)
    site.edit(lambda text: text.replace('validity = "365d"', 'validity = "365d"\nca_certificate = "scep-ca.pem"'))
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["expiry.expired"])
    assert "fetch an identity" in outcome.json["findings"][0]["message"]


def test_property_list_that_never_was_a_profile_is_refused(site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """Any application's settings are a property list too."""
    other = tmp_path / "settings.plist"
    other.write_bytes(plistlib.dumps({"a": 1}))
    signer = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
    for command in (
        ("check", other),
        ("build", "-c", site.config, "-o", tmp_path / "out", "--replaces", other),
        ("sign", other, "-o", tmp_path / "b", *signer),
    ):
        outcome = mdmprofile(*command)
        assert outcome.code == 3
        assert "no configuration profile" in outcome.err


def test_secret_inside_decides_who_may_read_a_signed_or_unsigned_profile(site: Site, mdmprofile: Command) -> None:
    """A challenge that came through a pipe or a public file is still a secret."""
    plain = profile(
        {"PayloadType": "com.apple.security.scep", "PayloadContent": {"URL": "https://a", "Challenge": "x"}}
    )
    source, signed, back = (site.folder / name for name in ("plain", "signed", "back"))
    source.write_bytes(plain)
    source.chmod(0o644)
    signer = ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key")
    assert mdmprofile("sign", source, "-o", signed, *signer).code == 0
    signed.chmod(0o644)
    assert mdmprofile("unsign", signed, "-o", back).code == 0
    assert back.stat().st_mode & 0o077 == 0
    assert back.read_bytes() == plain
    open_to_all = site.folder / "again"
    assert mdmprofile("sign", source, "-o", open_to_all, *signer).code == 0
    assert open_to_all.stat().st_mode & 0o077 == 0


def test_version_1_root_is_trusted_for_what_it_signed_and_nothing_else(
    tmp_path: Path, openssl: Callable[..., bytes]
) -> None:
    """Private roots of the last century are still in use; a certificate that only names one is not its own."""
    key, request, file = (tmp_path / name for name in ("root.key", "root.csr", "root.pem"))
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=Old Root", "-out", request)
    openssl("x509", "-req", "-in", request, "-signkey", key, "-days", "9000", "-out", file)
    (root,) = load_certificates(file.read_bytes())
    assert root.parsed.version is x509.Version.v1
    old = Entity(root.parsed, load_private_key(key.read_bytes()))
    below = issue("Below", old, key=ec_key(), ca=True)
    signer = issue("Signer", below, key=ec_key())
    false_key = issue("Old Root", key=ec_key())
    stranger = issue("Stranger", false_key, key=ec_key(), issuer_name=old.subject)
    for entity, chain, trusted in (
        (signer, (below.ours,), True),
        (issue("Direct", old, key=ec_key()), (), True),
        (signer, (), False),
        (stranger, (), False),
    ):
        signature = verify(sign(b"<plist/>", Identity(entity.ours, entity.key, chain)))
        assert (judge_trust(signature, [root], at=NOW) == ()) is trusted
        assert judge_trust(signature, [root], at=NOW + 36500 * DAY) != ()
