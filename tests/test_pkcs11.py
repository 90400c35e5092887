"""Signing with a key on a PKCS#11 token: SoftHSM2 from the system, and everything that can be wrong with a token."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from conftest import PACKAGES
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.cms.verify import verify
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Key, Site, ec_key, issue, make_site, rsa_key, signed_content

OpenSSL = Callable[..., bytes]

PIN = "4711-hunter2"
PLAIN = (
    b'<?xml version="1.0"?>\r\n<plist version="1.0"><dict>'
    b"<key>PayloadType</key><string>Configuration</string></dict></plist>"
)
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)

# Puts objects on the token, in a process of its own: the module reads its configuration once in a process.
FILL = """
import base64, json, sys
import pkcs11
from pkcs11 import Attribute, CertificateType, KeyType, ObjectClass
from pkcs11.util.dsa import decode_dsa_domain_parameters
from pkcs11.util.ec import decode_ec_private_key, decode_ec_public_key
from pkcs11.util.rsa import decode_rsa_private_key

order = json.load(sys.stdin)
READ = {"rsa": decode_rsa_private_key, "ec": decode_ec_private_key, "public": decode_ec_public_key}
with pkcs11.lib(order["module"]).get_token(token_label=order["token"]).open(rw=True, user_pin=order["pin"]) as session:
    for each in order["objects"]:
        der = base64.b64decode(each["der"])
        kind = each["kind"]
        more = {Attribute.TOKEN: True, Attribute.LABEL: each["label"], Attribute.ID: bytes.fromhex(each["id"])}
        if kind in READ:
            attributes = READ[kind](der)
        elif kind == "dsa":
            p, q, g, x = (int(number).to_bytes(size, "big") for number, size in each["numbers"])
            attributes = {
                Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.DSA,
                Attribute.PRIME: p, Attribute.SUBPRIME: q, Attribute.BASE: g, Attribute.VALUE: x,
            }
        else:
            attributes = {
                Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                Attribute.VALUE: der, Attribute.SUBJECT: b"0\\x00", Attribute.PRIVATE: False,
            }
        if kind in ("rsa", "ec", "dsa"):
            more |= {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.SIGN: True}
            more |= {Attribute.ALWAYS_AUTHENTICATE: True} if each.get("always") else {}
        if kind == "public":
            more[Attribute.PRIVATE] = False
        session.create_object(attributes | more)
"""


def module() -> str:
    """The path of SoftHSM's library."""
    found = next((each for each in MODULES if os.path.exists(each)), None)  # noqa: PTH110 - a plain question
    if found is None or shutil.which("softhsm2-util") is None:
        reason = f"softhsm2 is not installed; apt-get install {PACKAGES['softhsm2-util']}"
        if os.environ.get("MDMPROFILE_NO_SKIP"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def private(label: str, number: str, key: Key, *, always: bool = False) -> dict[str, Any]:
    """A private key to put on the token."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    kind = "rsa" if isinstance(key, rsa.RSAPrivateKey) else "ec"
    return {"kind": kind, "label": label, "id": number, "der": base64.b64encode(der).decode(), "always": always}


def public(label: str, number: str, key: Key) -> dict[str, Any]:
    """A public key to put there."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"kind": "public", "label": label, "id": number, "der": base64.b64encode(der).decode()}


def certificate(label: str, number: str, entity: Entity) -> dict[str, Any]:
    """A certificate to put there."""
    return {"kind": "certificate", "label": label, "id": number, "der": base64.b64encode(entity.der).decode()}


@dataclass(frozen=True)
class Desk:
    """A site, and a folder of tokens; commands run in a process of their own, because the module keeps a token open."""

    site: Site
    module: str
    configuration: Path

    @property
    def folder(self) -> Path:
        return self.site.folder

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SOFTHSM2_CONF": str(self.configuration)}

    def token(self, label: str, objects: Sequence[dict[str, Any]]) -> None:
        """Make a token that holds these."""
        words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "87654321", "--pin", PIN]
        subprocess.run(words, check=True, capture_output=True, env=self.environment)
        if not objects:
            return
        order = {"module": self.module, "token": label, "pin": PIN, "objects": list(objects)}
        done = subprocess.run(
            [sys.executable, "-c", FILL],
            input=json.dumps(order).encode(),
            check=False,
            capture_output=True,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr.decode()

    def uri(self, attributes: str) -> str:
        return f"pkcs11:{attributes}?module-path={self.module}"

    def run(self, *arguments: str | Path, python: Sequence[str] = ("-m", "mdmprofile")) -> Any:
        """Run the command as of ``NOW``."""
        words = [sys.executable, *python, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self.environment, cwd=self.folder)
        assert "Traceback" not in done.stderr
        assert PIN not in done.stderr + done.stdout
        return done

    def sign(self, uri: str, *flags: str | Path, pin: bool = True) -> Any:
        """``sign`` with the key that the URI names, into ``signed``; the PIN in a file."""
        words = ("sign", "plain", "-o", "signed", "--signer-pkcs11", uri, "--at", stamp(NOW))
        return self.run(*words, *(("--signer-pkcs11-pin-file", "pin") if pin else ()), *flags)

    @property
    def signed(self) -> Path:
        return self.folder / "signed"


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    """The keys on the token."""
    return {"rsa": rsa_key(), "p256": ec_key(), "p384": ec.generate_private_key(ec.SECP384R1()), "always": ec_key()}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Key]) -> Desk:
    """A token ``demo`` with a key of each kind, most with their certificates, and the CAs above them."""
    found = module()
    folder = tmp_path_factory.mktemp("pkcs11")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    desk = Desk(make_site(folder / "site"), found, configuration)
    above = desk.site.intermediate
    signers = {label: issue(f"Token {label}", above, key=key, end=NOW + 700 * DAY) for label, key in keys.items()}
    for label, entity in signers.items():
        (desk.folder / f"{label}.pem").write_bytes(entity.pem)
    numbers = numbers_of_small_dsa()
    objects = [
        *(
            private(label, f"0{number}", key, always=label == "always")
            for number, (label, key) in enumerate(keys.items())
        ),
        *(certificate(label, f"0{number}", signers[label]) for number, label in enumerate(keys) if label != "p384"),
        certificate("intermediate", "aa", desk.site.intermediate),
        certificate("root", "ab", desk.site.root),
        public("p256", "01", keys["p256"]),
        private("twin", "10", ec_key()),
        private("twin", "11", ec_key()),
        private("alone", "12", ec_key()),
        {"kind": "dsa", "label": "dsa", "id": "13", "der": "", "numbers": numbers},
        private("mixed", "14", ec_key()),
        certificate("mixed", "14", signers["p256"]),
        private("expired", "15", keys["rsa"]),
        certificate("expired", "15", issue("Old", above, key=keys["rsa"], start=NOW - 9 * DAY, end=NOW - DAY)),
        private("ümlaut signer;1", "16", keys["p256"]),
        certificate("ümlaut signer;1", "16", signers["p256"]),
    ]
    desk.token("demo", objects)
    desk.token("empty", [])
    desk.token("twins", [])
    desk.token("twins", [])
    (desk.folder / "plain").write_bytes(PLAIN)
    (desk.folder / "pin").write_text(f"{PIN}\n")
    return desk


def numbers_of_small_dsa() -> list[tuple[str, int]]:
    """A DSA key: any kind that is neither RSA nor EC."""
    key = dsa.generate_private_key(1024).private_numbers()  # noqa: S505 - a moment, and it is refused
    parameters = key.public_numbers.parameter_numbers
    return [(str(parameters.p), 128), (str(parameters.q), 20), (str(parameters.g), 128), (str(key.x), 20)]


@pytest.fixture
def desk(stocked: Desk) -> Desk:
    """The desk without what another test signed."""
    stocked.signed.unlink(missing_ok=True)
    return stocked


# What is signed


@pytest.mark.parametrize("label", ["rsa", "p256"])
def test_key_and_certificate_of_the_token_sign(label: str, desk: Desk, openssl: OpenSSL) -> None:
    """Openssl verifies the signature up to the root; the CAs on the token are the chain."""
    done = desk.sign(desk.uri(f"token=demo;object={label}"), "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, []), done.stderr
    assert signed_content(openssl, desk.signed, desk.folder / "root.pem") == PLAIN
    (found,) = verify(desk.signed.read_bytes()).signers
    assert found.certificate is not None
    assert (found.certificate.name, found.digest) == (f"Token {label}", "sha256")
    assert len(parse_signed_data(desk.signed.read_bytes()).certificates) == 2


def test_certificate_may_be_in_a_file_with_its_chain(desk: Desk, openssl: OpenSSL) -> None:
    """A token that holds the key alone is common; the key's public half is then the certificate's."""
    done = desk.sign(desk.uri("token=demo;object=p384"), "--signer", "p384.pem", "--signer-chain", "intermediate.pem")
    assert done.returncode == 0, done.stderr
    assert signed_content(openssl, desk.signed, desk.folder / "root.pem") == PLAIN


@pytest.mark.parametrize(
    "attributes",
    [
        "token=demo;id=%00",
        "id=%01;token=demo",
        "token=demo;object=p256;id=%01;type=private",
        "token=demo;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=rsa",
        "token=demo;object=%C3%BCmlaut%20signer%3B1",
    ],
)
def test_key_may_be_named_in_many_ways(attributes: str, desk: Desk) -> None:
    """By label, id or both, with percent signs where RFC 7512 wants them, on a token named by several facts."""
    done = desk.sign(desk.uri(attributes))
    assert done.returncode == 0, done.stderr
    assert verify(desk.signed.read_bytes()).findings == ()


def test_pin_may_be_named_in_the_uri_by_its_file(desk: Desk) -> None:
    """pin-source names where the PIN is, never what it is."""
    done = desk.sign(f"{desk.uri('token=demo;object=rsa')}&pin-source=file:{desk.folder / 'pin'}", pin=False)
    assert done.returncode == 0, done.stderr


def test_key_that_wants_the_pin_each_time_gets_it(desk: Desk, openssl: OpenSSL) -> None:
    """As the signing key of a PIV card does."""
    done = desk.sign(desk.uri("token=demo;object=always"))
    assert done.returncode == 0, done.stderr
    assert signed_content(openssl, desk.signed, desk.folder / "root.pem") == PLAIN


@pytest.mark.parametrize("named", [True, False], ids=["certificate-in-a-file", "certificate-on-the-token"])
def test_build_signs_with_the_token_of_the_config(named: bool, desk: Desk, openssl: OpenSSL) -> None:
    """Both profiles are signed after one login, and the signer's dates are judged like any other's."""
    before, _, _ = desk.site.config.read_text().partition("[signing]")
    lines = [f'pkcs11 = "{desk.uri("token=demo;object=rsa")}"', 'pkcs11_pin = { file = "pin" }']
    lines += ['certificate = "rsa.pem"'] if named else []
    config = desk.folder / "token.toml"
    config.write_text(f"{before}[signing]\n" + "\n".join(lines))
    done = desk.run("build", "-c", "token.toml", "-o", "out", "--format", "json", "--at", stamp(NOW))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (signer,) = (each for each in report["certificates"] if each["role"] == "signer")
    assert signer["subject"] == "CN=Token rsa"
    for name in ("enroll.mobileconfig", "trust.mobileconfig"):
        assert signed_content(openssl, desk.folder / "out" / name, desk.folder / "root.pem").startswith(b"<?xml")


# What check leaves alone


@pytest.mark.parametrize("named", [True, False], ids=["certificate-in-a-file", "certificate-on-the-token"])
def test_check_does_not_open_the_token(named: bool, desk: Desk) -> None:
    """Dates need the certificate alone; a module that does not exist is not missed, and no PIN is asked for."""
    before, _, _ = desk.site.config.read_text().partition("[signing]")
    lines = ['pkcs11 = "pkcs11:token=demo?module-path=/no/such/module.so"', 'pkcs11_pin = { command = ["false"] }']
    lines += ['certificate = "rsa.pem"'] if named else []
    (desk.folder / "check.toml").write_text(f"{before}[signing]\n" + "\n".join(lines))
    done = desk.run("check", "check.toml", "--format", "json", "--at", stamp(NOW))
    report = json.loads(done.stdout)
    assert (done.returncode, "errors" in report) == (0, False)
    signers = [each["subject"] for each in report["certificates"] if each["role"] == "signer"]
    assert signers == (["CN=Token rsa"] if named else [])
    assert [each["rule"] for each in report["findings"]] == ([] if named else ["signing.not-judged"])


# What is refused


IMPOSSIBLE: dict[str, tuple[str, str]] = {
    "no-such-token": (
        "token=other;object=rsa",
        "no token with token other is there; present: 'demo', 'empty', 'twins'",
    ),
    "no-such-slot": ("slot-id=4711", "no token with slot-id 4711"),
    "two-tokens": ("token=twins;object=rsa", "2 tokens match"),
    "no-such-object": ("token=demo;object=other", "the token holds no private key with object other"),
    "no-such-id": ("token=demo;id=%FF", "the token holds no private key with id ff"),
    "empty-token": ("token=empty", "the token holds no private key (pkcs11-tool"),
    "two-keys": ("token=demo;object=twin", "2 private keys match with object twin: object 'twin' id '1"),
    "many-keys": ("token=demo", "private keys match: "),
    "other-type": ("token=demo;object=dsa", "the key on the token is of type DSA"),
    "no-certificate": ("token=demo;object=alone", "the token holds no certificate for the key object alone"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_key_that_cannot_be_found_is_named(case: str, desk: Desk) -> None:
    """Exit code 3, one line that says which token or key, and nothing is written."""
    attributes, message = IMPOSSIBLE[case]
    done = desk.sign(desk.uri(attributes))
    assert done.returncode == 3
    assert done.stderr.startswith("mdmprofile: error: --signer-pkcs11: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not desk.signed.exists()


def test_wrong_pin_is_not_repeated(desk: Desk) -> None:
    """It could be the PIN of something else."""
    (desk.folder / "wrong").write_text("9999-other\n")
    done = desk.sign(desk.uri("token=demo;object=rsa"), "--signer-pkcs11-pin-file", "wrong", pin=False)
    assert done.returncode == 3
    assert "the token does not take the PIN" in done.stderr
    assert "9999" not in done.stderr
    assert not desk.signed.exists()
    assert desk.sign(desk.uri("token=demo;object=rsa")).returncode == 0


@pytest.mark.parametrize("pin", ["1", "1" * 300], ids=["short", "long"])
def test_pin_of_a_length_that_no_token_has_is_refused(pin: str, desk: Desk) -> None:
    """The token says so itself."""
    (desk.folder / "wrong").write_text(pin)
    done = desk.sign(desk.uri("token=demo;object=rsa"), "--signer-pkcs11-pin-file", "wrong", pin=False)
    assert (done.returncode, "PIN" in done.stderr) == (3, True)


def test_pin_that_nobody_gave_is_missed(desk: Desk) -> None:
    """Without a terminal nobody can be asked."""
    done = desk.sign(desk.uri("token=demo;object=rsa"), pin=False)
    assert done.returncode == 3
    assert (
        "the token demo needs a PIN (give --signer-pkcs11-pin-file, or signing.pkcs11_pin in a config)" in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.so", "does not exist"),
        ("text.so", "cannot be loaded"),
        (".", "does not exist"),
    ],
    ids=["absent", "no-library", "directory"],
)
def test_module_that_cannot_be_loaded_is_named(name: str, message: str, desk: Desk) -> None:
    """The library's path is the likeliest mistake."""
    (desk.folder / "text.so").write_text("no library")
    path = desk.folder / name
    done = desk.sign(f"pkcs11:token=demo?module-path={path}")
    assert done.returncode == 3
    assert str(path) in done.stderr
    assert message in done.stderr


def test_library_that_speaks_no_pkcs11_is_refused(desk: Desk) -> None:
    """Any other shared library loads and has nothing to offer."""
    import _ctypes  # noqa: PLC0415 - any shared library will do

    done = desk.sign(f"pkcs11:token=demo?module-path={_ctypes.__file__}")
    assert (done.returncode, "cannot be loaded" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("attributes", "flags", "rule"),
    [
        ("token=demo;object=rsa", ("--signer", "p256.pem"), "signing.key-mismatch"),
        ("token=demo;object=p256", ("--signer", "rsa.pem"), "signing.key-mismatch"),
        ("token=demo;object=expired", (), "expiry.expired"),
    ],
    ids=["rsa-key-ec-certificate", "ec-key-rsa-certificate", "expired"],
)
def test_signer_that_devices_would_refuse_is_an_error(
    attributes: str, flags: tuple[str, ...], rule: str, desk: Desk
) -> None:
    """As with a key in a file: exit code 2 and nothing written."""
    done = desk.sign(desk.uri(attributes), *flags, "--format", "json")
    assert done.returncode == 2
    assert rule in [each["rule"] for each in json.loads(done.stdout)["findings"]]
    assert not desk.signed.exists()


def test_certificate_beside_the_wrong_key_is_found_out_by_the_signature(desk: Desk) -> None:
    """An EC token need not hold the public half, so the first signature tells."""
    done = desk.sign(desk.uri("token=demo;object=mixed"))
    assert done.returncode == 3
    assert "the signature of the token does not verify with the certificate's key" in done.stderr
    assert not desk.signed.exists()


def test_token_that_hangs_is_given_up(desk: Desk) -> None:
    """Another program holds the token's file; the command ends by itself and says so."""
    patience = (
        "import sys, mdmprofile.cms.token as token; token.TOKEN_SECONDS = 1.0; "
        "from mdmprofile.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    words = ("sign", "plain", "-o", "signed", "--signer-pkcs11", desk.uri("token=demo;object=rsa"))
    files = sorted((desk.configuration.parent / "tokens").rglob("token.object"))
    assert files
    opened = [file.open("r+b") for file in files]
    try:
        for each in opened:
            fcntl.lockf(each, fcntl.LOCK_EX)
        done = desk.run(*words, "--signer-pkcs11-pin-file", "pin", python=("-c", patience))
    finally:
        for each in opened:
            each.close()
    assert done.returncode == 3
    assert "the token gave no answer in 1 seconds" in done.stderr
    assert not desk.signed.exists()


HOLD = """
import fcntl, pathlib, sys
files = [each.open("r+b") for each in pathlib.Path(sys.argv[1]).rglob("*") if each.is_file()]
for each in files:
    fcntl.lockf(each, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
LATE = """
import pathlib, subprocess, sys
import mdmprofile.cms.token as token
from mdmprofile.cms.pkcs11 import token_identity
from mdmprofile.cms.pkcs11_uri import parse_pkcs11_uri
from mdmprofile.cms.sign import sign
from mdmprofile.errors import SigningError

uri, tokens, hold = sys.argv[1:]
token.TOKEN_SECONDS = 1.0
pin = open("pin").read().strip()
identity = token_identity(parse_pkcs11_uri(uri), (), lambda label: pin)
with subprocess.Popen([sys.executable, "-c", hold, tokens], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
    other.stdout.readline()
    for each in pathlib.Path(tokens).rglob("generation"):
        # As if the other program had changed the token, so that the module reads it again.
        each.open("r+b").write(bytes((each.read_bytes()[0] ^ 1,)))
    try:
        sign(b"content", identity)
    except SigningError as error:
        print(error.message)
    other.stdin.close()
    other.wait()
"""


def test_token_that_hangs_when_it_signs_is_given_up_too(desk: Desk) -> None:
    """Long after the login; Python ends all the same, though the module may still wait in a thread."""
    tokens = desk.configuration.parent / "tokens"
    before = {each: each.read_bytes() for each in tokens.rglob("generation")}
    assert before
    try:
        done = desk.run(desk.uri("token=demo;object=rsa"), tokens, HOLD, python=("-c", LATE))
    finally:
        for file, data in before.items():
            file.write_bytes(data)
    assert (done.returncode, done.stdout) == (0, "the token gave no answer in 1 seconds\n"), done.stderr


def test_absence_of_the_optional_package_says_how_to_get_it(desk: Desk) -> None:
    """Whoever never needed a token did not install its package."""
    without = "import sys; sys.modules['pkcs11'] = None; from mdmprofile.cli import run; sys.exit(run(sys.argv[1:]))"
    words = ("sign", "plain", "-o", "signed", "--signer-pkcs11", desk.uri("token=demo;object=rsa"))
    done = desk.run(*words, "--signer-pkcs11-pin-file", "pin", python=("-c", without))
    assert done.returncode == 3
    assert "pip install python-pkcs11" in done.stderr


# The library


def test_library_signs_often_after_one_login_and_ends_its_session(desk: Desk) -> None:
    """A service that signs for hours logs in once, and leaves no session behind."""
    script = """
import gc, sys, time
import pkcs11
from mdmprofile.cms.pkcs11 import token_identity
from mdmprofile.cms.pkcs11_uri import parse_pkcs11_uri
from mdmprofile.cms.sign import sign
from mdmprofile.cms.verify import verify

uri, asked = parse_pkcs11_uri(sys.argv[1]), []
pin = open("pin").read().strip()
identity = token_identity(uri, (), lambda label: asked.append(label) or pin)
assert pin not in repr(identity)
for number in range(3):
    signed = verify(sign(b"profile %d" % number, identity))
    assert not signed.findings
# A second one while the first is logged in.
second = token_identity(uri, (), lambda label: pin)
assert asked == ["demo"], asked
del identity, second
gc.collect()
token = pkcs11.lib(str(uri.module)).get_token(token_label="demo")
for _ in range(50):
    try:
        token.open(user_pin="0000-wrong").close()
    except pkcs11.PinIncorrect:
        break
    except pkcs11.UserAlreadyLoggedIn:
        time.sleep(0.1)
else:
    raise SystemExit("still logged in")
"""
    done = desk.run(desk.uri("token=demo;object=rsa"), python=("-c", script))
    assert done.returncode == 0, done.stderr
