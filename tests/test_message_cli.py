"""Messages verified, made and pinned from the shell."""

from __future__ import annotations

import base64
import json
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from batches import devices_csv, fleet_site, rows_of
from conftest import Command, Outcome
from mdmprofile.ledger import LEDGER_NAME
from mdmprofile.message_signing import sign_mdm_message
from mdmprofile.moments import stamp
from messages import IDLE, device, device_ca, identity, parts, twin_certificate
from pki import DAY, NOW, Entity, ec_key, issue, root_ca
from postgres import running

Verify = Callable[..., Outcome]
UDID = "00008030-000A11111111802E"
AUTHENTICATE = plistlib.dumps({"MessageType": "Authenticate", "UDID": UDID, "SerialNumber": "S1", "Topic": "x"})


@pytest.fixture
def verify(tmp_path: Path, mdmprofile: Command) -> Verify:
    """Verify a body that an identity signed; ``ca`` and ``pins`` are given unless they are None."""
    (tmp_path / "ca.pem").write_bytes(device_ca().pem)

    def call(entity: Entity, body: bytes = IDLE, *words: str, ca: str | None = "ca.pem", pins: str = "") -> Outcome:
        (tmp_path / "header").write_text(sign_mdm_message(body, identity(entity)))
        (tmp_path / "body").write_bytes(body)
        flags = ["--ca", str(tmp_path / ca)] if ca else []
        flags += ["--pins", str(tmp_path / pins)] if pins else []
        files = ("--signature", tmp_path / "header", "--body", tmp_path / "body")
        return mdmprofile("message", "verify", *files, *flags, *words, "--format", "json", "--at", stamp(NOW), at=None)

    return call


class TestVerify:
    """``message verify``."""

    def test_message_of_a_device_is_accepted(self, verify: Verify) -> None:
        """The report says who signed, how, and the path to the CA."""
        entity = device()
        outcome = verify(entity)
        assert (outcome.code, outcome.rules) == (0, ["signature.weak-digest"])
        signer = outcome.json["signer"]
        assert (signer["sha256"], signer["digest"], signer["signed_attributes"]) == (entity.sha256, "sha1", [])
        assert signer["chain"] == [entity.ours.subject, device_ca().ours.subject]
        assert outcome.json["pin"] is None

    def test_without_ca_a_warning_says_that_trust_was_not_judged(self, verify: Verify) -> None:
        """It is exit code 0 all the same, unless warnings are to count."""
        entity = issue("anybody")
        outcome = verify(entity, ca=None)
        assert outcome.code == 0
        (found,) = [each for each in outcome.json["findings"] if each["rule"] == "signature.trust-not-judged"]
        assert found["severity"] == "warning"
        assert verify(entity, IDLE, "--fail-on", "warning", ca=None).code == 1

    @pytest.mark.parametrize(
        ("entity", "rule"),
        [
            (lambda: device(issuer=root_ca("Other", key=ec_key())), "signature.untrusted"),
            (lambda: issue("anybody"), "signature.untrusted"),
            (device_ca, "signature.untrusted"),
            (lambda: device(end=NOW - DAY / 2), "expiry.expired"),
            (lambda: device(start=NOW + DAY), "expiry.expired"),
        ],
    )
    def test_signer_that_may_not_is_an_error(self, entity: Callable[[], Entity], rule: str, verify: Verify) -> None:
        """Exit code 2, with the rule that scripts look for."""
        outcome = verify(entity())
        assert outcome.code == 2
        assert rule in outcome.rules

    def test_certificate_that_cannot_be_read_is_not_trusted(self, tmp_path: Path, mdmprofile: Command) -> None:
        """It is refused, as by a server; there is only less to say of it."""
        usage = x509.UnrecognizedExtension(x509.oid.ExtensionOID.KEY_USAGE, b"\xff")
        (tmp_path / "header").write_text(parts(device(extensions=(usage,)), IDLE).header())
        (tmp_path / "body").write_bytes(IDLE)
        (tmp_path / "ca.pem").write_bytes(device_ca().pem)
        files = ("--signature", tmp_path / "header", "--body", tmp_path / "body", "--ca", tmp_path / "ca.pem")
        outcome = mdmprofile("message", "verify", *files, "--format", "json")
        assert (outcome.code, outcome.rules[0]) == (2, "signature.untrusted")
        assert outcome.json["signer"] is None

    def test_changed_body_is_an_error(self, tmp_path: Path, mdmprofile: Command) -> None:
        """With signed attributes and without."""
        entity = device()
        (tmp_path / "changed").write_bytes(IDLE + b" ")
        for when, rule in ((None, "signature.invalid"), (NOW, "message.digest")):
            (tmp_path / "header").write_text(sign_mdm_message(IDLE, identity(entity), signing_time=when))
            words = ("--signature", tmp_path / "header", "--body", tmp_path / "changed", "--format", "json")
            outcome = mdmprofile("message", "verify", *words)
            assert (outcome.code, outcome.rules) == (2, [rule])
            assert outcome.json["signer"] is None

    @pytest.mark.parametrize("header", ["", "not base64!", base64.b64encode(b"not CMS").decode()])
    def test_header_that_is_no_signature_is_no_judgement(
        self, header: str, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """Exit code 3: the input is malformed."""
        (tmp_path / "header").write_text(header)
        (tmp_path / "body").write_bytes(IDLE)
        outcome = mdmprofile("message", "verify", "--signature", tmp_path / "header", "--body", tmp_path / "body")
        assert (outcome.code, outcome.out) == (3, "")
        assert outcome.err.startswith("mdmprofile: error: Mdm-Signature")

    def test_header_may_have_its_name_and_a_line_end(self, tmp_path: Path, mdmprofile: Command) -> None:
        """As it is copied from a log or a capture."""
        (tmp_path / "header").write_text(f"mdm-signature:  {sign_mdm_message(IDLE, identity(device()))}\r\n")
        (tmp_path / "body").write_bytes(IDLE)
        outcome = mdmprofile("message", "verify", "--signature", tmp_path / "header", "--body", tmp_path / "body")
        assert outcome.code == 0
        assert "signed by CN=device: intact; sha1" in outcome.out

    @pytest.mark.parametrize(
        ("header", "advice"), [(IDLE.decode(), "swapped?"), ("-----BEGIN CMS-----\nMIAG\n", "without the lines")]
    )
    def test_usual_mix_ups_are_told_what_to_do(
        self, header: str, advice: str, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """The files swapped, or what openssl wrote."""
        (tmp_path / "header").write_text(header)
        (tmp_path / "body").write_bytes(IDLE)
        outcome = mdmprofile("message", "verify", "--signature", tmp_path / "header", "--body", tmp_path / "body")
        assert (outcome.code, outcome.err.count("\n"), advice in outcome.err) == (3, 1, True)

    def test_skew_is_a_flag(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A device whose clock is an hour behind."""
        entity = device(start=NOW)
        (tmp_path / "header").write_text(sign_mdm_message(IDLE, identity(entity), signing_time=NOW - DAY / 24))
        (tmp_path / "body").write_bytes(IDLE)
        words = ("--signature", tmp_path / "header", "--body", tmp_path / "body", "--format", "json")
        outcome = mdmprofile("message", "verify", *words)
        assert (outcome.code, outcome.rules) == (2, ["message.signing-time"])
        assert mdmprofile("message", "verify", *words, "--clock-skew", "1h").code == 0

    def test_file_without_a_ca_is_refused(self, tmp_path: Path, verify: Verify) -> None:
        """Nothing could be trusted with it."""
        entity = device()
        (tmp_path / "leaf.pem").write_bytes(entity.pem)
        outcome = verify(entity, ca="leaf.pem")
        assert (outcome.code, "holds no CA" in outcome.err) == (3, True)

    def test_body_comes_from_a_pipe_too(self, tmp_path: Path) -> None:
        """As everywhere; but not both."""
        (tmp_path / "header").write_text(sign_mdm_message(IDLE, identity(device())))
        words = [sys.executable, "-m", "mdmprofile", "message", "verify", "--body", "-", "--signature"]
        done = subprocess.run([*words, str(tmp_path / "header")], input=IDLE, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert subprocess.run([*words, "-"], input=IDLE, capture_output=True, check=False).returncode == 3


class TestPins:
    """``message verify --pins`` and the commands of ``pins``."""

    def test_authenticate_pins_and_other_messages_are_held_against_it(self, verify: Verify) -> None:
        """The file is made by the first one that is accepted."""
        mine, other = device(), device("other")
        assert (verify(other, IDLE, pins="pins").code, verify(other, IDLE, pins="pins").rules[0]) == (2, "pin.unknown")
        outcome = verify(mine, AUTHENTICATE, pins="pins")
        assert outcome.code == 0
        assert outcome.json["pin"] == {"udid": UDID, "sha256": mine.sha256, "since": stamp(NOW)}
        assert verify(mine, IDLE, pins="pins").code == 0
        outcome = verify(other, IDLE, pins="pins")
        assert (outcome.code, outcome.rules[0]) == (2, "pin.mismatch")
        assert verify(other, AUTHENTICATE, pins="pins").code == 0
        assert verify(mine, IDLE, pins="pins").rules[0] == "pin.mismatch"
        foreign = AUTHENTICATE.replace(UDID.encode(), b"ANOTHER-DEVICE")
        outcome = verify(other, foreign, pins="pins")
        assert (outcome.code, outcome.rules[0]) == (2, "pin.taken")
        assert UDID not in json.dumps(outcome.json)

    def test_message_that_is_refused_pins_nothing(self, tmp_path: Path, verify: Verify) -> None:
        """Nor does it make the file."""
        assert verify(issue("anybody"), AUTHENTICATE, pins="pins").code == 2
        outcome = verify(device(), IDLE, pins="pins")
        assert (outcome.code, outcome.rules[0]) == (2, "pin.unknown")
        assert not (tmp_path / "pins").exists()

    def test_command_that_fails_makes_no_file(self, tmp_path: Path, mdmprofile: Command) -> None:
        """There is nothing to pin."""
        (tmp_path / "table.csv").write_text("name,colour\n1,2\n")
        (tmp_path / "device.pem").write_bytes(device().pem)
        for words in (
            ("add", " ", tmp_path / "device.pem"),
            ("import", tmp_path / "absent.csv"),
            ("import", tmp_path / "table.csv"),
        ):
            assert mdmprofile("pins", *words, "--pins", tmp_path / "pins").code == 3
            assert not (tmp_path / "pins").exists()

    def test_table_may_come_out_of_a_named_pipe(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Which can be read only once."""
        os.mkfifo(tmp_path / "table")
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit((tmp_path / "table").write_text, f"udid,sha256\nU1,{'a' * 64}\n")
            assert mdmprofile("pins", "import", tmp_path / "table", "--pins", tmp_path / "pins").code == 0
            writing.result()

    def test_twin_of_a_certificate_is_not_another_device_s(self, tmp_path: Path, verify: Verify) -> None:
        """An EC CA's signature makes two certificates of one."""
        authority = root_ca("EC CA", key=ec_key())
        (tmp_path / "ec.pem").write_bytes(authority.pem)
        entity = device(issuer=authority)
        assert verify(entity, AUTHENTICATE, ca="ec.pem", pins="pins").code == 0
        twin = twin_certificate(entity, authority.key.curve)  # type: ignore[union-attr]
        copy = Entity(x509.load_der_x509_certificate(twin.der), entity.key)
        foreign = AUTHENTICATE.replace(UDID.encode(), b"ANOTHER-DEVICE")
        assert verify(copy, foreign, ca="ec.pem", pins="pins").rules[0] == "pin.taken"
        assert verify(copy, AUTHENTICATE, ca="ec.pem", pins="pins").code == 0

    def test_file_that_holds_no_pins_is_told_from_one_that_cannot_be_used(self, tmp_path: Path, verify: Verify) -> None:
        """Somebody named the wrong one."""
        (tmp_path / "pins").write_bytes(IDLE)
        outcome = verify(device(), AUTHENTICATE, pins="pins")
        assert (outcome.code, "name another file" in outcome.err) == (3, True)
        assert (tmp_path / "pins").read_bytes() == IDLE

    def test_body_without_a_device_is_malformed(self, verify: Verify) -> None:
        """Exit code 3, and nothing is pinned."""
        assert verify(device(), plistlib.dumps({"MessageType": "Authenticate"}), pins="pins").code == 3

    def test_pins_are_added_checked_listed_and_removed(self, tmp_path: Path, mdmprofile: Command) -> None:
        """By hand, with a file or a fingerprint."""
        entity, other = device(), device("other")
        (tmp_path / "device.pem").write_bytes(entity.pem + device_ca().pem)
        pins = ("--pins", tmp_path / "pins.sqlite")
        for words in (("list",), ("check", "U1", "ab" * 32), ("remove", "U1")):
            outcome = mdmprofile("pins", *words, *pins)
            assert (outcome.code, "does not exist" in outcome.err) == (3, True)
        assert mdmprofile("pins", "add", "U1", tmp_path / "device.pem", *pins).code == 0
        assert mdmprofile("pins", "check", "u1", entity.sha256.upper(), *pins).code == 0
        for words, rule in (
            (("check", "U1", other.sha256), "pin.mismatch"),
            (("check", "U2", other.sha256), "pin.unknown"),
            (("check", "U2", entity.sha256), "pin.taken"),
            (("add", "U2", entity.sha256), "pin.taken"),
            (("remove", "U2"), "pin.unknown"),
        ):
            outcome = mdmprofile("pins", *words, *pins, "--format", "json")
            assert (outcome.code, outcome.rules) == (2, [rule])
        listed = mdmprofile("pins", "list", *pins, "--format", "json").json["pins"]
        assert [(each["udid"], each["sha256"]) for each in listed] == [("U1", entity.sha256)]
        assert f"U1  {entity.sha256}" in mdmprofile("pins", "list", *pins).out
        assert mdmprofile("pins", "remove", "U1", *pins).code == 0
        events = mdmprofile("pins", "list", "--history", *pins, "--format", "json").json["events"]
        assert [each["what"] for each in events] == ["added", "removed"]
        assert mdmprofile("pins", "list", *pins).out == "no pins\n"

    def test_certificate_is_given_to_another_device_by_force(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The device that had it is forgotten, and the history says so."""
        pins = ("--pins", tmp_path / "pins.sqlite")
        assert mdmprofile("pins", "add", "U1", "ab" * 32, *pins).code == 0
        assert mdmprofile("pins", "add", "U2", "ab" * 32, *pins, "--force").code == 0
        listed = mdmprofile("pins", "list", *pins, "--format", "json").json["pins"]
        assert [each["udid"] for each in listed] == ["U2"]
        events = mdmprofile("pins", "list", "--history", *pins, "--format", "json").json["events"]
        assert [(each["what"], each["udid"]) for each in events] == [
            ("added", "U1"),
            ("removed", "U1"),
            ("added", "U2"),
        ]

    @pytest.mark.parametrize("name", ["", "U 1", "\N{KELVIN SIGN}1", "U" * 256])
    def test_name_that_no_device_has_is_refused(self, name: str, tmp_path: Path, mdmprofile: Command) -> None:
        """No message could ever come from it; no file is made."""
        assert mdmprofile("pins", "add", name, "ab" * 32, "--pins", tmp_path / "pins").code == 3
        assert not (tmp_path / "pins").exists()

    @pytest.mark.parametrize("words", [("list",), ("list", "--pins", "a", "--pins-url-env", "B")])
    def test_where_the_pins_are_has_to_be_said(self, words: tuple[str, ...], mdmprofile: Command) -> None:
        """Once."""
        assert mdmprofile("pins", *words).code == 3

    def test_pins_named_twice_are_a_mistake_whatever_the_message_is(self, verify: Verify) -> None:
        """Usage comes before any judgement."""
        assert verify(issue("anybody"), IDLE, "--pins-url-env", "B", pins="a").code == 3

    def test_something_else_than_a_certificate_is_refused(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Or a file with several devices' certificates."""
        (tmp_path / "two.pem").write_bytes(device().pem + device("other").pem)
        for name, advice in (("two.pem", "any could be"), ("absent.pem", "or its fingerprint")):
            outcome = mdmprofile("pins", "add", "U1", tmp_path / name, "--pins", tmp_path / "pins")
            assert (outcome.code, name in outcome.err, advice in outcome.err) == (3, True, True)

    def test_certificates_of_a_batch_are_their_devices_from_the_first_message_on(
        self, tmp_path: Path, mdmprofile: Command
    ) -> None:
        """What the ledger says was issued for one UDID is refused for another."""
        site = fleet_site(tmp_path / "site")
        (site.folder / "devices.csv").write_text(devices_csv(3))
        ledger = site.folder / "fleet" / LEDGER_NAME
        outcome = mdmprofile("batch", site.folder / "devices.csv", "-c", site.config, "-o", ledger.parent)
        assert outcome.code == 0, outcome.err
        pins = ("--pins", tmp_path / "pins")
        for _ in range(2):
            outcome = mdmprofile("pins", "import", ledger, *pins)
            assert (outcome.code, outcome.out) == (0, f"{ledger}: 3 of 3 issued certificates recorded\n")
        entry = rows_of(site.folder / "fleet")[0].entry
        outcome = mdmprofile("pins", "check", "SOMEBODY-ELSE", entry.certificate_sha256, *pins, "--format", "json")
        assert outcome.rules == ["pin.taken"]
        outcome = mdmprofile("pins", "check", entry.udid, entry.certificate_sha256, *pins, "--format", "json")
        assert outcome.rules == ["pin.unknown"]
        outcome = mdmprofile("pins", "add", "SOMEBODY-ELSE", entry.certificate_sha256, *pins, "--format", "json")
        assert outcome.rules == ["pin.taken"]

    def test_pins_of_another_server_are_imported_from_a_table(self, tmp_path: Path, mdmprofile: Command) -> None:
        """Rows that cannot be are named with their lines; the rest goes in."""
        table = tmp_path / "pins.csv"
        table.write_text(f"udid,sha256\nU1,{'ab' * 32}\nU2,{'AB' * 32}\nU3,nonsense\n,{'cd' * 32}\nU5,{'ef' * 32}\n")
        outcome = mdmprofile("pins", "import", table, "--pins", tmp_path / "pins", "--format", "json")
        assert outcome.code == 2
        assert sorted(outcome.rules) == ["devices.missing", "devices.row", "pin.taken"]
        places = sorted(each["where"] for each in outcome.json["findings"] if each["rule"].startswith("devices."))
        assert places == [f"{table}:4", f"{table}:5"]
        listed = mdmprofile("pins", "list", "--pins", tmp_path / "pins", "--format", "json").json["pins"]
        assert [each["udid"] for each in listed] == ["U1", "U5"]

    def test_import_that_is_repeated_moves_no_pin(self, tmp_path: Path, mdmprofile: Command) -> None:
        """The device may have renewed its certificate since; the same pin again is no finding."""
        pins = ("--pins", tmp_path / "pins")
        (tmp_path / "pins.jsonl").write_text(f'{{"udid": "U1", "sha256": "{"ab" * 32}"}}\n')
        for _ in range(2):
            outcome = mdmprofile("pins", "import", tmp_path / "pins.jsonl", *pins)
            assert (outcome.code, outcome.out) == (0, f"{tmp_path}/pins.jsonl: 1 of 1 pins added\n")
        assert mdmprofile("pins", "add", "U1", "cd" * 32, *pins).code == 0
        outcome = mdmprofile("pins", "import", tmp_path / "pins.jsonl", *pins, "--format", "json")
        assert (outcome.code, outcome.rules) == (2, ["pin.mismatch"])
        assert mdmprofile("pins", "check", "U1", "cd" * 32, *pins).code == 0
        events = mdmprofile("pins", "list", "--history", *pins, "--format", "json").json["events"]
        assert [each["what"] for each in events] == ["imported", "added"]

    def test_findings_beyond_a_thousand_are_counted(self, tmp_path: Path, mdmprofile: Command) -> None:
        """A table of something else is no reason to fill the memory."""
        (tmp_path / "pins.csv").write_text("udid,sha256\n" + "U1,nonsense\n" * 1003)
        outcome = mdmprofile("pins", "import", tmp_path / "pins.csv", "--pins", tmp_path / "pins", "--format", "json")
        assert (outcome.code, len(outcome.rules)) == (2, 1000)
        outcome = mdmprofile("pins", "import", tmp_path / "pins.csv", "--pins", tmp_path / "pins")
        assert "0 of 1,003 pins added" in outcome.out
        assert "3 more findings are not shown" in outcome.out

    def test_database_is_named_by_a_variable(self, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its password is in no argument."""
        outcome = mdmprofile("pins", "list", "--pins-url-env", "NO_SUCH_VARIABLE")
        assert (outcome.code, "NO_SUCH_VARIABLE" in outcome.err) == (3, True)
        with running() as url:
            monkeypatch.setenv("PINS", url)
            assert mdmprofile("pins", "add", "U1", "ab" * 32, "--pins-url-env", "PINS").code == 0
            assert "U1" in mdmprofile("pins", "list", "--pins-url-env", "PINS").out


class TestSign:
    """``message sign``."""

    @pytest.mark.parametrize("words", [(), ("--digest", "sha512"), ("--der",), ("--signing-time", stamp(NOW))])
    def test_header_that_was_made_is_verified(
        self, words: tuple[str, ...], tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From a key in a file; the value alone is on standard output."""
        entity = device()
        monkeypatch.chdir(tmp_path)
        Path("device.pem").write_bytes(entity.pem)
        Path("device.key").write_bytes(entity.key_pem())
        Path("body").write_bytes(IDLE)
        signer = ("--signer", "device.pem", "--signer-key", "device.key")
        outcome = mdmprofile("message", "sign", "--body", "body", *signer, *words)
        assert (outcome.code, outcome.err) == (0, "")
        Path("header").write_text(outcome.out)
        outcome = mdmprofile("message", "verify", "--signature", "header", "--body", "body", "--format", "json")
        assert (outcome.code, outcome.json["signer"]["sha256"]) == (0, entity.sha256)
        assert outcome.json["signer"]["signing_time"] == (stamp(NOW) if "--signing-time" in words else None)

    def test_identity_may_be_a_pkcs12(self, tmp_path: Path, mdmprofile: Command) -> None:
        """As identity issue makes it."""
        entity = device()
        (tmp_path / "device.p12").write_bytes(entity.p12("secret"))
        (tmp_path / "password").write_text("secret")
        (tmp_path / "body").write_bytes(IDLE)
        words = ("--signer-pkcs12", tmp_path / "device.p12", "--signer-pkcs12-password-file", tmp_path / "password")
        outcome = mdmprofile("message", "sign", "--body", tmp_path / "body", *words, "-o", tmp_path / "header")
        assert (outcome.code, outcome.out) == (0, f"wrote {tmp_path}/header (signed by device)\n")
        assert base64.b64decode((tmp_path / "header").read_bytes())

    def test_command_that_signs_profiles_cannot_sign_messages(self, tmp_path: Path, mdmprofile: Command) -> None:
        """It makes attached signatures."""
        (tmp_path / "body").write_bytes(IDLE)
        outcome = mdmprofile("message", "sign", "--body", tmp_path / "body", "--signer-cms-command", "cat")
        assert (outcome.code, "signs profiles" in outcome.err) == (3, True)
        assert mdmprofile("message", "sign", "--body", tmp_path / "body").code == 3
