"""A profile laid open: status, roles, references, and bounds that hold for any property list."""

from __future__ import annotations

import json
import plistlib
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdmprofile.errors import MdmprofileError, ProfileError
from mdmprofile.inspection import NOT_SIGNED, UNVERIFIED, VERIFIED, Inspection, inspect
from mdmprofile.reader import open_profile
from mdmprofile.reports.inspection import as_dict, sections
from mdmprofile.reports.json import render as as_json
from mdmprofile.reports.model import View
from mdmprofile.reports.plain import render as as_text
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca, server_leaf
from replacing import MDM, PKCS1, PKCS12, ROOT, SCEP, Plist, file_of, made, mdm, plist, scep, usual, uuid

ROOT_CA = root_ca()
SIGNER = issue("Signer", ROOT_CA, key=ec_key())


def shown(profile: Plist, signer: Entity | None = None, *anchors: Entity, reveal: bool = False) -> Inspection:
    """The profile laid open."""
    opened = open_profile(file_of(profile, signer), source="a file")
    return inspect(opened, [each.ours for each in anchors], now=NOW, reveal=reveal)


def reports(data: bytes) -> tuple[str, str]:
    """The JSON and the text report of a file."""
    found = inspect(open_profile(data, source="a file"), (), now=NOW)
    view = View(now=NOW, sections=sections(found), extra=as_dict(found))
    return as_json(view), as_text(view)


def test_status_is_what_a_device_shows() -> None:
    """Signed by somebody trusted, by somebody else, by somebody whose certificate has ended, or by nobody."""
    ended = issue("Ended", ROOT_CA, key=ec_key(), start=NOW - 9 * DAY, end=NOW - DAY)
    early = issue("Early", ROOT_CA, key=ec_key(), start=NOW + DAY)
    assert shown(usual(), SIGNER, ROOT_CA)[:2] == (VERIFIED, "trusted through Test Root")
    assert shown(usual(), SIGNER, root_ca("Other")).status == UNVERIFIED
    assert shown(usual(), early, ROOT_CA).status == UNVERIFIED
    assert shown(usual(), ended, ROOT_CA)[:2] == (NOT_SIGNED, "the certificate of Ended expired on 2031-02-28")
    assert shown(usual()).status == NOT_SIGNED


def test_roles_and_references() -> None:
    """Each certificate has its role, and each payload knows whom it names and who names it."""
    middle = intermediate_ca(ROOT_CA)
    leaf = server_leaf(middle)
    device = issue("Device", ROOT_CA)
    found = shown(
        plist(
            made(ROOT, 10, PayloadContent=ROOT_CA.der),
            made(PKCS1, 11, PayloadContent=middle.der),
            made(PKCS1, 12, PayloadContent=leaf.der),
            made(PKCS12, 2, PayloadContent=device.p12("secret"), Password="secret"),
            made("com.apple.wifi.managed", 20, EAPClientConfiguration={"PayloadCertificateAnchorUUID": [uuid(10)]}),
            mdm(ServerURLPinningCertificateUUIDs=[uuid(12)]),
        )
    )
    assert [each.certificates[0].role for each in found.payloads[:4]] == ["root", "intermediate", "pinned", "identity"]
    assert [(each.key, each.number) for each in found.payloads[4].references] == [
        ("EAPClientConfiguration.PayloadCertificateAnchorUUID[0]", 1)
    ]
    assert {(each.key, each.number, each.kind) for each in found.payloads[5].references} == {
        ("IdentityCertificateUUID", 4, PKCS12),
        ("ServerURLPinningCertificateUUIDs[0]", 3, PKCS1),
    }
    assert [each.referred_by for each in found.payloads] == [(5,), (), (6,), (6,), (), ()]


def test_pkcs12_without_its_password_is_no_reason_to_stop() -> None:
    """What cannot be read says why."""
    content = issue("Device").p12("secret")
    kinds: list[Plist] = [{}, {"Password": "wrong"}, {"Password": 1}, {"PayloadContent": "x"}]
    found = shown(plist(*(made(PKCS12, each, PayloadContent=content) | keys for each, keys in enumerate(kinds, 1))))
    assert all(each.problem and not each.certificates for each in found.payloads)


@pytest.mark.parametrize(
    "keys",
    [
        {"Foo": [uuid(2)] * 190_000},
        {"k" * 100_000: [1] * 100_000},
        {"k" * 100_000: {"j" * 100_000: [uuid(2)] * 50_000}},
        {"Foo": ["x" * 100_000] * 50_000},
        {"Foo": [{"k" * 100_000: 1}] * 50_000},
        {"Foo": b"x" * 10_000_000},
        {"Password": "x" * 10_000_000},
        {"Foo": "//" * 1_000_000 + "@"},
        {"Foo": "?secret" * 500_000},
        {"Foo": "//" + "a@" * 2_000_000},
    ],
    ids=[
        "references",
        "long name",
        "long names",
        "shared text",
        "shared name",
        "data",
        "secret",
        "slashes",
        "query",
        "at",
    ],
)
def test_reports_of_hostile_profiles_are_bounded(keys: dict[str, Any]) -> None:
    """A binary property list can name one long text any number of times; a small file is no large report."""
    data = file_of(plist(scep(), mdm(**keys)), form=plistlib.FMT_BINARY)
    start = time.process_time()
    try:
        machine, people = reports(data)
    except ProfileError:
        pass
    else:
        assert len(machine) < 64 * 1024 * 1024
        assert len(people) < 200_000
    assert time.process_time() - start < 20


def test_kind_that_is_a_book_is_not_repeated() -> None:
    """Every reference names the kind of what it refers to."""
    kind = "x" * 1_000_000
    others = [made("com.example", number, a=[uuid(1)] * 100) for number in range(2, 102)]
    machine, people = reports(file_of(plist(made(kind, 1), *others)))
    assert len(machine) < 20_000_000
    assert len(people) < 5_000_000


def test_nothing_in_a_profile_steers_the_terminal() -> None:
    """Neither report has a control or format character from the profile in it."""
    evil = "\x1b]0;x\x07 \x9b2J \u202e \x7f \u2028 \r"
    machine, people = reports(
        file_of(
            plist(scep(), mdm(**{evil: evil, "a": {evil: [evil]}}), made(evil, 5), PayloadDisplayName=evil),
            form=plistlib.FMT_BINARY,
        )
    )
    assert all(each.isprintable() or each == "\n" for each in machine + people)
    assert json.loads(machine)["profile"]["PayloadDisplayName"] == evil


SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.integers(-(2**63), 2**64 - 1)
    | st.booleans()
    | st.binary(max_size=40)
    | st.floats()
    | st.datetimes()
    | st.builds(plistlib.UID, st.integers(0, 2**32))
    | st.just(uuid(1))
)
KEYS = st.sampled_from(
    ["PayloadType", "PayloadUUID", "PayloadIdentifier", "PayloadContent", "PayloadDisplayName", "Password", "ServerURL",
     "Challenge", "IdentityCertificateUUID", "ServerURLPinningCertificateUUIDs", "EncryptedPayloadContent"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)  # fmt: skip
TYPES = st.sampled_from([MDM, SCEP, ROOT, PKCS1, PKCS12, "com.apple.security.pem", "com.apple.security.acme", "x"])
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
PAYLOADS = st.lists(st.dictionaries(KEYS, ANY, max_size=6) | ANY, max_size=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(top=st.dictionaries(KEYS, ANY, max_size=6), content=PAYLOADS | ANY, kinds=st.lists(TYPES, max_size=4))
def test_any_property_list_can_be_shown(top: Plist, content: Any, kinds: list[str]) -> None:
    """Whatever the values of the keys that we know, there are two reports, one a JSON object, or one error of ours."""
    if isinstance(content, list):
        pairs = zip(content, kinds, strict=False)
        content = [each | {"PayloadType": kind} for each, kind in pairs if isinstance(each, dict)] or content
    data = plistlib.dumps({"PayloadContent": content, "PayloadType": "Configuration"} | top, fmt=plistlib.FMT_BINARY)
    try:
        machine, people = reports(data)
    except MdmprofileError:
        return
    assert isinstance(json.loads(machine, parse_constant=pytest.fail), dict)
    assert people
