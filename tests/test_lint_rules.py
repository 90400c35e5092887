"""Every rule of lint with a file that breaks it and one near it that does not."""

from __future__ import annotations

import plistlib
from datetime import timedelta

import pytest

from lint_cases import (
    BROKEN,
    KEPT,
    Case,
    Found,
    ca,
    changed,
    enveloped,
    good,
    holding,
    pki,
    several,
    signed,
    trust_profile,
)
from mdmprofile.containers import MAX_IN_ONE_FILE
from mdmprofile.rules import chains
from mdmprofile.rules.lint import Linted, lint
from mdmprofile.rules.registry import MAX_FINDINGS
from mdmprofile.rules.signature import is_der
from pki import NOW, ec_key, issue, root_ca
from profiles import MDM_UUID, payload, put

MDM = "PayloadContent[3]"


def found_in(data: bytes, kind: str = "auto") -> Found:
    """Rule, severity and place of everything that lint finds."""
    linted = lint(data, now=NOW, kind=kind)
    assert linted.errors == ()
    return {(each.rule, each.severity.value, each.where) for each in linted.findings}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_a_file_that_breaks_a_rule_is_told_so_and_nothing_else(case: Case) -> None:
    """One thing wrong in a good file gives exactly its findings, with severity and place."""
    assert found_in(case.make(), case.kind) == case.found


@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT)
def test_a_file_in_order_has_no_finding(case: Case) -> None:
    """What Apple allows gives no finding at all, so that nobody learns to ignore them."""
    assert found_in(case.make(), case.kind) == set()


def test_dates_are_judged_as_of_the_day_given() -> None:
    """The same file is in order today and full of expired certificates in ten years."""
    data = signed(good())
    later = lint(data, now=NOW + timedelta(days=3660))
    assert {(each.rule, each.where) for each in later.findings} == {
        ("expiry.expired", "PayloadContent[0]"),
        ("expiry.expired", "PayloadContent[1]"),
        ("expiry.expired", "signature"),
    }
    assert not lint(data, now=NOW).findings


def test_issuer_that_every_device_knows_is_not_missing() -> None:
    """A public root needs no payload, so what it issued is complete without it."""
    from mdmprofile.public import public_roots  # noqa: PLC0415 - reads the whole bundle

    names = {each.subject_name for each in public_roots()}
    assert names
    stranger = ca("Below", root_ca("Private"))
    assert not chains.has_public_issuer(stranger.ours)
    root = next(each for each in public_roots() if each.self_signed)
    # What it signed that is at hand is itself, as another certificate would be.
    assert root in chains._public().named_issuers(stranger.ours) or root.signed_by(root)
    copied = issue("Below", ca=True, issuer_name=root.parsed.subject, key=ec_key())
    assert not chains.has_public_issuer(copied.ours)


def test_leaf_that_another_payload_names_has_a_purpose() -> None:
    """Wi-Fi and VPN payloads refer to certificates by UUID; those are no mistake."""
    uuid = "00000000-0000-4000-8000-000000000005"
    wifi = payload("com.apple.wifi.managed", "00000000-0000-4000-8000-000000000021", EAP={"Anchor": [[uuid]]})

    def rules(entry: dict[str, object]) -> set[str]:
        plist = good()
        server = payload("com.apple.security.pkcs1", uuid, PayloadContent=pki().server.der)
        plist["PayloadContent"][2:2] = [server, entry]
        return {rule for rule, _, _ in found_in(signed(plist))}

    assert "chain.leaf-in-trust" not in rules(wifi)
    assert "chain.leaf-in-trust" in rules(wifi | {"EAP": {"Anchor": [[MDM_UUID]]}})


def test_account_driven_enrollment_is_information() -> None:
    """Both account keys together are what a server answers such an enrollment with; one alone is a mistake."""
    plist = good()
    plist["PayloadContent"][3] |= {"EnrollmentMode": "ADDE", "AssignedManagedAppleID": "a@example.com"}
    assert {severity for _, severity, _ in found_in(signed(plist))} == {"info"}


def test_a_change_that_breaks_the_property_list_does_not_hide_the_broken_signature() -> None:
    """The error says that nothing could be read, the finding why it must not be installed."""
    linted = lint(signed(good()).replace(b"<plist", b"<plisd", 1), now=NOW)
    assert [each.rule for each in linted.findings] == ["signature.invalid"]
    assert "not a property list" in str(linted.errors[0])


@pytest.mark.parametrize(
    "data",
    [b"", b"junk", b"\x30\x80", b"bplist00", b"<plist>", signed(good())[:200], plistlib.dumps([1]), plistlib.dumps({})],
    ids=["nothing", "junk", "half a sequence", "binary header", "half XML", "half CMS", "an array", "no profile"],
)
def test_what_is_no_profile_is_an_error_and_no_exception(data: bytes) -> None:
    """Everything that is read is reported, nothing is raised."""
    linted = lint(data, source="here", now=NOW)
    assert isinstance(linted, Linted)
    assert [each.where for each in linted.errors] == ["here"]


def test_more_cas_than_any_chain_has_are_not_judged_as_one() -> None:
    """Signatures to verify grow with the square of the CAs that share a name."""
    entity = ca("Same", key=ec_key())
    names = [issue("Same", ca=True, key=entity.key) for _ in range(40)]
    linted = lint(changed(several(lambda: names))(), now=NOW)
    assert ["more CA certificates" in str(each) for each in linted.errors] == [True]
    assert "profile.certificate-type" in {each.rule for each in linted.findings}


def test_more_certificates_than_any_profile_has_are_not_judged() -> None:
    """What else is wrong with the profile is still said."""
    bundle = ca("Other", key=ec_key()).pem * (MAX_IN_ONE_FILE // 4)
    plist = good()
    for number in range(5):
        uuid = f"00000000-0000-4000-8000-0000000002{number:02}"
        plist["PayloadContent"].insert(1, payload("com.apple.security.pem", uuid, PayloadContent=bundle))
    plist["PayloadContent"][-1]["Topic"] = "x"
    linted = lint(signed(plist), now=NOW)
    assert ["more than 2000" in str(each) for each in linted.errors] == [True]
    assert [each.rule for each in linted.findings] == ["mdm.topic-prefix"]


def test_one_rule_does_not_fill_the_report() -> None:
    """A binary property list can name one wrong value millions of times at a few bytes each."""
    make = changed(put(f"{MDM}.ServerURLPinningCertificateUUIDs", ["x"] * 100_000))
    pinning = [each for each in lint(make(), now=NOW).findings if each.rule == "mdm.pinning-reference"]
    assert len(pinning) == MAX_FINDINGS


def test_subject_that_holds_itself_many_times_is_refused_before_it_is_read() -> None:
    """A few kilobytes of a binary property list can stand for a subject of billions of names."""
    subject = [[["CN", "device"]] * 100] * 200
    plist = good()
    plist["PayloadContent"][2]["PayloadContent"]["Subject"] = subject
    data = plistlib.dumps(plist, fmt=plistlib.FMT_BINARY)
    found = [each for each in lint(data, now=NOW).findings if each.where.endswith("Subject")]
    assert [each.message for each in found] == ["Subject has more than 100 names"]
    plist["PayloadContent"][2]["PayloadContent"]["Subject"] = [[["CN", "device"]] * 5_000] * 5_000
    linted = lint(plistlib.dumps(plist, fmt=plistlib.FMT_BINARY), now=NOW)
    assert ["more than 200,000 values" in str(each) for each in linted.errors] == [True]


def test_certificates_are_parsed_once_for_all_profiles_and_keep_their_own_places() -> None:
    """The second file's findings name its own payloads, not the first's."""
    der = ca("Other", root_ca("Unknown"), key=ec_key()).der
    first = found_in(holding(lambda: der)())
    plist = good()
    entry = payload("com.apple.security.pkcs1", "00000000-0000-4000-8000-000000000005", PayloadContent=der)
    plist["PayloadContent"].insert(0, entry)
    assert first == {("chain.incomplete", "warning", "PayloadContent[2]")}
    assert found_in(signed(plist)) == {("chain.incomplete", "warning", "PayloadContent[0]")}


@pytest.mark.parametrize(
    ("data", "der"),
    [
        (bytes.fromhex("3003020101"), True),
        (bytes.fromhex("3000"), True),
        (bytes.fromhex("30800201010000"), False),
        (bytes.fromhex("308103020101"), False),
        (bytes.fromhex("30820003020101"), False),
        (bytes.fromhex("2403040101"), False),
        (bytes.fromhex("a003020101"), True),
        (bytes.fromhex("3005020101"), False),
        (bytes.fromhex("30"), False),
        (bytes.fromhex("1f8100"), False),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else str(value),
)
def test_der_has_definite_and_shortest_lengths(data: bytes, der: bool) -> None:
    """X.690 section 10, as far as it can be seen in the headers."""
    assert is_der(data) is der


def test_what_our_own_library_encrypts_is_der() -> None:
    """So that a rule never finds fault with a file for how cryptography writes it."""
    assert is_der(enveloped())
    assert is_der(signed(good()))


def test_root_that_is_there_twice_is_named_once() -> None:
    """The sentence about the switch is for a person who looks for these names on an iPhone."""
    root = pki().root
    again = payload("com.apple.security.pem", "00000000-0000-4000-8000-000000000031", PayloadContent=root.pem)
    plist = trust_profile()
    plist["PayloadContent"].append(again)
    told = [each.message for each in lint(signed(plist), now=NOW).findings if each.rule == "trust.user-switch"]
    assert len(told) == 1
    assert told[0].count(root.ours.name) == 1
