"""Whether a device takes one profile in the place of another: every key, in both directions, and each near miss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdmprofile.config import Via
from mdmprofile.errors import MdmprofileError, ProfileError
from mdmprofile.findings import Severity
from mdmprofile.profile import Profile
from mdmprofile.public import public_roots
from mdmprofile.reader import open_profile
from mdmprofile.replacement import Replacement, compare, compare_opened
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca, server_leaf
from replacing import (
    ACME,
    CHALLENGE,
    MDM,
    PER_USER,
    PKCS1,
    PKCS12,
    ROOT,
    SCEP,
    URL,
    Change,
    Plist,
    as_profile,
    changed,
    file_of,
    made,
    mdm,
    opened,
    payload,
    plist,
    scep,
    usual,
    uuid,
)

ROOT_CA = root_ca()
OLD = usual(ROOT_CA)
MISMATCH = 'error 12012, "The new MDM payload does not match the old payload"'


def judged(old: Plist, new: Plist, via: Via = "mdm", **more: Any) -> Replacement:
    """The verdict on two property lists."""
    return compare(as_profile(old), as_profile(new), via=via, **more)


def rules(result: Replacement, *severities: Severity) -> list[str]:
    """The rules found, of these severities alone where some are given, without the identity's information."""
    return [
        each.rule
        for each in result.findings
        if each.rule != "replacement.new-identity" and (not severities or each.severity in severities)
    ]


def in_mdm(**keys: Any) -> Change:
    """Set keys of the MDM payload."""
    return lambda profile: payload(profile, MDM).update(keys)


def without(*keys: str) -> Change:
    """Remove keys of the MDM payload."""
    return lambda profile: [payload(profile, MDM).pop(key) for key in keys]


def test_the_same_profile_is_taken() -> None:
    """Nothing changes, and yet the device enrolls for another certificate."""
    result = judged(OLD, OLD)
    assert (result.accepted, result.changes.nothing) == (True, True)
    assert [each.rule for each in result.findings] == ["replacement.new-identity"]
    assert result.findings[0].severity is Severity.INFO
    assert result.verdict == "A device will take the new profile, sent over MDM; nothing in it changes."


# --- what must not change -------------------------------------------------------------------------------------------


def test_another_identifier_is_a_second_profile() -> None:
    """Devices go by the top-level identifier; a second MDM payload is refused."""
    result = judged(OLD, changed(OLD, lambda new: new.update(PayloadIdentifier="com.example.mdm.enroll2")))
    assert not result.accepted
    assert rules(result) == ["replacement.identifier"]
    assert "second profile with an MDM payload" in result.findings[0].message
    assert result.verdict.startswith("A device will refuse the new profile, sent over MDM: another identifier")


@pytest.mark.parametrize("identifier", [None, "", 7, ["com.example.mdm.enroll"]])
@pytest.mark.parametrize("side", ["old", "new"])
def test_without_an_identifier_nothing_is_replaced(identifier: object, side: str) -> None:
    """Absent, empty or no text: it is the same to a device."""

    def change(profile: Plist) -> None:
        del profile["PayloadIdentifier"]
        if identifier is not None:
            profile["PayloadIdentifier"] = identifier

    bad = changed(OLD, change)
    result = judged(bad, OLD) if side == "old" else judged(OLD, bad)
    assert "replacement.identifier" in rules(result, Severity.ERROR)
    assert f"the {side} profile" in next(each for each in result.findings if each.rule.endswith("identifier")).message


FIXED: dict[str, tuple[str, Any, Any]] = {
    "Topic": ("replacement.topic", "com.apple.mgmt.External.a", "com.apple.mgmt.External.b"),
    "ServerURL": ("replacement.server-url", URL, f"{URL}?enroll=1"),
    "CheckInURL": ("replacement.checkin-url", f"{URL}/checkin", f"{URL}/checkin2"),
    "EnrollmentMode": ("replacement.enrollment-mode", "BYOD", "ADDE"),
    "AssignedManagedAppleID": ("replacement.managed-apple-id", "a@example.com", "b@example.com"),
    "RequiredAppIDForMDM": ("replacement.required-app", 4711, 4712),
}


@pytest.mark.parametrize("direction", ["changed", "added", "removed", "case", "type"])
@pytest.mark.parametrize("key", FIXED)
def test_a_key_that_must_not_change_does_not(key: str, direction: str) -> None:
    """Changed, come or gone: refused with 12012, and the finding says where."""
    rule, first, second = FIXED[key]
    old = changed(OLD, in_mdm(**{key: first}))
    new = changed(OLD, in_mdm(**{key: second}))
    if direction == "added":
        old = changed(old, without(key))
    elif direction == "removed":
        new = changed(new, without(key))
    elif direction == "case":
        new = changed(new, in_mdm(**{key: first.upper() if isinstance(first, str) else -first}))
        old = changed(old, in_mdm(**{key: first.lower() if isinstance(first, str) else first}))
    elif direction == "type":
        new = changed(new, in_mdm(**{key: [first]}))
    result = judged(old, new)
    assert rule in rules(result, Severity.ERROR)
    assert not result.accepted
    assert MISMATCH in result.verdict
    (found,) = (each for each in result.findings if each.rule == rule)
    assert found.where == f"PayloadContent[2].{key}"
    assert key in found.message


@pytest.mark.parametrize("key", FIXED)
def test_a_key_that_stays_is_taken(key: str) -> None:
    """The same value in both is no change, whatever it is."""
    same = changed(OLD, in_mdm(**{key: FIXED[key][1]}))
    assert rules(judged(same, same)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {"CheckInURL": URL}, [], id="absent-is-server-url"),
        pytest.param({"CheckInURL": URL}, {}, [], id="server-url-then-absent"),
        pytest.param({}, {"CheckInURL": f"{URL}/"}, ["replacement.checkin-url"], id="a-slash-counts"),
        pytest.param({"CheckInURL": f"{URL}?a=1"}, {}, ["replacement.checkin-url"], id="a-query-counts"),
        pytest.param({"CheckInURL": ""}, {}, ["replacement.checkin-url"], id="empty-is-not-absent"),
        pytest.param({}, {"ServerURL": f"{URL}2"}, ["replacement.server-url"], id="told-once"),
        pytest.param(
            {},
            {"ServerURL": f"{URL}2", "CheckInURL": URL},
            ["replacement.server-url"],
            id="check-in-stays",
        ),
        pytest.param(
            {},
            {"ServerURL": f"{URL}2", "CheckInURL": f"{URL}2"},
            ["replacement.server-url", "replacement.checkin-url"],
            id="both",
        ),
    ],
)
def test_an_absent_check_in_url_is_the_server_url(old: Plist, new: Plist, expected: list[str]) -> None:
    """What counts is where the device checks in."""
    assert rules(judged(changed(OLD, in_mdm(**old)), changed(OLD, in_mdm(**new)))) == expected


def test_a_long_url_is_quoted_where_it_differs() -> None:
    """Two addresses that begin alike for 200 letters must not look the same in the report."""
    long = f"{URL}/{'a' * 200}"
    result = judged(changed(OLD, in_mdm(ServerURL=long + "b")), changed(OLD, in_mdm(ServerURL=long + "c")))
    (message,) = (each.message for each in result.findings if each.rule == "replacement.server-url")
    assert "ab'" in message
    assert "ac'" in message
    assert len(message) < 300


def test_a_password_in_a_url_is_not_shown() -> None:
    """Whoever reads the report need not know it."""
    old, new = (f"https://user:{word}@mdm.example.com/{word[-1]}" for word in ("secret1", "secret2"))
    result = judged(changed(OLD, in_mdm(ServerURL=old)), changed(OLD, in_mdm(ServerURL=new)))
    assert rules(result) == ["replacement.server-url"]
    assert "secret" not in repr(result)


# --- access rights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected", "words"),
    [
        pytest.param(8191, 8191, [], "", id="same"),
        pytest.param(3, 7, ["replacement.access-rights"], "added: lock-and-passcode", id="added"),
        pytest.param(7, 3 | 8, ["replacement.access-rights"], "added: erase; dropped: lock-and-passcode", id="swapped"),
        pytest.param(8191, 8191 - 8, ["replacement.rights-dropped"], "erase", id="dropped"),
        pytest.param(8191, 8191 - 2, ["replacement.rights-dropped"], "no later replacement", id="right-2-dropped"),
        pytest.param(3, None, ["replacement.rights-dropped"], "install-profiles", id="gone"),
        pytest.param(3, 3 | 8192, ["mdm.access-rights", "replacement.access-rights"], "bit 8192", id="unknown-bit"),
        pytest.param(3, "3", ["mdm.access-rights", "replacement.access-rights"], "no set of rights", id="text"),
        pytest.param(3, True, ["mdm.access-rights", "replacement.access-rights"], "no set of rights", id="boolean"),
        pytest.param(3, -1, ["mdm.access-rights", "replacement.access-rights"], "no set of rights", id="negative"),
        pytest.param("x", 3, ["replacement.access-rights"], "'x' for rights", id="from-text"),
        pytest.param(None, 3, ["replacement.access-rights"], "names no rights", id="from-absent"),
    ],
)
def test_no_right_may_be_added(old: object, new: object, expected: list[str], words: str) -> None:
    """The rights that are added or dropped are named."""
    before, after = (
        changed(OLD, without("AccessRights") if value is None else in_mdm(AccessRights=value)) for value in (old, new)
    )
    result = judged(before, after, via="manual", **signed_alike())
    assert sorted(rules(result)) == expected
    assert words in " ".join(each.message for each in result.findings)
    assert result.accepted is ("replacement.access-rights" not in expected)


def signed_alike() -> dict[str, Any]:
    """The same signer for both, so that it says nothing."""
    return {"old_signer": ROOT_CA.ours, "new_signer": ROOT_CA.ours}


@pytest.mark.parametrize(
    ("dropped", "severity"), [(8, Severity.INFO), (4096, Severity.INFO), (2, Severity.WARNING), (3, Severity.WARNING)]
)
def test_dropping_the_right_to_install_is_the_one_that_hurts(dropped: int, severity: Severity) -> None:
    """Every other right that goes was meant to go."""
    result = judged(OLD, changed(OLD, in_mdm(AccessRights=8191 - dropped)))
    (found,) = (each for each in result.findings if each.rule == "replacement.rights-dropped")
    assert found.severity is severity
    assert result.accepted


@pytest.mark.parametrize("keys", [{"EnrollmentMode": "BYOD"}, {"ManagedAppleID": "a@example.com"}])
def test_user_enrollment_ignores_rights(keys: Plist) -> None:
    """There the device grants what user enrollment grants, whatever the profile says."""
    old = changed(OLD, in_mdm(AccessRights=1, **keys))
    assert rules(judged(old, changed(old, in_mdm(AccessRights=8191)))) == []
    assert rules(judged(old, changed(old, without("AccessRights")))) == []


@pytest.mark.parametrize(
    ("rights", "via", "expected"),
    [
        (8191, "mdm", []),
        (3, "mdm", []),
        (8189, "mdm", [("replacement.no-install-right", Severity.ERROR)]),
        (8189, "manual", []),
        (None, "mdm", [("replacement.no-install-right", Severity.WARNING)]),
        (None, "manual", []),
    ],
)
def test_over_mdm_the_old_profile_must_let_the_server_install(
    rights: int | None, via: Via, expected: list[tuple[str, Severity]]
) -> None:
    """InstallProfile needs right 2; where the old profile says nothing of rights, nobody can tell."""
    same = changed(OLD, without("AccessRights") if rights is None else in_mdm(AccessRights=rights))
    result = judged(same, same, via=via, **signed_alike())
    found = [(each.rule, each.severity) for each in result.findings if each.rule != "replacement.new-identity"]
    assert found == expected


# --- capabilities ---------------------------------------------------------------------------------------------------

TOKEN, BOOTSTRAP = "com.apple.mdm.token", "com.apple.mdm.bootstraptoken"


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ([PER_USER], [], True),
        ([], [PER_USER], True),
        (None, [PER_USER], True),
        ([PER_USER], None, True),
        ([PER_USER], PER_USER, True),
        ([PER_USER], [PER_USER, TOKEN, BOOTSTRAP], False),
        ([TOKEN, PER_USER], [PER_USER], False),
        ([TOKEN], [], False),
        (None, [TOKEN], False),
    ],
)
def test_per_user_connections_neither_come_nor_go(old: object, new: object, refused: bool) -> None:
    """The other capabilities are free."""
    before, after = (
        changed(OLD, without("ServerCapabilities") if value is None else in_mdm(ServerCapabilities=value))
        for value in (old, new)
    )
    result = judged(before, after)
    assert ("replacement.per-user-connections" in rules(result)) is refused
    assert result.accepted is not refused


# --- what may change ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda new: new.update(PayloadUUID=uuid(99)), id="profile-uuid"),
        pytest.param(lambda new: new.update(PayloadDisplayName="Other"), id="name"),
        pytest.param(lambda new: new.update(PayloadRemovalDisallowed=True), id="removal"),
        pytest.param(lambda new: payload(new, MDM).update(PayloadUUID=uuid(98)), id="mdm-uuid"),
        pytest.param(lambda new: payload(new, MDM).update(PayloadIdentifier="a.b"), id="mdm-identifier"),
        pytest.param(in_mdm(SignMessage=True), id="sign-message"),
        pytest.param(in_mdm(CheckOutWhenRemoved=False), id="check-out"),
        pytest.param(in_mdm(UseDevelopmentAPNS=True), id="development-push"),
        pytest.param(lambda new: payload(new, SCEP)["PayloadContent"].update(Challenge="other"), id="challenge"),
        pytest.param(lambda new: new["PayloadContent"].append(made("com.apple.wifi.managed", 7)), id="more"),
        pytest.param(lambda new: new["PayloadContent"].reverse(), id="order"),
    ],
)
def test_everything_else_may_change(change: Change) -> None:
    """A verdict that refuses too much is as useless as one that refuses too little."""
    result = judged(OLD, changed(OLD, change))
    assert (result.accepted, rules(result)) == (True, [])


@pytest.mark.parametrize(
    ("old", "new", "warned"),
    [("System", "User", True), (None, "System", True), ("System", None, True), (None, "User", False)],
)
def test_another_scope_is_a_warning(old: str | None, new: str | None, warned: bool) -> None:
    """Absent is User, as Apple's schema has it; only Macs care, so it is no refusal."""

    def scoped(scope: str | None) -> Plist:
        return changed(OLD, lambda each: each.update(PayloadScope=scope) if scope else each.pop("PayloadScope"))

    result = judged(scoped(old), scoped(new))
    assert result.accepted
    assert ("replacement.scope" in rules(result, Severity.WARNING)) is warned


# --- MDM payloads that come, go or are too many ---------------------------------------------------------------------

PLAIN = plist(made("com.apple.wifi.managed", 1, SSID_STR="Guests", Password="hunter2"))


def test_plain_profiles_need_the_identifier_alone() -> None:
    """Without MDM payloads there is nothing else to compare."""
    assert judged(PLAIN, PLAIN).findings == ()
    result = judged(PLAIN, changed(PLAIN, lambda new: new.update(PayloadIdentifier="other")))
    assert rules(result) == ["replacement.identifier"]
    assert "second profile beside the old one" in result.findings[0].message


def test_a_replacement_without_the_mdm_payload_is_refused() -> None:
    """Nobody replaces an enrollment by nothing by mistake and is glad of it."""
    result = judged(OLD, changed(OLD, lambda new: new["PayloadContent"].pop()))
    assert not result.accepted
    assert "replacement.mdm-removed" in rules(result, Severity.ERROR)


def test_an_mdm_payload_that_comes_is_refused_over_mdm_and_a_warning_by_hand() -> None:
    """A device that MDM reaches has an MDM payload already."""
    assert "replacement.mdm-added" in rules(judged(PLAIN, OLD), Severity.ERROR)
    result = judged(PLAIN, OLD, via="manual", **signed_alike())
    assert result.accepted
    assert "replacement.mdm-added" in rules(result, Severity.WARNING)


def test_a_second_mdm_payload_is_refused() -> None:
    """Two of them in one profile are one too many."""
    result = judged(OLD, changed(OLD, lambda new: new["PayloadContent"].append(mdm(9))))
    assert not result.accepted
    assert "mdm.multiple" in rules(result, Severity.ERROR)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (in_mdm(IdentityCertificateUUID=uuid(77)), "mdm.identity-reference"),
        (lambda new: new["PayloadContent"][0].update(PayloadUUID=uuid(2)), "profile.duplicate-uuid"),
    ],
)
def test_what_no_device_installs_is_no_replacement(change: Change, rule: str) -> None:
    """A flaw of the new profile's own is part of the verdict, unless the old one had it and was installed."""
    broken = changed(OLD, change)
    result = judged(OLD, broken)
    assert not result.accepted
    assert rule in rules(result, Severity.ERROR)
    assert judged(broken, broken).accepted


def test_a_certificate_that_is_none_is_refused() -> None:
    """The payload would not install; where the old profile has the same bytes, it did."""
    broken = changed(OLD, lambda new: payload(new, ROOT).update(PayloadContent=b"no certificate"))
    assert "profile.certificate-unreadable" in rules(judged(OLD, broken), Severity.ERROR)
    assert rules(judged(broken, broken)) == []


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_encrypted_profile_cannot_be_compared(side: str) -> None:
    """Nobody can see its payloads, so there is no verdict but an error that says what to do."""
    hidden = changed(OLD, lambda each: each.update(EncryptedPayloadContent=b"x") or each.pop("PayloadContent"))
    pair = (hidden, OLD) if side == "old" else (OLD, hidden)
    with pytest.raises(ProfileError) as raised:
        judged(*pair, old_source="old file", new_source="new file")
    assert str(raised.value).startswith(f"{side} file: is encrypted")
    assert "decrypt" in raised.value.hint


# --- signers --------------------------------------------------------------------------------------------------------

KEY = ec_key()
SIGNER = issue("Signer", ROOT_CA, key=KEY)
RENEWED = issue("Signer", ROOT_CA, key=KEY, end=NOW + 900 * DAY)
OTHER = issue("Other Signer", ROOT_CA, key=ec_key())


@pytest.mark.parametrize(
    ("old", "new", "severity", "words"),
    [
        pytest.param(SIGNER, SIGNER, None, "", id="same"),
        pytest.param(SIGNER, OTHER, Severity.ERROR, "the new one by Other Signer", id="other"),
        pytest.param(SIGNER, RENEWED, Severity.ERROR, "the key is the same, but a renewed certificate", id="renewed"),
        pytest.param(SIGNER, None, Severity.ERROR, "the new one is not signed", id="unsigned-now"),
        pytest.param(None, SIGNER, Severity.ERROR, "the old profile is not signed", id="signed-now"),
        pytest.param(None, None, Severity.WARNING, "neither profile is signed", id="never-signed"),
    ],
)
def test_by_hand_the_signer_must_be_the_same(
    old: Entity | None, new: Entity | None, severity: Severity | None, words: str
) -> None:
    """Over MDM any signer will do."""
    by_hand = compare_opened(opened(OLD, old), opened(OLD, new), via="manual")
    found = [each for each in by_hand.findings if each.rule == "replacement.signer"]
    assert [each.severity for each in found] == ([severity] if severity else [])
    assert words in " ".join(each.message for each in found)
    assert by_hand.accepted is (severity is not Severity.ERROR)
    assert rules(compare_opened(opened(OLD, old), opened(OLD, new))) == []


def tampered(profile: Plist, signer: Entity) -> bytes:
    """A signed file whose content was changed, by a letter, after it was signed."""
    data = file_of(profile, signer)
    assert data.count(b"Example MDM") == 1
    return data.replace(b"Example MDM", b"Exemple MDM")


def test_an_old_profile_that_was_changed_gives_no_verdict() -> None:
    """It is not what devices have, so whatever it says proves nothing."""
    old = open_profile(tampered(OLD, SIGNER), source="old file")
    result = compare_opened(old, opened(OLD, SIGNER))
    assert not result.accepted
    assert "signature.invalid" in rules(result, Severity.ERROR)
    assert result.verdict.startswith("Nobody can tell: the signature of the old file is broken")
    assert next(each for each in result.findings if each.rule == "signature.invalid").where == "old file: signature"


def test_a_new_profile_that_was_changed_is_refused() -> None:
    """Devices do not install what was changed after it was signed."""
    new = open_profile(tampered(OLD, SIGNER), source="new file")
    result = compare_opened(opened(OLD, SIGNER), new)
    assert not result.accepted
    assert "its signature is broken" in result.verdict


# --- roots ----------------------------------------------------------------------------------------------------------

NEXT = root_ca("Next Root")
SAME_KEY = root_ca("Test Root", key=ROOT_CA.key, days=7300)


def rooted(*roots: Entity, below: Iterable[Entity] = ()) -> Plist:
    """A profile with these roots and intermediates."""
    certificates = [made(ROOT, 10 + number, PayloadContent=each.der) for number, each in enumerate(roots)]
    certificates += [made(PKCS1, 20 + number, PayloadContent=each.der) for number, each in enumerate(below)]
    return plist(*certificates, scep(), mdm())


CROSS = issue("Test Root", NEXT, key=ROOT_CA.key, ca=True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param(rooted(ROOT_CA), rooted(ROOT_CA), "", id="same"),
        pytest.param(rooted(ROOT_CA), rooted(ROOT_CA, NEXT), "", id="overlap"),
        pytest.param(rooted(ROOT_CA), rooted(NEXT), "no root is in both", id="swap"),
        pytest.param(rooted(ROOT_CA, NEXT), rooted(NEXT), "from a root that stays", id="retired"),
        pytest.param(rooted(ROOT_CA), rooted(), "no root is left", id="none-left"),
        pytest.param(rooted(ROOT_CA), rooted(SAME_KEY), "", id="renewed-with-the-same-key"),
        pytest.param(rooted(ROOT_CA), rooted(NEXT, below=[CROSS]), "", id="cross-certified"),
        pytest.param(rooted(ROOT_CA), rooted(root_ca("Test Root")), "no root is in both", id="same-name-another-key"),
        pytest.param(rooted(), rooted(ROOT_CA), "", id="first-root"),
        pytest.param(PLAIN, PLAIN, "", id="no-roots"),
    ],
)
def test_a_root_that_leaves_too_early_is_a_warning(old: Plist, new: Plist, words: str) -> None:
    """A device takes the profile and then no longer trusts the server: the trap of a CA rollover."""
    result = judged(old, new)
    assert result.accepted
    assert rules(result, Severity.WARNING) == (["replacement.ca-rollover"] if words else [])
    if words:
        found = next(each for each in result.findings if each.rule == "replacement.ca-rollover")
        assert words in found.message
        assert "Test Root" in found.message
        assert "both roots first" in found.hint


def test_the_servers_certificate_tells_whether_the_old_root_is_missed() -> None:
    """A server that moved already needs the old root no more; one that did not is lost."""
    below = intermediate_ca(NEXT)
    old, new = rooted(ROOT_CA, NEXT), rooted(NEXT)
    moved = [server_leaf(below).ours, below.ours]
    assert rules(judged(old, new, servers=moved)) == []
    assert rules(judged(old, rooted(NEXT, below=[below]), servers=moved[:1])) == []
    result = judged(old, new, servers=[server_leaf(ROOT_CA).ours])
    assert rules(result) == ["replacement.ca-rollover"]
    assert (
        "nothing in the new profile leads from the server's certificate mdm.example.com" in result.findings[0].message
    )


def test_a_publicly_trusted_server_misses_no_root() -> None:
    """A public root is on the device; one of them stands for a server's certificate here."""
    assert rules(judged(rooted(ROOT_CA), rooted(), servers=public_roots()[:1])) == []


def test_a_root_that_has_ended_is_not_missed() -> None:
    """No server can use it any more."""
    assert rules(judged(rooted(ROOT_CA), rooted(NEXT), at=NOW + 3649 * DAY)) == ["replacement.ca-rollover"]
    assert rules(judged(rooted(ROOT_CA), rooted(NEXT), at=NOW + 3651 * DAY)) == []


def test_a_root_in_another_payload_type_stays() -> None:
    """What counts is the certificate, not the payload that it is in."""
    new = changed(OLD, lambda each: payload(each, ROOT).update(PayloadType="com.apple.security.pem"))
    new["PayloadContent"][0]["PayloadContent"] = ROOT_CA.pem
    result = judged(OLD, new)
    assert rules(result) == []
    assert result.changes.certificates == ()


def pinned(*leaves: Entity) -> Plist:
    """A profile that pins the server to these certificates."""
    payloads = [made(PKCS1, 30 + number, PayloadContent=each.der) for number, each in enumerate(leaves)]
    profile = plist(made(ROOT, 1, PayloadContent=ROOT_CA.der), *payloads, scep(), mdm())
    pins = [uuid(30 + number) for number in range(len(leaves))]
    return changed(profile, in_mdm(ServerURLPinningCertificateUUIDs=pins)) if pins else profile


LEAVES = [server_leaf(ROOT_CA), server_leaf(ROOT_CA)]


@pytest.mark.parametrize(
    ("old", "new", "warned"),
    [
        (pinned(LEAVES[0]), pinned(LEAVES[0]), False),
        (pinned(LEAVES[0]), pinned(*LEAVES), False),
        (pinned(*LEAVES), pinned(LEAVES[1]), False),
        (pinned(LEAVES[0]), pinned(LEAVES[1]), True),
        (pinned(), pinned(LEAVES[0]), True),
        (pinned(LEAVES[0]), pinned(), False),
    ],
)
def test_pins_that_share_nothing_are_a_warning(old: Plist, new: Plist, warned: bool) -> None:
    """The server can show one certificate at a time, and devices get the profile one after the other."""
    result = judged(old, new)
    assert result.accepted
    assert rules(result) == (["replacement.pinning"] if warned else [])


# --- hostile profiles -----------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "PayloadType",
        "PayloadIdentifier",
        "PayloadUUID",
        "PayloadContent",
        "PayloadScope",
        "Password",
        "IdentityCertificateUUID",
        "ServerURLPinningCertificateUUIDs",
        "ServerCapabilities",
        "AccessRights",
        "ManagedAppleID",
        *FIXED,
    ]
)


@st.composite
def hostile(draw: st.DrawFn) -> Plist:
    """A profile with any values in any of the keys that are looked at."""
    profile = changed(OLD, lambda _: None)
    profile["PayloadContent"].append(made(draw(st.sampled_from([PKCS12, ACME, PKCS1, MDM])), 4))
    for _ in range(draw(st.integers(1, 4))):
        content = profile["PayloadContent"] if isinstance(profile["PayloadContent"], list) else []
        target = draw(st.sampled_from([profile, *(each for each in content if isinstance(each, dict))]))
        target[draw(KEYS)] = draw(VALUES)
    return profile


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hostile(), hostile(), st.sampled_from(["mdm", "manual"]))
def test_no_value_of_any_type_breaks_the_comparison(old: Plist, new: Plist, via: Via) -> None:
    """Whatever stands in a key, there is a verdict or an error of the project's own."""
    try:
        result = compare(Profile(old), Profile(new), via=via)
    except MdmprofileError:
        return
    assert result.accepted is not any(each.severity is Severity.ERROR for each in result.findings)
    assert CHALLENGE not in repr(result)
    assert compare(Profile(old), Profile(old)).changes.nothing


def test_numbers_that_cannot_be_written_are_compared() -> None:
    """Hexadecimal integers have no limit, but Python writes none of more than 4,300 digits."""
    digits = "f" * 6000
    huge = Profile(changed(OLD, in_mdm(AccessRights=int(digits, 16), RequiredAppIDForMDM=int(digits, 16))))
    for pair in ((as_profile(OLD), huge), (huge, as_profile(OLD))):
        result = compare(*pair)
        assert not result.accepted
        assert "more than 64 bits" in repr(result.findings)


def test_deep_and_wide_profiles_are_compared_in_a_moment() -> None:
    """Depth is no matter, and values that are shared in memory are looked at once."""

    def deep() -> Plist:
        value: Any = "end"
        for _ in range(50_000):
            value = [value]
        shared: Any = "end"
        for _ in range(200):
            shared = [shared] * 10
        return plist(made("com.example.deep", 1, Deep=value, Shared=shared))

    start = time.process_time()
    assert compare(Profile(deep()), Profile(deep())).changes.nothing
    assert time.process_time() - start < 5


def test_an_old_digest_is_forgiven_the_old_profile(openssl: Callable[..., bytes], tmp_path: Path) -> None:
    """Devices took it when it was installed; the new one is still to be taken."""
    (tmp_path / "signer.pem").write_bytes(SIGNER.pem)
    (tmp_path / "signer.key").write_bytes(SIGNER.key_pem())
    words = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha1")
    files = ("-signer", tmp_path / "signer.pem", "-inkey", tmp_path / "signer.key")
    old_fashioned = open_profile(openssl(*words, *files, data=file_of(OLD)))
    result = compare_opened(old_fashioned, opened(OLD, SIGNER))
    assert result.accepted
    assert rules(result, Severity.INFO) == ["signature.weak-digest"]
    result = compare_opened(opened(OLD, SIGNER), old_fashioned)
    assert not result.accepted
    assert "digest of the past" in result.verdict
