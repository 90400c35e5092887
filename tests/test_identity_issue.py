"""``identity issue``: what it writes where, what it takes the CA from, and what it refuses with nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import Command, Outcome
from mdmprofile.certificates import Identity
from mdmprofile.containers import load_certificates, load_pkcs12
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Key, Site, ec_key, issue, root_ca, rsa_key
from test_pkcs11 import PIN, Desk, certificate, module, private, public

OpenSSL = Callable[..., bytes]

HIDDEN = "hunter2-Zz9"
SUBJECT = ("--subject", "CN=C02XK1ZGJG5M,O=Example Inc.")
CA = ("--ca", "ca.pem", "--ca-key", "ca.key")


@dataclass(frozen=True)
class House:
    """A working directory with a root and an issuing CA below it, whose key is EC P-256 unless made otherwise."""

    folder: Path
    root: Entity
    ca: Entity
    mdmprofile: Command

    def put(self, file: str, data: bytes) -> Path:
        path = self.folder / file
        path.write_bytes(data)
        return path

    def issue(self, *words: str | Path, at: str | None = stamp(NOW)) -> Outcome:
        """The command; whatever it prints, the passwords are not in it."""
        outcome = self.mdmprofile("identity", "issue", *words, at=at)
        for file in self.folder.glob("*password*"):
            assert file.read_text().strip() not in outcome.out + outcome.err
        return outcome

    def files(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.folder.iterdir() if each.is_file()}

    def opened(self, file: str = "device.p12", beside: str | None = None) -> Identity:
        password = (self.folder / (beside or "device.password.txt")).read_bytes().removesuffix(b"\n")
        return load_pkcs12((self.folder / file).read_bytes(), password=password)


def make_house(folder: Path, mdmprofile: Command, key: Key) -> House:
    """Write the files of a house."""
    root = root_ca()
    house = House(folder, root, issue("Devices CA", root, ca=True, key=key, end=NOW + 1000 * DAY), mdmprofile)
    house.put("root.pem", root.pem)
    house.put("ca.pem", house.ca.pem)
    house.put("ca.key", house.ca.key_pem())
    return house


@pytest.fixture
def house(tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house, and the commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    return make_house(tmp_path, mdmprofile, ec_key())


def verified(openssl: OpenSSL, house: House, der: bytes) -> None:
    """Openssl trusts it as a TLS client below the house's root."""
    device = house.folder / "verified.pem"
    device.write_bytes(openssl("x509", "-inform", "DER", data=der))
    at = ("-attime", str(int(NOW.timestamp())))
    openssl("verify", "-purpose", "sslclient", *at, "-CAfile", "root.pem", "-untrusted", "ca.pem", device)


# --- what it writes ----------------------------------------------------------------------------------------------


def test_identity_and_its_password_are_written_for_their_owner_alone(house: House, openssl: OpenSSL) -> None:
    """The report says where, of whom and until when; openssl opens the one with the other."""
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256")
    assert (outcome.code, outcome.err) == (0, "")
    opened = house.opened()
    data = (house.folder / "device.p12").read_bytes()
    assert outcome.out.splitlines() == [
        "O=Example Inc.,CN=C02XK1ZGJG5M",
        f"  SHA-256 {opened.certificate.sha256}",
        "  valid from 2031-03-01T11:00:00Z to 2032-02-29T12:00:00Z",
        "  issued by CN=Devices CA",
        "",
        f"wrote device.p12 ({len(data):,} bytes, readable by you alone)",
        "wrote device.password.txt (the password of the PKCS#12, readable by you alone)",
    ]
    for file in ("device.p12", "device.password.txt"):
        assert (house.folder / file).stat().st_mode & 0o777 == 0o600
    openssl("pkcs12", "-in", "device.p12", "-passin", "file:device.password.txt", "-noout")
    verified(openssl, house, opened.certificate.der)
    assert opened.certificate.key_strength == ("EC", 256)


def test_json_report_holds_the_certificate_and_the_files(house: House) -> None:
    """And no secret."""
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", "--format", "json")
    made = house.opened().certificate
    assert outcome.json == {
        "findings": [],
        "certificate": {
            "subject": made.subject,
            "issuer": "CN=Devices CA",
            "sha256": made.sha256,
            "not_before": "2031-03-01T11:00:00Z",
            "not_after": "2032-02-29T12:00:00Z",
        },
        "artifacts": [
            {"kind": "identity", "path": "device.p12"},
            {"kind": "password", "path": "device.password.txt"},
        ],
    }


def test_defaults_are_the_ones_that_every_device_imports(house: House) -> None:
    """RSA-2048 for a year, encrypted as old releases read it."""
    assert house.issue(*CA, *SUBJECT, "-o", "device.p12").code == 0
    made = house.opened().certificate
    assert made.key_strength == ("RSA", 2048)
    assert made.not_after == NOW + 365 * DAY
    # pbeWithSHAAnd3-KeyTripleDES-CBC, 1.2.840.113549.1.12.1.3
    assert bytes.fromhex("060a2a864886f70d010c0103") in (house.folder / "device.p12").read_bytes()


def test_every_flag_is_in_what_is_issued(house: House) -> None:
    """Key, validity, names and encryption."""
    names = ("--dns-name", "a.example.com", "--dns-name", "b.example.com", "--email", "it@example.com")
    more = ("--uri", "urn:example:1", "--principal-name", "mac$@EXAMPLE.COM", "--pkcs12-encryption", "modern")
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p384", "--validity", "90d", *names, *more)
    assert outcome.code == 0, outcome.err
    made = house.opened().certificate
    assert (made.key_strength, made.not_after) == (("EC", 384), NOW + 90 * DAY)
    for text in (b"a.example.com", b"b.example.com", b"it@example.com", b"urn:example:1", b"mac$@EXAMPLE.COM"):
        assert text in made.der
    # PBES2, 1.2.840.113549.1.5.13
    assert bytes.fromhex("06092a864886f70d01050d") in (house.folder / "device.p12").read_bytes()


def test_variables_fill_the_subject(house: House) -> None:
    """The UDID before the serial number where no subject is given; a comma in one adds no name."""
    both = ("--var", "device.udid=11111111-2222", "--var", "device.serial=C02X")
    assert house.issue(*CA, *both, "-o", "one.p12", "--key", "p256").code == 0
    assert house.opened("one.p12", "one.password.txt").certificate.subject == "CN=11111111-2222"
    assert house.issue(*CA, "--var", "device.serial=C02X,OU=x", "-o", "two.p12", "--key", "p256").code == 0
    assert house.opened("two.p12", "two.password.txt").certificate.subject == r"CN=C02X\,OU=x"
    subject = ("--subject", "O=Example,CN={{ device.name }}", "--var", "device.name=Mac 1")
    assert house.issue(*CA, *subject, "-o", "three.p12", "--key", "p256").code == 0
    assert house.opened("three.p12", "three.password.txt").certificate.subject == "CN=Mac 1,O=Example"


@pytest.mark.parametrize(
    ("output", "password"),
    [
        ("device.p12", "device.password.txt"),
        ("device.PFX", "device.password.txt"),
        ("mac.1", "mac.1.password.txt"),
        ("device", "device.password.txt"),
    ],
)
def test_password_file_is_beside_and_named_alike(output: str, password: str, house: House) -> None:
    """The suffix of a PKCS#12 gives way; a dot in a device's name is no suffix."""
    assert house.issue(*CA, *SUBJECT, "-o", output, "--key", "p256").code == 0
    assert house.opened(output, password).key_matches


def test_given_password_is_used_and_written_nowhere(house: House) -> None:
    """There is one file, which that password opens."""
    house.put("own-password", f"{HIDDEN}\n".encode())
    before = house.files().keys()
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", "--password-file", "own-password")
    assert outcome.code == 0
    assert house.files().keys() - before == {"device.p12"}
    assert house.opened("device.p12", "own-password").key_matches


def test_either_file_may_go_to_standard_output(house: House) -> None:
    """The report then goes to standard error."""
    program = (sys.executable, "-m", "mdmprofile", "identity", "issue", *CA, *SUBJECT, "--key", "p256")
    words = (*program, "--at", stamp(NOW))
    done = subprocess.run([*words, "-o", "-", "--password-output", "secret"], capture_output=True, check=True)
    assert load_pkcs12(done.stdout, password=(house.folder / "secret").read_bytes().strip()).key_matches
    assert b"wrote standard output" in done.stderr
    assert (house.folder / "secret").stat().st_mode & 0o777 == 0o600
    done = subprocess.run([*words, "-o", "device.p12", "--password-output", "-"], capture_output=True, check=True)
    assert load_pkcs12((house.folder / "device.p12").read_bytes(), password=done.stdout.strip()).key_matches
    assert b"wrote device.p12" in done.stderr


def test_quiet_prints_nothing_when_all_is_well(house: House) -> None:
    """As everywhere."""
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_own_commands_take_what_was_issued(house: House, site: Site) -> None:
    """``check`` with the password's file, and ``build`` of a profile for the one device."""
    target = site.folder / "device.p12"
    assert house.issue(*CA, *SUBJECT, "-o", target, "--key", "p256").code == 0
    password = site.folder / "device.password.txt"
    outcome = house.mdmprofile("check", target, "--password-file", password, "--format", "json")
    assert [(each["role"], each["subject"]) for each in outcome.json["certificates"]] == [
        ("identity", "O=Example Inc.,CN=C02XK1ZGJG5M")
    ]
    lines = 'type = "pkcs12"\nfile = "device.p12"\npassword = { file = "device.password.txt" }\nsingle_device = true'
    site.edit(
        lambda text: f"{text.partition('[identity]')[0]}[identity]\n{lines}\n[signing]{text.partition('[signing]')[2]}"
    )
    outcome = house.mdmprofile("build", "-c", site.config, "-o", house.folder / "out", "--format", "json")
    assert outcome.code == 0, outcome.err
    assert {each["severity"] for each in outcome.json["findings"]} <= {"info"}


# --- where the CA is ---------------------------------------------------------------------------------------------


KEYS: dict[str, Callable[[], Key]] = {
    "rsa": rsa_key,
    "p256": ec_key,
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("kind", KEYS)
def test_key_of_the_ca_may_be_anywhere(
    kind: str, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In PEM or DER, encrypted or not, in a PKCS#12, or behind a command."""
    monkeypatch.chdir(tmp_path)
    house = make_house(tmp_path, mdmprofile, KEYS[kind]())
    house.put("ca.der", openssl("pkey", "-outform", "DER", data=house.ca.key_pem()))
    house.put("locked.key", house.ca.key_pem(HIDDEN))
    house.put("ca.p12", house.ca.p12(HIDDEN, [house.root]))
    house.put("pw", f"{HIDDEN}\n".encode())
    ways: list[tuple[str, ...]] = [
        CA,
        ("--ca", "ca.pem", "--ca-key", "ca.der"),
        ("--ca", "ca.pem", "--ca-key", "locked.key", "--ca-key-password-file", "pw"),
        ("--ca-pkcs12", "ca.p12", "--ca-pkcs12-password-file", "pw"),
        ("--ca", "ca.pem", "--ca-command", "openssl dgst -sha256 -sign ca.key"),
    ]
    for number, way in enumerate(ways):
        outcome = house.issue(*way, *SUBJECT, "-o", f"{number}.p12", "--key", "p256")
        assert outcome.code == 0, outcome.err
        assert HIDDEN not in outcome.out + outcome.err
        verified(openssl, house, house.opened(f"{number}.p12", f"{number}.password.txt").certificate.der)


@pytest.mark.parametrize("order", ["leaf-first", "root-first"])
def test_file_with_more_than_the_ca_is_no_hindrance(order: str, house: House, openssl: OpenSSL) -> None:
    """A command signs for the lowest CA in it, a key for the certificate that it belongs to."""
    server = issue("mdm.example.com", house.ca)
    pems = [server.pem, house.ca.pem, house.root.pem]
    house.put("all.pem", b"".join(pems if order == "leaf-first" else reversed(pems)))
    ways = [("--ca-key", "ca.key"), ("--ca-command", "openssl dgst -sha256 -sign ca.key")]
    for number, way in enumerate(ways):
        outcome = house.issue("--ca", "all.pem", *way, *SUBJECT, "-o", f"{number}.p12", "--key", "p256")
        assert outcome.code == 0, outcome.err
        verified(openssl, house, house.opened(f"{number}.p12", f"{number}.password.txt").certificate.der)


@pytest.mark.parametrize("kind", KEYS)
def test_key_of_the_ca_may_be_on_a_token(kind: str, tmp_path: Path, openssl: OpenSSL) -> None:
    """With the certificate there too, or in a file; the PIN and its absence name the CA's flags."""
    found = module()
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    root = root_ca()
    ca = issue("Token CA", root, ca=True, key=KEYS[kind](), end=NOW + 1000 * DAY)
    site = Site(tmp_path, root, ca, ca, ca, ca)
    desk = Desk(site, found, configuration)
    desk.token(
        "ca",
        [private("ca", "01", ca.key), public("ca", "01", ca.key)] if kind != "rsa" else [private("ca", "01", ca.key)],
    )
    desk.token("whole", [private("ca", "01", ca.key), certificate("ca", "01", ca), certificate("root", "02", root)])
    for file, data in (("pin", f"{PIN}\n".encode()), ("ca.pem", ca.pem), ("root.pem", root.pem)):
        (tmp_path / file).write_bytes(data)

    def run(token: str, *words: str, pin: bool = True) -> Any:
        flags = (*words, *(("--ca-pkcs11-pin-file", "pin") if pin else ()))
        uri = desk.uri(f"token={token};object=ca")
        more = (*SUBJECT, "-o", f"{token}.p12", "--key", "p256", "--at", stamp(NOW))
        return desk.run("identity", "issue", "--ca-pkcs11", uri, *flags, *more)

    for token, words in (("ca", ("--ca", "ca.pem")), ("whole", ())):
        done = run(token, *words)
        assert done.returncode == 0, done.stderr
        secret = (tmp_path / f"{token}.password.txt").read_bytes().strip()
        made = load_pkcs12((tmp_path / f"{token}.p12").read_bytes(), password=secret).certificate
        (tmp_path / "device.pem").write_bytes(openssl("x509", "-inform", "DER", data=made.der))
        at = ("-attime", str(int(NOW.timestamp())))
        trust = ("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "ca.pem")
        openssl("verify", "-purpose", "sslclient", *at, *trust, tmp_path / "device.pem")
    done = run("whole", "--force", pin=False)
    assert done.returncode == 3
    assert "--ca-pkcs11-pin-file: the token whole needs a PIN (give --ca-pkcs11-pin-file, or" in done.stderr
    done = run("ca", "--force")
    assert done.returncode == 3
    assert "--ca-pkcs11: the token holds no certificate for the key" in done.stderr
    assert "identity.ca_certificate or --ca" in done.stderr


# --- a config's [identity] table ---------------------------------------------------------------------------------


CONFIG = """\
[trust]
certificates = ["root.pem", "absent.pem"]

[identity]
type = "pkcs12"
ca_certificate = "ca.pem"
ca_key = "ca.key"
key = "p256"
validity = "100d"
subject = "O=Of the config,CN={{ device.serial }}"
subject_alt_name = { dns_name = "{{ device.serial }}.example.com" }
"""


def test_config_says_what_flags_do_not(house: House) -> None:
    """The enroll.toml of the folder by itself; the flags lie over it, and nothing else of it need be there."""
    house.put("enroll.toml", CONFIG.encode())
    device = ("--var", "device.serial=C02X")
    assert house.issue(*device, "-o", "device.p12").code == 0
    made = house.opened().certificate
    assert (made.subject, made.key_strength) == ("CN=C02X,O=Of the config", ("EC", 256))
    assert made.not_after == NOW + 100 * DAY
    assert b"C02X.example.com" in made.der
    assert house.issue(*device, "-o", "2.p12", "--validity", "9d", "--email", "a@b.example", "--key", "p384").code == 0
    made = house.opened("2.p12", "2.password.txt").certificate
    assert (made.key_strength, made.not_after) == (("EC", 384), NOW + 9 * DAY)
    assert b"C02X.example.com" not in made.der
    assert b"a@b.example" in made.der


def test_ca_of_a_flag_takes_the_place_of_the_configs(house: House) -> None:
    """With its own way to the key; the rest of the table stays."""
    other = root_ca("Other CA", key=ec_key())
    house.put("other.p12", other.p12(HIDDEN))
    house.put("pw", HIDDEN.encode())
    house.put("enroll.toml", CONFIG.encode())
    words = ("--ca-pkcs12", "other.p12", "--ca-pkcs12-password-file", "pw", "--var", "device.serial=C02X")
    assert house.issue(*words, "-o", "device.p12").code == 0
    made = house.opened().certificate
    assert (made.issuer, made.subject) == ("CN=Other CA", "CN=C02X,O=Of the config")


@pytest.mark.parametrize("kind", ['type = "scep"\nurl = "https://x.example/scep"', 'type = "pkcs12"\nfile = "x.p12"'])
def test_table_of_another_kind_of_identity_is_left_alone(kind: str, house: House) -> None:
    """Its keys mean something else; without flags it is an error that says what is needed."""
    house.put("enroll.toml", f'[identity]\n{kind}\nvalidity = "1d"\npassword = "x"\n'.encode())
    assert house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256").code == 0
    assert house.opened().certificate.not_after == NOW + 365 * DAY
    outcome = house.issue(*SUBJECT, "-o", "2.p12")
    assert outcome.code == 3
    assert "name the CA: --ca with --ca-key or --ca-command, --ca-pkcs12, or --ca-pkcs11" in outcome.err
    assert "no [identity] in enroll.toml does" in outcome.err


def test_password_of_the_config_serves_every_device(house: House) -> None:
    """Then none is written, and a place for one is a mistake."""
    house.put("own-password", f"{HIDDEN}\n".encode())
    house.put("enroll.toml", (CONFIG + 'password = { file = "own-password" }\n').encode())
    device = ("--var", "device.serial=C02X")
    assert house.issue(*device, "-o", "device.p12").code == 0
    assert house.opened("device.p12", "own-password").key_matches
    assert not (house.folder / "device.password.txt").exists()
    outcome = house.issue(*device, "-o", "2.p12", "--password-output", "new")
    assert outcome.code == 3
    assert "--password-output is for a fresh password, and there is a given one" in outcome.err


def test_trust_of_the_config_shows_where_the_ca_is(house: House) -> None:
    """A root that allows no CA below it is found there; a file that is absent is not missed."""
    strict = issue("Strict root", ca=True, path_length=0, end=NOW + 3000 * DAY)
    below = issue("Below", strict, ca=True, key=ec_key(), end=NOW + 2000 * DAY)
    house.put("root.pem", strict.pem)
    house.put("ca.pem", below.pem)
    house.put("ca.key", below.key_pem())
    house.put("enroll.toml", CONFIG.encode())
    before = house.files()
    outcome = house.issue("--var", "device.serial=C02X", "-o", "device.p12", "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["issuer.path-length"])
    assert house.files() == before


# --- requests ----------------------------------------------------------------------------------------------------


def request(openssl: OpenSSL, house: House, subject: str = "/CN=theirs") -> None:
    """A request of openssl, and its key beside it."""
    house.put("device.key", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    names = ("-addext", "subjectAltName=DNS:theirs.example.com", "-addext", "basicConstraints=CA:TRUE")
    house.put("device.csr", openssl("req", "-new", "-key", "device.key", "-subj", subject, *names))


def test_request_becomes_a_certificate_in_pem(house: House, openssl: OpenSSL) -> None:
    """For everybody to read, and nothing else is written; its key was never here."""
    request(openssl, house)
    before = house.files().keys()
    outcome = house.issue(*CA, "--csr", "device.csr", "-o", "device.pem", "--format", "json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["artifacts"] == [{"kind": "certificate", "path": "device.pem"}]
    assert house.files().keys() - before == {"device.pem"}
    assert (house.folder / "device.pem").stat().st_mode & 0o777 == 0o666 & ~_umask()
    (made,) = load_certificates((house.folder / "device.pem").read_bytes())
    assert made.subject == outcome.json["certificate"]["subject"] == "CN=theirs"
    assert not made.is_ca
    verified(openssl, house, made.der)
    public = openssl("pkey", "-in", "device.key", "-pubout")
    assert openssl("x509", "-in", "device.pem", "-noout", "-pubkey") == public
    assert openssl("x509", "-in", "device.pem", "-noout", "-checkhost", "theirs.example.com")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_request_may_come_and_go_through_pipes(house: House, openssl: OpenSSL) -> None:
    """``-`` on both sides."""
    request(openssl, house)
    words = (sys.executable, "-m", "mdmprofile", "identity", "issue", *CA, "--csr", "-", "-o", "-", "--at", stamp(NOW))
    with (house.folder / "device.csr").open("rb") as stream:
        done = subprocess.run(words, stdin=stream, capture_output=True, check=True)
    (made,) = load_certificates(done.stdout)
    assert made.subject == "CN=theirs"


def test_names_of_flags_and_of_the_config_win_over_the_requests(house: House, openssl: OpenSSL) -> None:
    """The default subject of fresh identities is none that would."""
    request(openssl, house)
    words = (*CA, "--csr", "device.csr", *SUBJECT, "--dns-name", "ours.example.com")
    assert house.issue(*words, "-o", "1.pem").code == 0
    (made,) = load_certificates((house.folder / "1.pem").read_bytes())
    assert made.name == "C02XK1ZGJG5M"
    assert b"ours.example.com" in made.der
    assert b"theirs" not in made.der
    house.put("enroll.toml", CONFIG.encode())
    assert house.issue("--csr", "device.csr", "--var", "device.serial=C02X", "-o", "2.pem").code == 0
    (made,) = load_certificates((house.folder / "2.pem").read_bytes())
    assert made.subject == "CN=C02X,O=Of the config"
    outcome = house.issue("--csr", "device.csr", "-o", "3.pem")
    assert outcome.code == 3
    assert "identity.subject: a variable is not known" in outcome.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--key", "p256"), "--key belong to a fresh key"),
        (("--password-file", "pw"), "--password-file belong to a fresh key"),
        (("--pkcs12-encryption", "modern"), "--pkcs12-encryption belong to a fresh key"),
        (("--password-output", "pw"), "--password-output is for a fresh password, and a request has none"),
    ],
)
def test_what_a_request_has_no_place_for_is_a_mistake(
    more: tuple[str, ...], message: str, house: House, openssl: OpenSSL
) -> None:
    """It would be silently without effect."""
    request(openssl, house)
    outcome = house.issue(*CA, "--csr", "device.csr", "-o", "device.pem", *more)
    assert outcome.code == 3
    assert message in outcome.err
    assert not (house.folder / "device.pem").exists()


def test_request_that_is_none_names_its_file(house: House) -> None:
    """A certificate in its place, or nothing at all."""
    outcome = house.issue(*CA, "--csr", "ca.pem", "-o", "device.pem")
    assert outcome.code == 3
    assert "ca.pem: is not an intact certificate request" in outcome.err
    outcome = house.issue(*CA, "--csr", "absent.csr", "-o", "device.pem")
    assert outcome.code == 3
    assert "absent.csr: no such file" in outcome.err
    house.put("large.csr", b"-----BEGIN " * 10_000)
    assert "larger than the limit" in house.issue(*CA, "--csr", "large.csr", "-o", "device.pem").err


# --- nothing is written ------------------------------------------------------------------------------------------


def _not_a_ca(house: House) -> tuple[str, ...]:
    leaf = issue("Leaf", house.root)
    house.put("ca.pem", leaf.pem)
    house.put("ca.key", leaf.key_pem())
    return CA


def _no_right(house: House) -> tuple[str, ...]:
    ca = issue("No right", ca=True, key_cert_sign=False, end=NOW + 900 * DAY)
    house.put("ca.pem", ca.pem)
    house.put("ca.key", ca.key_pem())
    return CA


def _expired(house: House) -> tuple[str, ...]:
    ca = issue("Old", ca=True, start=NOW - 9 * DAY, end=NOW - DAY)
    house.put("ca.p12", ca.p12(HIDDEN))
    house.put("pw", HIDDEN.encode())
    return ("--ca-pkcs12", "ca.p12", "--ca-pkcs12-password-file", "pw")


def _key_of_another(house: House) -> tuple[str, ...]:
    house.put("ca.key", house.root.key_pem())
    return CA


def _too_deep(house: House) -> tuple[str, ...]:
    strict = issue("Strict root", ca=True, path_length=0, end=NOW + 3000 * DAY)
    ca = issue("Below", strict, ca=True, end=NOW + 2000 * DAY)
    house.put("ca.pem", strict.pem + ca.pem)
    house.put("ca.key", ca.key_pem())
    return CA


@pytest.mark.parametrize(
    ("prepare", "rule"),
    [
        (_not_a_ca, "issuer.not-ca"),
        (_no_right, "issuer.key-usage"),
        (_expired, "issuer.expired"),
        (_key_of_another, "issuer.key-mismatch"),
        (_too_deep, "issuer.path-length"),
    ],
)
@pytest.mark.parametrize("csr", [False, True], ids=["fresh", "request"])
def test_ca_that_cannot_issue_is_an_error(
    prepare: Callable[[House], tuple[str, ...]], rule: str, csr: bool, house: House, openssl: OpenSSL
) -> None:
    """Exit 2, with nothing written over what was there."""
    request(openssl, house)
    flags = prepare(house)
    house.put("device.p12", b"from before")
    before = house.files()
    more = ("--csr", "device.csr") if csr else ()
    outcome = house.issue(*flags, *SUBJECT, *more, "-o", "device.p12", "--force", "--format", "json")
    assert (outcome.code, outcome.rules, outcome.json["artifacts"]) == (2, [rule], [])
    assert house.files() == before
    assert HIDDEN not in outcome.out + outcome.err


def test_text_report_of_an_error_says_that_nothing_was_written(house: House) -> None:
    """Rule, file and what to do on one line."""
    outcome = house.issue(*_key_of_another(house), *SUBJECT, "-o", "device.p12")
    message = "the key does not belong to the certificate of Devices CA"
    hint = "name the key that belongs to identity.ca_certificate"
    line = f"error: ca.pem: {message} ({hint}) [issuer.key-mismatch]"
    assert outcome.out.splitlines() == ["Nothing was written.", "", line]


def test_identity_never_outlives_the_ca(house: House) -> None:
    """It is cut, with a warning that counts only where it is asked to."""
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", "--validity", "10y", "--format", "json")
    assert (outcome.code, outcome.rules) == (0, ["issuer.validity-cut"])
    assert house.opened().certificate.not_after == house.ca.ours.not_after
    words = ("--validity", "10y", "--fail-on", "warning", "--force")
    assert house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", *words).code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*CA, *SUBJECT), "Missing option '-o'"),
        ((*SUBJECT, "-o", "d.p12"), "name the CA: --ca with --ca-key or --ca-command"),
        ((*CA, "-o", "d.p12"), "--subject: is missing, and neither device.udid nor device.serial is known"),
        (("--ca", "ca.pem", *SUBJECT, "-o", "d.p12"), "--ca-key: is missing"),
        (("--ca-key", "ca.key", *SUBJECT, "-o", "d.p12"), "--ca: is missing"),
        ((*CA, "--ca-pkcs12", "ca.p12", *SUBJECT, "-o", "d.p12"), "--ca-key and --ca-pkcs12 contradict each other"),
        ((*CA, "--ca-pkcs11-pin-file", "x", *SUBJECT, "-o", "d.p12"), "is of no use without --ca-pkcs11"),
        (("--ca", "absent", "--ca-key", "ca.key", *SUBJECT, "-o", "d.p12"), "absent: no such file"),
        (("--ca", "ca.key", "--ca-key", "ca.pem", *SUBJECT, "-o", "d.p12"), "are key and certificate swapped?"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--key", "rsa1024"), "--key: 'rsa1024' is not known here"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--pkcs12-encryption", "x"), "--pkcs12-encryption: 'x' is not known here"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--validity", "0d"), "--validity: is no time at all"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--validity", "soon"), "'soon' is not a duration"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--dns-name", "bad name"), "'bad name' is no DNS name"),
        ((*CA, "--subject", "C=USA", "-o", "d.p12"), "--subject: C is 'USA', and has to be two letters"),
        ((*CA, "--subject", f"CN={'x' * 65}", "-o", "d.p12"), "--subject: CN is longer than 64"),
        ((*CA, "--subject", "XX=1", "-o", "d.p12"), "--subject: 'XX' is not a name type"),
        ((*CA, *SUBJECT, "-o", "-"), "-o - leaves no name for the password's file"),
        ((*CA, *SUBJECT, "-o", "-", "--password-output", "-"), "-o and --password-output are the same"),
        ((*CA, *SUBJECT, "-o", "-", "--password-output", "x", "--format", "json"), "both want standard output"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--password-output", "d.p12"), "-o and --password-output are the same"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--password-file", "empty"), "--password-file: the file empty is empty"),
        ((*CA, *SUBJECT, "-o", "no/such/d.p12"), "its directory does not exist"),
        ((*CA, *SUBJECT, "-o", "ca.key", "--force"), "ca.key: is read from"),
        ((*CA, *SUBJECT, "-o", "d.p12", "--password-output", "./ca.pem", "--force"), "ca.pem: is read from"),
        (("--ca", "ca.pem", "--ca-command", "'", *SUBJECT, "-o", "d.p12"), "--ca-command: No closing quotation"),
        (("--ca", "ca.pem", "--ca-command", "false", *SUBJECT, "-o", "d.p12"), "--ca-command: "),
        (("--ca", "ca.pem", "--ca-command", "echo x", *SUBJECT, "-o", "d.p12"), "--ca-command: the command echo"),
        (("--ca-pkcs11", "pkcs11:token=x", *SUBJECT, "-o", "d.p12"), "--ca-pkcs11: "),
    ],
)
def test_mistake_names_its_flag_and_leaves_everything_as_it_was(
    words: tuple[str, ...], message: str, house: House
) -> None:
    """Exit 3, whatever is wrong."""
    house.put("empty", b"\n")
    before = house.files()
    outcome = house.issue(*words)
    assert outcome.code == 3
    assert message in " ".join(outcome.err.split())
    assert house.files() == before


def test_encrypted_key_without_its_password_says_where_to_give_it(house: House) -> None:
    """And a wrong password is another matter."""
    house.put("ca.key", house.ca.key_pem(HIDDEN))
    outcome = house.issue(*CA, *SUBJECT, "-o", "device.p12")
    assert outcome.code == 3
    assert "ca.key: the private key is encrypted and needs a password" in outcome.err
    assert "--ca-key-password-file, or as identity.ca_key_password in a config" in outcome.err
    house.put("pw", b"wrong-" + HIDDEN.encode())
    outcome = house.issue(*CA, "--ca-key-password-file", "pw", *SUBJECT, "-o", "device.p12")
    assert outcome.code == 3
    assert "the password does not open the private key" in outcome.err
    assert HIDDEN not in outcome.err
    house.put("ca.p12", house.ca.p12(HIDDEN))
    outcome = house.issue("--ca-pkcs12", "ca.p12", *SUBJECT, "-o", "device.p12")
    assert "--ca-pkcs12-password-file, or as identity.ca_pkcs12_password in a config" in outcome.err
    assert not (house.folder / "device.p12").exists()


def test_mistakes_of_the_config_are_named_by_its_keys(house: House) -> None:
    """With the file, all at once."""
    lines = 'ca_key = "ca.key"\nca_pkcs12 = "x"\nkey = "dsa"\nencryption = "none"\nca_chain = "x"\nsingle_device = true'
    house.put("enroll.toml", f'[identity]\ntype = "pkcs12"\n{lines}\n'.encode())
    outcome = house.issue(*SUBJECT, "-o", "device.p12")
    assert outcome.code == 3
    for expected in (
        "enroll.toml: identity: ca_key and ca_pkcs12 contradict each other",
        "enroll.toml: identity.key: 'dsa' is not known here",
        "enroll.toml: identity.encryption: 'none' is not known here",
        "enroll.toml: identity.ca_chain: is not a known key",
        "enroll.toml: identity.single_device: is of no use here",
    ):
        assert expected in outcome.err


def test_what_is_there_is_kept_without_force(house: House) -> None:
    """Both files are named, before anything is asked or signed; with it both are new."""
    house.put("device.p12", b"old")
    house.put("device.password.txt", b"old")
    outcome = house.issue("--ca", "ca.pem", "--ca-command", "touch signed", *SUBJECT, "-o", "device.p12")
    assert outcome.code == 3
    assert "device.p12: is there already (use --force to overwrite it)" in outcome.err
    assert "device.password.txt: is there already (use --force to overwrite it)" in outcome.err
    assert not (house.folder / "signed").exists()
    assert (house.folder / "device.p12").read_bytes() == b"old"
    assert house.issue(*CA, *SUBJECT, "-o", "device.p12", "--key", "p256", "--force").code == 0
    assert house.opened().key_matches
    assert (house.folder / "device.password.txt").stat().st_mode & 0o777 == 0o600


def test_directory_that_is_not_there_leaves_no_password_behind(house: House) -> None:
    """The two files are written together or not at all."""
    outcome = house.issue(*CA, *SUBJECT, "-o", "no/such/device.p12", "--password-output", "secret")
    assert outcome.code == 3
    assert not (house.folder / "secret").exists()


def test_group_alone_shows_what_it_can_do(house: House) -> None:
    """Help, and the exit code of a usage mistake."""
    outcome = house.mdmprofile("identity", at=None)
    assert outcome.code == 3
    assert "issue  Issue one device's identity" in outcome.err
