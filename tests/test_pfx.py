"""PKCS#12 files that would keep the processor busy for minutes, and odd ones that must open all the same."""

from __future__ import annotations

import os
import plistlib
import time
from base64 import encodebytes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import algos, cms, core, keys
from asn1crypto import pkcs12 as structure
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from conftest import Command
from mdmprofile.containers import load_certificates, load_pkcs12, load_private_key
from mdmprofile.errors import CertificateError, PasswordError
from mdmprofile.pfx import MAX_ITERATIONS, Budget
from pki import Entity, issue, root_ca

PASSWORD = "secret"
# Ten seconds and more where nothing stops it, so that a broken guard fails the test instead of hanging it.
ENDLESS = 100_000_000
SECONDS = 3
TOO_MANY = f"wants more than {MAX_ITERATIONS:,} iterations for its password, with the files before it"


def encrypted(data: bytes, iterations: int) -> tuple[dict[str, Any], bytes]:
    """PBES2 as algorithm and ciphertext; beyond a few thousand iterations the key is wrong, and only time matters."""
    salt, vector = os.urandom(16), os.urandom(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, min(iterations, 5000)).derive(PASSWORD.encode())
    padder, cipher = padding.PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    kdf = {
        "salt": algos.Pbkdf2Salt("specified", salt),
        "iteration_count": iterations,
        "prf": {"algorithm": "sha256"},
    }
    algorithm = {
        "algorithm": "pbes2",
        "parameters": {
            "key_derivation_func": {"algorithm": "pbkdf2", "parameters": kdf},
            "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": vector},
        },
    }
    padded = padder.update(data) + padder.finalize()
    return algorithm, cipher.update(padded) + cipher.finalize()


def key_bag(entity: Entity, iterations: int) -> Any:
    """A shrouded key bag."""
    der = entity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    algorithm, data = encrypted(der, iterations)
    value = keys.EncryptedPrivateKeyInfo({"encryption_algorithm": algorithm, "encrypted_data": data})
    return structure.SafeBag({"bag_id": "pkcs8_shrouded_key_bag", "bag_value": value})


def certificate_bag(entity: Entity) -> Any:
    """A certificate bag."""
    value = structure.CertBag({"cert_id": "x509", "cert_value": core.ParsableOctetString(entity.der)})
    return structure.SafeBag({"bag_id": "cert_bag", "bag_value": value})


def open_part(*bags: Any) -> Any:
    """A part that is not encrypted."""
    return cms.ContentInfo({"content_type": "data", "content": structure.SafeContents(bags).dump()})


def locked_part(*bags: Any, iterations: int = 1000) -> Any:
    """An encrypted part."""
    algorithm, data = encrypted(structure.SafeContents(bags).dump(), iterations)
    info = {"content_type": "data", "content_encryption_algorithm": algorithm, "encrypted_content": data}
    value = cms.EncryptedData({"version": "v0", "encrypted_content_info": info})
    return cms.ContentInfo({"content_type": "encrypted_data", "content": value})


def pfx(*parts: Any) -> bytes:
    """A PKCS#12 of these parts, without a MAC."""
    return crowded(structure.AuthenticatedSafe(parts).dump())


def nested(bag: Any, depth: int) -> Any:
    """A bag inside bags."""
    for _ in range(depth):
        bag = structure.SafeBag({"bag_id": "safe_contents", "bag_value": structure.SafeContents([bag])})
    return bag


def sequence(*parts: bytes) -> bytes:
    """A short SEQUENCE in DER."""
    body = b"".join(parts)
    assert len(body) < 128
    return b"\x30" + bytes([len(body)]) + body


def pbkdf2(iterations: int) -> bytes:
    """PBKDF2 as an algorithm identifier."""
    parameters = sequence(core.OctetString(b"saltsalt").dump(), core.Integer(iterations).dump())
    return sequence(core.ObjectIdentifier("1.2.840.113549.1.5.12").dump(), parameters)


def profile_of(contents: Sequence[bytes]) -> bytes:
    """A profile of PKCS#12 payloads that carry their password."""
    payloads = [
        {
            "PayloadType": "com.apple.security.pkcs12",
            "PayloadIdentifier": f"a.{number}",
            "PayloadUUID": f"{number}",
            "PayloadVersion": 1,
            "PayloadContent": each,
            "Password": PASSWORD,
        }
        for number, each in enumerate(contents)
    ]
    top = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "a", "PayloadUUID": "u"}
    return plistlib.dumps(top | {"PayloadContent": payloads})


# Two million empty elements, each of which would become an object.
CROWD = b"\x30\x84" + (4_000_000).to_bytes(4, "big") + b"\x30\x00" * 2_000_000
CHUNKS = (
    b"\x30\x80\x02\x01\x03\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80"
    + b"\x04\x00" * 4_000_000
    + b"\x00" * 8
)


def crowded(safe: bytes) -> bytes:
    """A PKCS#12 whose parts are these bytes."""
    data: bytes = structure.Pfx({"version": "v3", "auth_safe": {"content_type": "data", "content": safe}}).dump()
    return data


def test_the_files_made_here_are_what_others_read(openssl: Callable[..., bytes], tmp_path: Path) -> None:
    """A guard against files that no program opens would prove nothing: the key inside the encrypted part is found."""
    device = issue("Device")
    file = tmp_path / "a.p12"
    file.write_bytes(pfx(locked_part(key_bag(device, 2000), certificate_bag(device))))
    out = openssl("pkcs12", "-in", file, "-nodes", "-nomacver", "-passin", f"pass:{PASSWORD}")
    assert b"PRIVATE KEY" in out
    opened = pkcs12.load_pkcs12(file.read_bytes(), PASSWORD.encode())
    assert opened.key is not None


def test_hidden_count_costs_nothing(tmp_path: Path, mdmprofile: Command) -> None:
    """The count stands inside the encrypted part, so it is seen when it is too late, unless that key is left alone."""
    device = issue("Device")
    data = pfx(locked_part(key_bag(device, ENDLESS), certificate_bag(device)))
    file = tmp_path / "a.mobileconfig"
    file.write_bytes(profile_of([data]))
    started = time.process_time()
    assert load_certificates(data, password=PASSWORD.encode()) == (device.ours,)
    with pytest.raises(CertificateError, match="no private key"):
        load_pkcs12(data, password=PASSWORD.encode())
    outcome = mdmprofile("check", file, "--format", "json")
    assert time.process_time() - started < SECONDS
    assert (outcome.code, outcome.rules[:1]) == (2, ["pkcs12.unreadable"])


@pytest.mark.parametrize("order", ["locked-first", "open-first"])
def test_key_in_the_open_part_is_found_whatever_is_hidden(order: str) -> None:
    """An honest key beside a hidden one opens, and the certificates of the encrypted part are there."""
    device, other = issue("Device"), issue("Other")
    parts = [locked_part(key_bag(other, ENDLESS), certificate_bag(device), certificate_bag(other))]
    parts.insert(0 if order == "open-first" else 1, open_part(key_bag(device, 2000)))
    started = time.process_time()
    identity = load_pkcs12(pfx(*parts), password=PASSWORD.encode())
    assert time.process_time() - started < SECONDS
    assert identity.certificate == device.ours
    assert identity.key_matches
    assert identity.chain == (other.ours,)


VISIBLE: dict[str, Callable[[Entity], bytes]] = {
    "encrypted-part": lambda device: pfx(locked_part(certificate_bag(device), iterations=ENDLESS)),
    "key-in-the-open-part": lambda device: pfx(open_part(key_bag(device, ENDLESS), certificate_bag(device))),
    "key-inside-another-bag": lambda device: pfx(
        open_part(nested(key_bag(device, ENDLESS), 2), certificate_bag(device))
    ),
    "many-parts": lambda device: pfx(
        *[locked_part(certificate_bag(device), iterations=MAX_ITERATIONS // 5) for _ in range(6)]
    ),
    "many-keys": lambda device: pfx(open_part(*[key_bag(device, MAX_ITERATIONS // 5) for _ in range(6)])),
}


@pytest.mark.parametrize("case", VISIBLE)
def test_visible_counts_are_added_up_and_refused(case: str) -> None:
    """Wherever they stand, their sum is the time that it takes."""
    data = VISIBLE[case](issue("Device"))
    started = time.process_time()
    with pytest.raises(CertificateError, match="more than 3,000,000 iterations"):
        load_pkcs12(data, source="a.p12", password=PASSWORD.encode())
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lambda device: pfx(open_part(nested(certificate_bag(device), 20))), "too many inside one another"),
        (lambda device: pfx(*[open_part(certificate_bag(device))] * 200), "more than 100 parts"),
        (lambda device: pfx(open_part(*[certificate_bag(device)] * 3500)), "too many entries"),
        (lambda _: b"\x30\x80\x02\x01\x03" + b"\x30\x80" * 50, "structure is damaged"),
        (lambda _: crowded(CROWD), "too many elements, more than 60,000"),
        (
            lambda _: pfx(cms.ContentInfo({"content_type": "data", "content": CROWD})),
            "too many elements, more than 60,000",
        ),
        (lambda _: CHUNKS, "too many elements, more than 60,000"),
    ],
    ids=["nested", "parts", "entries", "damaged", "crowded-parts", "crowded-bags", "crowded-chunks"],
)
def test_absurd_structure_is_refused(data: Callable[[Entity], bytes], expected: str) -> None:
    """What no export looks like is not handed on."""
    made = data(issue("Device"))
    started = time.process_time()
    with pytest.raises(CertificateError, match=expected):
        load_pkcs12(made, source="a.p12", password=PASSWORD.encode())
    assert time.process_time() - started < SECONDS


def test_scrypt_is_bounded_too(openssl: Callable[..., bytes], tmp_path: Path) -> None:
    """Its work is the product of three numbers; what openssl chooses by itself opens."""
    device, file = issue("Device"), tmp_path / "key"
    words = ("pkcs8", "-topk8", "-outform", "DER", "-passout", f"pass:{PASSWORD}", "-out", file, "-scrypt")
    for more, accepted in (((), True), (("-scrypt_N", "16384", "-scrypt_r", "8", "-scrypt_p", "32"), False)):
        openssl(*words, *more, data=device.key_pem())
        value = keys.EncryptedPrivateKeyInfo.load(file.read_bytes())
        bag = structure.SafeBag({"bag_id": "pkcs8_shrouded_key_bag", "bag_value": value})
        for load, data in (
            (load_private_key, file.read_bytes()),
            (load_pkcs12, pfx(open_part(bag, certificate_bag(device)))),
        ):
            if accepted:
                assert load(data, password=PASSWORD.encode())
            else:
                with pytest.raises(CertificateError, match="iterations"):
                    load(data, password=PASSWORD.encode())


def test_count_of_a_modern_mac_is_seen() -> None:
    """PBMAC1 has its count in its own parameters, and 1 where others have it."""
    scheme = core.ObjectIdentifier("1.2.840.113549.2.9").dump()
    whole = structure.Pfx.load(pfx(open_part(certificate_bag(issue("Device")))))
    parameters = core.Any.load(sequence(pbkdf2(ENDLESS), sequence(scheme)))
    whole["mac_data"] = {
        "mac": {
            "digest_algorithm": {"algorithm": "1.2.840.113549.1.5.14", "parameters": parameters},
            "digest": b"0" * 32,
        },
        "mac_salt": b"NOT USED",
        "iterations": 1,
    }
    with pytest.raises(CertificateError, match="iterations"):
        load_certificates(whole.dump(force=True), password=PASSWORD.encode())


def test_encrypted_key_that_wants_endless_iterations_is_refused() -> None:
    """A private key by itself has a count too, in DER and in PEM."""
    der = key_bag(issue("Device"), ENDLESS)["bag_value"].untag().dump()
    label = b"ENCRYPTED PRIVATE KEY"
    pem = b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, encodebytes(der), label)
    for data in (der, pem):
        with pytest.raises(CertificateError, match="iterations"):
            load_private_key(data, source="a.key", password=PASSWORD.encode())


def test_payloads_of_one_profile_share_their_time(tmp_path: Path, mdmprofile: Command) -> None:
    """Each alone is fine; a hundred of them would take a minute."""
    device = issue("Device")
    data = pfx(open_part(key_bag(device, 5000), certificate_bag(device)))
    budget = Budget(12_000)
    for _ in range(2):
        load_pkcs12(data, password=PASSWORD.encode(), budget=budget)
    with pytest.raises(CertificateError, match="with the files before it"):
        load_pkcs12(data, password=PASSWORD.encode(), budget=budget)
    heavy = pfx(open_part(key_bag(device, MAX_ITERATIONS // 4), certificate_bag(device)))
    file = tmp_path / "a.mobileconfig"
    file.write_bytes(profile_of([heavy] * 40))
    started = time.process_time()
    outcome = mdmprofile("check", file, "--format", "json")
    assert time.process_time() - started < 2 * SECONDS
    # Three fit into the time of one profile.
    assert [each["message"] for each in outcome.json["findings"]].count(TOO_MANY) == 37


EXPORTS = {
    "old": ("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
    "new": ("-certpbe", "AES-128-CBC", "-keypbe", "AES-256-CBC"),
    "open": ("-certpbe", "NONE", "-keypbe", "NONE"),
    "open-certificates": ("-certpbe", "NONE", "-keypbe", "AES-256-CBC"),
    "open-key": ("-certpbe", "AES-256-CBC", "-keypbe", "NONE"),
    "careful": ("-iter", "600000"),
    "no-mac": ("-nomac",),
}


@pytest.mark.parametrize(
    ("export", "password"),
    # Without a MAC OpenSSL itself cannot tell an empty password from none.
    [(name, text) for name in EXPORTS for text in (PASSWORD, "", "p\u00e4ssw\u00f6rd") if text or name != "no-mac"],
)
def test_every_honest_export_opens(export: str, password: str, tmp_path: Path, openssl: Callable[..., bytes]) -> None:
    """The guard does not cost a file that people have, nor its chain."""
    root = root_ca()
    device = issue("Device", root)
    (tmp_path / "all.pem").write_bytes(device.key_pem() + device.pem + root.pem)
    file = tmp_path / "a.p12"
    openssl(
        "pkcs12", "-export", "-in", tmp_path / "all.pem", *EXPORTS[export], "-passout", f"pass:{password}", "-out", file
    )
    identity = load_pkcs12(file.read_bytes(), password=password.encode())
    assert identity.certificate == device.ours
    assert identity.key_matches
    assert identity.chain == (root.ours,)
    if password and export != "open":
        with pytest.raises(PasswordError):
            load_pkcs12(file.read_bytes(), password=b"another")
