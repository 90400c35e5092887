"""Whether to trust a signer: paths to the anchors a user names, at the time they ask about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from conftest import Command
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.trust import MAX_CHAIN_DEPTH, judge_trust
from mdmprofile.cms.verify import verify
from mdmprofile.errors import MdmprofileError
from mdmprofile.moments import stamp
from mdmprofile.public import public_roots
from pki import DAY, NOW, Entity, ec_key, issue, name, server_leaf

CONTENT = b'<?xml version="1.0"?><plist version="1.0"><dict/></plist>'
LATER = NOW + 100 * DAY


def authority(common_name: str, issuer: Entity | None = None, *, days: int = 3650) -> Entity:
    """A CA with a key of its own."""
    return issue(common_name, issuer, ca=True, key=ec_key(), end=NOW + days * DAY)


def person(issuer: Entity | None, *, days: int = 3650, extensions: Sequence[x509.ExtensionType] = ()) -> Entity:
    """A signer with a key of its own."""
    return issue("Signer", issuer, key=ec_key(), end=NOW + days * DAY, extensions=extensions)


def signed(signer: Entity, *chain: Entity) -> bytes:
    """A profile signed with these certificates embedded."""
    return sign(CONTENT, Identity(signer.ours, signer.key, tuple(each.ours for each in chain)))


def reasons(data: bytes, *anchors: Entity, at: datetime = NOW) -> list[str]:
    """The messages of the trust findings; none when the signer is trusted."""
    found = judge_trust(verify(data), [each.ours for each in anchors], at=at)
    assert {each.rule for each in found} <= {"signature.untrusted"}
    return [each.message for each in found]


ROOT = authority("Root")
INTERMEDIATE = authority("Intermediate", ROOT)
SIGNER = person(INTERMEDIATE)
GOOD = signed(SIGNER, INTERMEDIATE)


# Paths


def test_path_to_the_root_is_trusted() -> None:
    """The embedded intermediate joins signer and root."""
    assert reasons(GOOD, ROOT) == []


def test_intermediate_as_anchor_is_trusted() -> None:
    """An anchor need not be a root."""
    assert reasons(GOOD, INTERMEDIATE) == []


def test_one_right_anchor_among_others_is_enough() -> None:
    """More trust never takes trust away."""
    assert reasons(GOOD, authority("Another"), ROOT, authority("Third")) == []


def test_anchors_serve_as_intermediates_that_the_signature_lacks() -> None:
    """Whoever gives root and intermediate needs neither in the file."""
    assert reasons(signed(SIGNER), ROOT, INTERMEDIATE) == []


def test_root_that_signed_the_profile_itself_is_trusted() -> None:
    """A signer that is an anchor needs no path."""
    assert reasons(signed(ROOT), ROOT) == []


@pytest.mark.parametrize(
    ("data", "anchors"),
    [
        pytest.param(GOOD, [authority("Other")], id="another-root"),
        pytest.param(GOOD, [authority("Root")], id="another-root-of-the-same-name"),
        pytest.param(signed(SIGNER), [ROOT], id="intermediate-missing"),
        pytest.param(signed(SIGNER, INTERMEDIATE, ROOT), [authority("Other")], id="own-root-embedded"),
        pytest.param(signed(person(None)), [ROOT], id="self-signed"),
        pytest.param(
            signed(issue("Signer", key=ec_key(), issuer_name=INTERMEDIATE.subject), INTERMEDIATE),
            [ROOT],
            id="names-an-issuer-that-did-not-sign-it",
        ),
    ],
)
def test_signer_without_a_path_is_not_trusted(data: bytes, anchors: list[Entity]) -> None:
    """Neither names nor what the file itself brings along make trust."""
    (reason,) = reasons(data, *anchors)
    assert reason.startswith("the signer Signer is not trusted: no path to a trusted certificate")


def test_two_signers_are_judged_each() -> None:
    """The finding names the one that is not trusted."""
    stranger = issue("Stranger", key=ec_key())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    for each in (SIGNER, stranger):
        builder = builder.add_signer(each.certificate, each.key, hashes.SHA256())
    builder = builder.add_certificate(INTERMEDIATE.certificate)
    (reason,) = reasons(builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary]), ROOT)
    assert reason.startswith("the signer Stranger ")


# What a CA must be


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        pytest.param(issue("CA", ROOT, ca=False, key=ec_key()), "cA must be asserted", id="ca-false"),
        pytest.param(issue("CA", ROOT, ca=None, key=ec_key()), "basicConstraints", id="without-basic-constraints"),
        pytest.param(person(ROOT), "cA must be asserted", id="a-signer-of-the-same-ca"),
        pytest.param(
            issue("CA", ROOT, ca=True, key_cert_sign=False, key=ec_key()), "", id="key-usage-without-cert-sign"
        ),
    ],
)
def test_certificate_that_may_not_issue_makes_no_path(issuer: Entity, reason: str) -> None:
    """Otherwise every holder of any certificate below the root could make signers (RFC 5280 section 6.1.4)."""
    (found,) = reasons(signed(issue("Forged", issuer, key=ec_key()), issuer), ROOT)
    assert "the signer Forged is not trusted" in found
    assert reason in found


def test_path_length_is_kept() -> None:
    """A CA that may only issue leaves has no CA below it."""
    last = issue("Last", ROOT, ca=True, path_length=0, key=ec_key())
    below = authority("Below", last)
    assert reasons(signed(person(last), last), ROOT) == []
    (found,) = reasons(signed(person(below), below, last), ROOT)
    assert "path length" in found


@pytest.mark.parametrize("depth", [MAX_CHAIN_DEPTH, MAX_CHAIN_DEPTH + 2])
def test_depth_of_a_path_is_limited(depth: int) -> None:
    """A hostile file cannot make the search endless; eight CAs are more than anyone has."""
    chain = [ROOT]
    for number in range(depth):
        chain.append(authority(f"Level {number}", chain[-1]))
    found = reasons(signed(person(chain[-1]), *chain[1:]), ROOT)
    assert bool(found) is (depth > MAX_CHAIN_DEPTH)


def test_cas_that_signed_each_other_are_no_endless_path() -> None:
    """A circle without a root ends with an untrusted signer."""
    first, second = authority("First"), authority("Second")
    crossed = [
        issue("First", second, ca=True, key=first.key),
        issue("Second", first, ca=True, key=second.key),
    ]
    assert len(reasons(signed(person(crossed[0]), *crossed), ROOT)) == 1
    assert reasons(signed(person(crossed[0]), *crossed), second) == []


def private_ca(common_name: str, issuer: Entity | None = None) -> Entity:
    """A CA as private ones often are: no key identifiers, basicConstraints not critical."""
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return issue(common_name, issuer, ca=None, key=ec_key(), extensions=[constraints])


def test_private_ca_without_what_browsers_ask_for_is_trusted() -> None:
    """A device does not ask for key identifiers and critical flags, so neither may we."""
    root = private_ca("Private Root")
    below = private_ca("Private Intermediate", root)
    assert not below.certificate.extensions.get_extension_for_class(x509.BasicConstraints).critical
    assert reasons(signed(person(below), below), root) == []


@pytest.mark.parametrize(
    "signer",
    [
        pytest.param(server_leaf(INTERMEDIATE), id="tls-server-certificate"),
        pytest.param(
            person(INTERMEDIATE, extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])]),
            id="code-signing",
        ),
        pytest.param(issue(x509.Name([]), INTERMEDIATE, key=ec_key()), id="without-subject"),
        pytest.param(issue("Signer", INTERMEDIATE, ca=None, key=ec_key()), id="without-any-extension"),
        pytest.param(
            issue(name("Signer", organization="Example", country="DE"), INTERMEDIATE), id="rsa-below-an-ec-ca"
        ),
    ],
)
def test_no_special_certificate_is_needed_to_sign(signer: Entity) -> None:
    """Devices require no key usage of a profile's signer."""
    assert reasons(signed(signer, INTERMEDIATE), ROOT) == []


# Time


@pytest.mark.parametrize(
    ("at", "trusted"),
    [
        pytest.param(NOW - 2 * DAY, False, id="before-it-begins"),
        pytest.param(NOW - DAY, True, id="first-second"),
        pytest.param(NOW + 10 * DAY, True, id="last-second"),
        pytest.param(NOW + 11 * DAY, False, id="after-its-end"),
        pytest.param(datetime.min.replace(tzinfo=NOW.tzinfo), False, id="year-1"),
        pytest.param(datetime.max.replace(tzinfo=NOW.tzinfo), False, id="year-9999"),
    ],
)
def test_signer_is_trusted_while_its_certificate_is_valid(at: datetime, trusted: bool) -> None:
    """The time is the caller's, whatever the clock says."""
    found = reasons(signed(person(INTERMEDIATE, days=10), INTERMEDIATE), ROOT, at=at)
    expected = "the signer Signer is not trusted: its certificate is expired or not valid yet"
    assert found == ([] if trusted else [expected])


@pytest.mark.parametrize("short", ["root", "intermediate"])
def test_expired_ca_makes_no_path(short: str) -> None:
    """The signer is still valid, but what stands above it is not."""
    root = authority("Root", days=50 if short == "root" else 1000)
    below = authority("Intermediate", root, days=50 if short == "intermediate" else 1000)
    data = signed(person(below), below)
    assert reasons(data, root) == []
    (found,) = reasons(data, root, at=LATER)
    assert "not valid at validation time" in found


# The library's edges


def test_no_anchor_at_all_trusts_nobody() -> None:
    """An empty list of anchors is an answer or an error of the project, never another exception."""
    try:
        found = judge_trust(verify(GOOD), [], at=NOW)
    except MdmprofileError:
        return
    assert [each.rule for each in found] == ["signature.untrusted"]


def test_public_roots_do_not_trust_a_private_signer() -> None:
    """A root that calls itself like a public one is not it."""
    public = public_roots()
    real = max(public, key=lambda each: each.not_after)
    assert real.not_after > NOW
    impostor = issue(real.parsed.subject, ca=True, key=ec_key())
    (found,) = judge_trust(verify(signed(person(impostor), impostor)), public, at=NOW)
    assert found.rule == "signature.untrusted"


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A signed file and the certificates around it."""
    files = {
        "good.mobileconfig": GOOD,
        "root.pem": ROOT.pem,
        "root.der": ROOT.der,
        "root.p7b": pkcs7.serialize_certificates([ROOT.certificate], Encoding.DER),
        "intermediate.pem": INTERMEDIATE.pem,
        "signer.pem": SIGNER.pem,
        "other.pem": authority("Other").pem,
        "bundle.pem": SIGNER.pem + INTERMEDIATE.pem + ROOT.pem,
    }
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("anchor", ["root.pem", "root.der", "root.p7b", "intermediate.pem", "bundle.pem"])
def test_trusted_signer_leaves_no_finding(anchor: str, folder: Path, mdmprofile: Command) -> None:
    """Any certificate format serves, and of a mixed file the CAs."""
    outcome = mdmprofile("verify", folder / "good.mobileconfig", "--trust", folder / anchor, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])


def test_several_trust_flags_add_up(folder: Path, mdmprofile: Command) -> None:
    """The flag may be repeated."""
    flags = ("--trust", folder / "other.pem", "--trust", folder / "root.pem")
    outcome = mdmprofile("verify", folder / "good.mobileconfig", *flags, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])


@pytest.mark.parametrize("anchor", ["other.pem", "system"])
def test_untrusted_signer_is_an_error_though_the_signature_is_intact(
    anchor: str, folder: Path, mdmprofile: Command
) -> None:
    """Signature and trust are two questions; the answer to the second alone is exit code 2."""
    trust = anchor if anchor == "system" else folder / anchor
    outcome = mdmprofile("verify", folder / "good.mobileconfig", "--trust", trust, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.untrusted"]
    assert outcome.json["signers"][0]["valid"] is True


def test_system_and_a_file_can_be_trusted_together(folder: Path, mdmprofile: Command) -> None:
    """The public roots do not displace the private one."""
    flags = ("--trust", "system", "--trust", folder / "root.pem")
    outcome = mdmprofile("verify", folder / "good.mobileconfig", *flags, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])


def test_date_of_the_judgement_decides(folder: Path, mdmprofile: Command) -> None:
    """The same file, judged after its signer has ended."""
    file, trust = folder / "good.mobileconfig", ("--trust", folder / "root.pem")
    outcome = mdmprofile("verify", file, *trust, "--format", "json", at=stamp(NOW + 4000 * DAY))
    assert outcome.code == 2
    assert outcome.rules == ["signature.untrusted"]
    assert "expired" in outcome.json["findings"][0]["message"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: SIGNER.pem, "holds no CA certificate", id="no-ca"),
        pytest.param(lambda: b"", "is empty", id="empty"),
        pytest.param(lambda: b"text", "holds no certificate", id="text"),
        pytest.param(None, "no such file", id="absent"),
    ],
)
def test_trust_file_without_a_ca_is_refused(
    make: Callable[[], bytes] | None, message: str, folder: Path, mdmprofile: Command
) -> None:
    """Otherwise every signer would be untrusted and nobody would know why."""
    if make is not None:
        (folder / "trust.pem").write_bytes(make())
    outcome = mdmprofile("verify", folder / "good.mobileconfig", "--trust", folder / "trust.pem")
    assert outcome.code == 3
    assert message in outcome.err
    assert str(folder / "trust.pem") in outcome.err


def test_broken_signature_of_a_trusted_signer_is_an_error(folder: Path, mdmprofile: Command) -> None:
    """Trust in the certificate does not heal the signature."""
    (folder / "bad.mobileconfig").write_bytes(GOOD.replace(CONTENT, CONTENT.replace(b"<dict/>", b"<true/>")))
    outcome = mdmprofile("verify", folder / "bad.mobileconfig", "--trust", folder / "root.pem", "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid"]


def test_embedded_certificates_keep_their_place_in_the_report() -> None:
    """Every certificate that the signature carries is there to look at."""
    opened = verify(GOOD, source="a.mobileconfig")
    assert set(opened.certificates) == {Certificate(SIGNER.der), Certificate(INTERMEDIATE.der)}
    assert {each.source for each in opened.certificates} == {
        "a.mobileconfig signature #1",
        "a.mobileconfig signature #2",
    }
