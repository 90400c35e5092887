"""The table of known keys: complete for what we write ourselves, tolerant of what others write, never raising."""

from __future__ import annotations

import dataclasses
import plistlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lint_cases import good, pki, signed
from mdmprofile.payloads import types
from mdmprofile.payloads.acme import AcmePayload
from mdmprofile.payloads.base import Payload
from mdmprofile.payloads.certificates import PemPayload, Pkcs1Payload, RootPayload
from mdmprofile.payloads.mdm import MdmPayload
from mdmprofile.payloads.pkcs12 import Pkcs12Payload
from mdmprofile.payloads.removal import RemovalPasswordPayload
from mdmprofile.payloads.scep import ScepPayload
from mdmprofile.profile import Profile, TopLevel
from mdmprofile.reader import open_profile
from mdmprofile.rules.examined import KINDS, examine
from mdmprofile.rules.identity import SCEP_KEYS
from mdmprofile.rules.lint import judge_file, lint
from mdmprofile.rules.schema import MAX_TOLD, PAYLOADS, SCEP_CONTENT, TOP, nearest
from pki import NOW
from profiles import Plist, acme
from test_rules import anything, examples

OPENED = open_profile(signed(good()))
CLASSES: tuple[type[Payload], ...] = (
    AcmePayload,
    MdmPayload,
    PemPayload,
    Pkcs12Payload,
    Pkcs1Payload,
    RemovalPasswordPayload,
    RootPayload,
    ScepPayload,
)


def written(cls: type) -> set[str]:
    """The Apple keys that a dataclass can write."""
    keys = {each.metadata["apple"] for each in dataclasses.fields(cls) if "apple" in each.metadata}
    names = {each.name for each in dataclasses.fields(cls)}
    keys |= {"Subject"} if "subject" in names else set()
    keys |= {"SubjectAltName"} if "subject_alt_name" in names else set()
    return keys


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_key_that_we_write_is_known(cls: type[Payload]) -> None:
    """Otherwise lint would call our own profiles wrong."""
    known = SCEP_CONTENT if cls is ScepPayload else PAYLOADS[cls.TYPE]
    assert written(cls) <= set(known)


def test_every_top_level_key_that_we_write_is_known() -> None:
    """The same for the profile itself."""
    assert written(TopLevel) | {"ConsentText", "PayloadContent"} <= set(TOP)
    assert {each.TYPE for each in CLASSES} == set(PAYLOADS)
    assert set(SCEP_KEYS) == set(SCEP_CONTENT)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ServerUrl", "ServerURL"),
        ("CheckinURL", "CheckInURL"),
        ("AccessRight", "AccessRights"),
        ("payloadtype", "PayloadType"),
        ("PayloadIdentifer", "PayloadIdentifier"),
        ("ServerCapability", "ServerCapabilities"),
        ("PayloadEnabled", ""),
        ("AutoAdvance", ""),
        ("ServerURL" * 100, ""),
        ("", ""),
    ],
)
def test_the_nearest_key_is_one_that_was_meant(name: str, near: str) -> None:
    """A guess that is far off helps nobody."""
    assert nearest(name, tuple(PAYLOADS[types.MDM]), 0.8) == near


def test_a_million_unknown_keys_are_told_in_a_few() -> None:
    """A report is read by a person."""
    plist = good()
    plist["PayloadContent"][3] |= {f"Vendor{number}": number for number in range(1000)}
    assert len(lint(signed(plist), now=NOW).findings) == MAX_TOLD


def test_keys_that_are_no_text_are_unknown_ones() -> None:
    """Some readers of binary property lists hand them out."""
    plist: dict[Any, Any] = {**good(), 7: 1, b"x": 1, ("a",): 1}
    examined = examine(dataclasses.replace(OPENED, profile=Profile(plist)), b"", now=NOW)
    assert [each.where for each in judge_file(examined) if each.rule == "profile.unknown-key"] == [
        "7",
        "bytes",
        "tuple",
    ]


def places() -> Iterable[tuple[str, int | None, str]]:
    """Every known key: where it stands in the profile of the hypothesis test."""
    for name in TOP:
        yield "top", None, name
    for index, kind in enumerate((types.ROOT, types.PKCS1, types.SCEP, types.MDM, types.ACME, types.PKCS12)):
        for name in PAYLOADS[kind]:
            yield "payload", index, name
    for name in SCEP_CONTENT:
        yield "scep", 2, name


PLACES = list(places())


def everything() -> Plist:
    """A profile with a payload of every kind that holds certificates or keys."""
    plist = good()
    p12 = {"PayloadType": types.PKCS12, "PayloadContent": b"\x30\x03\x02\x01\x03", "Password": "x"}
    plist["PayloadContent"] += [acme("00000000-0000-4000-8000-000000000040"), p12]
    return plist


scalars = st.sampled_from(
    [
        -1, 0, 1, 2**63, 1.5, float("nan"), True, False, "", "x" * 5000, b"", b"\x30", b"\x30\x80" * 50, b"-----BEGIN ",
        datetime(1, 1, 1), datetime(9999, 12, 31), plistlib.UID(1), [], {}, [[[]]], [[["CN", 1]]], {"": {}},  # noqa: DTZ001
        pki().root.der, pki().root.pem, pki().root.der + b"x", signed(good())[:5000],
    ]
)  # fmt: skip


@settings(examples, max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PLACES), scalars | anything), min_size=1, max_size=6), st.booleans())
def test_any_value_in_any_known_key_is_judged_and_never_raises(
    changes: list[tuple[tuple[str, int | None, str], object]], encrypted: bool
) -> None:
    """Other people's profiles hold anything; lint answers with findings."""
    plist = everything()
    for (kind, index, name), value in changes:
        entries = plist.get("PayloadContent")
        if kind == "top":
            plist[name] = value
        elif isinstance(entries, list) and len(entries) == 6:
            entry = entries[index or 0]
            target = entry.get("PayloadContent") if kind == "scep" else entry
            if isinstance(target, dict):
                target[name] = value
    if encrypted:
        plist["EncryptedPayloadContent"] = b"\x30\x80"
    opened = dataclasses.replace(OPENED, profile=Profile(plist))
    for judged in KINDS:
        assert judge_file(examine(opened, b"", now=NOW, kind=judged))


@settings(examples, max_examples=300)
@given(st.data())
def test_any_change_of_any_bytes_is_judged_and_never_raises(data: st.DataObject) -> None:
    """Bytes changed anywhere in a signed file: in CMS, certificates or property list."""
    original = bytearray(signed(good()))
    for _ in range(data.draw(st.integers(1, 4))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(original)))
    changed = bytes(original[:cut])
    linted = lint(changed, now=NOW)
    if not linted.findings and not linted.errors:
        # Not every byte of CMS is signed, but what is inside is.
        assert open_profile(changed).content == plistlib.dumps(good())


@settings(examples, max_examples=200)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", b"bplist00"]),
)
def test_any_bytes_are_judged_and_never_raise(data: bytes, start: bytes) -> None:
    """Whatever is handed in, there is an answer."""
    assert lint(start + data, now=NOW).errors
