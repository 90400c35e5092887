"""Who signed a message: every form that devices and libraries sign in, and everything that is no such signature."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile.cms.algorithms import DIGEST_IDS, NULL, RSA_IDS
from mdmprofile.cms.detached import read_detached
from mdmprofile.cms.tlv import der
from mdmprofile.cms.usual import read_usual
from mdmprofile.errors import (
    BadSignatureError,
    DigestMismatchError,
    MessageError,
    MissingSignatureError,
    NoCertificateError,
    NotBase64Error,
    NotCmsError,
    SignersError,
    SigningError,
    SigningTimeError,
)
from mdmprofile.findings import Severity
from mdmprofile.message import MAX_HEADER, Signer, verify_mdm_signature
from mdmprofile.message_signing import sign_mdm_message
from messages import (
    CONTENT_TYPE,
    IDLE,
    attribute,
    device,
    device_ca,
    identity,
    message_digest,
    parts,
    signer_info,
)
from pki import DAY, NOW, Key, ec_key, name, rsa_key

OpenSSL = Callable[..., bytes]
KEYS: dict[str, Callable[[], Key]] = {
    "rsa": rsa_key,
    "p256": ec_key,
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
}
OTHER = IDLE.replace(b"802E", b"802F")


def refused(kind: type[MessageError], header: str | bytes, body: bytes = IDLE) -> MessageError:
    """The error, which is of exactly this kind and says what to do."""
    with pytest.raises(MessageError) as caught:
        verify_mdm_signature(header, body)
    assert type(caught.value) is kind, caught.value
    assert caught.value.hint
    return caught.value


class TestForms:
    """What is accepted."""

    @pytest.mark.parametrize("ber", [True, False], ids=["ber", "der"])
    @pytest.mark.parametrize("when", [None, NOW], ids=["body", "attributes"])
    @pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
    @pytest.mark.parametrize("kind", KEYS)
    def test_every_shape_that_devices_send_is_verified(
        self, kind: str, digest: str, when: datetime | None, *, ber: bool
    ) -> None:
        """Keys, digests, encodings, with signed attributes and without; the answer says which."""
        entity = device(key=KEYS[kind]())
        header = sign_mdm_message(IDLE, identity(entity), digest=digest, signing_time=when, ber=ber)
        signer = verify_mdm_signature(header, IDLE)
        assert (signer.sha256, signer.digest, signer.signing_time) == (entity.sha256, digest, when)
        assert signer.certificate == entity.ours
        assert sorted(signer.signed_attributes) == (
            ["contentType", "messageDigest", "signingTime"] if when is not None else []
        )
        expected = f"{digest}WithRSAEncryption" if kind == "rsa" else f"ecdsa-with-{digest.upper()}"
        assert signer.signature_algorithm == expected

    @pytest.mark.parametrize("flags", [(), ("-noattr",), ("-keyid",), ("-keyid", "-noattr")], ids=str)
    @pytest.mark.parametrize("kind", KEYS)
    def test_signature_that_openssl_makes_is_verified(
        self, kind: str, flags: tuple[str, ...], tmp_path: Path, openssl: OpenSSL
    ) -> None:
        """Another implementation: named by issuer or by key, with attributes or without."""
        identifier = x509.SubjectKeyIdentifier(b"the name of this key")
        entity = device(key=KEYS[kind](), extensions=[identifier])
        (tmp_path / "pem").write_bytes(entity.pem)
        (tmp_path / "key").write_bytes(entity.key_pem())
        words = ("cms", "-sign", "-binary", "-outform", "DER", "-signer", tmp_path / "pem", "-inkey", tmp_path / "key")
        data = openssl(*words, *flags, data=IDLE)
        # openssl dates its attributes now, and the certificates here are of another time.
        signer = verify_mdm_signature(base64.b64encode(data).decode(), IDLE, clock_skew=timedelta(days=36_500))
        assert signer.sha256 == entity.sha256

    @pytest.mark.parametrize("when", [None, NOW], ids=["body", "attributes"])
    @pytest.mark.parametrize("kind", KEYS)
    def test_openssl_verifies_what_is_signed_here(
        self, kind: str, when: datetime | None, tmp_path: Path, openssl: OpenSSL
    ) -> None:
        """The headers that simulators send are right for others too, BER included."""
        entity = device(key=KEYS[kind]())
        (tmp_path / "ca").write_bytes(device_ca().pem)
        (tmp_path / "body").write_bytes(IDLE)
        header = sign_mdm_message(IDLE, identity(entity), digest="sha256", signing_time=when)
        words = ("cms", "-verify", "-binary", "-inform", "DER", "-CAfile", tmp_path / "ca", "-purpose", "any")
        out = openssl(
            *words, "-content", tmp_path / "body", "-attime", str(int(NOW.timestamp())), data=base64.b64decode(header)
        )
        assert out == IDLE

    @pytest.mark.parametrize("kind", ["rsa", "p256"])
    def test_signature_that_cryptography_makes_is_verified(self, kind: str) -> None:
        """A third implementation, with attributes and without."""
        entity = device(key=KEYS[kind]())
        for extra in ([], [pkcs7.PKCS7Options.NoAttributes]):
            builder = pkcs7.PKCS7SignatureBuilder().set_data(IDLE)
            builder = builder.add_signer(entity.certificate, entity.key, hashes.SHA256())
            options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.DetachedSignature, *extra]
            header = base64.b64encode(builder.sign(Encoding.DER, options))
            signer = verify_mdm_signature(header, IDLE, clock_skew=timedelta(days=36_500))
            assert signer.sha256 == entity.sha256

    def test_every_length_may_be_left_open_that_can_be(self) -> None:
        """BER down to the algorithm identifiers and the names of the signer."""
        entity = device()
        header = parts(entity, IDLE).header()
        assert base64.b64decode(header).count(b"\0\0") > 10
        assert verify_mdm_signature(header, IDLE).sha256 == entity.sha256

    def test_certificate_with_an_empty_subject_signs(self) -> None:
        """Some devices have such certificates."""
        entity = device(x509.Name([]))
        signer = verify_mdm_signature(sign_mdm_message(IDLE, identity(entity)), IDLE)
        assert (signer.certificate.subject, signer.sha256) == ("", entity.sha256)

    @pytest.mark.parametrize("fold", ["\r\n ", "\n", "\r\n\t", " "])
    def test_header_may_be_folded(self, fold: str) -> None:
        """Old proxies break long lines."""
        header = sign_mdm_message(IDLE, identity(device()))
        folded = fold.join(header[at : at + 64] for at in range(0, len(header), 64))
        assert verify_mdm_signature(f" {folded}\r\n", IDLE) == verify_mdm_signature(header.encode(), IDLE)

    def test_chain_may_come_with_the_certificate(self) -> None:
        """In any order; only the signer's has to match."""
        entity = device()
        header = sign_mdm_message(IDLE, identity(entity, device_ca()))
        signer = verify_mdm_signature(header, IDLE)
        assert (signer.sha256, signer.embedded) == (entity.sha256, (entity.der, device_ca().der))
        swapped = dataclasses.replace(parts(entity, IDLE), certificates=(device_ca().der, entity.der))
        assert verify_mdm_signature(swapped.header(), IDLE).sha256 == entity.sha256

    def test_signature_algorithm_may_be_that_of_the_key(self) -> None:
        """RsaEncryption and id-ecPublicKey, with the curve or without, leave the digest to the digest algorithm."""
        for key, oid, parameters in (
            (rsa_key(), "06092a864886f70d010101", ("", "0500")),
            (ec_key(), "06072a8648ce3d0201", ("", "06082a8648ce3d030107")),
        ):
            entity = device(key=key)
            for each in parameters:
                info = signer_info(entity, IDLE, algorithm=bytes.fromhex(oid + each))
                assert verify_mdm_signature(parts(entity, IDLE, info=info).header(), IDLE).sha256 == entity.sha256

    def test_weak_digest_is_an_info_here(self) -> None:
        """Devices use SHA-1, so it is good to know and no more."""
        found = [
            verify_mdm_signature(sign_mdm_message(IDLE, identity(device()), digest=each), IDLE).findings
            for each in ("sha1", "sha256")
        ]
        assert [[(each.rule, each.severity) for each in some] for some in found] == [
            [("signature.weak-digest", Severity.INFO)],
            [],
        ]

    def test_signer_shows_no_bytes(self) -> None:
        """A log line with a signer in it stays a line."""
        signer = verify_mdm_signature(sign_mdm_message(IDLE, identity(device())), IDLE)
        assert signer.sha256 in repr(signer)
        assert len(repr(signer)) < 200


class TestBody:
    """That the body is the one that was signed."""

    @pytest.mark.parametrize("when", [None, NOW], ids=["body", "attributes"])
    @pytest.mark.parametrize("kind", ["rsa", "p256"])
    def test_header_of_another_message_is_refused(self, kind: str, when: datetime | None) -> None:
        """Also where the attributes' signature is valid, as it is with any body."""
        header = sign_mdm_message(IDLE, identity(device(key=KEYS[kind]())), signing_time=when)
        for body in (OTHER, b"", IDLE + b"\n", IDLE[:-1]):
            error = refused(BadSignatureError if when is None else DigestMismatchError, header, body)
            assert error.rule == ("signature.invalid" if when is None else "message.digest")
            if kind == "rsa":
                assert "body" in error.message

    def test_attributes_are_no_body(self) -> None:
        """Signed attributes, shown as a body without attributes, have a valid signature of the device."""
        entity = device()
        attributes = (CONTENT_TYPE, message_digest(IDLE))
        signed = der(0x31, b"".join(attributes))
        taken = signer_info(entity, IDLE, attributes=attributes)
        assert verify_mdm_signature(parts(entity, IDLE, info=taken).header(), IDLE)
        # The very same signature, over the attributes, without them.
        info = signer_info(entity, signed)
        error = refused(BadSignatureError, parts(entity, signed, info=info).header(), signed)
        assert "could be signed attributes" in error.message

    @pytest.mark.parametrize(
        ("attributes", "kind"),
        [
            ((CONTENT_TYPE,), NotCmsError),
            ((message_digest(IDLE),), NotCmsError),
            ((CONTENT_TYPE, message_digest(OTHER)), DigestMismatchError),
            ((CONTENT_TYPE, message_digest(IDLE, "sha256")), DigestMismatchError),
            ((CONTENT_TYPE, message_digest(IDLE), message_digest(IDLE)), NotCmsError),
            ((CONTENT_TYPE, message_digest(OTHER), message_digest(IDLE)), NotCmsError),
            ((CONTENT_TYPE, CONTENT_TYPE, message_digest(IDLE)), NotCmsError),
            ((CONTENT_TYPE, attribute(4)), NotCmsError),
            ((CONTENT_TYPE, attribute(4, der(0x04, b"1"), der(0x04, b"2"))), NotCmsError),
            ((attribute(3, bytes.fromhex("06092a864886f70d010702")), message_digest(IDLE)), BadSignatureError),
            ((CONTENT_TYPE, message_digest(IDLE), attribute(5, der(0x17, b"210101"))), NotCmsError),
            ((CONTENT_TYPE, message_digest(IDLE), attribute(5, der(0x17, b"319999999999Z"))), NotCmsError),
            ((CONTENT_TYPE, message_digest(IDLE), attribute(5)), NotCmsError),
            ((), NotCmsError),
        ],
        ids=lambda each: "" if isinstance(each, tuple) else each.__name__,
    )
    def test_attributes_have_to_say_what_they_cover(
        self, attributes: tuple[bytes, ...], kind: type[MessageError]
    ) -> None:
        """Their signature is valid in every case."""
        entity = device()
        info = signer_info(entity, IDLE, attributes=attributes)
        refused(kind, parts(entity, IDLE, info=info).header())

    def test_attributes_that_others_add_are_accepted(self) -> None:
        """They are signed, so they are the device's own words; their names are told."""
        entity = device()
        extra = der(0x30, bytes.fromhex("06092a864886f763640901") + der(0x31, der(0x04, b"plist")))
        info = signer_info(entity, IDLE, attributes=(CONTENT_TYPE, message_digest(IDLE), extra))
        signer = verify_mdm_signature(parts(entity, IDLE, info=info).header(), IDLE)
        assert signer.signed_attributes == ("contentType", "messageDigest", "2a864886f763640901")

    def test_order_of_attributes_is_part_of_what_is_signed(self) -> None:
        """Swapped, they are not what the device signed."""
        entity = device()
        first, second = CONTENT_TYPE, message_digest(IDLE)
        data = parts(entity, IDLE, info=signer_info(entity, IDLE, attributes=(first, second), ber=False)).encoded()
        swapped = data.replace(first + second, second + first)
        assert swapped != data
        refused(BadSignatureError, base64.b64encode(swapped))


class TestSigningTime:
    """The signing time against the certificate's validity."""

    @pytest.mark.parametrize(
        ("seconds", "accepted"), [(-301, False), (-300, True), (-3, True), (0, True), (DAY.total_seconds(), True)]
    )
    def test_time_a_little_before_the_certificate_is_tolerated(self, seconds: float, *, accepted: bool) -> None:
        """The clock of a device that has just enrolled is slow; five minutes are."""
        entity = device(start=NOW, end=NOW + 9 * DAY)
        header = sign_mdm_message(IDLE, identity(entity), signing_time=NOW + timedelta(seconds=seconds))
        if accepted:
            assert verify_mdm_signature(header, IDLE).signing_time == NOW + timedelta(seconds=seconds)
        else:
            assert refused(SigningTimeError, header).rule == "message.signing-time"
            assert verify_mdm_signature(header, IDLE, clock_skew=timedelta(seconds=301))

    def test_time_after_the_certificate_is_refused(self) -> None:
        """Whoever has the key of an old certificate cannot sign for it any more, as far as this can tell."""
        entity = device(start=NOW - 9 * DAY, end=NOW)
        late = sign_mdm_message(IDLE, identity(entity), signing_time=NOW + timedelta(minutes=6))
        refused(SigningTimeError, late)
        assert verify_mdm_signature(
            sign_mdm_message(IDLE, identity(entity), signing_time=NOW + timedelta(minutes=5)), IDLE
        )

    @pytest.mark.parametrize("year", [1950, 1999, 2049, 2050, 2999])
    def test_both_forms_of_time_are_read(self, year: int) -> None:
        """UTCTime from 1950 to 2049, GeneralizedTime otherwise."""
        moment = datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC)
        header = sign_mdm_message(IDLE, identity(device()), signing_time=moment)
        assert verify_mdm_signature(header, IDLE, clock_skew=timedelta(days=999_999)).signing_time == moment


class TestHeader:
    """Headers that hold no signature of a device."""

    @pytest.mark.parametrize("header", ["", b"", " \r\n\t"])
    def test_missing_header_is_named_as_that(self, header: str | bytes) -> None:
        """With what to do about it."""
        assert "sign_message" in refused(MissingSignatureError, header).hint

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text[:-1],
            lambda text: text + "=",
            lambda text: text + "====",
            lambda text: text.replace("e", "é", 1),
            lambda text: text.replace("e", "-", 1),
            lambda text: f'"{text}"',
            lambda text: f"{text}, {text}",
            lambda text: text + text,
            lambda text: text[:100] + "\0" + text[100:],
            lambda text: "%" + text,
            lambda _: "A" * (MAX_HEADER + 4),
            lambda _: "\N{ZERO WIDTH SPACE}",
        ],
    )
    def test_what_is_not_base64_is_named_as_that(self, change: Callable[[str], str]) -> None:
        """Cut, quoted, twice in one line, with foreign characters, or far too long."""
        header = base64.b64encode(b"x" * 100).decode()
        while not header.endswith("="):
            header = base64.b64encode(base64.b64decode(header) + b"x").decode()
        refused(NotBase64Error, change(header))

    @given(st.binary(min_size=1, max_size=40), st.integers(0, 3))
    def test_only_the_one_base64_of_the_bytes_is_accepted(self, data: bytes, extra: int) -> None:
        """Bits that stand for nothing are zero: a header has one form, so none can be changed unseen."""
        text = base64.b64encode(data)
        last = text.rstrip(b"=")[-1:]
        alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        other = alphabet[(alphabet.index(last) + extra) % 64 :][:1]
        changed = text.replace(b"=", b"")[:-1] + other + text[len(text.rstrip(b"=")) :]
        with pytest.raises(MessageError) as caught:
            verify_mdm_signature(changed, IDLE)
        decoded = base64.b64decode(changed)
        assert isinstance(caught.value, NotBase64Error) is (base64.b64encode(decoded) != changed)

    @pytest.mark.parametrize(
        "data",
        [
            b"\0",
            b"0",
            b"0\x80",
            b"0\x80\0\0",
            b"bplist00",
            b"<html>",
            b"\x30\x80" * 10_000,
            b"\xa0\x80" * 10_000,
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\xff" + b"\xff" * 127,
        ],
        ids=lambda each: each[:6].hex(),
    )
    def test_what_is_not_cms_is_named_as_that(self, data: bytes) -> None:
        """Bombs of nested elements and lengths that lie included."""
        refused(NotCmsError, base64.b64encode(data))

    def test_every_truncation_is_refused(self) -> None:
        """Wherever a proxy cuts the header."""
        data = base64.b64decode(sign_mdm_message(IDLE, identity(device()), signing_time=NOW))
        for size in range(len(data)):
            with pytest.raises((NotCmsError, MissingSignatureError)):
                verify_mdm_signature(base64.b64encode(data[:size]), IDLE)

    @pytest.mark.parametrize(
        "change",
        [
            {"trailing": b"\0"},
            {"trailing": b"\x30\0"},
            {"version": 3},
            {"version": 0},
            {"content": der(0xA0, der(0x04, IDLE))},
            {"content": der(0xA0, der(0x04, b""))},
            {"content_type": bytes.fromhex("06092a864886f70d010702")},
            {"revocation": der(0xA1, b"")},
            {"digests": ()},
            {"digests": (DIGEST_IDS["sha256"] + NULL,)},
            {"digests": (DIGEST_IDS["sha1"] + NULL, DIGEST_IDS["sha256"] + NULL)},
            {"digests": (DIGEST_IDS["sha1"] + NULL,) * 2},
        ],
        ids=str,
    )
    def test_nothing_may_be_in_it_that_no_signature_covers(self, change: dict[str, object]) -> None:
        """The signature itself is intact; what surrounds it could be anybody's."""
        entity = device()
        assert verify_mdm_signature(parts(entity, IDLE).header(), IDLE)
        changed = dataclasses.replace(parts(entity, IDLE), **change)  # type: ignore[arg-type]
        refused(NotCmsError, changed.header())

    def test_unsigned_attributes_are_refused(self) -> None:
        """Anybody could have added them."""
        entity = device()
        info = signer_info(entity, IDLE, unsigned=der(0xA1, attribute(6, der(0x04, b"x"))))
        refused(NotCmsError, parts(entity, IDLE, info=info).header())

    def test_attached_signature_is_refused_by_name(self, tmp_path: Path, openssl: OpenSSL) -> None:
        """The body could be another than the one in the header."""
        entity = device()
        (tmp_path / "pem").write_bytes(entity.pem)
        (tmp_path / "key").write_bytes(entity.key_pem())
        words = ("cms", "-sign", "-binary", "-outform", "DER", "-signer", tmp_path / "pem", "-inkey", tmp_path / "key")
        streamed = openssl(*words, "-stream", data=IDLE)
        assert "content of its own" in refused(NotCmsError, base64.b64encode(streamed)).message
        builder = pkcs7.PKCS7SignatureBuilder().set_data(IDLE)
        builder = builder.add_signer(entity.certificate, entity.key, hashes.SHA256())
        data = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        assert "content of its own" in refused(NotCmsError, base64.b64encode(data)).message


class TestSigners:
    """Exactly one signer, and one certificate that is its."""

    @pytest.mark.parametrize("count", [0, 2, 3])
    def test_not_one_signer_is_refused(self, count: int) -> None:
        """Which of them sent the message would be anybody's choice."""
        entity = device()
        usual = parts(entity, IDLE)
        header = dataclasses.replace(usual, signers=tuple(usual.signers) * count).header()
        error = refused(SignersError, header)
        assert error.rule == "message.signers"
        assert ("no signer" in error.message) if not count else (str(count) in error.message)

    @pytest.mark.parametrize("certificates", [None, ()])
    def test_signature_without_certificate_is_refused(self, certificates: tuple[bytes, ...] | None) -> None:
        """There is nothing to verify it with."""
        header = dataclasses.replace(parts(device(), IDLE), certificates=certificates).header()
        assert refused(NoCertificateError, header).rule == "message.certificate"

    def test_certificate_of_somebody_else_is_refused(self) -> None:
        """It is the signer's that is needed."""
        header = dataclasses.replace(parts(device(), IDLE), certificates=(device().der,)).header()
        refused(NoCertificateError, header)

    def test_certificate_with_another_key_does_not_verify(self) -> None:
        """The right name with the wrong key."""
        entity = device(key=rsa_key())
        other = rsa.generate_private_key(65537, 2048)
        info = signer_info(entity, IDLE, key=other)
        refused(BadSignatureError, parts(entity, IDLE, info=info).header())
        info = signer_info(entity, IDLE, key=ec_key())
        refused(BadSignatureError, parts(entity, IDLE, info=info).header())

    def test_certificate_given_twice_is_refused(self) -> None:
        """A device sends it once."""
        entity = device()
        header = dataclasses.replace(parts(entity, IDLE), certificates=(entity.der, entity.der)).header()
        refused(NotCmsError, header)

    def test_certificate_larger_than_any_device_s_is_refused(self) -> None:
        """Reading all of its names would take as long as hundreds of messages."""
        entity = device(x509.Name([*name("device")] * 1000))
        assert "more than" in refused(NotCmsError, parts(entity, IDLE).header()).message

    def test_two_certificates_of_one_name_are_refused(self) -> None:
        """Two of one issuer and serial number: which of them is meant would be the sender's choice."""
        entity = device()
        twin = (
            x509.CertificateBuilder()
            .subject_name(name("victim"))
            .issuer_name(entity.certificate.issuer)
            .public_key(entity.key.public_key())
            .serial_number(entity.certificate.serial_number)
            .not_valid_before(NOW)
            .not_valid_after(NOW + DAY)
            .sign(device_ca().key, hashes.SHA256())
        )
        certificates = (entity.der, twin.public_bytes(Encoding.DER))
        header = dataclasses.replace(parts(entity, IDLE), certificates=certificates).header()
        assert "several certificates" in refused(NoCertificateError, header).message

    @pytest.mark.parametrize(
        "key",
        [
            ed25519.Ed25519PrivateKey.generate,
            lambda: dsa.generate_private_key(2048),
            lambda: ec.generate_private_key(ec.SECP256K1()),
            lambda: rsa.generate_private_key(65537, 8200),
        ],
        ids=["ed25519", "dsa", "secp256k1", "rsa8200"],
    )
    def test_keys_that_no_device_has_are_refused(self, key: Callable[[], Key]) -> None:
        """Before anything is verified with them."""
        entity = device(key=ec_key())
        subject_key = key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name("odd"))
            .issuer_name(name("odd"))
            .public_key(subject_key.public_key())
            .serial_number(7)
            .not_valid_before(NOW)
            .not_valid_after(NOW + DAY)
            .sign(device_ca().key, hashes.SHA256())
        )
        sid = der(0x30, certificate.issuer.public_bytes() + b"\x02\x01\x07")
        info = signer_info(entity, IDLE, sid=sid)
        usual = parts(entity, IDLE, info=info)
        header = dataclasses.replace(usual, certificates=(certificate.public_bytes(Encoding.DER),)).header()
        refused(BadSignatureError, header)

    def test_damaged_certificate_is_refused(self) -> None:
        """Its own parser's words do not come out."""
        entity = device()
        damaged = entity.der[:-40] + b"\xff" * 40
        broken = bytearray(entity.der)
        broken[broken.index(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")] = 0x05
        header = dataclasses.replace(parts(entity, IDLE), certificates=(bytes(broken),)).header()
        refused(NoCertificateError, header)
        # Damage that no signature here covers is for the trust step.
        assert verify_mdm_signature(dataclasses.replace(parts(entity, IDLE), certificates=(damaged,)).header(), IDLE)

    def test_certificate_from_the_year_0_is_refused(self) -> None:
        """ASN.1 has that year, and no calendar."""
        entity = device()
        start = entity.der.index(b"\x17\x0d31")
        times = der(0x18, b"00000101000000Z") + der(0x17, b"320101000000Z")
        old = entity.der[start - 2 : start + 30]
        tbs = entity.certificate.tbs_certificate_bytes
        header_size = 4
        changed = der(0x30, tbs.replace(old, der(0x30, times))[header_size:])
        certificate = der(0x30, changed + entity.der[header_size + len(tbs) :])
        attributes = (CONTENT_TYPE, attribute(5, der(0x17, b"310101000000Z")), message_digest(IDLE))
        info = signer_info(entity, IDLE, attributes=attributes)
        header = dataclasses.replace(parts(entity, IDLE, info=info), certificates=(certificate,)).header()
        refused(NoCertificateError, header)

    def test_huge_exponent_is_refused(self) -> None:
        """One verification with it would take as long as a hundred others."""
        key = rsa.generate_private_key(65537, 2048)
        numbers = key.public_key().public_numbers()
        slow = rsa.RSAPublicNumbers(numbers.n - 2 if numbers.n % 2 else numbers.n, numbers.n).public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name("slow"))
            .issuer_name(name("slow"))
            .public_key(slow)
            .serial_number(7)
            .not_valid_before(NOW)
            .not_valid_after(NOW + DAY)
            .sign(device_ca().key, hashes.SHA256())
        )
        entity = device()
        info = signer_info(entity, IDLE, sid=der(0x30, certificate.issuer.public_bytes() + b"\x02\x01\x07"))
        usual = parts(entity, IDLE, info=info)
        header = dataclasses.replace(usual, certificates=(certificate.public_bytes(Encoding.DER),)).header()
        assert "key that no device has" in refused(BadSignatureError, header).message


class TestAlgorithms:
    """Algorithms that contradict each other, or that no device uses."""

    @pytest.mark.parametrize(
        ("digest_id", "algorithm"),
        [
            ("06082a864886f70d0205" + "0500", None),
            ("0609608648016503040204" + "0500", None),
            ("06052b0e03021a" + "0400", None),
            ("06052b0e03021a" + "05000500", None),
            (None, (RSA_IDS["sha256"] + NULL).hex()),
            (None, "06092a864886f70d010104" + "0500"),
            (None, "06092a864886f70d01010a" + "3000"),
            (None, "06072a8648ce3d0401"),
            (None, "06072a8648ce3d0201"),
            (None, ""),
        ],
    )
    def test_algorithms_have_to_agree(self, digest_id: str | None, algorithm: str | None) -> None:
        """With each other and with the key; MD5, SHA-224 and RSA-PSS are not among them."""
        entity = device()
        info = signer_info(
            entity,
            IDLE,
            digest_id=None if digest_id is None else bytes.fromhex(digest_id),
            algorithm=None if algorithm is None else bytes.fromhex(algorithm),
        )
        usual = parts(entity, IDLE, info=info)
        if digest_id is not None:
            usual = dataclasses.replace(usual, digests=(bytes.fromhex(digest_id),))
        with pytest.raises((BadSignatureError, NotCmsError)):
            verify_mdm_signature(usual.header(), IDLE)

    def test_curve_beside_the_key_is_the_key_s(self) -> None:
        """Anything else would vary unseen."""
        entity = device(key=ec_key())
        info = signer_info(entity, IDLE, algorithm=bytes.fromhex("06072a8648ce3d0201" + "06052b81040022"))
        refused(BadSignatureError, parts(entity, IDLE, info=info).header())

    def test_name_by_key_needs_version_3(self) -> None:
        """RFC 5652 section 5.3: the version follows from the name."""
        identifier = x509.SubjectKeyIdentifier(b"the name of this key")
        entity = device(extensions=[identifier])
        sid = der(0x80, b"the name of this key")
        for version, accepted in ((1, False), (3, True)):
            info = signer_info(entity, IDLE, sid=sid, version=version)
            usual = dataclasses.replace(parts(entity, IDLE, info=info), version=3)
            if accepted:
                assert verify_mdm_signature(usual.header(), IDLE).sha256 == entity.sha256
            else:
                refused(NotCmsError, usual.header())
        info = signer_info(entity, IDLE, version=3)
        refused(NotCmsError, dataclasses.replace(parts(entity, IDLE, info=info), version=3).header())


class TestMutations:
    """What was changed anywhere is never somebody else's message."""

    @pytest.mark.parametrize("when", [None, NOW], ids=["body", "attributes"])
    def test_no_flipped_bit_makes_another_signer(self, when: datetime | None) -> None:
        """Outside of the certificate, of which the trust step verifies every bit, nothing may change unseen.

        Only the digest that the signature algorithm states beside the digest algorithm can be left out: RFC 8017 and
        RFC 3370 allow both.
        """
        entity = device(key=ec_key())
        data = base64.b64decode(sign_mdm_message(IDLE, identity(entity), signing_time=when))
        certificate = range(start := data.index(entity.der), start + len(entity.der))
        accepted = []
        for at in range(len(data)):
            if at in certificate:
                continue
            for bit in range(8):
                changed = bytearray(data)
                changed[at] ^= 1 << bit
                try:
                    verify_mdm_signature(base64.b64encode(changed), IDLE)
                except MessageError:
                    continue
                accepted.append((at, bit))
        assert accepted == []

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_broken_headers_end_in_project_errors(self, data: st.DataObject) -> None:
        """Bytes removed, repeated, moved and replaced at random; the signer is the same where anything is accepted."""
        original = base64.b64decode(_header())
        start, end = sorted((data.draw(st.integers(0, len(original))), data.draw(st.integers(0, len(original)))))
        piece = data.draw(
            st.one_of(st.binary(max_size=20), st.just(original[start:end]), st.just(original[start:end] * 2))
        )
        at = data.draw(st.integers(0, len(original)))
        changed = data.draw(
            st.sampled_from([original[:start] + piece + original[end:], original[:at] + piece + original[at:]])
        )
        try:
            signer = verify_mdm_signature(base64.b64encode(changed), IDLE)
        except MessageError:
            return
        assert changed == original or signer.der != _signer().der


class TestUsualForm:
    """The form that is read without going through it."""

    @pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
    def test_usual_headers_are_of_that_form(self, digest: str) -> None:
        """Those of devices with RSA keys that sign the body alone; the others are read, too."""
        for entity, when, ber, usual in (
            (device(), None, True, True),
            (device(key=ec_key()), None, True, False),
            (device(), NOW, True, False),
            (device(), None, False, False),
        ):
            data = base64.b64decode(sign_mdm_message(IDLE, identity(entity), digest=digest, signing_time=when, ber=ber))
            assert (read_usual(data) is not None) is usual
            assert read_detached(data) == (read_usual(data) or read_detached(data))

    def test_certificates_may_have_a_stated_length(self) -> None:
        """As Mail and old Macs write them."""
        entity = device()
        data = base64.b64decode(sign_mdm_message(IDLE, identity(entity)))
        stated = data.replace(b"\xa0\x80" + entity.der + b"\0\0", der(0xA0, entity.der))
        assert len(stated) == len(data)
        assert read_usual(stated) == read_detached(stated) == read_usual(data)
        assert verify_mdm_signature(base64.b64encode(stated), IDLE).sha256 == entity.sha256

    @settings(max_examples=1500, deadline=None)
    @given(st.data())
    def test_what_is_read_so_is_what_going_through_it_reads(self, data: st.DataObject) -> None:
        """Whatever was changed: both read the same, or the quick way leaves it to the other."""
        original = base64.b64decode(_usual_header())
        changed = bytearray(original)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.one_of(st.integers(0, 80), st.integers(len(original) - 500, len(original) - 1)))
            changed[at] = data.draw(st.integers(0, 255))
        start = data.draw(st.integers(0, len(original)))
        cut = bytes(changed) if data.draw(st.booleans()) else bytes(changed[:start])
        quick = read_usual(cut)
        if quick is not None:
            assert read_detached(cut) == quick


def _usual_header() -> str:
    if "usual" not in _CACHE:
        _CACHE["usual"] = sign_mdm_message(IDLE, identity(device()))
    return _CACHE["usual"]


def _header() -> str:
    """One header for all examples."""
    if "header" not in _CACHE:
        _CACHE["header"] = sign_mdm_message(IDLE, identity(device()), signing_time=NOW)
    return _CACHE["header"]


def _signer() -> Signer:
    return verify_mdm_signature(_header(), IDLE)


_CACHE: dict[str, str] = {}


class TestSigning:
    """What cannot be signed."""

    def test_key_of_another_certificate_is_refused(self) -> None:
        """A header that nobody verifies is of no use."""
        entity = device(key=ec_key())
        mixed = dataclasses.replace(identity(entity), key=ec_key())
        with pytest.raises(SigningError, match="does not belong"):
            sign_mdm_message(IDLE, mixed)

    def test_unknown_digest_is_refused(self) -> None:
        """With the names of those that there are."""
        with pytest.raises(SigningError, match="sha1, sha256, sha384, sha512"):
            sign_mdm_message(IDLE, identity(device()), digest="md5")


def test_warnings_made_errors_stay_ours(tmp_path: Path) -> None:
    """A program that runs with ``-W error`` gets project errors too; here a serial number of zero warns."""
    entity = device()
    odd = bytearray(entity.der)
    serial = entity.certificate.serial_number.to_bytes(entity.certificate.serial_number.bit_length() // 8 + 1, "big")
    at = odd.index(serial)
    odd[at : at + len(serial)] = bytes(len(serial))
    info = signer_info(
        entity, IDLE, sid=der(0x30, entity.certificate.issuer.public_bytes() + der(2, bytes(len(serial))))
    )
    header = dataclasses.replace(parts(entity, IDLE, info=info), certificates=(bytes(odd),)).header()
    (tmp_path / "body").write_bytes(IDLE)
    code = textwrap.dedent(
        """
        import pathlib, sys
        from mdmprofile.errors import MessageError
        from mdmprofile.message import verify_mdm_signature
        try:
            verify_mdm_signature(sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes())
        except MessageError as error:
            print(type(error).__name__)
        """
    )
    words = [sys.executable, "-W", "error", "-c", code, header, str(tmp_path / "body")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() in {"NoCertificateError", ""}
