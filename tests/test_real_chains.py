"""Certificates nobody here made: the public roots, and the paths of the NIST Public Key Interoperability Test Suite."""

from __future__ import annotations

import email
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import certifi
import cryptography_vectors
import pytest

from mdmprofile.certificates import Certificate
from mdmprofile.chain import IssuerGraph, TrustChain, arrange, role_of
from mdmprofile.containers import load_certificates, load_pkcs12, load_private_key
from mdmprofile.errors import CertificateError, MdmprofileError
from mdmprofile.public import public_roots

VECTORS = Path(cryptography_vectors.__file__).parent
PKITS = VECTORS / "x509" / "PKITS_data"
VALID = sorted(each.stem.removeprefix("Signed") for each in (PKITS / "smime").glob("SignedValid*.eml"))

# Beside the path these carry a certificate that signs revocation lists only, which is no trust certificate.
WITH_A_LIST_SIGNER = {
    "ValidBasicSelfIssuedCRLSigningKeyTest6",
    "ValidSeparateCertificateandCRLKeysTest19",
    "ValidcRLIssuerTest28",
    "ValidcRLIssuerTest29",
    "ValidcRLIssuerTest30",
}
# Its DSA keys leave their parameters to the issuer's, which no library in use reads any more.
UNREADABLE = {"ValidDSAParameterInheritanceTest5"}


@dataclass(frozen=True)
class Message:
    """One test of the suite: a signed message, with the signer's certificate and the CAs between it and the anchor."""

    signer: Certificate
    authorities: tuple[Certificate, ...]

    @property
    def trust(self) -> list[Certificate]:
        """The CAs and the suite's trust anchor."""
        return [*self.authorities, anchor()]

    @property
    def chain(self) -> TrustChain:
        """The trust, judged for the signer."""
        return arrange(self.trust, servers=[self.signer])


def anchor() -> Certificate:
    """The root of the whole suite."""
    return load_certificates((PKITS / "certs" / "TrustAnchorRootCertificate.crt").read_bytes(), source="anchor")[0]


def message(test: str) -> Message:
    """Read one test's message, a signature in PKCS#7; the suite puts the signer's certificate last."""
    whole = email.message_from_bytes((PKITS / "smime" / f"Signed{test}.eml").read_bytes())
    signature = next(each for each in whole.walk() if each.get_content_type() == "application/pkcs7-signature")
    data = signature.get_payload(decode=True)
    assert isinstance(data, bytes)
    *authorities, signer = load_certificates(data, source=test)
    return Message(signer, tuple(authorities))


def errors(chain: TrustChain) -> list[str]:
    """The errors of a chain as rule and message."""
    return [f"{each.rule}: {each.message}" for each in chain.findings if each.severity == "error"]


# --- the public roots


def test_every_public_root_is_a_root_and_verifies_itself() -> None:
    """All that Mozilla trusts, the SHA-1 ones among them, are what they are taken for."""
    roots = public_roots()
    assert len(roots) == certifi.contents().count("BEGIN CERTIFICATE") > 100
    assert [each.name for each in roots if role_of(each) != "root" or not each.signed_by(each)] == []


@pytest.mark.parametrize("seed", range(3))
def test_public_roots_are_arranged_alike_from_any_order(seed: int) -> None:
    """A hundred real roots in a random order come out complete, sorted and without a complaint."""
    shuffled = list(public_roots())
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    chain = arrange(shuffled)
    assert chain.roots == tuple(sorted(shuffled, key=lambda each: (each.not_after, each.sha256)))
    assert (chain.intermediates, chain.leaves) == ((), ())
    assert [each.rule for each in chain.findings] == ["chain.server-unknown"]


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_public_roots_are_read_from_a_pkcs7_bundle(openssl: Callable[..., bytes], form: str) -> None:
    """A bundle of a hundred certificates, converted by openssl, holds the same ones."""
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", certifi.where(), "-outform", form)
    assert set(load_certificates(bundle)) == set(public_roots())


# --- valid paths of the suite


@pytest.mark.parametrize("test", [each for each in VALID if each not in WITH_A_LIST_SIGNER | UNREADABLE])
def test_valid_path_is_complete_and_without_errors(test: str) -> None:
    """What the suite calls valid has no error, in any order, and a path leads from the signer to the anchor."""
    found = message(test)
    assert errors(found.chain) == []
    assert errors(arrange(found.trust[::-1], servers=[found.signer])) == []
    assert anchor() in IssuerGraph(found.trust).ancestors(found.signer)


@pytest.mark.parametrize("test", sorted(WITH_A_LIST_SIGNER))
def test_certificate_that_signs_revocation_lists_is_no_trust_certificate(test: str) -> None:
    """It is the one thing that stands in the way: the path itself is complete."""
    assert [each.partition(":")[0] for each in errors(message(test).chain)] == ["chain.leaf-in-trust"]


def test_key_that_no_library_reads_is_a_certificate_error() -> None:
    """DSA keys without parameters of their own are refused when they are read, not in the middle of a build."""
    with pytest.raises(CertificateError):
        message("ValidDSAParameterInheritanceTest5")


def test_deep_path_is_ordered_from_the_root_down() -> None:
    """Four CAs below the anchor, given in reverse."""
    found = message("ValidpathLenConstraintTest13")
    assert [each.name for each in arrange(found.trust[::-1]).ordered] == [
        "Trust Anchor",
        "pathLenConstraint6 CA",
        "pathLenConstraint6 subCA4",
        "pathLenConstraint6 subsubCA41",
        "pathLenConstraint6 subsubsubCA41X",
    ]


@pytest.mark.parametrize(
    ("test", "step"),
    [
        ("ValidBasicSelfIssuedOldWithNewTest1", "Basic Self-Issued New Key CA"),
        ("ValidBasicSelfIssuedNewWithOldTest3", "Basic Self-Issued Old Key CA"),
    ],
)
def test_path_goes_through_the_certificate_of_a_changed_key(test: str, step: str) -> None:
    """A CA that changed its key issued itself a certificate, which connects the old key with the new."""
    found = message(test)
    path = list(IssuerGraph(found.trust).ancestors(found.signer))
    assert [each.name for each in path] == [step, step, "Trust Anchor"]
    assert path[0].subject_name == path[0].issuer_name


# --- invalid paths of the suite


INVALID = {
    "InvalidCASignatureTest2": "chain.bad-signature: Bad Signed CA names Trust Anchor as its issuer",
    "InvalidEESignatureTest3": "chain.bad-signature: Invalid EE Signature Test3 names Good CA as its issuer",
    "InvalidDSASignatureTest6": "chain.bad-signature: Invalid DSA Signature EE Certificate Test6 names DSA CA",
    "InvalidBasicSelfIssuedCRLSigningKeyTest8": "chain.bad-signature: Invalid Basic Self-Issued CRL",
    "InvalidNameChainingEETest1": "chain.incomplete: the issuer of Invalid Name Chaining EE Certificate Test1",
    "InvalidNameChainingOrderTest2": "chain.incomplete: the issuer of Invalid Name Chaining Order EE Certificate Test2",
    "InvalidMissingbasicConstraintsTest1": "chain.leaf-in-trust: Missing basicConstraints CA is not a CA",
    "InvalidcAFalseTest2": "chain.leaf-in-trust: basicConstraints Critical cA False CA is not a CA",
    "InvalidcAFalseTest3": "chain.leaf-in-trust: basicConstraints Not Critical cA False CA is not a CA",
    "InvalidkeyUsageCriticalkeyCertSignFalseTest1": "chain.key-usage: keyUsage Critical keyCert",
    "InvalidkeyUsageNotCriticalkeyCertSignFalseTest2": "chain.key-usage: keyUsage Not Critical",
    "InvalidpathLenConstraintTest5": "chain.path-length: pathLenConstraint0 CA allows 0 CAs below it and has 1",
    "InvalidpathLenConstraintTest6": "chain.path-length: pathLenConstraint0 CA allows 0 CAs below it and has 1",
    "InvalidpathLenConstraintTest9": "chain.path-length: pathLenConstraint6 subCA0 allows 0 CAs",
    "InvalidpathLenConstraintTest10": "chain.path-length: pathLenConstraint6 subCA0 allows 0 CAs",
    "InvalidpathLenConstraintTest11": "chain.path-length: pathLenConstraint6 subCA1 allows 1 CAs",
    "InvalidpathLenConstraintTest12": "chain.path-length: pathLenConstraint6 subCA1 allows 1 CAs",
    "InvalidSelfIssuedpathLenConstraintTest16": "chain.path-length: pathLenConstraint0 CA allows 0 CAs",
}


@pytest.mark.parametrize("test", INVALID)
def test_invalid_path_has_the_error_that_makes_it_so(test: str) -> None:
    """What the suite calls invalid for its chain is an error that names the certificate."""
    found = errors(message(test).chain)
    assert any(each.startswith(INVALID[test]) for each in found), found


# --- PKCS#12 of the suite, and everything else that a parser was ever tested with


@pytest.mark.parametrize("stem", ["GoodCACert", "TrustAnchorRootCertificate", "ValidCertificatePathTest1EE"])
def test_pkcs12_of_the_suite_is_an_identity(stem: str) -> None:
    """Files in the old encryption, from 2011, open with their password."""
    identity = load_pkcs12((PKITS / "pkcs12" / f"{stem}.p12").read_bytes(), password=b"password")
    assert identity.key_matches
    assert identity.certificate.der == (PKITS / "certs" / f"{stem}.crt").read_bytes()


def test_pkcs12_with_a_dsa_key_is_refused() -> None:
    """Devices verify no DSA signature."""
    data = (PKITS / "pkcs12" / "ValidDSASignaturesTest4EE.p12").read_bytes()
    with pytest.raises(CertificateError, match="neither RSA nor EC"):
        load_pkcs12(data, password=b"password")


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("x509/cryptography.io.chain_with_garbage.pem", ["leaf", "intermediate"]),
        ("x509/cryptography.io.old_header.pem", ["leaf"]),
        ("x509/accvraiz1.pem", ["root"]),
        ("x509/ed25519/root-ed25519.pem", ["root"]),
        ("x509/letsencryptx3.pem", ["intermediate"]),
        ("pkcs7/amazon-roots.p7b", ["root", "root"]),
        ("pkcs7/amazon-roots.der", ["root", "root"]),
        ("pkcs7/isrg.pem", ["root"]),
    ],
)
def test_files_from_the_wild_have_the_roles_they_had_there(path: str, roles: list[str]) -> None:
    """Chains and roots as real CAs published them."""
    assert [role_of(each) for each in load_certificates((VECTORS / path).read_bytes())] == roles


def test_root_of_1996_signed_with_md2_is_weak() -> None:
    """The oldest roots still lie in people's folders."""
    (old,) = load_certificates((VECTORS / "x509" / "verisign_md2_root.pem").read_bytes())
    assert old.weak_signature


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("load", "least"), [(load_certificates, 100), (load_pkcs12, 5), (load_private_key, 20)])
def test_every_odd_file_is_read_or_refused(load: Callable[..., object], least: int) -> None:
    """Hundreds of files that broke a parser once give a result or an error of this project, never another."""
    folders = [VECTORS / each for each in ("x509", "pkcs7", "pkcs12", "asymmetric")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and PKITS not in file.parents]
    read, leaked = 0, []
    for file in files:
        try:
            load(file.read_bytes(), source=file.name, password=b"password")
            read += 1
        except MdmprofileError as error:
            assert file.name in str(error)  # noqa: PT017 - either outcome is right, and both are checked
        except Exception as error:  # noqa: BLE001 - the point is that nothing else comes out
            leaked.append(f"{file.name}: {type(error).__name__}")
    assert leaked == []
    assert read >= least
