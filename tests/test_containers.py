"""Every container that certificates and keys come in, whole, damaged and hostile."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import certifi
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import Command
from mdmprofile.anchors import load_anchors
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.containers import (
    MAX_IN_ONE_FILE,
    fingerprint_sha1,
    is_pkcs12,
    load_certificates,
    load_pkcs12,
    load_private_key,
)
from mdmprofile.errors import CertificateError, InputError, MdmprofileError, PasswordError, Problems
from mdmprofile.inputs import STDIN, read_file
from mdmprofile.public import public_roots
from pki import Entity, Key, ec_key, intermediate_ca, issue, root_ca, rsa_key, server_leaf

Openssl = Callable[..., bytes]
PASSWORD = "open sésame 4711"


@dataclass(frozen=True)
class Files:
    """A leaf with its key, and its root, as PEM files for openssl."""

    folder: Path
    root: Entity
    leaf: Entity

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        return (self.leaf.ours, self.root.ours)

    def p12(self, openssl: Openssl, *options: str, password: str = PASSWORD) -> bytes:
        """What ``openssl pkcs12 -export`` makes of them."""
        arguments = ("-in", "leaf.pem", "-inkey", "leaf.key", "-certfile", "root.pem")
        placed = (self.folder / each if "." in each else each for each in arguments)
        return openssl("pkcs12", "-export", *placed, "-passout", f"pass:{password}", *options)

    def p7b(self, openssl: Openssl, form: str, names: Sequence[str] = ("leaf.pem", "root.pem")) -> bytes:
        """What ``openssl crl2pkcs7`` makes of the certificates."""
        words = (word for each in names for word in ("-certfile", self.folder / each))
        return openssl("crl2pkcs7", "-nocrl", "-outform", form, *words)


def make_files(folder: Path, key: Key) -> Files:
    """Write the PEM files of a fresh root and a leaf with this key."""
    root = root_ca()
    leaf = issue("leaf", root, key=key)
    (folder / "leaf.pem").write_bytes(leaf.pem)
    (folder / "leaf.key").write_bytes(leaf.key_pem())
    (folder / "root.pem").write_bytes(root.pem)
    return Files(folder, root, leaf)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A leaf with an EC key and its RSA root, in PEM files."""
    return make_files(tmp_path, ec_key())


def content(tlv: bytes) -> bytes:
    """What a DER element holds."""
    return tlv[2:] if tlv[1] < 0x80 else tlv[2 + (tlv[1] & 0x7F) :]


def indefinite(p7b: bytes) -> bytes:
    """A PKCS#7 in DER, rewritten with the indefinite lengths of BER."""
    outer = content(p7b)
    oid = outer[: 2 + outer[1]]
    return b"\x30\x80" + oid + b"\xa0\x80\x30\x80" + content(content(outer[len(oid) :])) + b"\x00" * 6


# --- PEM


@pytest.mark.parametrize(
    "dressed",
    [
        pytest.param(lambda pem: pem, id="plain"),
        pytest.param(lambda pem: pem.rstrip(), id="no-newline-at-the-end"),
        pytest.param(lambda pem: pem.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda pem: pem.replace(b"\n", b"\r"), id="cr"),
        pytest.param(lambda pem: b"".join(b"    " + line for line in pem.splitlines(keepends=True)), id="indented"),
        pytest.param(lambda pem: b"\xef\xbb\xbf" + pem, id="utf-8-bom"),
        pytest.param(lambda pem: b"\xff\xfe" + pem.decode().encode("utf-16-le"), id="utf-16-le"),
        pytest.param(lambda pem: b"\xfe\xff" + pem.decode().encode("utf-16-be"), id="utf-16-be"),
        pytest.param(lambda pem: b"subject=CN = caf\xe9\nissuer=-----\n" + pem + b"\x00\xff bye\n", id="text-around"),
        pytest.param(lambda pem: pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE"), id="old-label"),
        pytest.param(lambda pem: pem.replace(b" CERTIFICATE", b" TRUSTED CERTIFICATE"), id="trusted-without-settings"),
    ],
)
def test_pem_is_read_however_it_was_saved(dressed: Callable[[bytes], bytes]) -> None:
    """Editors, shells and mail programs change the text around a certificate, never the certificate."""
    root = root_ca()
    assert load_certificates(dressed(root.pem), source="root.pem") == (root.ours,)


def test_trust_settings_of_openssl_are_left_out(openssl: Openssl) -> None:
    """A TRUSTED CERTIFICATE carries settings behind the certificate that are no part of it."""
    root = root_ca()
    trusted = openssl("x509", "-trustout", "-addtrust", "serverAuth", "-setalias", "My root", data=root.pem)
    assert b"BEGIN TRUSTED CERTIFICATE" in trusted
    assert load_certificates(trusted) == (root.ours,)


def test_every_certificate_of_a_bundle_is_read_and_says_where_it_stood() -> None:
    """A bundle's order is kept, and each certificate can be found again by its number."""
    entities = [issue(f"number {number}", key=ec_key()) for number in range(1, 4)]
    found = load_certificates(b"\nand\n".join(each.pem for each in entities), source="bundle.pem")
    assert found == tuple(each.ours for each in entities)
    assert [each.source for each in found] == ["bundle.pem #1", "bundle.pem #2", "bundle.pem #3"]


def test_certificate_alone_in_its_file_is_named_by_the_file() -> None:
    """Where there is only one, a number would be noise."""
    assert load_certificates(root_ca().pem, source="root.pem")[0].source == "root.pem"


def test_keys_beside_certificates_are_passed_over() -> None:
    """Servers keep key and chain in one file; the key is none of this reader's business."""
    leaf = issue("leaf")
    assert load_certificates(leaf.key_pem() + leaf.pem) == (leaf.ours,)


def test_bundle_may_hold_pkcs7_among_certificates(files: Files, openssl: Openssl) -> None:
    """PEM blocks of both kinds in one file are all read."""
    other = issue("other")
    assert load_certificates(other.pem + files.p7b(openssl, "PEM")) == (other.ours, *files.certificates)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda pem: pem.replace(b"M", b"!", 1), "malformed base64", id="foreign-letter"),
        pytest.param(lambda pem: pem.replace(b"=", b"").replace(b"\n-----END", b"A\n-----END"), "base64", id="padding"),
        pytest.param(lambda pem: pem[:-30], "no END line", id="cut-in-its-end-line"),
        pytest.param(lambda pem: pem[: len(pem) // 2], "no END line", id="cut-in-the-middle"),
        pytest.param(lambda pem: pem.replace(b"END CERT", b"END X509 CERT"), "no END line", id="another-end-line"),
        pytest.param(lambda pem: pem[:20], "never ends", id="cut-in-its-header"),
        pytest.param(lambda pem: pem.replace(b"-----\n", b"\n" + b"x" * 99, 1), "never ends", id="header-runs-on"),
        pytest.param(
            lambda pem: b"\n".join(line for number, line in enumerate(pem.split(b"\n")) if number != 3),
            "cannot be parsed",
            id="line-missing",
        ),
        pytest.param(
            lambda _: b"-----BEGIN TRUSTED CERTIFICATE-----\nMA==\n-----END TRUSTED CERTIFICATE-----\n",
            "cannot be parsed",
            id="trusted-but-empty",
        ),
        pytest.param(
            lambda _: b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "cannot be parsed", id="no-body"
        ),
    ],
)
def test_damaged_pem_is_refused_with_what_is_wrong(damage: Callable[[bytes], bytes], message: str) -> None:
    """The error names the file and the damage, in one line."""
    pem = root_ca().pem
    with pytest.raises(CertificateError, match=message) as caught:
        load_certificates(damage(pem), source="root.pem")
    assert caught.value.where == "root.pem"
    assert "\n" not in str(caught.value)


def test_every_damaged_block_of_a_bundle_is_named_in_one_run() -> None:
    """Whoever repairs a bundle need not run the command once for each block."""
    good, one, other = (issue(each, key=ec_key()).pem for each in ("good", "one", "other"))
    bundle = one.replace(b"M", b"!", 1) + good + other.replace(b"\nM", b"\n?", 1)
    with pytest.raises(Problems) as caught:
        load_certificates(bundle, source="bundle.pem")
    assert [each.where for each in caught.value.errors] == ["bundle.pem #1", "bundle.pem #3"]


@pytest.mark.parametrize("text", ["PUBLIC KEY", "CERTIFICATE REQUEST"])
def test_pem_of_something_else_is_refused_by_its_kind(text: str) -> None:
    """A key or a request given by mistake is called what it is."""
    data = f"-----BEGIN {text}-----\nAAAA\n-----END {text}-----\n".encode()
    with pytest.raises(CertificateError, match=f"holds no certificate, only {text}"):
        load_certificates(data, source="mistaken.pem")


@pytest.mark.parametrize("data", [b"", b" \r\n\t", b"\xff\xfe", b"\xef\xbb\xbf"], ids=["nothing", "blank", "16", "8"])
def test_empty_file_is_said_to_hold_nothing(data: bytes) -> None:
    """An empty file is a failed copy; saying so is the whole help it needs."""
    with pytest.raises(CertificateError, match=r"empty|holds no certificate"):
        load_certificates(data, source="empty.pem")


def test_more_certificates_than_the_limit_are_refused() -> None:
    """A file of certificates without end costs no more than one at the limit."""
    pem = issue("x", key=ec_key()).pem
    assert len(load_certificates(pem * MAX_IN_ONE_FILE)) == MAX_IN_ONE_FILE
    with pytest.raises(CertificateError, match=f"more than {MAX_IN_ONE_FILE}"):
        load_certificates(pem * (MAX_IN_ONE_FILE + 1), source="endless.pem")


# --- DER and PKCS#7


def test_der_is_read() -> None:
    """A certificate as it is, without any wrapping."""
    root = root_ca()
    found = load_certificates(root.der, source="root.der")
    assert found == (root.ours,)
    assert found[0].source == "root.der"


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_pkcs7_is_read(files: Files, openssl: Openssl, form: str) -> None:
    """A .p7b holds any number of certificates, in its own order."""
    found = load_certificates(files.p7b(openssl, form), source="chain.p7b")
    assert found == files.certificates
    assert [each.source for each in found] == ["chain.p7b #1", "chain.p7b #2"]


def test_pkcs7_is_read_in_the_order_openssl_wrote_it(files: Files, openssl: Openssl) -> None:
    """Strict DER sorts a set by its bytes, openssl does not, and nobody needs to be warned of that."""
    found = load_certificates(files.p7b(openssl, "DER", ("root.pem", "leaf.pem")))
    assert found == (files.root.ours, files.leaf.ours)


def test_pkcs7_labelled_as_cms_is_read(files: Files, openssl: Openssl) -> None:
    """OpenSSL's cms command labels the same structure CMS."""
    assert load_certificates(files.p7b(openssl, "PEM").replace(b" PKCS7", b" CMS")) == files.certificates


def test_pkcs7_in_ber_is_read(files: Files, openssl: Openssl) -> None:
    """Some exporters write indefinite lengths, which DER does not have."""
    ber = indefinite(files.p7b(openssl, "DER"))
    assert load_certificates(ber, source="chain.p7b") == files.certificates


def test_certificates_of_a_streamed_signature_are_read(files: Files, openssl: Openssl) -> None:
    """A signed file is PKCS#7 too, and in BER when it was made as a stream."""
    leaf, key, root = (files.folder / each for each in ("leaf.pem", "leaf.key", "root.pem"))
    signed = openssl(
        *("cms", "-sign", "-stream", "-nodetach", "-outform", "DER"),
        *("-signer", leaf, "-inkey", key, "-certfile", root),
        data=b"content",
    )
    assert signed[1] == 0x80
    assert set(load_certificates(signed)) == set(files.certificates)


def test_pkcs7_without_certificates_is_refused(openssl: Openssl) -> None:
    """An empty .p7b is no error of the parser, but there is nothing in it."""
    with pytest.raises(CertificateError, match="holds no certificate"):
        load_certificates(openssl("crl2pkcs7", "-nocrl", "-outform", "DER"), source="empty.p7b")


def test_pkcs7_that_is_not_signed_data_is_refused(files: Files, openssl: Openssl) -> None:
    """An encrypted message is PKCS#7 without certificates to read."""
    encrypted = openssl("cms", "-encrypt", "-outform", "DER", files.folder / "root.pem", data=b"content")
    with pytest.raises(CertificateError, match="holds no certificate that can be read"):
        load_certificates(encrypted, source="message.p7m")


def test_pkcs7_with_a_damaged_certificate_is_refused(files: Files, openssl: Openssl) -> None:
    """One unreadable certificate spoils the file: leaving it out would hide what it says."""
    damaged = files.p7b(openssl, "DER").replace(b"\x06\x03\x55\x04\x03", b"\x0c\x03\xff\xff\xff")
    with pytest.raises(CertificateError):
        load_certificates(damaged, source="chain.p7b")


@pytest.mark.parametrize("form", ["der", "p7b", "ber", "trusted", "p12"])
def test_file_cut_short_anywhere_is_refused(files: Files, openssl: Openssl, form: str) -> None:
    """Whatever length an interrupted copy left, it is an error and never a shorter list."""
    whole = {
        "der": lambda: files.leaf.der,
        "p7b": lambda: files.p7b(openssl, "DER"),
        "ber": lambda: indefinite(files.p7b(openssl, "DER")),
        "trusted": lambda: openssl("x509", "-trustout", "-addtrust", "serverAuth", data=files.leaf.pem),
        "p12": lambda: files.p12(openssl, "-iter", "1"),
    }[form]()
    end = len(whole.rstrip()) if form == "trusted" else len(whole)
    for length in range(end):
        with pytest.raises(CertificateError):
            load_certificates(whole[:length], source="short", password=PASSWORD.encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"PK\x03\x04 zip", id="zip"),
        pytest.param(b"\x30", id="one-byte"),
        pytest.param(b"\x30\x82\x01", id="header-alone"),
        pytest.param(b"\x30\x03\x04\x01\x00", id="another-structure"),
        pytest.param(b"\xff\xfeodd", id="odd-utf-16"),
        pytest.param(b"<html><body>404 Not Found</body></html>", id="error-page"),
    ],
)
def test_file_of_another_kind_is_refused(data: bytes) -> None:
    """The error says which kinds are read."""
    with pytest.raises(CertificateError, match="neither PEM, DER, PKCS#7 nor PKCS#12") as caught:
        load_certificates(data, source="odd.cer")
    assert caught.value.where == "odd.cer"


# --- PKCS#12


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["modern", "legacy"])
@pytest.mark.parametrize("key", [rsa_key, ec_key], ids=["rsa", "ec"])
def test_pkcs12_of_openssl_is_an_identity(
    tmp_path: Path, openssl: Openssl, key: Callable[[], Key], options: tuple[str, ...]
) -> None:
    """Key, its certificate and the others come out of both the old and the new encryption."""
    files = make_files(tmp_path, key())
    identity = load_pkcs12(files.p12(openssl, *options), source="id.p12", password=PASSWORD.encode())
    assert identity == Identity(files.leaf.ours, files.leaf.key, (files.root.ours,))
    assert identity.key_matches
    assert identity.certificate.source == "id.p12 #1"


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["modern", "legacy"])
def test_certificates_of_a_pkcs12_are_read(files: Files, openssl: Openssl, options: tuple[str, ...]) -> None:
    """A PKCS#12 is one more container of certificates."""
    assert load_certificates(files.p12(openssl, *options), password=PASSWORD.encode()) == files.certificates


def test_pkcs12_without_certificates_for_others_has_no_chain() -> None:
    """An identity alone is an identity."""
    leaf = issue("leaf")
    assert load_pkcs12(leaf.p12("pw"), password=b"pw").chain == ()


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["modern", "legacy"])
@pytest.mark.parametrize("password", [None, b""], ids=["none", "empty"])
def test_pkcs12_with_an_empty_password_opens_without_one(
    files: Files, openssl: Openssl, options: tuple[str, ...], password: bytes | None
) -> None:
    """Absent and empty are the same to whoever typed nothing."""
    assert load_pkcs12(files.p12(openssl, *options, password=""), password=password).certificate == files.leaf.ours


def test_pkcs12_without_encryption_is_read(files: Files, openssl: Openssl) -> None:
    """A PKCS#12 need not be protected at all."""
    data = files.p12(openssl, "-nomac", "-keypbe", "NONE", "-certpbe", "NONE")
    assert load_pkcs12(data).certificate == files.leaf.ours


@pytest.mark.parametrize("load", [load_pkcs12, load_certificates])
@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["modern", "legacy"])
@pytest.mark.parametrize(
    ("password", "message"),
    [
        pytest.param(None, "needs a password", id="missing"),
        pytest.param(b"", "needs a password", id="empty"),
        pytest.param(b"wrong-4712", "password does not open it", id="wrong"),
    ],
)
def test_pkcs12_with_another_password_is_refused(
    files: Files,
    openssl: Openssl,
    load: Callable[..., object],
    options: tuple[str, ...],
    password: bytes | None,
    message: str,
) -> None:
    """The error tells a wrong password from a missing one, and repeats neither."""
    with pytest.raises(PasswordError, match=message) as caught:
        load(files.p12(openssl, *options), source="id.p12", password=password)
    assert caught.value.where == "id.p12"
    assert "4712" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_pkcs12_without_a_key_is_no_identity_but_certificates(files: Files, openssl: Openssl) -> None:
    """A trust store in PKCS#12 gives its certificates, and says why it cannot sign."""
    arguments = ("-nokeys", "-in", files.folder / "root.pem", "-passout", f"pass:{PASSWORD}")
    data = openssl("pkcs12", "-export", *arguments)
    assert load_certificates(data, password=PASSWORD.encode()) == (files.root.ours,)
    with pytest.raises(CertificateError, match="holds no private key"):
        load_pkcs12(data, source="store.p12", password=PASSWORD.encode())


def test_pkcs12_without_a_certificate_is_no_identity(files: Files, openssl: Openssl) -> None:
    """A key that nothing certifies identifies nobody."""
    data = openssl("pkcs12", "-export", "-nocerts", "-inkey", files.folder / "leaf.key", "-passout", f"pass:{PASSWORD}")
    with pytest.raises(CertificateError, match="no certificate for its private key"):
        load_pkcs12(data, source="key.p12", password=PASSWORD.encode())
    with pytest.raises(CertificateError, match="holds no certificate"):
        load_certificates(data, source="key.p12", password=PASSWORD.encode())


def test_pkcs12_of_an_ed25519_key_is_refused(tmp_path: Path, openssl: Openssl) -> None:
    """Devices verify RSA and EC only; better to hear it now than from a device."""
    key, certificate = tmp_path / "ed.key", tmp_path / "ed.pem"
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=ed")
    data = openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:x")
    with pytest.raises(CertificateError, match="neither RSA nor EC"):
        load_pkcs12(data, source="ed.p12", password=b"x")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda leaf: leaf.p12("pw"), True, id="pkcs12"),
        pytest.param(lambda _: b"\x30\x80\x02\x01\x03", True, id="pkcs12-in-ber"),
        pytest.param(lambda leaf: leaf.der, False, id="certificate"),
        pytest.param(lambda leaf: leaf.pem, False, id="pem"),
        pytest.param(lambda _: b"", False, id="empty"),
        pytest.param(lambda _: b"\x30\x84\x00\x00", False, id="cut-in-its-length"),
    ],
)
def test_pkcs12_is_told_by_its_bytes(make: Callable[[Entity], bytes], expected: bool) -> None:
    """File names lie; the first element inside the outer sequence does not."""
    assert is_pkcs12(make(issue("leaf"))) is expected


# --- private keys


@pytest.mark.parametrize("make", [rsa_key, ec_key], ids=["rsa", "ec"])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL], ids=["pkcs8", "traditional"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
@pytest.mark.parametrize("password", [None, b"", b"not needed"], ids=["none", "empty", "superfluous"])
def test_plain_key_is_read_in_every_form(
    make: Callable[[], Key], form: PrivateFormat, encoding: Encoding, password: bytes | None
) -> None:
    """A password for a key that needs none does no harm."""
    key = make()
    loaded = load_private_key(key.private_bytes(encoding, form, NoEncryption()), password=password)
    assert loaded.private_numbers() == key.private_numbers()


ENCRYPTED = {
    "pkcs8-pem": ("pkcs8", "-topk8", "-v2", "aes-256-cbc"),
    "pkcs8-der": ("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-outform", "DER"),
    "traditional": ("ec", "-aes128"),
}


@pytest.mark.parametrize("form", ENCRYPTED)
def test_encrypted_key_opens_with_its_password(files: Files, openssl: Openssl, form: str) -> None:
    """Every encryption that openssl writes for keys is read."""
    data = openssl(*ENCRYPTED[form], "-in", files.folder / "leaf.key", "-passout", f"pass:{PASSWORD}")
    loaded = load_private_key(data, password=PASSWORD.encode())
    assert loaded.private_numbers() == files.leaf.key.private_numbers()


@pytest.mark.parametrize("form", ENCRYPTED)
@pytest.mark.parametrize(
    ("password", "message"),
    [
        pytest.param(None, "needs a password", id="missing"),
        pytest.param(b"wrong-4712", "does not open", id="wrong"),
    ],
)
def test_encrypted_key_with_another_password_is_refused(
    files: Files, openssl: Openssl, form: str, password: bytes | None, message: str
) -> None:
    """The error tells a wrong password from a missing one, and repeats neither."""
    data = openssl(*ENCRYPTED[form], "-in", files.folder / "leaf.key", "-passout", f"pass:{PASSWORD}")
    with pytest.raises(PasswordError, match=message) as caught:
        load_private_key(data, source="leaf.key", password=password)
    assert caught.value.where == "leaf.key"
    assert "4712" not in str(caught.value)


def test_key_is_found_beside_its_certificate_and_parameters(openssl: Openssl) -> None:
    """``openssl ecparam -genkey`` writes parameters first, and servers keep key and certificate in one file."""
    written = openssl("ecparam", "-name", "prime256v1", "-genkey")
    assert written.startswith(b"-----BEGIN EC PARAMETERS")
    key = load_private_key(issue("leaf").pem + written)
    assert key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()) in written


@pytest.mark.parametrize("algorithm", ["ED25519", "ED448", "X25519"])
def test_key_that_devices_cannot_verify_is_refused(openssl: Openssl, algorithm: str) -> None:
    """A profile signed with such a key would be shown as unsigned."""
    with pytest.raises(CertificateError, match="neither RSA nor EC"):
        load_private_key(openssl("genpkey", "-algorithm", algorithm), source="odd.key")


def pem_block(label: str, body: bytes) -> bytes:
    """A PEM block of this label around a body that needs not be what the label says."""
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label.encode(), body, label.encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: b"", id="empty"),
        pytest.param(lambda: b"not a key", id="garbage"),
        pytest.param(lambda: issue("x").pem, id="certificate"),
        pytest.param(lambda: issue("x").key_pem()[:200], id="cut-short"),
        pytest.param(lambda: pem_block("PRIVATE KEY", b"MAA="), id="nothing-inside"),
    ],
)
@pytest.mark.parametrize("password", [None, b"given"], ids=["no-password", "password"])
def test_file_without_a_key_is_not_blamed_on_the_password(data: Callable[[], bytes], password: bytes | None) -> None:
    """Whoever gave the wrong file would search in vain for another password."""
    with pytest.raises(CertificateError, match=r"(no readable|where the) private key") as caught:
        load_private_key(data(), source="leaf.key", password=password)
    assert not isinstance(caught.value, PasswordError)
    assert caught.value.where == "leaf.key"


def test_sha1_fingerprint_is_openssls(openssl: Openssl) -> None:
    """SCEP's CAFingerprint is compared by devices with what other tools show."""
    root = root_ca()
    shown = openssl("x509", "-noout", "-fingerprint", "-sha1", data=root.pem).decode().strip().partition("=")[2]
    assert fingerprint_sha1(root.ours) == bytes.fromhex(shown.replace(":", ""))


# --- hostile bytes


@functools.cache
def specimens() -> tuple[bytes, ...]:
    """One of everything, made once, to be damaged."""
    root = root_ca(key=ec_key())
    leaf = server_leaf(intermediate_ca(root))
    p7b = pkcs7.serialize_certificates([root.certificate, leaf.certificate], Encoding.DER)
    return root.der, root.pem + leaf.pem, p7b, indefinite(p7b), leaf.key_pem(), leaf.p12("pw")


def refuse_or_read(data: bytes) -> None:
    """Every reader either reads the bytes or raises an error of this project that names the source."""
    for load in (load_certificates, load_pkcs12, load_private_key):
        for password in (None, b"pw"):
            try:
                found = load(data, source="hostile", password=password)
            except MdmprofileError as error:
                assert "hostile" in str(error)  # noqa: PT017 - most inputs are refused, a few are read
            else:
                assert found


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
@example(data=b"-----BEGIN -----\n-----END -----")
@example(data=b"-----BEGIN A\nB-----\n-----END A\nB-----")
@example(data=b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
def test_arbitrary_bytes_raise_nothing_but_this_projects_errors(data: bytes) -> None:
    """Nothing that a file may hold reaches a user as a parser's traceback."""
    refuse_or_read(data)
    refuse_or_read(b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n")
    refuse_or_read(b"\x30\x82" + len(data).to_bytes(2, "big") + data)


@settings(max_examples=200, deadline=None)
@given(which=st.integers(0, 5), place=st.integers(0, 4000), removed=st.integers(0, 8), inserted=st.binary(max_size=8))
def test_damaged_containers_raise_nothing_but_this_projects_errors(
    which: int, place: int, removed: int, inserted: bytes
) -> None:
    """Bytes changed, lost or added in a real file are read or refused."""
    whole = specimens()[which]
    place %= len(whole)
    refuse_or_read(whole[:place] + inserted + whole[place + removed :])


# --- files


def test_file_is_read_up_to_and_including_its_limit(tmp_path: Path) -> None:
    """The limit itself is allowed; one byte more is not."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2048)
    assert read_file(file, limit=2048) == b"x" * 2048
    with pytest.raises(InputError, match="larger than the limit of 1 KiB") as caught:
        read_file(file, limit=2047)
    assert caught.value.where == str(file)


def test_endless_file_is_refused_at_the_limit() -> None:
    """A device that never ends costs no more than a file at the limit."""
    with pytest.raises(InputError, match="larger than the limit of 16,384 KiB"):
        read_file(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda folder: folder / "absent", "no such file", id="absent"),
        pytest.param(lambda folder: folder, "is a directory", id="directory"),
        pytest.param(lambda _: Path("nul\0byte"), "cannot be read", id="nul-in-the-name"),
        pytest.param(lambda folder: folder / ("n" * 5000), "cannot be read: File name too long", id="name-too-long"),
        pytest.param(lambda folder: folder / "loop", "cannot be read", id="links-in-a-circle"),
    ],
)
def test_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    """One line says which file and why."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_file(path)
    assert caught.value.where == str(path)


def test_directory_refused_as_windows_does_is_called_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows answers the opening of a directory with a refused permission."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="is a directory where a file belongs"):
        read_file(tmp_path)


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let the process's standard input hold these bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes come through a pipe as they are, up to the same limit."""
    standard_input(monkeypatch, b"\xff\x00piped")
    assert read_file(STDIN) == b"\xff\x00piped"
    standard_input(monkeypatch, b"x" * 11)
    with pytest.raises(InputError, match="larger than the limit") as caught:
        read_file(STDIN, limit=10)
    assert caught.value.where == "standard input"


def test_closed_standard_input_is_an_error_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager may start the command without any standard input, which Python shows as None."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError) as caught:
        read_file(STDIN)
    assert caught.value.where == "standard input"


def newer_version(_: Path) -> bytes:
    """A certificate of a version that does not exist."""
    return issue("x").der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _: b"", "empty", id="empty"),
        pytest.param(lambda _: b"hello", "holds no certificate", id="garbage"),
        pytest.param(lambda _: issue("x").der[:-1], "cannot be parsed", id="der-cut-short"),
        pytest.param(lambda _: issue("x").pem.replace(b"M", b"!", 1), "malformed base64", id="malformed-base64"),
        pytest.param(lambda _: issue("x").p12("pw"), "needs a password", id="password-missing"),
        pytest.param(newer_version, "cannot be parsed", id="unknown-version"),
    ],
)
def test_check_answers_bad_input_with_one_line_and_exit_code_3(
    tmp_path: Path, mdmprofile: Command, make: Callable[[Path], bytes], message: str
) -> None:
    """What cannot be judged is named on standard error, and a script hears it from the exit code."""
    file = tmp_path / "bad.crt"
    file.write_bytes(make(tmp_path))
    outcome = mdmprofile("check", file)
    assert outcome.code == 3
    lines = outcome.err.splitlines()
    assert len(lines) == 1
    assert str(file) in lines[0]
    assert message in lines[0]


# --- trust anchors


def test_anchors_are_the_cas_of_all_files_once(tmp_path: Path) -> None:
    """A leaf beside its chain is no anchor, and a root given twice is one anchor."""
    root, other = root_ca(), root_ca("Other Root")
    intermediate = intermediate_ca(root)
    one, two = tmp_path / "one.pem", tmp_path / "two.der"
    one.write_bytes(server_leaf(intermediate).pem + intermediate.pem + root.pem + other.pem)
    two.write_bytes(root.der)
    assert load_anchors([str(one), str(two)]) == (intermediate.ours, root.ours, other.ours)


def test_file_without_a_ca_is_no_anchor(tmp_path: Path) -> None:
    """Trusting a leaf would make every signer untrusted without saying why."""
    file = tmp_path / "leaf.pem"
    file.write_bytes(server_leaf(root_ca()).pem)
    with pytest.raises(CertificateError, match="holds no CA certificate") as caught:
        load_anchors([str(file)])
    assert caught.value.where == str(file)


def test_absent_anchor_file_is_named(tmp_path: Path) -> None:
    """A misspelt path is an error, not an empty trust store."""
    with pytest.raises(InputError, match="no such file"):
        load_anchors([str(tmp_path / "absent.pem")])


def test_system_stands_for_the_public_roots(tmp_path: Path) -> None:
    """The public roots and a private CA can be trusted together."""
    file = tmp_path / "root.pem"
    root = root_ca()
    file.write_bytes(root.pem)
    found = load_anchors(["system", str(file)])
    assert found == (*public_roots(), root.ours)
    assert len(public_roots()) == certifi.contents().count("BEGIN CERTIFICATE")
